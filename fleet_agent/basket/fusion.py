r"""From what the cameras saw and what the scale weighed to one decision: pure.

Hypotheses h: n pieces of item k; a *pair* of different items, one piece each; something *unknown*; a *shift*:
nothing was put in or taken out, the weight moved or came back. The direction is the sign of the weight
change: a scale cannot mistake it.

    log P(h | D) = alpha sum_c log p_c(h)      cameras (`evidence`), alpha = 1 / (1 + (C - 1) rho_cameras)
                 + log p(dw | h)               weight, with outlier mass (`weighed`)
                 + log P(h) + const            catalogue and contents of the cart (`prior`)

    log p_c(k)    = beta_c sum_d q_d log p_d(k)
    log p_c(a, b) = beta_c sum_d q_d log((p_d(a) + p_d(b)) / 2)     a detection is of one of the two
    log p_c(unknown) = log p_c(shift) = beta_c sum_d q_d log(1 / K) looks like nothing in particular

alpha discounts cameras whose errors go together, without which three cameras count thrice. Weight alone books
nothing: the median item has look-alikes by weight.

Pairs are formed of the `pair_candidates` best-looking items only, so that their number does not grow with the
catalogue, and only of items that some detection named, so that the weight does not make up a second one that
nobody saw. Both go the same way: a swap of two items in one movement is not told apart.

The product form, the outlier mass and the discount are the project's design, after FAIM/AIM3S (Falcao et al.
2020), which fuse weight difference and vision, and temperature scaling (Guo et al. 2017).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet_agent.basket.decision import Decision, Kind
from fleet_agent.basket.evidence import SCORE_FLOOR, CameraEvidence, Views, views_of
from fleet_agent.basket.posterior import Posterior, posterior_of
from fleet_agent.basket.prior import Inside, prior_of
from fleet_agent.basket.weighed import ItemWeights, catalogue_weights
from fleet_agent.config import FusionConfig
from fleet_agent.events import Outcome
from fleet_agent.manifest import ItemClass

__all__ = ["SCORE_FLOOR", "CameraEvidence", "Decision", "fuse"]

Floats = NDArray[np.float64]

TOP = 5


@dataclass(frozen=True, slots=True)
class _Best:
    kind: Kind
    items: tuple[int, ...]
    quantity: int
    probability: float
    margin: float


def fuse(
    evidence: Sequence[CameraEvidence],
    change_g: float,
    classes: Sequence[ItemClass],
    config: FusionConfig,
    *,
    temperature: float = 1.0,
    prior: Floats | None = None,
    inside: Inside | None = None,
    weights: ItemWeights | None = None,
    returning_g: float | None = None,
) -> Decision:
    """Explain one settled weight change.

    Args:
        evidence: Per camera; cameras that saw nothing may be left out.
        change_g: Signed, not zero.
        classes: The catalogue, in the order of the network's classes.
        config: Correlations, noise, thresholds.
        temperature: Of the model's scores; above 1 makes them less sure.
        prior: Probability of each class before any evidence; None makes them equal.
        inside: What lies in the cart, which limits what can be taken out; None: nothing is known.
        weights: What was learned of the items' weights; None: the catalogue's.
        returning_g: The change that would take back one before which no camera saw; None: there is none.
    """
    weights = weights or catalogue_weights(classes)
    expected = prior_of(len(classes), config, removal=change_g < 0, inside=inside, anything=prior)
    views = views_of(evidence, len(classes), temperature, config)
    own = None if views is None else views.by_camera()
    posterior = posterior_of(
        views,
        own,
        change_g=change_g,
        weights=weights,
        prior=expected,
        returning_g=returning_g,
        config=config,
    )
    best = _choose(posterior, config)
    confidence, disagreeing = _cameras(best.items, views, own)
    by_item = posterior.by_item()
    top = by_item.argsort()[::-1][:TOP].tolist()
    return Decision(
        item_ix=best.items[0] if best.items else None,
        quantity=best.quantity,
        direction="add" if change_g > 0 else "remove",
        posterior=best.probability,
        margin=best.margin,
        top=tuple(zip(top, by_item[top].tolist(), strict=True)),
        camera_confidence=confidence,
        disagreeing=disagreeing,
        weight_residual_g=_residual_g(best, change_g, weights),
        outcome=_outcome(best, config, inside if change_g < 0 else None, seen=views is not None),
        kind=best.kind,
        second_ix=best.items[1] if len(best.items) > 1 else None,
    )


def _outcome(best: _Best, config: FusionConfig, inside: Inside | None, *, seen: bool) -> Outcome:
    """Return whether a decision is booked or a barcode asked for.

    Args:
        best: The likeliest hypothesis.
        config: Thresholds.
        inside: What lies in the cart when something is taken out, if that is known.
        seen: A camera saw something: weight alone books nothing.
    """
    sure = best.probability >= config.accept_posterior and best.margin >= config.accept_margin
    if not (sure and seen and best.items):
        return "asked"
    # More would be taken out than lies there: the books or the cameras are wrong.
    exceeds = (
        inside is not None and inside.complete and any(inside.pieces[ix] < best.quantity for ix in best.items)
    )
    return "asked" if exceeds else "accepted"


def _choose(posterior: Posterior, config: FusionConfig) -> _Best:
    """Return the likeliest hypothesis; a shift only when it is sure, or else the shopper is asked."""
    row, column = divmod(int(posterior.singles.argmax()), posterior.singles.shape[1])
    found: list[tuple[float, Kind, tuple[int, ...], int]] = [
        (float(posterior.singles[row, column]), "item", (column,), row + 1),
        (posterior.unknown, "unknown", (), 1),
        (posterior.shift, "shift", (), 1),
    ]
    if len(posterior.pairs):
        at = int(posterior.pairs.argmax())
        both = (int(posterior.first[at]), int(posterior.second[at]))
        found.append((float(posterior.pairs[at]), "pair", both, 1))
    second, first = np.partition(posterior.everything, -2)[-2:].tolist()
    if first == posterior.shift and first < config.accept_posterior:
        found = [one for one in found if one[1] != "shift"]
    p, kind, items, quantity = max(found, key=lambda one: one[0])
    return _Best(kind, items, quantity, p, max(0.0, p - second))


def _cameras(
    decided: tuple[int, ...], views: Views | None, own: Floats | None
) -> tuple[tuple[tuple[str, float], ...], int]:
    """Return each camera's own probability of the decision, and how many would decide otherwise."""
    if views is None or own is None:
        return (), 0
    p = np.exp(own - own.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    confidence = p[:, list(decided)].sum(axis=1).tolist()
    disagreeing = sum(favourite not in decided for favourite in p.argmax(axis=1).tolist())
    return tuple(zip(views.cameras, confidence, strict=True)), disagreeing


def _residual_g(best: _Best, change_g: float, weights: ItemWeights) -> float | None:
    """Return measured minus expected change, both signed."""
    if not best.items:
        return None
    expected_g = best.quantity * sum(float(weights.mean_g[ix]) for ix in best.items)
    return change_g - math.copysign(expected_g, change_g)
