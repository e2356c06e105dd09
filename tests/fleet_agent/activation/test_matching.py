"""Stories about which detection of one engine is which of another."""

import itertools
import random
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.activation.matching import Sighting, assignment, match, overlaps, sightings
from fleet_agent.manifest import ParityLimits

LIMITS = ParityLimits(score_floor=0.5, least_overlap=0.6)
BOX = (0.2, 0.2, 0.6, 0.6)


def shifted(dx: float) -> tuple[float, float, float, float]:
    """Return the box a little to the right."""
    return (BOX[0] + dx, BOX[1], BOX[2] + dx, BOX[3])


@st.composite
def frames(draw: st.DrawFn) -> tuple[Sighting, ...]:
    """Some detections of three classes on a coarse grid, so that overlaps and ties happen."""
    found = draw(
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.sampled_from([0.3, 0.45, 0.5, 0.55, 0.9]),
                st.integers(0, 3),
                st.integers(0, 3),
                st.sampled_from([0.2, 0.22, 0.25]),
            ),
            max_size=5,
        )
    )
    return tuple(
        Sighting(item_ix, score, (x * 0.05, y * 0.05, x * 0.05 + side, y * 0.05 + side))
        for item_ix, score, x, y, side in found
    )


@given(
    st.integers(1, 5).flatmap(
        lambda rows: st.integers(1, 5).flatmap(
            lambda columns: st.lists(
                st.lists(st.floats(0, 10), min_size=columns, max_size=columns), min_size=rows, max_size=rows
            )
        )
    )
)
def test_no_other_assignment_gains_more(rows: list[list[float]]) -> None:
    """The assignment is as good as the best of all, tried one by one."""
    gain = np.array(rows)
    pairs = assignment(gain)
    assert len(pairs) == min(gain.shape)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    wide = gain if gain.shape[0] <= gain.shape[1] else gain.T
    best = max(
        sum(wide[row, column] for row, column in enumerate(columns))
        for columns in itertools.permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert abs(sum(gain[row, column] for row, column in pairs) - best) < 1e-9


def test_matching_by_score_alone_would_lose_one() -> None:
    """The surest detection leaves the partner that another one needs."""
    reference = [Sighting(0, 0.9, BOX), Sighting(0, 0.8, shifted(-0.09))]
    candidate = [Sighting(0, 0.9, shifted(0.05)), Sighting(0, 0.8, shifted(-0.02))]
    overlap = overlaps(reference, candidate)
    # The first reference prefers the second candidate, which is the only one for the second reference.
    assert overlap[0].argmax() == 1
    assert overlap[1, 0] < LIMITS.least_overlap <= overlap[1, 1]
    found = match(reference, candidate, LIMITS)
    assert len(found.matched) == 2
    assert found.lost == found.extra == ()


@given(frames())
def test_everything_matches_itself(frame: tuple[Sighting, ...]) -> None:
    """An engine agrees with itself: nothing lost, nothing invented, no difference."""
    found = match(frame, frame, LIMITS)
    assert not found.lost
    assert not found.extra
    assert not found.swapped
    assert found.required == sum(entry.score >= 0.5 for entry in frame)


@given(frames(), frames(), st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter(
    reference: tuple[Sighting, ...], candidate: tuple[Sighting, ...], rng: random.Random
) -> None:
    """Two engines that list the same detections in another order are judged alike."""
    one = match(_sorted(reference), _sorted(candidate), LIMITS)
    mixed = list(candidate)
    rng.shuffle(mixed)
    assert match(_sorted(reference), _sorted(mixed), LIMITS) == one


@given(frames(), frames())
def test_reference_and_candidate_are_alike_but_for_the_name(
    reference: tuple[Sighting, ...], candidate: tuple[Sighting, ...]
) -> None:
    """What is lost one way is invented the other way: as many are matched, and all are accounted for."""
    there, back = match(reference, candidate, LIMITS), match(candidate, reference, LIMITS)
    musts = len(there.lost) + len(there.extra)
    assert musts == len(back.lost) + len(back.extra)
    found = sum((a.score >= 0.5) + (b.score >= 0.5) for a, b in there.matched)
    assert found + musts == sum(entry.score >= 0.5 for entry in (*reference, *candidate))
    for a, b in there.matched:
        assert a.item_ix == b.item_ix
        assert overlaps([a], [b])[0, 0] >= LIMITS.least_overlap
        assert max(a.score, b.score) >= LIMITS.score_floor


def test_a_score_that_slips_below_the_floor_is_found_all_the_same() -> None:
    """0.51 that comes back as 0.49 is no loss; its difference is judged on its own."""
    found = match([Sighting(0, 0.51, BOX)], [Sighting(0, 0.49, BOX)], LIMITS)
    assert len(found.matched) == 1
    faint = match([Sighting(0, 0.49, BOX)], [Sighting(0, 0.48, BOX)], LIMITS)
    assert faint.matched == ()
    assert faint.required == 0


def test_a_swapped_class_is_lost_invented_and_named() -> None:
    """The right box with the wrong item is no match."""
    found = match([Sighting(0, 0.9, BOX)], [Sighting(1, 0.9, BOX)], LIMITS)
    assert (len(found.lost), len(found.extra), len(found.swapped)) == (1, 1, 1)


def test_boxes_that_are_not_boxes_overlap_nothing() -> None:
    """Empty boxes and boxes that are not numbers are lost, never an exception."""
    strange: list[Any] = [(0.5, 0.5, 0.5, 0.5), (0.6, 0.6, 0.2, 0.2), (float("nan"),) * 4]
    for box in strange:
        found = match([Sighting(0, 0.9, BOX)], [Sighting(0, 0.9, box)], LIMITS)
        assert found.matched == ()
        assert len(found.lost) == len(found.extra) == 1


def test_a_thousand_detections_at_one_place_are_matched() -> None:
    """A damaged network may fill the whole list; that ends too."""
    crowd = [Sighting(0, 0.9, shifted(ix * 1e-5)) for ix in range(300)]
    assert len(match(crowd, list(reversed(crowd)), LIMITS).matched) == 300


def _sorted(frame: Any) -> tuple[Sighting, ...]:
    return sightings(frame)
