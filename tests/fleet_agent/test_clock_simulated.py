"""Stories about a clock whose hours pass in seconds."""

import threading

from fleet_agent.clock_simulated import SimulatedClock
from tests.fleet_agent.worlds import wait_for


def test_a_day_passes_in_a_moment_when_everybody_sleeps() -> None:
    """Time jumps to the next wake-up; nobody waits for real."""
    clock = SimulatedClock(start_s=0.0)
    for _ in range(24):
        clock.sleep(3600.0)
    assert clock.monotonic_s() == 86_400.0
    assert clock.epoch_ms() == 1_790_000_000_000 + 86_400_000


def test_time_waits_for_a_thread_that_has_not_come_to_life_yet() -> None:
    """Started and slow to run: its first hour is the first hour, not one after the starter's day."""
    clock = SimulatedClock(start_s=0.0)
    may_run = threading.Event()
    woken: list[float] = []

    def sleeper() -> None:
        assert may_run.wait(20.0)
        clock.sleep(3600.0)
        woken.append(clock.monotonic_s())

    clock.take_part()
    thread = clock.thread(sleeper, "late")
    thread.start()
    threading.Timer(0.2, may_run.set).start()
    clock.sleep(86_400.0)
    clock.leave()
    thread.join(20.0)
    assert woken == [3600.0]


def test_sleepers_wake_in_order_of_time_however_they_were_started() -> None:
    """Three threads with periods of 3, 5 and 7 s make the ticks of a timetable, none lost or swapped."""
    clock = SimulatedClock(start_s=0.0)
    ticks: list[tuple[float, int]] = []

    def tick(period: int) -> None:
        for _ in range(105 // period):
            clock.sleep(period)
            ticks.append((clock.monotonic_s(), period))

    clock.take_part()
    threads = [threading.Thread(target=tick, args=(period,)) for period in (3, 5, 7)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(clock._sleepers) == 3)
    clock.leave()
    for thread in threads:
        thread.join(20.0)
    expected = [(float(at), period) for period in (3, 5, 7) for at in range(period, 106, period)]
    assert sorted(ticks) == sorted(expected)
    assert [at for at, _ in ticks] == sorted(at for at, _ in ticks)


def test_a_notified_thread_wakes_at_the_moment_it_was_notified() -> None:
    """A condition hands over without time passing, and says whether it was notified."""
    clock = SimulatedClock(start_s=0.0)
    condition = clock.condition()
    woken: list[tuple[bool, float]] = []

    def wait() -> None:
        for timeout_s in (100.0, 5.0):
            with condition:
                woken.append((condition.wait(timeout_s), clock.monotonic_s()))

    clock.take_part()
    thread = threading.Thread(target=wait)
    thread.start()
    wait_for(lambda: len(clock._sleepers) == 1)
    with condition:
        condition.notify()
    clock.leave()
    thread.join(20.0)
    assert woken == [(True, 0.0), (False, 5.0)]


def test_time_does_not_wait_for_a_thread_that_died_awake() -> None:
    """A thread that ends without a word does not stop the clock."""
    clock = SimulatedClock(start_s=0.0)
    thread = threading.Thread(target=lambda: clock.sleep(1.0))
    thread.start()
    thread.join(20.0)
    clock.sleep(10.0)
    assert clock.monotonic_s() >= 10.0


def test_an_event_is_an_event() -> None:
    """Set, clear, and waits with and without success."""
    clock = SimulatedClock(start_s=0.0)
    event = clock.event()
    assert not event.wait(2.0)
    event.set()
    assert event.is_set()
    assert event.wait(2.0)
    event.clear()
    assert not event.is_set()
    assert clock.monotonic_s() == 2.0
