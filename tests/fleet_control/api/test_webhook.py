"""Stories about the webhook, told to a real HTTP receiver."""

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from structlog.testing import capture_logs

from fleet_control.api import webhook as module
from fleet_control.api.webhook import Webhook
from fleet_control.errors import WebhookError

SECRET = "0123456789abcdef-secret"  # noqa: S105  # of this story
NOW_S = 1_800_000_000.5


class Receiver:
    """An HTTP server that answers what the story says: a status, or `hang`, or `drip`.

    Attributes:
        got: (headers, body) of every request.
        answers: What comes next; when empty, 204.
    """

    def __init__(self) -> None:
        self.got: list[tuple[Any, bytes]] = []
        self.answers: list[int | str] = []
        self.freed = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver.answers.pop(0) if receiver.answers else 204
                receiver.got.append((self.headers, body))
                if answer == "hang":
                    receiver.freed.wait(30)
                elif answer == "drip":
                    self._drip()
                else:
                    self.send_response(int(answer))
                    if int(answer) == 302:
                        self.send_header("Location", "http://127.0.0.1:1/inside")
                    self.end_headers()

            def _drip(self) -> None:
                try:
                    while not receiver.freed.wait(0.02):
                        self.wfile.write(b"H")
                except OSError:
                    pass

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks/secret-path?x=1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self.freed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def opened() -> Iterator[Callable[..., Webhook]]:
    """Return how a webhook is opened; it is closed after the story."""
    made: list[Webhook] = []

    def opener(url: str, timeout_s: float = 10.0, back_off_s: tuple[float, ...] = (0.0, 0.0)) -> Webhook:
        made.append(Webhook(url, SECRET, timeout_s, lambda: NOW_S, back_off_s=back_off_s))
        return made[-1]

    yield opener
    for one in made:
        one.close(0)


def settled(hook: Webhook, **counts: int) -> None:
    """Wait until the counts are these."""
    deadline_s = time.monotonic() + 20
    while (now := {name: hook.counts()[name] for name in counts}) != counts:
        assert time.monotonic() < deadline_s, now
        threading.Event().wait(0.005)


def test_a_notice_is_delivered_with_a_signature_that_its_receiver_can_check(
    receiver: Receiver, opened: Callable[..., Webhook]
) -> None:
    """Checked as the document tells receivers to."""
    hook = opened(receiver.url)

    hook("autumn", "paused", "autumn paused by ann: kälter")

    settled(hook, delivered=1, waiting=0)
    headers, body = receiver.got[0]
    signed = headers["X-Cartwright-Timestamp"].encode() + b"." + body
    wanted = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Cartwright-Signature"] == f"v1={wanted}"
    assert headers["X-Cartwright-Timestamp"] == "1800000000"
    told = json.loads(body)
    assert told.pop("id") == headers["X-Cartwright-Delivery"]
    assert told == {
        "rollout": "autumn",
        "what": "paused",
        "text": "autumn paused by ann: kälter",
        "at": "2027-01-15T08:00:00.500Z",
    }


@pytest.mark.parametrize("trouble", [500, 503, 429, 408])
def test_a_receiver_that_is_in_trouble_is_asked_again_with_the_same_delivery(
    receiver: Receiver, opened: Callable[..., Webhook], trouble: int
) -> None:
    """It can tell a second try from a second notice."""
    receiver.answers = [trouble, trouble]
    hook = opened(receiver.url)

    hook("autumn", "verdict", "accuracy says fail")

    settled(hook, delivered=1, retried=2, dropped=0)
    assert len({headers["X-Cartwright-Delivery"] for headers, _ in receiver.got}) == 1


@pytest.mark.parametrize("answer", [302, 400, 404, 410])
def test_what_a_receiver_will_never_take_is_dropped_at_once(
    receiver: Receiver, opened: Callable[..., Webhook], answer: int
) -> None:
    """Redirects are not followed: nobody points us into the network."""
    receiver.answers = [answer]
    hook = opened(receiver.url)

    hook("autumn", "paused", "x")
    hook("autumn", "resumed", "y")

    settled(hook, delivered=1, retried=0, dropped=1)
    assert len(receiver.got) == 2


def test_tries_end_and_the_next_notice_comes_through(
    receiver: Receiver, opened: Callable[..., Webhook]
) -> None:
    """A receiver that refused for long gets what is new."""
    receiver.answers = [500, 500, 500]
    hook = opened(receiver.url)

    hook("autumn", "paused", "old")
    hook("autumn", "resumed", "new")

    settled(hook, delivered=1, retried=2, dropped=1)
    assert json.loads(receiver.got[-1][1])["text"] == "new"


@pytest.mark.parametrize("trouble", ["hang", "drip"])
def test_a_receiver_that_never_answers_is_cut_off_and_delays_nobody(
    receiver: Receiver, opened: Callable[..., Webhook], trouble: str
) -> None:
    """Neither silence nor a byte now and then holds the thread; whoever gives notices never waits for it."""
    receiver.answers = [trouble]
    hook = opened(receiver.url, 0.3, ())

    hook("autumn", "paused", "never answered")
    hook("autumn", "resumed", "answered")

    # Still held, and both were taken.
    assert hook.counts()["waiting"] + hook.counts()["dropped"] == 2
    settled(hook, delivered=1, dropped=1)


def test_the_oldest_are_dropped_when_too_many_wait(
    receiver: Receiver, opened: Callable[..., Webhook], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, the newest says how things are, and the drop is counted and logged."""
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    receiver.answers = ["hang"]
    hook = opened(receiver.url)
    hook("autumn", "paused", "held")
    settled(hook, waiting=1)
    while not receiver.got:
        threading.Event().wait(0.005)

    with capture_logs() as logs:
        for number in range(5):
            hook("autumn", "verdict", str(number))

    assert hook.counts() == {"delivered": 0, "retried": 0, "dropped": 2, "waiting": 4}
    assert [log["why"] for log in logs] == ["too many wait"] * 2
    receiver.freed.set()
    settled(hook, delivered=4)
    assert [json.loads(body)["text"] for _, body in receiver.got[-3:]] == ["2", "3", "4"]


def test_nobody_there_is_retried_and_never_logged_with_a_secret(opened: Callable[..., Webhook]) -> None:
    """The log names the host; the path and the secret are nobody's business."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with capture_logs() as logs:
        hook = opened(f"http://127.0.0.1:{port}/hooks/secret-path")
        hook("autumn", "paused", "x")
        settled(hook, dropped=1, retried=2)

    assert logs[0]["where"] == "http://127.0.0.1"
    assert "secret" not in repr(logs).lower()
    assert SECRET not in repr(hook)


def test_closing_delivers_what_waits_or_says_that_it_did_not(receiver: Receiver) -> None:
    """A clean stop loses nothing; one that takes too long is cut."""
    good = Webhook(receiver.url, SECRET)
    for number in range(20):
        good("autumn", "verdict", str(number))
    assert good.close(10)
    assert good.counts()["delivered"] == 20

    receiver.answers = ["hang"]
    held = Webhook(receiver.url, SECRET, 0.3)
    held("autumn", "verdict", "x")
    assert not held.close(0)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "http://localhost.example/x",
        "ftp://hooks.example/x",
        "https://user:word@hooks.example/x",
        "https:///x",
        "https://hooks.example/x y",
        "https://hooks.example/ü",
        "https://hooks.example:port/x",
        "https://hooks.example/x#y",
        "",
    ],
)
def test_an_address_that_is_not_safe_is_refused_without_being_quoted(url: str) -> None:
    """Notices travel encrypted, or do not leave this machine; a path may be a secret."""
    with pytest.raises(WebhookError) as refused:
        Webhook(url, SECRET)

    assert "/x" not in str(refused.value)


def test_a_short_secret_is_refused_without_being_quoted() -> None:
    """A secret that can be guessed signs nothing."""
    with pytest.raises(WebhookError, match="fewer than 16 characters"):
        Webhook("https://hooks.example/x", "short")
