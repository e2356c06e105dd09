"""Staged rollouts: a pure reducer over an append-only log, and the parts around it."""
