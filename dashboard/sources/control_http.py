"""The control API over HTTP: every wait and every answer has a limit, and only our own errors come out."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import msgspec
import requests
from requests.auth import AuthBase

from dashboard.errors import SourceError, SourceRefusedError, SourceTimeoutError, SourceUnavailableError
from dashboard.sources.control import (
    NAME,
    PERMITS,
    CartPage,
    CommandView,
    Evidence,
    FleetCart,
    LogPage,
    Me,
    ModelView,
    Order,
    Preview,
    RolloutView,
)

T = TypeVar("T")
# To connect, and between two bytes. Lower, and a busy controller counts as away; higher, and the page hangs.
_CONNECT_S, _READ_S = 1.5, 5.0
# For a whole answer. A command may wait for a database; it is sent again with its key if nobody answers.
_ANSWER_S = 10.0
# The fleet is the largest answer: 100,000 carts are about 25 MB.
_MOST_BYTES = 64 * 1024 * 1024
# After a failure readings fail at once for so long: a page of seven panels must not wait seven times.
_AWAY_S = 2.0
_MOST_ROLLOUTS = 200
_LONGEST_SENTENCE = 600


class _Bearer(AuthBase):
    """Sends the token. As an auth object, because a header would be replaced by a .netrc of the machine."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        return request


class HttpControl:
    """A `ControlSource`. May be used from several threads.

    Args:
        url: Where the API is, without /v1.
        token: Gives the service's token; asked for every time, so that a file may be renewed.
        person: Who is logged in, by e-mail address; None where nobody logs in.
    """

    def __init__(self, url: str, token: Callable[[], str], person: str | None = None) -> None:
        self._base = f"{url.rstrip('/')}/v1"
        self._auth = _Bearer(token)
        self._headers = {"Accept": "application/json"}
        if person is not None:
            self._headers["X-Cartwright-Person"] = person
        self._away: tuple[float, SourceError] | None = None

    def me(self) -> Me:
        """See `ControlSource`."""
        return self._get("me", "/me", Me)

    def rollouts(self) -> tuple[RolloutView, ...]:
        """See `ControlSource`."""
        return self._get("rollouts", "/rollouts", _Rollouts, limit=_MOST_ROLLOUTS).rollouts

    def rollout(self, rollout_id: str) -> RolloutView:
        """See `ControlSource`."""
        return self._get("rollout", _of(rollout_id), RolloutView)

    def carts(
        self, rollout_id: str, statuses: Sequence[str], store: str | None, after: str, limit: int
    ) -> CartPage:
        """See `ControlSource`."""
        wanted = {"status": list(statuses), "store": store, "after": after or None, "limit": limit}
        return self._get("carts", f"{_of(rollout_id)}/carts", CartPage, **wanted)

    def evidence(self, rollout_id: str) -> Evidence:
        """See `ControlSource`."""
        return self._get("evidence", f"{_of(rollout_id)}/evidence", Evidence)

    def log(self, rollout_id: str, after: int, limit: int) -> LogPage:
        """See `ControlSource`."""
        return self._get("log", f"{_of(rollout_id)}/log", LogPage, after=after, limit=limit)

    def audit(self, rollout_id: str, limit: int) -> tuple[CommandView, ...]:
        """See `ControlSource`."""
        return self._get("audit", "/audit", _Commands, rollout=rollout_id, limit=limit).commands

    def fleet(self) -> tuple[FleetCart, ...]:
        """See `ControlSource`."""
        return self._get("carts", "/carts", _Carts).carts

    def models(self) -> tuple[ModelView, ...]:
        """See `ControlSource`."""
        return self._get("models", "/models", _Models).models

    def preview(self, plan: Mapping[str, Any]) -> Preview:
        """See `ControlSource`."""
        return self._send("POST", "preview", "/rollouts/preview", Preview, json=dict(plan))

    def create(self, plan: Mapping[str, Any], key: str, reason: str) -> RolloutView:
        """See `ControlSource`."""
        # A header is one line of Latin-1; what is not in it becomes a question mark.
        line = " ".join(reason.split()).encode("latin-1", "replace").decode("latin-1")
        headers = {"Idempotency-Key": key, "X-Reason": line}
        return self._send("POST", "create", "/rollouts", RolloutView, json=dict(plan), headers=headers)

    def act(self, rollout_id: str, order: Order) -> RolloutView:
        """See `ControlSource`."""
        body = {
            "action": order.action,
            "reason": order.reason,
            "expected_version": order.expected_version,
            "carts": list(order.carts),
        }
        path, headers = f"{_of(rollout_id)}/actions", {"Idempotency-Key": order.key}
        return self._send("POST", order.action, path, RolloutView, json=body, headers=headers)

    def _get(self, question: str, path: str, kind: type[T], **params: Any) -> T:
        if self._away is not None and time.monotonic() < self._away[0]:
            raise self._away[1]
        try:
            answer = self._send("GET", question, path, kind, params=params)
        except (SourceTimeoutError, SourceUnavailableError) as error:
            self._away = time.monotonic() + _AWAY_S, error
            raise
        self._away = None
        return answer

    def _send(
        self,
        method: Literal["GET", "POST"],
        question: str,
        path: str,
        kind: type[T],
        *,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> T:
        try:
            with requests.request(
                method,
                self._base + path,
                auth=self._auth,
                headers={**self._headers, **(headers or {})},
                timeout=(_CONNECT_S, _READ_S),
                allow_redirects=False,
                stream=True,
                **request,
            ) as response:
                status, body = response.status_code, _body(response, question)
        except requests.Timeout as error:
            raise SourceTimeoutError(NAME, question, f"it took too long.{_permits(question)}") from error
        except (requests.RequestException, UnicodeError, OSError) as error:
            raise SourceUnavailableError(
                NAME, question, f"it cannot be reached.{_permits(question)}"
            ) from error
        if status >= 300:
            raise _refusal(status, body, question)
        return _decoded(body, kind, question)


def _permits(question: str) -> str:
    """Say once on a page what its absence means for carts: where the rollouts themselves are missing."""
    return f" {PERMITS}" if question in ("rollouts", "rollout") else ""


def _of(rollout_id: str) -> str:
    return f"/rollouts/{quote(rollout_id, safe='')}"


def _body(response: requests.Response, question: str) -> bytes:
    parts, size, deadline = [], 0, time.monotonic() + _ANSWER_S
    for part in response.iter_content(64 * 1024):
        size += len(part)
        if size > _MOST_BYTES:
            raise SourceUnavailableError(NAME, question, "its answer is too large.")
        if time.monotonic() > deadline:
            raise SourceTimeoutError(NAME, question, "it took too long.")
        parts.append(part)
    return b"".join(parts)


def _decoded(body: bytes, kind: type[T], question: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SourceUnavailableError(
            NAME, question, "its answer cannot be read; it may be of another version."
        ) from error


def _refusal(status: int, body: bytes, question: str) -> SourceError:
    if status == 401:
        return SourceRefusedError(NAME, question, "it does not accept the token of this dashboard.", status)
    if status >= 500:
        return SourceUnavailableError(NAME, question, f"it failed with HTTP status {status}.")
    if status < 400:
        return SourceRefusedError(NAME, question, "it points elsewhere: its address is wrong.", status)
    try:
        sentence = msgspec.json.decode(body, type=_Refusal).error.message.strip()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        sentence = ""
    said = sentence[:_LONGEST_SENTENCE] or f"it refused with HTTP status {status}."
    return SourceRefusedError(NAME, question, said, status)


class _Rollouts(msgspec.Struct):
    rollouts: tuple[RolloutView, ...]


class _Commands(msgspec.Struct):
    commands: tuple[CommandView, ...]


class _Carts(msgspec.Struct):
    carts: tuple[FleetCart, ...]


class _Models(msgspec.Struct):
    models: tuple[ModelView, ...]


class _Error(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Error
