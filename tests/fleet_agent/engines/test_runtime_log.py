"""Stories about TensorRT's own log: the only place where it says why."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.engines.tensorrt.bindings import Bindings, load_bindings
from fleet_agent.engines.tensorrt.logger import (
    KEPT_LINES,
    LINE_CHARACTERS,
    SHOWN_LINES,
    RuntimeLog,
    runtime_log,
)


@given(before=st.integers(0, 300), after=st.integers(0, 300))
def test_an_error_carries_what_came_since_it_began(before: int, after: int) -> None:
    """The last lines after the mark, none from before it, however many there were."""
    log = RuntimeLog()
    for ix in range(before):
        log.write("error", f"old {ix}")
    mark = log.mark()
    for ix in range(after):
        log.write("error", f"new {ix}")
    shown = min(after, SHOWN_LINES)
    assert log.since(mark) == tuple(f"error: new {ix}" for ix in range(after - shown, after))


def test_lines_are_bounded_and_single() -> None:
    """A layer's description of a megabyte does not travel with an error."""
    log = RuntimeLog()
    mark = log.mark()
    log.write("warning", "two\n  lines\n" + "x" * 10_000)
    (line,) = log.since(mark)
    assert line.startswith("warning: two lines x")
    assert len(line) == LINE_CHARACTERS


def test_many_threads_may_write() -> None:
    """TensorRT's builder logs from threads of its own; no line is lost while there is room."""
    log = RuntimeLog()
    mark = log.mark()

    def write() -> None:
        for _ in range(20):
            log.write("error", "line")

    threads = [threading.Thread(target=write) for _ in range(KEPT_LINES // 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert log.mark() - mark == KEPT_LINES


def test_the_runtimes_logger_is_one_and_keeps_warnings(rtx: Bindings) -> None:
    """TensorRT keeps the first logger it gets; chatter is not kept."""
    log, logger = runtime_log(rtx)
    assert runtime_log(load_bindings("tensorrt_rtx"))[1] is logger
    mark = log.mark()
    severity = rtx.trt.ILogger.Severity
    for kind in (severity.VERBOSE, severity.INFO, severity.WARNING, severity.ERROR):
        logger.log(kind, str(int(kind)))
    assert log.since(mark) == ("warning: 2", "error: 1")
