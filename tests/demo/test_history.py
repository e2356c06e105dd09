"""The past of the stores: repeatable to the byte, like a real cart's, and written exactly once."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.history.eyes import MeasuredEyes, measure_eyes
from demo.history.hours import HOUR_MS, model_change_ms
from demo.history.messages import CartPast, Models, PastMessage
from demo.history.outbox import ALL_WATERMARKS, MAX_IN_FLIGHT, RESEND_AFTER_S, HistoryOutbox
from demo.history.pools import read_pools
from demo.history.telemetry import _counted
from demo.history.writer import in_order
from demo.model import present_manifest
from demo.world.places import CAMERA_NAMES, is_open
from demo.world.settings import World, WorldSettings
from fleet_agent.quality import measure
from fleet_protocol.histogram import ExponentialHistogram
from fleet_protocol.messages import (
    LABEL_TYPES,
    Ack,
    Events,
    Watermark,
    Window,
    check_clock,
    decode_message,
    encode_control,
)
from fleet_protocol.signals import BLUR, BRIGHTNESS
from tests.demo.conftest import EPOCH_MS

MODELS = Models("0" * 16, "1" * 16)


@pytest.fixture(scope="module")
def eyes() -> MeasuredEyes:
    """Return what cameras see, measured once."""
    return measure_eyes(CAMERA_NAMES, 4700.0, measure, seed=1)


@pytest.fixture(scope="module")
def month() -> World:
    """Return three stores of two carts with 28 days."""
    return World(WorldSettings(seed=3, stores=3, carts_per_store=2, history_days=28, epoch_ms=EPOCH_MS))


def _past(world: World, cart_ix: int, eyes: MeasuredEyes) -> CartPast:
    return CartPast(world, world.carts[cart_ix], MODELS, eyes)


def test_a_second_run_says_the_same_bytes(world: World, eyes: MeasuredEyes) -> None:
    """Boots, sequence numbers, payloads and the truth: all equal, so that writing twice stores once."""
    first, second = _past(world, 1, eyes), _past(world, 1, eyes)
    assert list(first.messages()) == list(second.messages())
    assert list(first.truth()) == list(second.truth())


def test_another_seed_or_epoch_is_another_past(world: World, eyes: MeasuredEyes) -> None:
    """Boots differ, so that two demos on one warehouse never share a message's identity."""
    later = World(
        WorldSettings(seed=3, stores=2, carts_per_store=2, history_days=3, epoch_ms=EPOCH_MS + 60_000)
    )
    boots = [{message.boot for message in _past(w, 0, eyes).messages()} for w in (world, later)]
    assert boots[0].isdisjoint(boots[1])


def test_sequence_numbers_count_up_without_a_gap(month: World, eyes: MeasuredEyes) -> None:
    """Per boot and channel, from 0; one boot per model version."""
    seen: dict[tuple[str, str], list[int]] = {}
    for message in _past(month, 0, eyes).messages():
        seen.setdefault((message.boot, message.channel), []).append(message.seq)
    assert len({boot for boot, _ in seen}) == 2
    assert all(seqs == list(range(len(seqs))) for seqs in seen.values())


def test_every_message_is_accepted_by_the_contract(month: World, eyes: MeasuredEyes) -> None:
    """All decode, are simulated, lie in opening hours, and no clock is absurd."""
    store = month.stores[0]
    for message in _past(month, 1, eyes).messages():
        decoded = decode_message(message.topic, message.payload).message
        check_clock(decoded, EPOCH_MS)
        assert decoded.sim
        assert decoded.model == (MODELS.present if message.at_ms >= model_change_ms(month) else MODELS.before)
        assert is_open(store, message.at_ms)


def _decoded(past: CartPast) -> Iterator[Window | Events]:
    for message in past.messages():
        decoded = decode_message(message.topic, message.payload).message
        assert isinstance(decoded, Window | Events)
        yield decoded


def test_windows_and_events_tell_the_same_story(world: World, eyes: MeasuredEyes) -> None:
    """What the windows count is what the event messages hold, hour by hour."""
    counted: dict[int, int] = {}
    listed: dict[int, int] = {}
    for message in _decoded(_past(world, 0, eyes)):
        if isinstance(message, Window):
            counted[message.t0] = message.cnt.get("item_events", 0)
            assert sum(message.sig.get("confidence", [])) == counted[message.t0]
        else:
            listed[message.t0] = message.cols.type.count("item")
    assert {hour: n for hour, n in counted.items() if n} == listed


def test_labels_speak_about_events_of_their_own_message(month: World, eyes: MeasuredEyes) -> None:
    """Every label names an event that is there, and only audits carry a sampling probability."""
    kinds = set()
    for message in _decoded(_past(month, 2, eyes)):
        if isinstance(message, Window):
            continue
        columns = message.cols
        items = {name for name, kind in zip(columns.id, columns.type, strict=True) if kind == "item"}
        assert len(set(columns.id)) == len(columns.id)
        for kind, ref, prob in zip(columns.type, columns.ref or [], columns.prob or [], strict=True):
            assert (ref in items) == (kind in LABEL_TYPES)
            assert (prob is not None) == (kind == "audit")
            kinds.add(kind)
    assert kinds == {"item", *LABEL_TYPES}


def test_the_dim_lamp_hurts_the_last_days_of_its_store(month: World, eyes: MeasuredEyes) -> None:
    """Less light: less sure and more cameras that disagree, in that store only."""
    past = _past(month, 2, eyes)
    decisions, light = past.decisions, past.hours.light[past.decisions.hour]
    good, bad = light > 0.8, light < 0.22
    assert bad.sum() > 20
    assert decisions.posterior[bad].mean() < decisions.posterior[good].mean()
    assert decisions.disagree[bad].mean() > decisions.disagree[good].mean()
    assert past.hours.light.min() < 0.3
    assert _past(month, 0, eyes).hours.light.min() > 0.5


def test_the_five_likeliest_items_are_five(month: World, eyes: MeasuredEyes) -> None:
    """The decision comes first, no item twice, and the probabilities are no more than 1 together."""
    decisions = _past(month, 0, eyes).decisions
    assert (decisions.top_item[:, 0] == decisions.said).all()
    assert (np.diff(np.sort(decisions.top_item, axis=1), axis=1) > 0).all()
    assert decisions.top_p.min() >= 0
    assert decisions.top_p.sum(axis=1).max() <= 1.001


def test_history_is_drawn_from_the_shipped_model() -> None:
    """The measured decisions are those of the model that live carts run; else run demo.history.calibrate."""
    assert read_pools().model == present_manifest().digest


def test_the_smear_shows_in_one_camera_since_three_days(month: World, eyes: MeasuredEyes) -> None:
    """Sharpness counts of the smeared camera move down; those of its neighbour stay."""
    past = _past(month, 5, eyes)
    windows = [message for message in _decoded(past) if isinstance(message, Window)]

    def mean_bin(window: Window, camera: str) -> float:
        counts = np.asarray(window.sig[f"{BLUR.name}/{camera}"])
        return float(counts @ np.arange(len(counts)) / counts.sum())

    first, last = windows[0], windows[-1]
    assert mean_bin(last, "front") < mean_bin(first, "front") - 1.0
    assert mean_bin(last, "left") == pytest.approx(mean_bin(first, "left"), abs=0.6)


def test_the_new_model_is_better_and_faster(month: World, eyes: MeasuredEyes) -> None:
    """Twelve days ago the model changed: fewer errors and a shorter decision since."""
    past = _past(month, 0, eyes)
    present = past.hours.present[past.decisions.hour]
    assert past.decisions.right[present].mean() > past.decisions.right[~present].mean()
    decision_ms = past.decisions.decision_ms
    assert np.median(decision_ms[present]) < np.median(decision_ms[~present])


def test_eyes_are_darker_in_less_light(eyes: MeasuredEyes) -> None:
    """Measured brightness falls with the lamps, once the cameras' gain is used up."""
    bins = np.arange(BRIGHTNESS.bins)
    means = [float(eyes.bins(BRIGHTNESS, "front", light, 0.0) @ bins) for light in (1.0, 0.5, 0.3)]
    assert means[0] > means[1] > means[2]
    assert eyes.bins(BLUR, "left", 0.7, 0.5).sum() == pytest.approx(1.0)


def test_all_carts_are_sent_in_order_of_time(world: World, eyes: MeasuredEyes) -> None:
    """Messages of all carts are merged, so that each hour is rolled up once."""
    merged = list(in_order([CartPast(world, cart, MODELS, eyes) for cart in world.carts]))
    times = [message.at_ms for message in merged]
    assert times == sorted(times)
    assert {message.cart_id for message in merged} == {cart.cart_id for cart in world.carts}
    assert times[-1] >= EPOCH_MS - 24 * HOUR_MS


def _message(seq: int, boot: str = "a" * 16) -> PastMessage:
    return PastMessage(seq, "s001-c01", boot, "tel", seq, "fleet/v1/s001/s001-c01/tel", b"{}")


def _mark(seq: int, boot: str = "a" * 16) -> bytes:
    return encode_control(Ack(acks=[Watermark(boot=boot, tel=seq)]))


def _drain(outbox: HistoryOutbox, now_s: float) -> int:
    sent = 0
    while batch := outbox.take(now_s):
        sent += len(batch)
    return sent


def test_the_writer_is_done_when_the_watermark_covers_all() -> None:
    """PUBACK counts for nothing: only the cloud's watermark ends the writing."""
    outbox = HistoryOutbox(iter([_message(n) for n in range(10)]))
    outbox.on_connected()
    assert _drain(outbox, 0.0) == 10
    outbox.on_received(ALL_WATERMARKS, _mark(8))
    assert not outbox.finished.is_set()
    outbox.on_received(ALL_WATERMARKS, _mark(9))
    assert outbox.finished.is_set()
    assert outbox.written == 10


def test_what_an_interrupted_run_has_written_is_not_sent_again() -> None:
    """Retained watermarks of the first run let the second go on where it stopped."""
    outbox = HistoryOutbox(iter([_message(n) for n in range(10)]))
    outbox.on_connected()
    outbox.on_received(ALL_WATERMARKS, _mark(6))
    assert _drain(outbox, 0.0) == 3
    outbox.on_received(ALL_WATERMARKS, _mark(9))
    assert (outbox.finished.is_set(), outbox.written) == (True, 10)


def test_what_stays_uncovered_is_sent_again() -> None:
    """After a time-out and after a reconnect: a broker may have lost what it took."""
    outbox = HistoryOutbox(iter([_message(n) for n in range(5)]))
    outbox.on_connected()
    _drain(outbox, 0.0)
    outbox.on_received(ALL_WATERMARKS, _mark(2))
    assert _drain(outbox, RESEND_AFTER_S + 1.0) == 2
    outbox.on_connected()
    assert _drain(outbox, RESEND_AFTER_S + 1.1) == 2


def test_the_broker_is_never_given_too_much() -> None:
    """Messages that are not yet durable are bounded."""
    outbox = HistoryOutbox(_message(n) for n in range(2 * MAX_IN_FLIGHT))
    outbox.on_connected()
    assert _drain(outbox, 0.0) == MAX_IN_FLIGHT
    outbox.on_received(ALL_WATERMARKS, _mark(99))
    assert _drain(outbox, 0.1) == 100


def test_a_damaged_watermark_is_ignored() -> None:
    """What is not a watermark changes nothing."""
    outbox = HistoryOutbox(iter([_message(0)]))
    outbox.on_connected()
    _drain(outbox, 0.0)
    outbox.on_received(ALL_WATERMARKS, b"\xff")
    assert not outbox.finished.is_set()


@given(st.lists(st.floats(0.0005, 5e6), min_size=1, max_size=50))
def test_durations_are_counted_as_the_contract_counts_them(values_ms: list[float]) -> None:
    """The fast count of an array and the contract's own histogram agree on every value."""
    counted = _counted(np.asarray(values_ms))
    assert (counted.o, counted.n) == ExponentialHistogram.of(values_ms).to_dense()
