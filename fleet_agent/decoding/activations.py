"""Logits to scores, without overflow."""

import numpy as np

from fleet_agent.perception import Tensor


def sigmoid(logits: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)); what is not a number stays so."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits), np.float32)


def softmax(logits: Tensor) -> Tensor:
    """Return the softmax over the last axis; all NaN where a logit is one, or is positively infinite."""
    with np.errstate(invalid="ignore"):
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=-1, keepdims=True), np.float32)
