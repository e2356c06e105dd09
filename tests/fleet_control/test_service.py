"""Around the pipeline: the status port, the scheduler, dimensions, the command line."""

import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
import structlog

from fleet_control.cli import main
from fleet_control.dimensions import bin_label, signal_bins
from fleet_control.ingest.http import Answer, StatusServer
from fleet_control.ingest.metrics import IngestMetrics
from fleet_control.ingest.service import ready_sentence
from fleet_control.scheduler import RollupScheduler
from fleet_protocol.signals import SIGNALS
from queries.errors import QueryRefusedError, RollupError, WarehouseUnavailableError


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Commands configure logging for their process; stories put it back."""
    with structlog.testing.capture_logs():
        yield
    structlog.reset_defaults()


def get(url: str) -> tuple[int, str]:
    """Fetch a page, whatever its status."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def filled_metrics() -> IngestMetrics:
    """Return metrics with something in each."""
    metrics = IngestMetrics()
    metrics.message_received()
    metrics.connection_changed(ready=True)
    metrics.ack_dropped()
    metrics.appended("events_raw", 60)
    metrics.append_failed("events_raw")
    metrics.rollup_finished(0.5)
    metrics.rollup_failed(["hourly_items"])
    metrics.letters.labels("bad_schema").inc()
    metrics.gap_messages.labels("evicted").inc(4)
    for histogram in (metrics.commit_s, metrics.batch_messages, metrics.lag_s):
        histogram.observe(0.2)
    return metrics


def test_the_status_port_answers_for_people_and_for_probes() -> None:
    """A sentence and a status for each."""
    ready = Answer(ok=False, sentence="not subscribed")
    server = StatusServer(
        "127.0.0.1",
        0,
        metrics=filled_metrics().text,
        live=lambda: Answer(ok=True, sentence="alive"),
        ready=lambda: ready,
    )
    url = f"http://127.0.0.1:{server.port}"

    assert get(f"{url}/live") == (200, "alive\n")
    assert get(f"{url}/ready") == (503, "not subscribed\n")
    assert "cartwright_ingest_messages_received_total 1.0" in get(f"{url}/metrics")[1]
    assert get(f"{url}/else")[0] == 404
    server.close()


@pytest.mark.prometheus
def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    """Names, units and help texts follow Prometheus' own rules."""
    promtool = shutil.which("promtool")
    assert promtool

    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=filled_metrics().text(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


class Runs:
    """A rollup that can fail and can take its time."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.results: list[str] = []
        self.failures_left = 0
        self.at_once = 0
        self.most_at_once = 0

    def run(self) -> None:
        """One run."""
        with self.changed:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            failing = self.failures_left > 0
            self.failures_left -= failing
            self.results.append("failed" if failing else "ok")
            self.at_once -= 1
            self.changed.notify_all()
        if failing:
            raise WarehouseUnavailableError("rollups", "away")

    def wait_for(self, count: int) -> None:
        """Wait for so many runs."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.results) >= count, 30)


def test_rollups_run_again_and_again_and_never_two_at_a_time() -> None:
    """A failed run is logged, counted, tried again; the last success is in the metrics."""
    runs, metrics = Runs(), IngestMetrics()
    runs.failures_left = 1
    scheduler = RollupScheduler(runs.run, metrics, interval_s=0.01)
    scheduler.start()
    runs.wait_for(4)

    assert scheduler.stop(10)
    assert runs.results[:3] == ["failed", "ok", "ok"]
    assert runs.most_at_once == 1
    assert metrics.value("rollup_failures_total") == 1
    assert scheduler.behind == ()
    assert metrics.value("rollup_last_success_timestamp_seconds") > 0


def test_rollups_that_fail_are_named_until_they_succeed() -> None:
    """Which rollups are behind is in the metrics and in the scheduler's state, and goes when they are not."""
    metrics = IngestMetrics()
    refused = QueryRefusedError("hourly_items", "no such table")
    seen: list[tuple[tuple[str, ...], str, str]] = []
    done = threading.Event()

    def run() -> None:
        seen.append((scheduler.behind, metrics.text().decode(), ready_sentence(scheduler)))
        if len(seen) == 1:
            raise RollupError({"hourly_items": refused, "carts_current": refused})
        done.set()

    scheduler = RollupScheduler(run, metrics, interval_s=0.01)
    scheduler.start()
    assert done.wait(30)
    assert scheduler.stop(10)

    behind, text, sentence = seen[1]
    assert sentence == "ready; rollups are behind and are tried again: carts_current, hourly_items"
    assert ready_sentence(scheduler) == "ready"
    assert behind == ("carts_current", "hourly_items")
    assert 'cartwright_ingest_rollup_behind{rollup="hourly_items"} 1.0' in text
    assert scheduler.behind == ()
    assert "rollup_behind{" not in metrics.text().decode()
    assert metrics.value("rollup_failures_total") == 1


def test_a_bug_in_the_rollups_does_not_end_them() -> None:
    """Pages would go stale for ever."""
    metrics = IngestMetrics()
    tried = threading.Semaphore(0)

    def run() -> None:
        tried.release()
        raise ZeroDivisionError

    scheduler = RollupScheduler(run, metrics, interval_s=0.01)
    scheduler.start()
    assert tried.acquire(timeout=30)
    assert tried.acquire(timeout=30)

    assert scheduler.stop(10)


def test_every_bin_of_every_signal_has_bounds_and_a_label() -> None:
    """Pages draw from the table, not from the code."""
    rows = signal_bins()

    assert len(rows) == sum(signal.bins for signal in SIGNALS.values())
    assert [bin_label(None, 0.5), bin_label(0.5, 1), bin_label(1, None)] == ["< 0.5", "0.5 to 1", "≥ 1"]
    for name, signal in SIGNALS.items():
        mine = [row for row in rows if row.signal == name]
        assert [row.upper for row in mine[:-1]] == list(signal.inner_edges)
        assert (mine[0].lower, mine[-1].upper) == (None, None)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--broker", "somewhere", "--warehouse", "p.d"], "cannot read the address 'somewhere'"),
        (["--broker", "mqtt://h", "--warehouse", "nonsense"], "'nonsense' is not a warehouse"),
    ],
)
def test_a_wrong_address_is_a_clear_sentence(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is not zero."""
    assert main(argv) == 1
    assert sentence in capsys.readouterr().err


def test_a_taken_status_port_is_a_clear_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """The remedy is named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        target = "emulator://127.0.0.1:1/p.d?grpc=1"

        assert main(["--broker", "mqtt://h", "--warehouse", target, "--http-port", port]) == 1

    assert "choose another --http-port" in capsys.readouterr().err


def test_an_unreachable_warehouse_ends_a_start_that_shall_fail_fast(
    capsys: pytest.CaptureFixture[str], free_port: Callable[[], int]
) -> None:
    """Without --fail-fast it would be tried for ever."""
    target = f"emulator://127.0.0.1:{free_port()}/p.d?grpc={free_port()}"

    assert main(["--broker", "mqtt://h", "--warehouse", target, "--http-port", "0", "--fail-fast"]) == 1

    assert "warehouse" in capsys.readouterr().err
