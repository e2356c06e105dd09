"""The wire contract between a cart and the cloud: topics, messages, codecs, histograms, limits.

Pure: values in, values out. `docs/protocol.md` says the same in prose, so that a cart can be
written in another language.
"""
