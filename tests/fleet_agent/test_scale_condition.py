"""Stories about a scale that drifts, jumps, falls silent, or talks nonsense: named, and the cart goes on."""

import math
import random
import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.capture import Backoff
from fleet_agent.errors import ScaleError, ScaleGarbageError, ScaleLostError, ScaleOpenError
from fleet_agent.ports import ScaleReading
from fleet_agent.scales.condition import Condition, ScaleLimits, Trouble, observe
from fleet_agent.settling import SettleLimits, WeightChange
from fleet_agent.telemetry import Telemetry
from fleet_agent.weighing import SILENT_S, WeighingLoop
from tests.fleet_agent.worlds import SteppedClock

LIMITS = ScaleLimits(range_g=20_000.0, drift_g=25.0)


def troubles(grams: Sequence[float], *, walks_g: float = 0.0, every_s: float = 0.1) -> list[Trouble]:
    """Return what is found in readings of which each walks a little."""
    condition, found = Condition(), []
    for number, weight_g in enumerate(grams):
        reading = ScaleReading(weight_g, number * every_s)
        condition, new = observe(condition, reading, walks_g, LIMITS)
        found += list(new)
    return found


def test_an_ordinary_scale_is_in_no_trouble() -> None:
    """Items of some kilograms, put in from one reading to the next, are no jump."""
    assert troubles([0, 0, 1000, 3000, 3000, 9000, 0]) == []


def test_a_leap_beyond_reason_is_a_jump() -> None:
    """Eleven kilograms within a tenth of a second, and back: two jumps."""
    assert troubles([500, 500, 11_500, 500]) == ["scale_jump", "scale_jump"]


def test_a_heavy_crate_between_slow_readings_is_no_jump() -> None:
    """A scale that speaks every two seconds may change by much in between."""
    assert troubles([500, 500, 15_500, 15_500], every_s=2.0) == []


def test_beyond_its_range_a_scale_is_told_once() -> None:
    """A torn cable reads the end of the range for hours: one jump, and another when it happens again."""
    assert troubles([500, 30_000, 30_000, 30_000, 500, 500, -30_000]) == ["scale_jump", "scale_jump"]


def test_what_is_no_number_is_told_once_per_time() -> None:
    """NaN and infinity, until a number comes."""
    nonsense = [100.0, math.nan, math.inf, 100.0, math.nan]
    assert troubles(nonsense) == ["scale_nan", "scale_nan"]


def test_a_slow_walk_is_drift_each_time_it_has_gone_far() -> None:
    """Sixty grams in small steps: told at 25 and at 50."""
    assert troubles([500.0] * 60, walks_g=1.0) == ["scale_drift", "scale_drift"]


def test_a_walk_to_and_fro_is_no_drift() -> None:
    """Warm by day and cold by night, within the limit."""
    condition, found = Condition(), []
    for number in range(200):
        walked_g = 1.0 if number // 20 % 2 else -1.0
        condition, new = observe(condition, ScaleReading(500.0, number / 10), walked_g, LIMITS)
        found += list(new)
    assert found == []
    assert condition.zero_g == pytest.approx(0.0)


def test_an_overloaded_scale_is_in_no_other_trouble() -> None:
    """Overload is counted where it is read."""
    overloaded = ScaleReading(math.nan, 1.0, stable=False, overload=True)
    assert observe(Condition(), overloaded, 0.0, LIMITS) == (Condition(), ())


@given(
    grams=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    walked_g=st.floats(-100, 100),
)
def test_whatever_a_scale_says_is_survived(grams: list[float], walked_g: float) -> None:
    """The condition stays finite, and drift is told no more often than it was walked."""
    condition, drifts = Condition(), 0
    for number, weight_g in enumerate(grams):
        condition, found = observe(condition, ScaleReading(weight_g, number / 10), walked_g, LIMITS)
        drifts += found.count("scale_drift")
    assert math.isfinite(condition.zero_g)
    assert drifts <= abs(walked_g) * len(grams) / LIMITS.drift_g


Said = ScaleReading | ScaleError | None


class PlayedScale:
    """Plays readings, None for a second of silence and errors, and then ends the loop; closing it fails."""

    def __init__(self, said: Sequence[Said], stopping: threading.Event, clock: SteppedClock) -> None:
        self._said = list(said)
        self._stopping = stopping
        self._clock = clock

    def open(self) -> None:
        """Fail when the next thing said is that it is not there."""
        if self._said and isinstance(self._said[0], ScaleOpenError):
            raise self._said.pop(0)  # type: ignore[misc]

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Return the next at once; time is in the readings."""
        assert timeout_s > 0
        if not self._said:
            self._stopping.set()
            return None
        said = self._said.pop(0)
        if said is None:
            self._clock.now_s += timeout_s
        if isinstance(said, ScaleGarbageError):
            self._clock.now_s += 0.1
        if isinstance(said, ScaleError):
            raise said
        return said

    def close(self) -> None:
        """Fail, as a device does that is gone."""
        raise OSError(5, "Input/output error")


def weigh(said: Sequence[Said]) -> tuple[Telemetry, list[WeightChange]]:
    """Run the scale's thread over readings, here."""
    stopping, telemetry, clock = threading.Event(), Telemetry(), SteppedClock()
    changes: list[WeightChange] = []
    WeighingLoop(
        PlayedScale(said, stopping, clock),
        SettleLimits(0.5, 5.0, 10.0),
        LIMITS,
        backoff=Backoff(0.001, 0.001, random.Random(1)),
        telemetry=telemetry,
        clock=clock,
        on_movement=lambda _: None,
        on_change=changes.append,
        stopping=stopping,
    ).run()
    return telemetry, changes


def at_ten_hertz(grams: Sequence[float]) -> list[ScaleReading]:
    """Return readings a tenth of a second apart."""
    return [ScaleReading(weight_g, number / 10) for number, weight_g in enumerate(grams)]


def test_a_drifting_scale_makes_no_items_and_is_reported() -> None:
    """Sixty grams within ten minutes: drift by name, its size as a gauge, and no weight change at all."""
    telemetry, changes = weigh(at_ten_hertz([500.0 + 60.0 * n / 6000 for n in range(6000)]))
    totals = telemetry.totals()
    assert changes == []
    assert totals.counters == {"scale_drift": 2}
    assert totals.gauges["scale_zero_g"] == pytest.approx(60.0, abs=5.0)


def test_items_are_no_drift() -> None:
    """Half a kilogram in and out moves the weight, not the zero; the change says the new level."""
    telemetry, changes = weigh(at_ten_hertz([500.0] * 20 + [1000.0] * 20 + [500.0] * 20))
    assert [(c.change_g, c.level_g) for c in changes] == [(500.0, 1000.0), (-500.0, 500.0)]
    assert telemetry.totals().counters == {}
    assert telemetry.totals().gauges["scale_zero_g"] == pytest.approx(0.0, abs=1e-6)


def test_nonsense_between_readings_does_not_stop_the_scale() -> None:
    """NaN and a leap are counted, and the item after them is weighed."""
    readings = at_ten_hertz([500.0] * 20 + [math.nan] * 3 + [90_000.0] + [500.0] * 20 + [900.0] * 20)
    telemetry, changes = weigh(readings)
    assert [c.change_g for c in changes] == [400.0]
    assert telemetry.totals().counters == {"scale_nan": 1, "scale_jump": 1}


def test_a_scale_that_falls_silent_is_counted_once_per_silence() -> None:
    """The cable is pulled at the indicator: the port stays open and says nothing."""
    silence: list[Said] = [None] * int(3 * SILENT_S)
    telemetry, _ = weigh([*at_ten_hertz([500.0] * 5), *silence, *at_ten_hertz([500.0]), *silence])
    assert telemetry.totals().counters == {"scale_silent": 2}


def test_a_step_from_one_reading_to_the_next_is_abrupt_and_a_hand_is_not() -> None:
    """What is put down presses and rings; a broken scale steps."""
    _, stepped = weigh(at_ten_hertz([500.0] * 20 + [900.0] * 20))
    _, placed = weigh(at_ten_hertz([500.0] * 20 + [650.0, 1050.0, 820.0, 930.0] + [900.0] * 20))
    assert [c.abrupt for c in stepped] == [True]
    assert [c.abrupt for c in placed] == [False]


def test_a_scale_that_is_never_found_is_lost_once_and_bad_until_it_delivers() -> None:
    """Three failed openings are one loss; a reading ends it, and the unplugging after that is another."""
    gone = [ScaleOpenError("/dev/ttyUSB0: gone")] * 3
    never, _ = weigh(gone)
    assert (never.totals().counters["scale_lost"], never.totals().gauges["scale_bad"]) == (1, 1.0)
    found, _ = weigh([*gone, *at_ten_hertz([500.0])])
    assert (found.totals().counters["scale_lost"], found.totals().gauges["scale_bad"]) == (1, 0.0)
    again, _ = weigh([*gone, *at_ten_hertz([500.0]), ScaleLostError("unplugged"), *gone])
    assert (again.totals().counters["scale_lost"], again.totals().gauges["scale_bad"]) == (2, 1.0)


def test_a_scale_that_cannot_be_closed_is_opened_again_and_weighs() -> None:
    """The device is gone when it is closed: an error of the system's, and no end of the scale's thread."""
    after = at_ten_hertz([500.0] * 20 + [900.0] * 20)
    telemetry, changes = weigh([*at_ten_hertz([500.0]), ScaleLostError("unplugged"), *after])
    assert [c.change_g for c in changes] == [400.0]
    assert telemetry.totals().counters == {"scale_lost": 1, "scale_reconnects": 1}


def test_garbage_without_a_reading_is_counted_as_it_comes_and_silence_by_the_clock() -> None:
    """A wrong speed: five seconds of nonsense is no silence yet, eleven are a scale that does not deliver."""
    short, _ = weigh([*at_ten_hertz([500.0]), *[ScaleGarbageError("tty", 2)] * 50])
    assert short.totals().counters == {"scale_garbage": 100}
    assert short.totals().gauges["scale_bad"] == 0.0
    long, _ = weigh([*at_ten_hertz([500.0]), *[ScaleGarbageError("tty", 2)] * 110])
    assert long.totals().counters == {"scale_garbage": 220, "scale_silent": 1}
    assert long.totals().gauges["scale_bad"] == 1.0


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (lambda n: ScaleReading(math.nan, n / 10), {"scale_nan": 1}),
        (lambda n: ScaleReading(math.nan, n / 10, overload=True), {"scale_overload": 1}),
        (lambda n: ScaleReading(99_000.0, n / 10), {"scale_jump": 1}),
        (lambda n: ScaleReading(500.0, n / 10, stable=False), {"unsettled": 1}),
        (lambda n: ScaleReading(3000.0 * (-1) ** n, n / 10), {"unsettled": 1}),
    ],
)
def test_a_scale_from_which_nothing_can_be_decided_is_named_and_bad(
    says: Callable[[int], ScaleReading], told: dict[str, int]
) -> None:
    """No number, overload, beyond its range, never stable, never at rest: for a minute from the start."""
    telemetry, changes = weigh([says(n) for n in range(600)])
    assert changes == []
    assert {name: n for name, n in telemetry.totals().counters.items() if name in told} == told
    assert telemetry.totals().gauges["scale_bad"] == 1.0


def test_a_scale_that_stops_weighing_is_bad_until_it_weighs_again() -> None:
    """It is there and speaks, but for twenty seconds no number: bad, and then well."""
    nonsense = [ScaleReading(math.nan, 2.0 + n / 10) for n in range(200)]
    broken, _ = weigh([*at_ten_hertz([500.0] * 20), *nonsense])
    assert broken.totals().gauges["scale_bad"] == 1.0
    mended, _ = weigh([*at_ten_hertz([500.0] * 20), *nonsense, ScaleReading(500.0, 23.0)])
    assert mended.totals().gauges["scale_bad"] == 0.0


def test_what_a_torn_cable_weighs_is_on_nobodys_bill() -> None:
    """Far beyond the range, or a number without end, for seconds: a jump by name and no weight change."""
    for grams in (99_000.0, -40_000.0, 1e200):
        telemetry, changes = weigh(at_ten_hertz([500.0] * 20 + [grams] * 30 + [500.0] * 20))
        assert changes == []
        assert telemetry.totals().counters == {"scale_jump": 1}
