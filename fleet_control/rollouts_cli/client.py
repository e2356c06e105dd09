"""Calls of the control API, with time-outs, and tries that cannot do anything twice."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests

from fleet_control.errors import ControlAwayError, ControlRefusedError
from fleet_control.rollouts_cli import unreachable
from fleet_control.rollouts_cli.settings import Connection
from fleet_control.rollouts_cli.words import typed

# Connecting, and waiting for an answer: a create for 100,000 carts takes seconds.
TIMEOUT_S = (5.0, 30.0)
# Pauses between tries of a call that got no answer. Every call may be tried again: reading changes nothing,
# and a command has a key.
PAUSES_S = (0.5, 1.0, 2.0)
_AWAY = frozenset({502, 503, 504})


class ControlClient:
    """One caller.

    Args:
        connection: Where, and with which token.
        sleep: Waits between tries.
    """

    def __init__(self, connection: Connection, sleep: Callable[[float], None] = time.sleep) -> None:
        self._url = connection.url
        self._sleep = sleep
        self._session = requests.Session()
        # No proxy and no .netrc of the machine: the token goes where it was told to go.
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {connection.token}"

    def get(self, path: str, has: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Read something.

        Args:
            path: Behind the address.
            has: A field of the answer; without it something else than the API has answered.
            params: Of the query.

        Raises:
            ControlAwayError: nothing answers.
            ControlRefusedError: it said no.
        """
        return self._call("GET", path, has, params=params)

    def act(
        self,
        rollout: str,
        action: str,
        *,
        reason: str = "",
        expected_version: int | None = None,
        carts: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Ask for an action; returns the rollout. Sent again when no answer came, and done once.

        Raises:
            ControlAwayError: nothing answers; whether it was done is not known.
            ControlRefusedError: it said no.
        """
        asked = {
            "action": action,
            "reason": reason,
            "expected_version": expected_version,
            "carts": list(carts),
        }
        return self._call("POST", f"/v1/rollouts/{rollout}/actions", "stages", json=asked, headers=_key())

    def preview(self, plan: bytes) -> dict[str, Any]:
        """Ask what a plan in YAML would mean.

        Raises:
            ControlAwayError: nothing answers.
            ControlRefusedError: it is no plan.
        """
        headers = {"Content-Type": "text/yaml"}
        return self._call("POST", "/v1/rollouts/preview", "problems", data=plan, headers=headers)

    def create(self, plan: bytes, reason: str) -> dict[str, Any]:
        """Create a rollout from a plan in YAML; returns it.

        Raises:
            ControlAwayError: nothing answers; whether it was done is not known.
            ControlRefusedError: it said no.
        """
        headers: dict[str, str | bytes] = {**_key(), "Content-Type": "text/yaml", "X-Reason": reason.encode()}
        return self._call("POST", "/v1/rollouts", "stages", data=plan, headers=headers)

    def _call(self, method: str, path: str, has: str, **content: Any) -> dict[str, Any]:
        for pause_s in (*PAUSES_S, None):
            try:
                response = self._session.request(
                    method, self._url + path, timeout=TIMEOUT_S, allow_redirects=False, **content
                )
            except requests.RequestException as error:
                if pause_s is None or unreachable.for_good(error):
                    raise ControlAwayError(self._url, unreachable.why(error, self._url)) from error
            else:
                if response.status_code not in _AWAY:
                    return _answer(response, self._url, has)
                if pause_s is None:
                    raise ControlAwayError(self._url, _message(response))
            self._sleep(pause_s)
        raise AssertionError  # the last try returns or raises


def _key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def _answer(response: requests.Response, url: str, has: str) -> dict[str, Any]:
    body = _body(response)
    if response.ok and has in body:
        return body
    if response.ok or not _is_error(body):
        raise ControlAwayError(url, unreachable.something_else(response.status_code))
    raise ControlRefusedError(response.status_code, str(body["error"].get("code", "")), _message(response))


def _message(response: requests.Response) -> str:
    body = _body(response)
    if not _is_error(body):
        return f"status {response.status_code}"
    said = body["error"]
    if "action" in said and "why" in said:
        return f"{typed(str(said['action']))} is refused: {said['why']}"
    return str(said.get("message"))


def _body(response: requests.Response) -> dict[str, Any]:
    """Return the object that was answered; empty if it was none."""
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _is_error(body: Mapping[str, Any]) -> bool:
    return isinstance(body.get("error"), dict)
