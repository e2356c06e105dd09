"""Which state of a cart counts, whatever comes late, twice, or not at all."""

from hypothesis import given
from hypothesis import strategies as st

from fleet_control.rollouts.inventory import Known, seen
from fleet_protocol.messages import CartState
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL

BOOTS = ("0" * 16, "1" * 16)


def birth(session: int, *, store: str = "s001", boot: int = 0, model: str = BASELINE) -> CartState:
    """Return a birth."""
    return CartState(
        v=1,
        online=True,
        store=store,
        cart="c01",
        boot=BOOTS[boot],
        session=session,
        model=model,
        hw="orin",
        labels={"row": "front"},
    )


def end(session: int, *, store: str = "s001", boot: int = 0) -> CartState:
    """Return a will."""
    return CartState(v=1, online=False, store=store, cart="c01", boot=BOOTS[boot], session=session)


def after(*states: CartState, replayed: bool = False) -> Known:
    """Return what is known after states that came a second apart."""
    known: Known | None = None
    for number, state in enumerate(states):
        known = seen(known, state, number * 1_000, replayed=replayed) or known
    assert known is not None
    return known


def test_a_cart_whose_birth_was_missed_is_gone_when_its_will_says_so() -> None:
    """The controller was away while the cart came and went; only the will of a higher session is left."""
    known = after(birth(7), end(9, boot=1))
    assert not known.sighting.online
    assert (known.sighting.model, known.sighting.hardware) == (BASELINE, "orin")
    assert known.sighting.since_ms == 1_000


def test_a_late_will_changes_nothing() -> None:
    """The broker sends it when it finds the old connection dead."""
    assert after(birth(7), birth(8), end(7)).sighting.online


def test_a_cart_that_moved_is_where_it_is_online() -> None:
    """Its old store's topic keeps an old state; the broker replays both, in any order."""
    for old in (end(41, boot=0), birth(3, boot=0)):
        new = birth(4, store="s002", boot=1)
        for order in ((old, new), (new, old)):
            assert after(*order, replayed=True).sighting.store == "s002"


def test_a_cart_that_moves_before_our_eyes_is_in_its_new_store_also_when_it_begins_at_zero() -> None:
    """A cart that was set up anew counts its sessions anew."""
    assert after(birth(41), birth(0, store="s002", boot=1)).sighting.store == "s002"


def test_a_new_birth_tells_the_model_and_not_when_the_cart_came_online() -> None:
    """A cart connects again to say that its model has changed; it was never away."""
    known = after(birth(7), birth(8, model=MODEL))
    assert (known.sighting.model, known.sighting.since_ms) == (MODEL, 0)


states = st.builds(
    lambda online, session, boot, store: (birth if online else end)(session, boot=boot, store=store),
    st.booleans(),
    st.integers(0, 4),
    st.integers(0, 1),
    st.sampled_from(["s001", "s002"]),
)


@given(st.lists(states, min_size=1, max_size=12))
def test_what_is_replayed_after_a_reconnect_changes_nothing(said: list[CartState]) -> None:
    """The state that counted last is told again; the cart is as it was, and since when it was."""
    known: Known | None = None
    newest = said[0]
    for state in said:
        if (after_it := seen(known, state, 0)) is not None:
            known, newest = after_it, state
    assert known is not None
    assert seen(known, newest, 99_000, replayed=True) is None


@given(st.lists(states, min_size=1, max_size=8), st.data())
def test_of_two_stores_replayed_in_any_order_the_same_one_is_chosen(
    said: list[CartState], data: st.DataObject
) -> None:
    """One retained state per topic: the online one, then the one with the higher session."""
    topics = {state.store: state for state in said}
    order = data.draw(st.permutations(list(topics.values())))
    best = max(topics.values(), key=lambda state: (state.online, state.session))
    known = after(*order, replayed=True).sighting
    tied = len({(state.online, state.session) for state in topics.values()}) < len(topics)
    assert tied or (known.store, known.online) == (best.store, best.online)
