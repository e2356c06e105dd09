"""Stories about the server itself: where it listens, what it counts, and slow callers."""

import asyncio
import math
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from fleet_control.api.body_limit import BodyLimit
from fleet_control.api.parts import ACTING_THREADS, READING_THREADS
from fleet_control.api.server import ApiServer, ApiSettings
from fleet_control.errors import ListenError, TokensFileError
from fleet_control.rollouts.states import Action, RolloutStatus
from fleet_control.rollouts.store_sql import open_store
from tests.fleet_control.api.desk import Desk, bring_to
from tests.fleet_control.rollouts.scene import Scene

# PostgreSQL's, of an installation that nobody changed: 100, of which three are for its administrators.
POSTGRESQL_CONNECTIONS = 97
# Of the controller four (drive, tell, observe, renew), the journal's, the registry's and the main one.
SERVICE_THREADS = 7


def test_a_port_that_is_taken_is_a_clear_error(desk: Desk) -> None:
    """Not a thread that dies somewhere else."""
    settings = ApiSettings(desk.tokens_file, port=desk.server.port)

    with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{desk.server.port}: .*another"):
        ApiServer(Scene().control, settings)


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 70_000)]
)
def test_an_address_that_is_not_ours_is_a_clear_error(desk: Desk, host: str, port: int) -> None:
    """Said at once, with the address."""
    settings = ApiSettings(desk.tokens_file, host=host, port=port)

    with pytest.raises(ListenError, match="cannot listen on"):
        ApiServer(Scene().control, settings)


def test_without_tokens_nobody_is_served(tmp_path: Path) -> None:
    """There is no way to run it open by mistake."""
    with pytest.raises(TokensFileError, match="No such file"):
        ApiServer(Scene().control, ApiSettings(tmp_path / "none.toml", port=0))


def test_a_certificate_that_is_none_is_a_clear_error(desk: Desk, tmp_path: Path) -> None:
    """TLS that does not work never falls back to plain HTTP."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")

    with pytest.raises(ListenError, match="TLS"):
        ApiServer(Scene().control, ApiSettings(desk.tokens_file, port=0, tls_certificate=broken))


def test_whoever_asks_is_told_why_it_is_not_ready(desk: Desk) -> None:
    """The controller beside it has a say."""
    server = ApiServer(
        desk.scene.control, ApiSettings(desk.tokens_file, port=0), not_ready=lambda: "no broker"
    )
    try:
        response = requests.get(server.url + "/ready", timeout=30)
    finally:
        assert server.close()

    assert (response.status_code, response.text) == (503, "no broker\n")


def test_what_happens_is_counted(own_desk: Desk) -> None:
    """Actions by outcome, rollouts by status, orders that wait, times by route and never by path."""
    scene = own_desk.new_scene(RolloutStatus.READY)
    scene.act(Action.START)
    own_desk.act("pause")
    own_desk.act("pause")
    own_desk.act("pause", "viewer")
    scene.now_ms += 5_000

    own_desk.control.current = scene.control
    text = own_desk.call("GET", "/metrics", None).text

    def value(sample: str) -> float:
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        assert found, (sample, text)
        return float(found[1])

    assert value('cartwright_control_actions_total{action="pause",outcome="done"}') == 1
    assert value('cartwright_control_actions_total{action="pause",outcome="refused"}') == 1
    assert value('cartwright_control_actions_total{action="pause",outcome="forbidden"}') == 1
    assert value("cartwright_control_store_up") == 1
    route = 'method="POST",route="/v1/rollouts/{rollout}/actions",status="200"'
    assert value(f"cartwright_control_request_seconds_count{{{route}}}") == 1
    assert "autumn" not in text


@pytest.mark.parametrize(("silent_s", "drives"), [(2.5, 1), (math.nan, 0)])
def test_a_missing_heartbeat_is_seen(desk: Desk, silent_s: float, drives: int) -> None:
    """Of several processes one drives; how long ago it last did is said by that one only."""
    server = ApiServer(desk.scene.control, ApiSettings(desk.tokens_file, port=0), heartbeat=lambda: silent_s)
    try:
        text = requests.get(server.url + "/metrics", timeout=30).text
    finally:
        assert server.close()

    assert f"cartwright_control_drives {drives}.0" in text
    assert ("cartwright_control_pass_age_seconds 2.5" in text) == bool(drives)


def test_a_webhooks_drops_are_seen(desk: Desk) -> None:
    """Somebody is called when nobody is told."""
    server = ApiServer(
        desk.scene.control, ApiSettings(desk.tokens_file, port=0), webhook=lambda: {"dropped": 3}
    )
    try:
        text = requests.get(server.url + "/metrics", timeout=30).text
    finally:
        assert server.close()

    assert 'cartwright_control_webhook_notices{outcome="dropped"} 3.0' in text


def test_a_body_that_never_ends_is_given_up() -> None:
    """Whoever sends a byte now and then holds nothing for long."""
    sent: list[Any] = []

    async def served(*_: Any) -> None:
        """Work."""
        pytest.fail("nobody may work on half a body")

    async def receive() -> dict[str, Any]:
        """Give half a body."""
        if not sent:
            sent.append(None)
            return {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        """Take an answer."""
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(BodyLimit(served, timeout_s=0.01)(scope, receive, send))

    assert sent[1]["status"] == 408
    assert b'"code":"timeout"' in sent[2]["body"]


def test_a_declared_size_is_not_believed_and_half_a_request_does_not_hurt(desk: Desk) -> None:
    """Chunks beyond the limit are refused while they come; callers that vanish leave nothing behind."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = (
        f"POST /v1/rollouts/preview HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {desk.tokens['viewer']}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", desk.server.port), 10) as wire:
        wire.sendall(head + chunk * 5)
        assert wire.recv(65_536).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", desk.server.port), 10) as wire:
        wire.sendall(head + chunk)

    assert desk.call("GET", "/live", None).status_code == 200


def test_many_callers_at_once_are_all_answered(desk: Desk) -> None:
    """The same pause from forty people at once is one pause, and nobody gets a 5xx."""
    desk.new_scene(RolloutStatus.RUNNING)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(desk.act("pause").status_code)

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(statuses) == [200, *[409] * 39]


def test_slow_reads_do_not_stand_in_the_way_of_a_pause(desk: Desk) -> None:
    """A warehouse that hangs holds every thread of the readers, and the pause goes through."""
    scene = desk.new_scene(RolloutStatus.RUNNING)
    freed, entered = threading.Event(), threading.Semaphore(0)

    class Hanging:
        """A warehouse that hangs."""

        def __getattr__(self, name: str) -> Any:
            return getattr(scene.control, name)

        def evidence(self, _: str) -> tuple[()]:
            """Hang."""
            entered.release()
            assert freed.wait(60)
            return ()

    desk.control.current = Hanging()
    readers = [threading.Thread(target=desk.get, args=("/v1/rollouts/autumn/evidence",)) for _ in range(60)]
    for reader in readers:
        reader.start()
    # As many as there are threads for readers; the others wait.
    for _ in range(READING_THREADS):
        assert entered.acquire(timeout=60)

    try:
        assert desk.act("pause").json()["status"] == "paused"
        assert desk.call("GET", "/live", None).status_code == 200
    finally:
        freed.set()
        for reader in readers:
            reader.join(60)


def test_a_database_that_hangs_for_readers_does_not_stand_in_the_way_of_a_pause(
    desk: Desk, tmp_path: Path
) -> None:
    """Every reading thread and every one of the service holds a connection, and the pause goes through."""
    scene = desk.new_scene()
    store = open_store(f"sqlite:///{tmp_path}/rollouts.db", lambda: scene.now_ms)
    scene.build(store)
    bring_to(scene, RolloutStatus.RUNNING)
    desk.control.current = scene.control
    freed, entered = threading.Event(), threading.Semaphore(0)

    def hang(*_: Any, **__: Any) -> tuple[()]:
        with store._reads() as connection:
            connection.execute(text("SELECT 1"))
            entered.release()
            assert freed.wait(60)
        return ()

    store.cart_page = hang  # type: ignore[method-assign]
    threads = [threading.Thread(target=hang) for _ in range(SERVICE_THREADS)]
    threads += [threading.Thread(target=desk.get, args=("/v1/rollouts/autumn/carts",)) for _ in range(60)]
    for thread in threads:
        thread.start()
    for _ in range(SERVICE_THREADS + READING_THREADS):
        assert entered.acquire(timeout=60)

    try:
        assert desk.act("pause").json()["status"] == "paused"
    finally:
        freed.set()
        for thread in threads:
            thread.join(60)
        store.close()


def test_two_controllers_fit_one_postgresql() -> None:
    """With every thread in the database at once: otherwise a pause is refused because others read."""
    assert 2 * (READING_THREADS + ACTING_THREADS + SERVICE_THREADS) <= POSTGRESQL_CONNECTIONS
