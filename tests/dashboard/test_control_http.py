"""Stories of the control API over HTTP: a real server, right and wrong answers."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dashboard.auth import person_of
from dashboard.errors import (
    DashboardError,
    NotConnectedError,
    SourceError,
    SourceRefusedError,
    SourceTimeoutError,
    SourceUnavailableError,
    TargetError,
)
from dashboard.sources import control_http
from dashboard.sources.control import PERMITS, ControlSource, Order
from dashboard.sources.control_http import HttpControl
from dashboard.sources.control_opening import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, open_control
from dashboard.sources.fake_control import FakeControl
from tests.dashboard.control_server import ControlServer, control_server

SECRET = "cw_very-secret-token"  # noqa: S105  # of no server


@pytest.fixture
def server() -> Iterator[ControlServer]:
    """A control API on this machine."""
    with control_server() as running:
        yield running


@pytest.fixture
def control(server: ControlServer) -> ControlSource:
    """The client, as it is opened from the environment."""
    return open_control(server.url, "maria@example.org", {TOKEN_VARIABLE: SECRET})


def test_every_answer_of_the_contract_is_read(control: ControlSource) -> None:
    """All questions give typed records with times in UTC; fields of a later version do not matter."""
    rollout = control.rollout("autumn")

    assert rollout.changed_at == datetime(2026, 3, 10, 15, 26, 0, 250_000, UTC)
    assert rollout.stages[0].counts["done"] == 19
    assert rollout.choices[0].consequences == ("2 carts go on.",)
    assert [r.choices for r in control.rollouts()] == [()]
    assert control.me().role == "on_call"
    assert control.carts("autumn", (), None, "", 50).next == "c1"
    assert control.evidence("autumn").gates[0].history[0][1] == 1.0
    assert control.log("autumn", 0, 10).entries[0].text == "A gate paused it: accuracy"
    assert control.audit("autumn", 10)[0].outcome == "done"
    assert control.fleet()[0].labels == {"aisle": "wide"}
    assert control.models()[0].version == "3"
    assert control.preview({"rollout": "autumn"}).stages[0].by_store == {"s001": 24}


def test_questions_say_who_asks(server: ControlServer, control: ControlSource) -> None:
    """The token and the person go with every request; filters go into the query."""
    control.carts("autumn", ("failed", "done"), "s001", "c7", 50)

    request = server.requests[0]
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["X-Cartwright-Person"] == "maria@example.org"
    assert request.query == "status=failed&status=done&store=s001&after=c7&limit=50"


def test_commands_carry_key_reason_and_version(server: ControlServer, control: ControlSource) -> None:
    """What a person decided arrives whole, and comes back as the rollout after it."""
    after = control.act("autumn", Order("resume", "checked by hand", 41, "key-1"))

    request = server.requests[0]
    assert after.version == 42
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.body == {
        "action": "resume",
        "reason": "checked by hand",
        "expected_version": 41,
        "carts": [],
    }


def test_plans_are_sent_with_their_reason(server: ControlServer, control: ControlSource) -> None:
    """A reason is one line of a header, whatever was typed."""
    made = control.create({"rollout": "autumn"}, "key-2", " café,\nas agreed \N{GRINNING FACE}")

    request = server.requests[0]
    assert made.id == "autumn"
    assert request.headers["X-Reason"] == "café, as agreed ?"
    assert request.body == {"rollout": "autumn"}


def test_ids_of_links_stay_in_their_place(server: ControlServer, control: ControlSource) -> None:
    """An id from a URL cannot reach another part of the API."""
    with pytest.raises(SourceRefusedError, match="there is no rollout"):
        control.rollout("../audit?x=1#")

    assert server.requests[0].path == "/v1/rollouts/..%2Faudit%3Fx%3D1%23"


def _error(message: str) -> dict[str, Any]:
    return {"error": {"code": "any", "message": message}}


@pytest.mark.parametrize(
    ("says", "error", "sentence"),
    [
        ((409, _error("pause is refused")), SourceRefusedError, "pause is refused"),
        ((401, _error(SECRET)), SourceRefusedError, "does not accept the token"),
        ((403, b"<html>"), SourceRefusedError, "it refused with HTTP status 403"),
        ((503, _error("down")), SourceUnavailableError, "HTTP status 503"),
        ((200, b"<html>a proxy</html>"), SourceUnavailableError, "cannot be read"),
        ((200, {"id": "autumn"}), SourceUnavailableError, "cannot be read"),
        ((200, b"[" * 100_000), SourceUnavailableError, "cannot be read"),
    ],
)  # fmt: skip
def test_bad_answers_end_in_a_sentence(
    server: ControlServer,
    control: ControlSource,
    says: tuple[int, Any],
    error: type[SourceError],
    sentence: str,
) -> None:
    """Refusals in the words of the API; everything else in ours, and never the token."""
    server.says = says

    with pytest.raises(error) as caught:
        control.rollout("autumn")

    assert sentence in caught.value.sentence
    assert SECRET not in f"{caught.value!r} {caught.value}"


def test_a_redirect_takes_no_token_along(server: ControlServer, control: ControlSource) -> None:
    """Whoever answers that the API is elsewhere does not get the token sent there."""
    with control_server() as other:
        server.location = other.url
        with pytest.raises(SourceRefusedError, match="points elsewhere"):
            control.rollouts()

        assert other.requests == []


def test_endless_answers_are_cut(
    server: ControlServer, control: ControlSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer larger than any list of ours is not read to its end."""
    monkeypatch.setattr(control_http, "_MOST_BYTES", 1000)
    server.says = (200, b" " * 100_000)

    with pytest.raises(SourceUnavailableError, match="too large"):
        control.rollouts()


def test_silence_ends_in_a_time_out(
    server: ControlServer, control: ControlSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts and says nothing does not hang the page, and is not asked again at once."""
    monkeypatch.setattr(control_http, "_READ_S", 0.05)
    monkeypatch.setattr(control_http, "_AWAY_S", 60.0)
    server.hold.clear()

    for _ in range(3):
        with pytest.raises(SourceTimeoutError, match="Carts keep their last permit"):
            control.rollouts()

    assert len(server.requests) == 1


def test_a_command_is_sent_even_if_readings_failed(server: ControlServer, control: ControlSource) -> None:
    """Stopping a rollout is tried whatever else failed a moment ago."""
    server.says = (503, {})
    with pytest.raises(SourceUnavailableError):
        control.rollouts()
    server.says = None

    assert control.act("autumn", Order("pause", "", None, "key-3")).status == "running"


def test_nobody_at_the_address(free_port: Callable[[], int]) -> None:
    """An address where nothing listens is a sentence, with what it means for carts."""
    control = HttpControl(f"http://127.0.0.1:{free_port()}", lambda: SECRET)

    with pytest.raises(SourceUnavailableError) as caught:
        control.rollouts()

    assert caught.value.sentence == f"it cannot be reached. {PERMITS}"


def test_token_file_may_be_renewed(server: ControlServer, tmp_path: Path) -> None:
    """The file is read for each request; one that is gone is said without its content."""
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    control = open_control(server.url, None, {TOKEN_FILE_VARIABLE: str(file)})
    control.me()
    file.write_text("cw_another\n")
    control.me()
    file.unlink()

    assert [r.headers["Authorization"] for r in server.requests] == [f"Bearer {SECRET}", "Bearer cw_another"]
    assert "X-Cartwright-Person" not in server.requests[0].headers
    with pytest.raises(TargetError, match="cannot be read"):
        control.me()


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("ftp://control", {TOKEN_VARIABLE: SECRET}),
        ("http://me:word@control", {TOKEN_VARIABLE: SECRET}),
        ("http://", {TOKEN_VARIABLE: SECRET}),
        ("http://control:port", {TOKEN_VARIABLE: SECRET}),
        ("http://control", {}),
        ("http://control", {TOKEN_VARIABLE: f"{SECRET}\nX-Evil: 1"}),
        ("fake:sunny", {}),
    ],
)
def test_settings_that_make_no_sense(url: str, environment: dict[str, str]) -> None:
    """Addresses with a password, none at all, tokens with line breaks: refused, and never repeated."""
    with pytest.raises(TargetError) as caught:
        open_control(url, None, environment)

    assert SECRET not in str(caught.value)
    assert "word" not in str(caught.value)


def test_without_an_address_the_page_says_how_to_connect() -> None:
    """One sentence names all that has to be set."""
    with pytest.raises(NotConnectedError, match=r"CARTWRIGHT_CONTROL .*CARTWRIGHT_CONTROL_TOKEN_FILE"):
        open_control(None, None, {})

    assert isinstance(open_control("fake", None, {}), FakeControl)
    assert issubclass(NotConnectedError, DashboardError)


@pytest.mark.parametrize(
    ("claims", "person"),
    [
        ({"is_logged_in": True, "email": "maria@example.org"}, "maria@example.org"),
        ({"is_logged_in": True, "email": "maria@example.org", "email_verified": True}, "maria@example.org"),
        ({"is_logged_in": True, "email": "maria@example.org", "email_verified": False}, None),
        ({"is_logged_in": True, "email": "maria@example.org", "email_verified": "false"}, None),
        ({"is_logged_in": False, "email": "maria@example.org"}, None),
        ({"is_logged_in": True}, None),
        ({"is_logged_in": True, "email": "maria@example.org\r\nX-Evil: 1"}, None),
        ({"is_logged_in": True, "email": "märia@example.org"}, None),
        ({"is_logged_in": True, "email": 7}, None),
    ],
)
def test_only_a_vouched_for_address_is_a_person(claims: dict[str, object], person: str | None) -> None:
    """What goes into a header and the audit log is an address that the provider stands for."""
    assert person_of(claims) == person
