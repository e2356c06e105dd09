"""What the database keeps true, on every kind of it."""

import threading

import pytest

from fleet_control.errors import (
    ActionRefusedError,
    CartsTakenError,
    FencedError,
    ReusedKeyError,
    RolloutError,
    StaleVersionError,
    UnknownRolloutError,
)
from fleet_control.rollouts import events
from fleet_control.rollouts.batch import Batch, Loaded
from fleet_control.rollouts.events import Candidate
from fleet_control.rollouts.ports import Change, CommandRecord, RolloutStore
from fleet_control.rollouts.reducer import create
from fleet_control.rollouts.rollout import TellCart, TellPermit
from fleet_control.rollouts.states import Action, CartStatus, DeviceState, Role, Verdict
from tests.fleet_control.rollouts.conftest import Opener, now_ms
from tests.fleet_control.rollouts.worlds import BASELINE, MANIFESTS, MODEL, candidates, plan, says

FIRST, SECOND = "s001-c01", "s001-c02"


def made(store: RolloutStore, rollout_id: str = "autumn", created_ms: int = 1) -> Loaded:
    """Create a rollout."""
    event = events.Created(
        at_ms=created_ms, actor="olga", plan=plan(rollout=rollout_id), baseline=BASELINE, manifests=MANIFESTS
    )
    step = create(event)
    store.commit(Change(step.rollout, 0, (event,), 1, effects=step.effects))
    return Loaded(step.rollout, {})


def started(store: RolloutStore, rollout_id: str = "autumn", created_ms: int = 1) -> Loaded:
    """Create and start a rollout, and tell two carts."""
    loaded = made(store, rollout_id, created_ms)
    happens(store, loaded, events.Started(at_ms=2, population=candidates()))
    happens(
        store,
        loaded,
        events.StageStarted(at_ms=3, stage=0, carts=(FIRST, SECOND)),
        events.CartsTold(at_ms=4, carts=(FIRST, SECOND)),
    )
    return loaded


def happens(store: RolloutStore, loaded: Loaded, *entries: events.AnyEvent) -> None:
    """Write entries."""
    batch = Batch(loaded, 5)
    batch.add(entries)
    batch.commit(store)


def asked(key: str, fingerprint: str = "f", outcome: str = "done") -> CommandRecord:
    """Return a command."""
    return CommandRecord(
        key, fingerprint, 7, "olga", Role.OWNER, Action.PAUSE, "autumn", "complaints", outcome
    )


def test_what_was_written_is_read_again(store: RolloutStore) -> None:
    """Head, records, log, outbox and gates come back as they went in."""
    loaded = started(store)
    batch = Batch(loaded, 6)
    batch.commit(store, gates={"accuracy": {"logs": [0.25, -1.5], "peak": 0.0}})
    assert store.head("autumn") == loaded.rollout
    assert store.carts("autumn") == loaded.carts
    assert [entry.number for entry in store.log("autumn")] == [1, 2, 3, 4]
    assert [entry.number for entry in store.log("autumn", after=2, limit=1)] == [3]
    second = store.log_all(after=0)[1][0]
    assert [entry.number for _, entry in store.log_all(after=second)] == [3, 4]
    assert store.gates("autumn") == {"accuracy": {"logs": [0.25, -1.5], "peak": 0.0}}
    with pytest.raises(UnknownRolloutError):
        store.head("winter")


def test_permits_leave_the_outbox_first_and_numbers_never_come_again(store: RolloutStore) -> None:
    """A pause overtakes orders; the number of an order, its generation, rises for ever."""
    loaded = started(store)
    happens(store, loaded, events.Paused(at_ms=9, actor="olga"))
    waiting = store.outbox()
    permits = [entry for entry in waiting if isinstance(entry.effect, TellPermit)]
    assert waiting[: len(permits)] == tuple(permits)
    orders = [entry for entry in waiting if isinstance(entry.effect, TellCart)]
    assert [order.manifest for order in orders] == [MANIFESTS[MODEL]] * 2
    highest = max(entry.id for entry in waiting)
    store.told([entry.id for entry in waiting])
    assert store.outbox() == ()
    happens(store, loaded, events.Resumed(at_ms=10, actor="olga"))
    assert min(entry.id for entry in store.outbox()) > highest


def test_of_two_writers_one_is_told_to_read_again(store: RolloutStore) -> None:
    """Nothing of the second change is written."""
    loaded = started(store)
    mine, theirs = Loaded(loaded.rollout, dict(loaded.carts)), Loaded(loaded.rollout, dict(loaded.carts))
    happens(store, mine, events.Paused(at_ms=9, actor="olga"))
    store.told([entry.id for entry in store.outbox()])
    with pytest.raises(StaleVersionError) as caught:
        happens(store, theirs, events.CartTimedOut(at_ms=9, cart=FIRST))
    assert caught.value.found == mine.rollout.version
    assert store.carts("autumn")[FIRST].status is CartStatus.TOLD
    assert store.outbox() == ()


def test_a_cart_is_in_one_rollout_whatever_the_code_believes(store: RolloutStore) -> None:
    """A second claim is refused with the names, and nothing of it is written; after the end it is free."""
    first = started(store)
    second = made(store, "winter")
    with pytest.raises(CartsTakenError) as caught:
        happens(store, second, events.Started(at_ms=2, population=candidates()))
    assert caught.value.taken == {cart.cart: "autumn" for cart in candidates()}
    assert store.carts("winter") == {}
    assert store.taken([FIRST, "nobody"], but="winter") == {FIRST: "autumn"}
    happens(store, first, events.Aborted(at_ms=3, actor="olga"))
    happens(store, second, events.Started(at_ms=4, population=candidates()))
    assert store.taken([FIRST]) == {FIRST: "winter"}


def test_the_same_command_twice_is_one_and_another_under_its_key_is_a_mistake(store: RolloutStore) -> None:
    """Idempotency keys are kept for ever."""
    loaded = started(store)
    for _ in range(2):
        copy = Batch(Loaded(loaded.rollout, dict(loaded.carts)), 9)
        copy.add((events.Paused(at_ms=9, actor="olga"),))
        copy.commit(store, command=asked("click"))
    assert store.head("autumn").version == loaded.rollout.version + 1
    other = Batch(Loaded(store.head("autumn"), store.carts("autumn")), 9)
    other.add((events.Resumed(at_ms=9, actor="olga"),))
    with pytest.raises(ReusedKeyError):
        other.commit(store, command=asked("click", "another"))
    store.record_refusal(asked("refused", outcome="it is paused"))
    assert [command.outcome for command in store.audit()] == ["it is paused", "done"]
    assert store.audit(rollout_id="winter") == ()
    assert store.command("click") == asked("click")
    assert store.command("unheard of") is None


def test_who_has_lost_the_lease_writes_nothing(database: Opener) -> None:
    """Another owner gets it only when it is free, with a higher token; the old token is refused for good."""
    mine, theirs = database(), database()
    loaded = started(mine)
    lease = mine.acquire("rollouts", "a", 60)
    assert lease is not None
    assert theirs.acquire("rollouts", "b", 60) is None
    assert mine.acquire("rollouts", "a", 60) == lease
    mine.release(lease)
    newer = theirs.acquire("rollouts", "b", 60)
    assert newer is not None
    assert newer.token > lease.token
    batch = Batch(loaded, 9)
    batch.add((events.CartTimedOut(at_ms=9, cart=FIRST),))
    with pytest.raises(FencedError):
        batch.commit(mine, lease=lease)
    batch.commit(theirs, lease=newer)


def test_carts_are_read_page_by_page(store: RolloutStore) -> None:
    """By status, by store, in the order of their ids."""
    started(store)
    assert [cart.cart for cart in store.cart_page("autumn", limit=3)] == [FIRST, SECOND, "s001-c03"]
    assert [cart.cart for cart in store.cart_page("autumn", after="s002-c03")] == ["s002-c04"]
    assert [c.cart for c in store.cart_page("autumn", statuses=[CartStatus.TOLD])] == [FIRST, SECOND]
    assert len(store.cart_page("autumn", store="s002")) == 4


def test_heads_are_read_newest_first_and_ended_ones_apart(store: RolloutStore) -> None:
    """The engine reads those that have not ended."""
    first = started(store, created_ms=5)
    happens(store, first, events.Aborted(at_ms=3, actor="olga"))
    started(store, "winter", created_ms=9)
    made(store, "older", created_ms=1)
    assert [head.rollout_id for head in store.heads()] == ["winter", "autumn", "older"]
    assert [head.rollout_id for head in store.heads(open_only=True)] == ["winter", "older"]
    assert [head.rollout_id for head in store.heads(limit=1)] == ["winter"]


def test_many_writers_at_once_lose_and_double_nothing(database: Opener) -> None:
    """Eight threads on two connections write until each has been heard; the log has every number once."""
    store, other = database(), database()
    started(store)

    def write(through: RolloutStore, name: str) -> None:
        for turn in range(10):
            while True:
                loaded = Loaded(through.head("autumn"), through.carts("autumn"))
                batch = Batch(loaded, 9)
                word = events.VerdictGiven(at_ms=turn, stage=0, gate=name, verdict=Verdict.INCONCLUSIVE)
                batch.add((word,))
                try:
                    batch.commit(through)
                except StaleVersionError:
                    continue
                break

    threads = [
        threading.Thread(target=write, args=((store, other)[n % 2], f"gate{n}"), daemon=True)
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    numbers = [entry.number for entry in store.log("autumn")]
    assert numbers == list(range(1, 4 + 80 + 1))
    assert store.head("autumn").version == numbers[-1]


def test_a_refusal_that_is_known_changes_nothing(store: RolloutStore) -> None:
    """Whatever comes under its key: the first word stays, and nobody is told of a mistake twice."""
    store.record_refusal(asked("k", outcome="it is paused"))
    store.record_refusal(asked("k", "another", outcome="something else"))
    assert store.audit() == (asked("k", outcome="it is paused"),)


def test_a_command_that_was_refused_is_not_carried_out_under_the_same_key(store: RolloutStore) -> None:
    """Two servers have the same click: after one has refused it, the other does not say that it is done."""
    loaded = started(store)
    before = store.head("autumn")
    store.record_refusal(asked("click", outcome="it was too early"))
    batch = Batch(loaded, 9)
    batch.add((events.Paused(at_ms=9, actor="olga"),))
    with pytest.raises(ActionRefusedError, match="too early"):
        batch.commit(store, command=asked("click"))
    assert store.head("autumn") == before


def test_a_lease_that_ran_out_is_somebody_elses(database: Opener) -> None:
    """Without being given back; who slept through it writes nothing, also while nobody else has it yet."""
    mine, theirs = database(), database()
    loaded = started(mine)
    slept = mine.acquire("rollouts", "a", 0)
    assert slept is not None
    with pytest.raises(FencedError):
        mine.commit(Change(loaded.rollout, loaded.rollout.version, (), 9, lease=slept))
    newer = theirs.acquire("rollouts", "b", 60)
    assert newer is not None
    assert newer.token == slept.token + 1
    before = (mine.head("autumn"), mine.carts("autumn"), mine.outbox(), mine.log("autumn"))
    batch = Batch(loaded, 9)
    batch.add((events.Paused(at_ms=9, actor="controller"),))
    with pytest.raises(FencedError):
        batch.commit(mine, lease=slept, gates={"accuracy": {"n": 1}})
    assert (mine.head("autumn"), mine.carts("autumn"), mine.outbox(), mine.log("autumn")) == before
    assert mine.gates("autumn") == {}
    mine.release(slept)
    assert theirs.acquire("rollouts", "b", 60) == newer
    assert mine.acquire("ingest", "a", 60) is not None


def test_a_cart_that_left_before_it_was_told_is_free_and_one_that_was_told_is_not(
    store: RolloutStore,
) -> None:
    """The one may be in the next rollout; the other may run the model, so a rollback has to reach it."""
    first = started(store)
    away = "s002-c04"
    happens(store, first, events.CartExcluded(at_ms=6, cart=away))
    happens(store, first, events.CartExcluded(at_ms=6, cart=FIRST))
    assert store.taken([FIRST, SECOND, away]) == {FIRST: "autumn", SECOND: "autumn"}
    second = made(store, "winter")
    happens(store, second, events.Started(at_ms=7, population=(Candidate("s009", away, "jetson"),)))
    happens(store, first, says(FIRST, DeviceState.FETCHING, step=3, at_ms=8))
    assert first.carts[FIRST].step == 3
    assert store.taken([FIRST, away]) == {FIRST: "autumn", away: "winter"}


def test_of_two_starts_at_once_one_is_told_which_carts_are_taken(database: Opener) -> None:
    """Their targets are in different orders, and still nobody waits for ever, or for the other."""
    stores = (database(), database())
    carts = tuple(Candidate("s001", f"c{n:04}", "jetson") for n in range(3_000))
    both = [made(each, name) for each, name in zip(stores, ("autumn", "winter"), strict=True)]
    outcomes: list[str] = []

    def start(store: RolloutStore, loaded: Loaded, population: tuple[Candidate, ...]) -> None:
        try:
            happens(store, loaded, events.Started(at_ms=2, population=population))
        except RolloutError as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("started")

    orders = (carts, tuple(reversed(carts)))
    threads = [
        threading.Thread(target=start, args=each, daemon=True)
        for each in zip(stores, both, orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert sorted(outcomes) == ["CartsTakenError", "started"]
    assert len(set(stores[0].taken(cart.cart for cart in carts).values())) == 1


def test_what_was_told_is_forgotten_whatever_its_number(store: RolloutStore) -> None:
    """Also what is told twice, and more numbers than one statement takes."""
    started(store)
    first = store.outbox()[0].id
    store.told(range(first - 50_000, first + 50_000))
    store.told([first])
    assert store.outbox() == ()


def test_the_newest_order_of_each_cart_is_kept_after_it_was_told(store: RolloutStore) -> None:
    """So a controller that comes after this one knows what a broker should hold."""
    loaded = started(store)
    happens(store, loaded, events.RollbackStarted(at_ms=9, actor="olga"))
    happens(store, loaded, events.CartsRecalled(at_ms=10, carts=(FIRST,)))
    waiting = [entry for entry in store.outbox() if isinstance(entry.effect, TellCart)]
    assert store.orders() == ()
    store.told([entry.id for entry in waiting])
    newest = {entry.effect.cart: entry for entry in waiting if isinstance(entry.effect, TellCart)}
    assert len(newest) == 2 < len(waiting)
    assert set(store.orders()) == set(newest.values())
    # Told again by somebody who was slow: what is newer stays.
    store.told([waiting[0].id])
    assert set(store.orders()) == set(newest.values())


def test_a_new_database_counts_from_its_time_on(store: RolloutStore) -> None:
    """Carts ignore generations below those of a database that was lost."""
    started(store)
    assert min(entry.id for entry in store.outbox()) > now_ms()
