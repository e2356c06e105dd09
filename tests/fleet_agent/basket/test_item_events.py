"""Stories about what a cart says about a decision."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.basket.decision import Decision
from fleet_agent.basket.item_events import Circumstances, item_event
from fleet_agent.basket.weighed import ItemWeights, catalogue_weights
from fleet_agent.events import ItemEvent, heard_by_row
from fleet_agent.telemetry import Telemetry
from fleet_agent.wire import Identity, item_message
from fleet_protocol.messages import decode_message, encode
from tests.fleet_agent.worlds import CART, STORE, item

CLASSES = tuple(item(ix) for ix in range(3))
WHEN = Circumstances(at_ms=1_790_000_000_000, session_id="trip", decision_ms=12.5)
PAIR = Decision(
    item_ix=0,
    quantity=1,
    direction="add",
    posterior=0.97,
    margin=0.9,
    top=((0, 0.5), (1, 0.49)),
    camera_confidence=(("front", 0.98),),
    disagreeing=0,
    weight_residual_g=5.5,
    outcome="accepted",
    kind="pair",
    second_ix=1,
)
IDENTITY = Identity(
    store=STORE, cart=CART, boot="ab" * 8, fw="1", model="cd" * 8, sim=True, cameras=("front",), hw="bench"
)


def names() -> Callable[[], str]:
    """Return a giver of names e1, e2, and so on."""
    numbers = count(1)
    return lambda: f"e{next(numbers)}"


def said(decision: Decision, change_g: float, weights: ItemWeights | None = None) -> ItemEvent:
    """Return the event of a decision that has one."""
    event = item_event(
        decision, change_g, CLASSES, weights or catalogue_weights(CLASSES), name=names(), when=WHEN
    )
    assert event is not None
    return event


def test_a_pair_is_two_rows_of_one_message() -> None:
    """Each item has its own row and id; the weight is shared out by what they should weigh."""
    event = said(PAIR, 555.5)
    columns = item_message(IDENTITY, event, 7).cols
    assert columns.id == ["e1", "e2"]
    assert columns.item == ["item-0", "item-1"]
    assert columns.qty == [1, 1]
    assert columns.dw == [151.5, 404.0]
    assert columns.res == [1.5, 4.0]
    assert columns.outcome == ["accepted", "accepted"]
    assert columns.session == ["trip", "trip"]


def test_the_two_rows_pass_the_contract() -> None:
    """What is sent is what the cloud decodes."""
    message = item_message(IDENTITY, said(PAIR, 555.5), 7)
    assert decode_message(f"fleet/v1/{STORE}/{CART}/evt", encode(message)).message == message


@given(
    change_g=st.one_of(st.floats(10, 20_000), st.floats(-20_000, -10)),
    weights_g=st.tuples(st.floats(1, 5000), st.floats(1, 5000)),
)
def test_the_parts_of_a_pair_add_up(change_g: float, weights_g: tuple[float, float]) -> None:
    """Whatever was weighed, the rows' changes sum to it, and their residuals to its residual."""
    weights = ItemWeights(np.array([*weights_g, 1.0]), np.ones(3))
    rows = said(PAIR, change_g, weights).rows
    assert sum(row.weight_change_g for row in rows) == pytest.approx(change_g)
    expected_g = np.copysign(sum(weights_g), change_g)
    residuals_g = [row.weight_residual_g for row in rows if row.weight_residual_g is not None]
    assert sum(residuals_g) == pytest.approx(change_g - expected_g, abs=1e-6)


def test_one_item_is_one_row_and_something_unknown_too() -> None:
    """As before: one event, nothing beside it."""
    one = said(replace(PAIR, kind="item", second_ix=None), 150.0)
    assert (one.rows, one.item_id, one.weight_change_g) == ((one,), "item-0", 150.0)
    nothing = replace(PAIR, kind="unknown", item_ix=None, second_ix=None, weight_residual_g=None)
    unknown = said(nothing, 700.0)
    assert (unknown.item_id, unknown.rows) == (None, (unknown,))


def test_a_shift_is_no_event() -> None:
    """And it takes no name."""
    shift = replace(PAIR, kind="shift", item_ix=None, second_ix=None)
    giver = names()
    assert item_event(shift, 12.0, CLASSES, catalogue_weights(CLASSES), name=giver, when=WHEN) is None
    assert giver() == "e1"


def test_listeners_hear_of_both_items() -> None:
    """One after the other; and who does not listen hears nothing."""
    heard: list[ItemEvent] = []
    event = said(PAIR, 555.5)
    heard_by_row(heard.append)(event)
    assert [row.event_id for row in heard] == ["e1", "e2"]
    heard_by_row(None)(event)


def test_telemetry_counts_both_items_of_a_pair() -> None:
    """Two item events, and both classes in the drift signal."""
    telemetry = Telemetry()
    telemetry.decision(PAIR)
    counts = telemetry.drain()
    assert counts.cnt == {"item_events": 2}
    assert sum(counts.sig["class"]) == 2
