"""The control API, as far as the demo needs it."""

import uuid
from typing import Any

import requests

from demo.errors import DemoError

# The API answers from its database: longer, and it hangs.
TIMEOUT_S = 15.0


class ControlRefusedError(DemoError):
    """The control API said no, or nothing."""


class ControlClient:
    """Speaks to one control API.

    Args:
        address: Its URL.
        token: Who we are.
    """

    def __init__(self, address: str, token: str) -> None:
        self._address = address.rstrip("/")
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: Any) -> Any:
        """Return an answer.

        Raises:
            ControlRefusedError: it said no, or nothing.
        """
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Any) -> Any:
        """Ask for something, once.

        Raises:
            ControlRefusedError: it said no, or nothing.
        """
        return self._call("POST", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def _call(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._session.request(method, self._address + path, timeout=TIMEOUT_S, **options)
            body = answer.json()
        except (requests.RequestException, ValueError) as error:
            why = type(error).__name__
            raise ControlRefusedError(
                f"the control API at {self._address} does not answer ({why})"
            ) from error
        if answer.status_code >= 400:
            raise ControlRefusedError(str(body.get("error", {}).get("message", answer.reason)))
        return body
