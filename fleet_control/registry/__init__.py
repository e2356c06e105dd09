"""The model registry: a TUF repository that carts fetch their models from.

    metadata/N.root.json, N.targets.json, N.snapshot.json, timestamp.json
    targets/models/<digest>/<sha256>.<file>
    pins.json                       models that must not be retired
    lock.*, incoming/               of those who write

`metadata` and `targets` are what carts read; the rest is served to nobody. Private keys are elsewhere.
"""
