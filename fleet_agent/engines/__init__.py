"""Networks behind the `PerceptionEngine` Protocol."""
