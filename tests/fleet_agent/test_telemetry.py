"""Stories about what a cart counts: windows start again, totals and gauges stay."""

import math

from fleet_agent.telemetry import Telemetry
from fleet_protocol.limits import MAX_NAMES


def test_a_gauge_stays_until_it_is_set_again() -> None:
    """Two windows show the latest value; taking it away leaves nothing, not zero."""
    telemetry = Telemetry()
    telemetry.gauge("fps", 14.0, camera="front")
    telemetry.gauge("fps", 15.0, camera="front")
    assert telemetry.drain().gau == {"fps/front": 15.0}
    assert telemetry.drain().gau == {"fps/front": 15.0}
    telemetry.gauge("fps", None, camera="front")
    assert telemetry.drain().gau == {}


def test_a_gauge_that_is_no_number_is_absent() -> None:
    """NaN has no JSON: a window with it would be refused by the cloud as a whole."""
    telemetry = Telemetry()
    telemetry.gauge("temp_c", 50.0)
    telemetry.gauge("temp_c", math.nan)
    telemetry.gauge("load", math.inf)
    assert telemetry.drain().gau == {}


def test_totals_run_on_when_windows_start_again() -> None:
    """A window counts from zero; whoever asks the cart gets all since the start."""
    telemetry = Telemetry()
    for _ in range(2):
        telemetry.count("frames", 3, camera="front")
        telemetry.time("infer", 0.010)
        telemetry.drain()
    telemetry.count("frames", camera="front")
    totals = telemetry.totals()
    assert totals.counters == {"frames/front": 7}
    assert totals.stages["infer"].count == 2
    assert telemetry.drain().cnt == {"frames/front": 1}


def test_a_window_never_has_more_names_than_the_cloud_takes() -> None:
    """A cart of many cameras in much trouble loses its rarest counts, and says so, not its window."""
    telemetry = Telemetry()
    for ix in range(MAX_NAMES + 50):
        telemetry.count(f"c{ix}", ix + 1)
    counters = telemetry.drain().cnt
    assert len(counters) == MAX_NAMES
    assert counters["names_cut"] == 1
    assert f"c{MAX_NAMES + 49}" in counters
