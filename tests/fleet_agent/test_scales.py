"""Stories about scales: a real pseudo-terminal, a protocol that survives any bytes, a script."""

import os
import pty
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.config import ScaleConfig
from fleet_agent.errors import ScaleGarbageError, ScaleLostError, ScaleOpenError
from fleet_agent.ports import ScaleReading, SystemClock
from fleet_agent.scales import ScriptedScale, SerialScale, load_script, make_scale
from fleet_agent.scales.ascii_protocol import LineReader, parse_line
from fleet_agent.scales.script import Step
from tests.fleet_agent.worlds import SteppedClock


@pytest.mark.parametrize(
    ("line", "grams", "stable"),
    [
        ("ST,GS,+  1.234kg", 1234.0, True),
        ("US,GS,-  0.500kg", -500.0, False),
        ("ST,NT,+    250 g", 250.0, True),
        ("ST,GS,+  2.000lb", 907.18474, True),
        ("  12.5 g", 12.5, None),
        ("st,gs,   0.001kg", 1.0, True),
        ("ST,+00012.34  kg", 12340.0, True),
    ],
)
def test_common_lines_are_read(line: str, grams: float, *, stable: bool | None) -> None:
    """The lines that indicators on the market send."""
    read = parse_line(line)
    assert read is not None
    assert read.grams == pytest.approx(grams)
    assert (read.stable, read.overload) == (stable, False)


@pytest.mark.parametrize("line", ["OL,GS,+ 9999999kg", "------", "OL", "ST,GS,OVER kg"])
def test_overload_is_told_from_weight(line: str) -> None:
    """Beyond its range a scale shows no weight."""
    read = parse_line(line)
    assert read is not None
    assert read.overload


@pytest.mark.parametrize("line", ["", "ST,GS,+1.2", "ST,GS,kg", "hello", "ST,GS,+1.2.3kg", "1e5kg", "nan kg"])
def test_other_lines_are_garbage(line: str) -> None:
    """A line without number and unit is no reading."""
    assert parse_line(line) is None


@given(data=st.binary(max_size=600), cut=st.integers(1, 50))
def test_any_bytes_are_survived_and_the_next_reading_is_right(data: bytes, cut: int) -> None:
    """Whatever noise comes, in whatever pieces, the next good line is read."""
    reader = LineReader()
    for i in range(0, len(data), cut):
        reader.feed(data[i : i + cut])
    reader.feed(b"\r\n")
    assert [line.grams for line in reader.feed(b"ST,GS,+  0.750kg\r\n")] == [750.0]


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: the indicator's end, and the device that the cart opens."""
    indicator, device = pty.openpty()
    yield indicator, os.ttyname(device)
    for end in (indicator, device):
        with suppress(OSError):  # a story may have closed it
            os.close(end)


def test_a_serial_scale_reads_weights_and_counts_garbage(port: tuple[int, str]) -> None:
    """Over a real terminal: readings in order, garbage between them counted."""
    indicator, device = port
    scale = SerialScale(device, 9600, SystemClock())
    scale.open()
    os.write(indicator, b"ST,GS,+  1.000kg\r\n\xff\xfegarbage\r\nUS,GS,+  1.500kg\r\nOL,GS,+ 99\r\n")
    readings: list[ScaleReading] = []
    for _ in range(20):
        reading = scale.read(1.0)
        if reading is not None:
            readings.append(reading)
        if len(readings) == 3:
            break
    assert [r.grams for r in readings[:2]] == [1000.0, 1500.0]
    assert [r.stable for r in readings[:2]] == [True, False]
    assert readings[2].overload
    assert sum(r.garbage_before for r in readings) == 1
    assert scale.read(0.01) is None
    scale.close()


def test_a_reading_may_come_in_pieces(port: tuple[int, str]) -> None:
    """A slow wire delivers half a line; the reading comes when it is whole."""
    indicator, device = port
    scale = SerialScale(device, 9600, SystemClock())
    scale.open()
    os.write(indicator, b"ST,GS,+  0.2")
    assert scale.read(0.05) is None
    threading.Timer(0.05, os.write, (indicator, b"50kg\r\n")).start()
    deadline = 40
    while (reading := scale.read(0.1)) is None and deadline:
        deadline -= 1
    assert reading is not None
    assert reading.grams == 250.0
    scale.close()


def test_nothing_but_garbage_is_told_as_garbage(port: tuple[int, str]) -> None:
    """An indicator at the wrong speed never gives a reading to count garbage with: an error carries it."""
    indicator, device = port
    scale = SerialScale(device, 9600, SystemClock())
    scale.open()
    os.write(indicator, b"gar%bage\r\n")
    with pytest.raises(ScaleGarbageError) as told:
        _read_for_a_while(scale)
    assert told.value.lines >= 1
    scale.close()


def _read_for_a_while(scale: SerialScale) -> None:
    for _ in range(10):
        scale.read(0.1)


def test_a_port_that_goes_away_is_lost(port: tuple[int, str]) -> None:
    """An unplugged scale is an error of ours, so that the cart opens it again."""
    indicator, device = port
    scale = SerialScale(device, 9600, SystemClock())
    scale.open()
    os.close(indicator)
    with pytest.raises(ScaleLostError):
        _read_for_a_while(scale)
    scale.close()
    with pytest.raises(ScaleLostError):
        scale.read(0.1)


def test_a_port_that_is_not_there_is_named() -> None:
    """A wrong device name is in the error."""
    with pytest.raises(ScaleOpenError, match="/dev/nothing"):
        SerialScale("/dev/nothing", 9600, SystemClock()).open()


def test_a_script_plays_weights_in_time(tmp_path: Path) -> None:
    """A file of times and weights is what the scale shows, and again when it loops."""
    path = tmp_path / "script.csv"
    path.write_text("# seconds,grams\n0,100\n\n2,400\n")
    clock = SteppedClock()
    scale = ScriptedScale(load_script(path), clock, loop=True)
    scale.open()
    shown = []
    for elapsed_s in (0.1, 1.9, 2.1, 3.1):
        clock.now_s = 1000.0 + elapsed_s
        reading = scale.read(0.0)
        assert reading is not None
        shown.append(reading.grams)
    assert shown == [100.0, 100.0, 400.0, 100.0]


def test_before_the_first_step_the_scale_shows_nothing() -> None:
    """A script that begins later begins with an empty scale."""
    assert ScriptedScale([Step(5.0, 300.0)], SteppedClock()).weight_at(1.0) == 0.0


@pytest.mark.parametrize("text", ["", "1;2\n", "2,1\n1,1\n", "a,b\n"])
def test_a_wrong_script_is_refused(tmp_path: Path, text: str) -> None:
    """A script that is empty, malformed or out of order says so."""
    path = tmp_path / "script.csv"
    path.write_text(text)
    with pytest.raises(ScaleOpenError, match="script"):
        load_script(path)


def test_settings_choose_the_scale(tmp_path: Path) -> None:
    """Each kind of scale is made from its settings."""
    script = tmp_path / "s.csv"
    script.write_text("0,1\n")
    clock = SystemClock()
    assert make_scale(ScaleConfig(), clock) is None
    assert isinstance(make_scale(ScaleConfig(kind="serial", port="/dev/x"), clock), SerialScale)
    assert isinstance(make_scale(ScaleConfig(kind="script", script=str(script)), clock), ScriptedScale)
