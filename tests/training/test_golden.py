"""Stories about the limits that a published artifact is held to."""

from dataclasses import replace

import pytest

from fleet_agent.activation.parity import Agreement
from training.golden import limits_for

FOUND = Agreement(
    required=40, matched=40, unmatched=0, extra=0, swapped=0, worst_score_difference=0.1, worst_overlap=0.9
)


def test_an_artifact_that_moves_scores_too_far_is_not_published() -> None:
    """Limits as wide as its error would let another network pass for it."""
    assert limits_for(FOUND, "int8").max_score_difference == pytest.approx(0.17)
    with pytest.raises(ValueError, match="int8 moves scores too far"):
        limits_for(replace(FOUND, worst_score_difference=0.2), "int8")
