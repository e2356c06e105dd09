"""Stories about asking the cart itself: `/live`, `/ready`, `/metrics`."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
import structlog
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.errors import EndpointError
from fleet_agent.health.endpoint import MOST_CONNECTIONS, Answers, HealthEndpoint, Part, Report
from fleet_agent.health.exposition import cumulative, escape_label, expose, number
from fleet_agent.telemetry import Telemetry
from fleet_protocol.histogram import ExponentialHistogram
from tests.conftest import find_tool

LABELS = {"store": "s001", "cart": "s001-c01"}


def busy_telemetry() -> Telemetry:
    """Return what a cart might have counted, of every kind."""
    telemetry = Telemetry()
    for n in range(1, 200):
        telemetry.time("infer", n / 1000.0)
        telemetry.time("camera_to_decision", n / 100.0)
    telemetry.count("frames", 1234, camera="front")
    telemetry.count("frames", 99, camera="left")
    telemetry.count("item_events", 3)
    telemetry.drain()
    telemetry.count("frames", camera="front")
    for name, value in (
        ("temp_c", 51.25),
        ("gpu_percent", 43.7),
        ("rss_bytes", 2.5e8),
        ("scale_noise_g", 1.5),
        ("throttled", 0.0),
        ("safe_mode", 1.0),
        ("weight_bias", -0.25),
    ):
        telemetry.gauge(name, value)
    telemetry.count("throttled")
    telemetry.gauge("fps", 14.9, camera="front")
    return telemetry


@pytest.mark.prometheus
def test_promtool_finds_nothing_to_say_about_the_page() -> None:
    """Prometheus's own linter reads the page: format, names, units, help."""
    tool = find_tool("promtool")
    assert tool is not None
    checked = subprocess.run(
        [tool, "check", "metrics"],
        input=expose(busy_telemetry().totals(), LABELS),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_page_holds_what_was_counted_since_the_start() -> None:
    """Counters go over windows, gauges are in base units, every sample names its cart."""
    lines = expose(busy_telemetry().totals(), LABELS).splitlines()
    fixed = 'cart="s001-c01",store="s001"'
    for line in (
        f'cartwright_frames_total{{{fixed},camera="front"}} 1235',
        f'cartwright_frames_total{{{fixed},camera="left"}} 99',
        f"cartwright_temp_celsius{{{fixed}}} 51.25",
        f"cartwright_rss_bytes{{{fixed}}} 250000000",
        f'cartwright_fps{{{fixed},camera="front"}} 14.9',
        f"cartwright_throttled_total{{{fixed}}} 1",
        "# TYPE cartwright_stage_duration_seconds histogram",
        f'cartwright_stage_duration_seconds_count{{{fixed},stage="infer"}} 199',
    ):
        assert line in lines
    sums = [line for line in lines if line.startswith("cartwright_stage_duration_seconds_sum")]
    assert float(sums[1].split()[-1]) == pytest.approx(sum(range(1, 200)) / 1000.0)
    assert lines[-1]


def test_an_agent_that_counted_nothing_has_an_empty_page() -> None:
    """No family without a sample."""
    assert expose(Telemetry().totals(), LABELS).strip() == ""


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=200))
def test_buckets_are_exact_and_cumulative(values_ms: list[float]) -> None:
    """Each bucket counts the values up to its edge, as they were, not as their midpoints are."""
    buckets = cumulative(ExponentialHistogram.of(values_ms))
    counts = [n for _, n in buckets]
    assert counts == sorted(counts)
    assert counts[-1] == len(values_ms)
    for edge_s, n in buckets:
        # A value on the edge itself may fall on either side by the last bit of its logarithm.
        least = sum(v / 1000.0 < edge_s * (1 - 1e-9) for v in values_ms)
        most = sum(v / 1000.0 <= edge_s * (1 + 1e-9) for v in values_ms)
        assert least <= n <= most


def test_labels_and_numbers_are_written_as_prometheus_reads_them() -> None:
    """Quotes, backslashes and line ends are escaped; infinity has its own word."""
    assert escape_label('a"b\\c\nd') == 'a\\"b\\\\c\\nd'
    assert [number(v) for v in (1.0, 0.5, float("inf"), float("-inf"), float("nan"))] == [
        "1", "0.5", "+Inf", "-Inf", "NaN",
    ]  # fmt: skip


class Cart:
    """What a test says about a cart."""

    def __init__(self) -> None:
        self.live = Report({"stages": Part(ok=True)})
        self.ready = Report({"engine": Part(ok=True), "spool": Part(ok=True, detail={"bytes": 5})})

    def answers(self) -> Answers:
        """Return it."""
        return Answers(lambda: self.live, lambda: self.ready, lambda: "cartwright_x 1\n")


@pytest.fixture
def served() -> Iterator[tuple[Cart, HealthEndpoint]]:
    """A cart that can be asked."""
    cart = Cart()
    endpoint = HealthEndpoint("127.0.0.1", 0, cart.answers())
    yield cart, endpoint
    endpoint.close()


def ask(endpoint: HealthEndpoint, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    with closing(http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=10)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers.get("Content-Type", ""), response.read()


def test_live_and_ready_answer_with_their_parts(served: tuple[Cart, HealthEndpoint]) -> None:
    """200 while all is well; 503 with the part that is not, and why."""
    cart, endpoint = served
    assert ask(endpoint, "/live")[0] == 200
    status, kind, body = ask(endpoint, "/ready?verbose=1")
    assert (status, kind) == (200, "application/json")
    parts = {"engine": {"ok": True}, "spool": {"ok": True, "bytes": 5}}
    assert json.loads(body) == {"ok": True, "parts": parts}
    cart.ready = Report({"engine": Part(ok=False, detail={"why": "no GPU"}), "spool": Part(ok=True)})
    status, _, body = ask(endpoint, "/ready")
    assert status == 503
    assert json.loads(body)["parts"]["engine"] == {"ok": False, "why": "no GPU"}
    cart.live = Report({"stages": Part(ok=False)})
    assert ask(endpoint, "/live")[0] == 503


def test_metrics_are_of_the_text_format(served: tuple[Cart, HealthEndpoint]) -> None:
    """The content type names the version that was written."""
    assert ask(served[1], "/metrics") == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        b"cartwright_x 1\n",
    )


def test_other_paths_and_methods_are_refused(served: tuple[Cart, HealthEndpoint]) -> None:
    """Nothing else is there, nothing can be changed, and no version is told."""
    _, endpoint = served
    assert ask(endpoint, "/")[0] == 404
    assert ask(endpoint, "/../../etc/passwd")[0] == 404
    for method in ("POST", "PUT", "DELETE", "BREW", "HEAD"):
        assert ask(endpoint, "/live", method)[0] == 405
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as raw:
        raw.sendall(b"GET /live HTTP/1.0\r\n\r\n")
        head = raw.recv(65_536).decode()
    assert "Python" not in head


def test_clients_that_say_nothing_do_not_fill_the_cart_with_threads(
    served: tuple[Cart, HealthEndpoint],
) -> None:
    """A few connections are held; one more is closed at once."""
    _, endpoint = served
    held = [
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) for _ in range(MOST_CONNECTIONS)
    ]
    try:
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=3) as extra:
            assert extra.recv(100) == b""
    finally:
        for one in held:
            one.close()


def dripped(raw: socket.socket) -> bool:
    """Send one more byte of a request that never ends; False when the cart has hung up."""
    try:
        raw.sendall(b"x")
        return raw.recv(100, socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_a_client_that_sends_a_byte_now_and_then_is_cut(
    served: tuple[Cart, HealthEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never silent for long, it would hold its place for ever; with a few of them probes get no answer."""
    monkeypatch.setattr("fleet_agent.health.endpoint.CONNECTION_S", 0.2)
    with socket.create_connection(("127.0.0.1", served[1].port), timeout=10) as raw:
        raw.sendall(b"GET /live HTTP/1.0\r\nX-Slow: ")
        deadline_s = time.monotonic() + 4.0  # below the time-out of one read
        while (held := dripped(raw)) and time.monotonic() < deadline_s:
            time.sleep(0.05)
    assert not held
    assert ask(served[1], "/live")[0] == 200


def test_an_answer_that_fails_is_an_error_of_the_cart_and_logged_once() -> None:
    """The probe hears 500, people find the reason in the log, and the other answers go on."""

    def fail() -> str:
        raise ValueError("a metric with an impossible name")

    endpoint = HealthEndpoint("127.0.0.1", 0, replace(Cart().answers(), metrics=fail))
    with closing(endpoint), structlog.testing.capture_logs() as logs:
        assert [ask(endpoint, "/metrics")[0] for _ in range(3)] == [500, 500, 500]
        assert ask(endpoint, "/live")[0] == 200
    assert [(one["event"], one["path"]) for one in logs] == [("health endpoint failed", "/metrics")]


def test_a_port_that_is_taken_is_told_by_address(served: tuple[Cart, HealthEndpoint]) -> None:
    """The error carries what could not be listened on."""
    cart, endpoint = served
    with pytest.raises(EndpointError) as caught:
        HealthEndpoint("127.0.0.1", endpoint.port, cart.answers())
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", endpoint.port)


def test_the_address_of_the_next_version_of_ip_works_too() -> None:
    """`::1` is an address like any other."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this system has no IPv6")
    endpoint = HealthEndpoint("::1", 0, Cart().answers())
    with socket.create_connection(("::1", endpoint.port), timeout=10) as raw:
        raw.sendall(b"GET /live HTTP/1.0\r\n\r\n")
        assert b"200" in raw.recv(65_536)
    endpoint.close()
