"""Tell people: every verdict and every action as a signed POST, in a thread that nothing waits for.

    POST URL
    Content-Type: application/json
    X-Cartwright-Delivery: 6f0c...        the same for every try of one notice
    X-Cartwright-Timestamp: 1795848059    epoch seconds of this try
    X-Cartwright-Signature: v1=HEX        HMAC-SHA256 of the secret over TIMESTAMP "." BODY

The address comes from whoever runs the service, never from a caller of the API; redirects are not followed,
so nobody else can point it into the network. Neither the path of the address, which is a secret at some
services, nor the secret is ever logged.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import socket
import ssl
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from fleet_control.api.addresses import checked_address
from fleet_control.errors import WebhookError

_log = structlog.get_logger(__name__)

# Notices that wait. When there are more, the oldest are dropped: the newest says how things are.
MAX_WAITING = 1_000
# Pauses between the tries of one notice; after the last one it is dropped. More, and the notices behind
# it are older when they come; fewer, and a receiver that restarts misses some.
BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0)
# A secret that can be guessed signs nothing.
MIN_SECRET_CHARACTERS = 16
_TRY_AGAIN = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class _Notice:
    delivery: str
    body: bytes = field(repr=False)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature of a body, as the header has it.

    Args:
        secret: Shared with the receiver.
        timestamp: As the header has it.
        body: As it is sent.
    """
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"v1={signed.hexdigest()}"


class Webhook:
    """Takes notices from any thread and never blocks; `close` ends it.

    Args:
        url: Where to; https, or http on this machine.
        secret: Shared with the receiver.
        timeout_s: How long one try may take, the connection and the answer together.
        clock: The time, epoch seconds.
        back_off_s: Pauses between tries.
        allow_plain: Take http to other machines, too: the secret stays secret, the notices do not.

    Raises:
        WebhookError: the address or the secret cannot be used.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.time,
        *,
        back_off_s: tuple[float, ...] = BACK_OFF_S,
        allow_plain: bool = False,
    ) -> None:
        self._url = checked_address(url, allow_plain=allow_plain)
        if len(secret) < MIN_SECRET_CHARACTERS:
            raise WebhookError(f"the webhook's secret has fewer than {MIN_SECRET_CHARACTERS} characters")
        self._secret = secret
        self._timeout_s = timeout_s
        self._clock = clock
        self._back_off_s = back_off_s
        self._where = f"{self._url.scheme}://{self._url.hostname}"
        self._waiting: deque[_Notice] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._stopping = threading.Event()
        self._counts = {"delivered": 0, "retried": 0, "dropped": 0}
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    def __call__(self, rollout: str, what: str, text: str) -> None:
        """Take a notice.

        Args:
            rollout: Id of the rollout.
            what: verdict, paused, resumed and so on.
            text: A sentence.
        """
        delivery = uuid.uuid4().hex
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        told = {
            "id": delivery,
            "rollout": rollout,
            "what": what,
            "text": text,
            "at": at.replace("+00:00", "Z"),
        }
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self._drop("too many wait")
            self._waiting.append(_Notice(delivery, json.dumps(told).encode()))
            self._changed.notify_all()

    def counts(self) -> dict[str, int]:
        """Return what became of notices so far; `waiting` ones included."""
        with self._changed:
            return {**self._counts, "waiting": len(self._waiting) + self._busy}

    def close(self, drain_s: float = 2.0) -> bool:
        """Stop; whether everything that waited was delivered or given up within the time.

        Args:
            drain_s: How long what waits may take.
        """
        with self._changed:
            drained = self._changed.wait_for(lambda: not self._waiting and not self._busy, drain_s)
            self._stopping.set()
            self._changed.notify_all()
        self._thread.join(self._timeout_s + 1.0)
        return drained

    def _run(self) -> None:
        while (notice := self._next()) is not None:
            try:
                self._deliver(notice)
            except Exception:  # noqa: BLE001  # one notice must not end all those after it
                _log.exception("webhook failed", where=self._where)
                with self._changed:
                    self._drop("an error of ours")
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> _Notice | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._stopping.is_set())
            if self._stopping.is_set():
                return None
            self._busy = True
            return self._waiting.popleft()

    def _deliver(self, notice: _Notice) -> None:
        for pause_s in (*self._back_off_s, None):
            why, again = self._try(notice)
            with self._changed:
                if not why:
                    self._counts["delivered"] += 1
                    return
                if not again or pause_s is None or self._stopping.is_set():
                    self._drop(why)
                    return
                self._counts["retried"] += 1
            self._stopping.wait(pause_s)

    def _drop(self, why: str) -> None:
        self._counts["dropped"] += 1
        _log.warning("webhook notice dropped", where=self._where, why=why, dropped=self._counts["dropped"])

    def _try(self, notice: _Notice) -> tuple[str, bool]:
        """Return why it was not taken, empty if it was, and whether another try may help."""
        connection = self._connection()
        # The time-outs of sockets are per packet: only this bounds a receiver that sends a byte at a time.
        watch = threading.Timer(self._timeout_s, _cut, [connection])
        watch.daemon = True
        watch.start()
        try:
            connection.connect()
            if watch.finished.is_set():
                return "it took too long to connect", True
            status = self._post(connection, notice)
        except (OSError, ValueError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}", True
        finally:
            watch.cancel()
            connection.close()
        if 200 <= status < 300:
            return "", False
        return f"it answered {status}", status >= 500 or status in _TRY_AGAIN

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)

    def _post(self, connection: http.client.HTTPConnection, notice: _Notice) -> int:
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "cartwright",
            "X-Cartwright-Delivery": notice.delivery,
            "X-Cartwright-Timestamp": timestamp,
            "X-Cartwright-Signature": sign(self._secret, timestamp, notice.body),
        }
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        connection.request("POST", target, notice.body, headers)
        return connection.getresponse().status


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection under the hands of whoever waits for it."""
    # Read once: the other thread may close it meanwhile.
    wire: socket.socket | None = connection.sock
    if wire is not None:
        with contextlib.suppress(OSError):
            # Not TLS's own, which would say goodbye first and wait for an answer.
            socket.socket.shutdown(wire, socket.SHUT_RDWR)
