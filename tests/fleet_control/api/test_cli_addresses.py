"""Stories about addresses of the control API that are wrong: what is said, and what a script sees."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fleet_control.api.server import ApiServer, ApiSettings
from fleet_control.errors import ControlAddressError, ControlSettingError
from fleet_control.rollouts_cli import cli
from fleet_control.rollouts_cli.settings import connection
from tests.fleet_control.api.desk import Desk
from tests.fleet_control.api.terminal import certificate

Asking = Callable[[str], str]


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str], desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Return what asks an address for the list of rollouts, and returns what was said of it, in one line."""
    monkeypatch.setenv("CARTWRIGHT_CONTROL_TOKEN", desk.tokens["viewer"])
    monkeypatch.setattr("fleet_control.rollouts_cli.client.PAUSES_S", ())

    def ask(url: str) -> str:
        status = cli.main(["list", "--control", url])

        said = capsys.readouterr()
        assert status == cli.AWAY
        assert said.out == ""
        assert said.err.startswith(f"cartwright rollouts: the control API at {url} does not answer: ")
        assert said.err.count("\n") == 1
        return said.err

    return ask


@contextmanager
def another_server(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """Serve HTTP with one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        """Gives the one answer."""

        def do_GET(self) -> None:
            """Answer."""
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def test_https_where_nobody_speaks_tls(asked: Asking, desk: Desk) -> None:
    """The service runs without TLS, and the address says with."""
    said = asked(desk.server.url.replace("http:", "https:"))

    assert "what listens there does not speak TLS" in said
    assert "begins with http://" in said


def test_a_service_with_tls_is_asked_with_and_without_it(asked: Asking, desk: Desk, tmp_path: Path) -> None:
    """Its certificate is not taken on trust, and an address without TLS is told how it has to begin."""
    settings = ApiSettings(desk.tokens_file, port=0, tls_certificate=certificate(tmp_path))
    server = ApiServer(desk.control, settings)
    try:
        untrusted = asked(server.url)
        plain = asked(server.url.replace("https:", "http:"))
    finally:
        assert server.close()

    assert "its certificate is not trusted (self-signed certificate)" in untrusted
    assert "the connection broke; if it is served with TLS, its address begins with https://" in plain


def test_a_host_that_nobody_knows(asked: Asking) -> None:
    """A name with a slip in it is named, with where to change it."""
    said = asked("https://control.invalid:9103")

    assert "there is no host control.invalid; check the address (--control or CARTWRIGHT_CONTROL)" in said


def test_a_port_where_nothing_listens(asked: Asking) -> None:
    """The service may not run, or the port is wrong."""
    said = asked("http://127.0.0.1:1")

    assert "nothing listens there; check that `cartwright control` runs" in said


def test_a_port_where_something_listens_and_says_nothing(
    asked: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that accepts and never answers ends with the time-out."""
    monkeypatch.setattr("fleet_control.rollouts_cli.client.TIMEOUT_S", (0.2, 0.2))
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        said = asked(f"http://127.0.0.1:{silent.getsockname()[1]}")

    assert "no answer in time; check host and port" in said


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b"<h1>Welcome</h1>", {}),
        (200, b'{"status": "ok"}', {}),
        (200, b"[]", {}),
        (302, b"", {"Location": "https://example.com/login"}),
        (401, b"<h1>Sign in</h1>", {}),
        (404, b'{"detail": "Not Found"}', {}),
        (404, b'{"error": "not found"}', {}),
        (500, b'"oh"', {}),
    ],
)
def test_a_server_that_is_another_one(
    asked: Asking,
    status: int,
    body: bytes,
    headers: dict[str, str],
) -> None:
    """A port of something else answers HTTP, even JSON, and is told from the API by its answers."""
    with another_server(status, body, **headers) as url:
        said = asked(url)

    assert f"something else does, with status {status}; check host, port and path (--control or" in said


def test_an_address_without_a_scheme_is_a_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what an address looks like; the address is not quoted, for it may hold a password."""
    monkeypatch.setenv("CARTWRIGHT_CONTROL_TOKEN", "cwt_x")
    monkeypatch.setenv("CARTWRIGHT_CONTROL", "me:secret@control.example:9103")

    assert cli.main(["list"]) == cli.USAGE

    said = capsys.readouterr().err
    assert "has no https:// in front: https://HOST[:PORT], or http://HOST[:PORT] on this machine" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("variables", "options", "sentence"),
    [
        ({}, {}, "no token: set CARTWRIGHT_CONTROL_TOKEN"),
        ({"CARTWRIGHT_CONTROL_TOKEN": "a b"}, {}, "CARTWRIGHT_CONTROL_TOKEN holds no token"),
        ({"CARTWRIGHT_CONTROL_TOKEN": "x\r\nX-Evil: 1"}, {}, "holds no token"),
        ({"CARTWRIGHT_CONTROL": "http://10.0.0.1", "CARTWRIGHT_CONTROL_TOKEN": "x"}, {}, "unencrypted"),
        ({"CARTWRIGHT_CONTROL_TOKEN": "x"}, {"url": "ftp://127.0.0.1"}, "https://HOST"),
        ({"CARTWRIGHT_CONTROL_TOKEN": "x"}, {"url": "http://127.0.0.1:port"}, "cannot be read"),
        ({"CARTWRIGHT_CONTROL_TOKEN": "x"}, {"url": "https://a..b"}, "cannot be read"),
        ({"CARTWRIGHT_CONTROL_TOKEN": "x"}, {"url": "https://[::1"}, "cannot be read"),
        ({"CARTWRIGHT_CONTROL_TOKEN": "x"}, {"url": "localhost:9103"}, "no https:// in front"),
        ({"CARTWRIGHT_CONTROL_TOKEN_FILE": "/none"}, {}, "the token file /none: No such file"),
    ],
)
def test_a_connection_that_is_not_safe_is_refused(
    variables: dict[str, str], options: dict[str, Any], sentence: str
) -> None:
    """Before anything is sent."""
    with pytest.raises(ControlSettingError, match=sentence):
        connection(variables, url=options.get("url"), token_file=None)


def test_the_token_is_in_no_representation() -> None:
    """Tracebacks and logs show none."""
    made = connection({"CARTWRIGHT_CONTROL_TOKEN": "cwt_secret"}, url=None, token_file=None)

    assert made.url == "http://127.0.0.1:9103"
    assert "secret" not in repr(made)


def test_an_address_that_is_none_is_told_from_one_that_is_not_safe() -> None:
    """Scripts see a wrong usage for the first only."""
    for url, wrong in (("control.example", True), ("http://control.example", False)):
        with pytest.raises(ControlSettingError) as raised:
            connection({"CARTWRIGHT_CONTROL_TOKEN": "x"}, url=url, token_file=None)
        assert isinstance(raised.value, ControlAddressError) == wrong
