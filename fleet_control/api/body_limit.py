"""Bodies are read before anybody works: never more than a plan has, never longer than a while."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from fleet_control.api.failures import Failure
from fleet_control.rollouts.plan_text import MAX_PLAN_BYTES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# Whoever sends a body more slowly holds a connection for nothing.
BODY_TIMEOUT_S = 15.0


class BodyLimit:
    """Wraps an app.

    Args:
        app: Gets bodies that are whole.
        timeout_s: How long a body may take.
    """

    def __init__(self, app: App, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(_whole(receive), self._timeout_s)
        except TimeoutError:
            failure = Failure(408, "timeout", f"the body took longer than {self._timeout_s:g} s")
            await _say(failure, scope, receive, send)
            return
        if body is None:
            failure = Failure(413, "too_large", f"a body has at most {MAX_PLAN_BYTES:,} bytes")
            await _say(failure, scope, receive, send)
            return
        read = False

        async def again() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)


async def _whole(receive: Receive) -> bytes | None:
    """Return the body; None: it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        size += len(message.get("body", b""))
        if size > MAX_PLAN_BYTES:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _say(failure: Failure, scope: Message, receive: Receive, send: Send) -> None:
    # The rest of the body is not read, so nothing may follow on this connection.
    response = JSONResponse(failure.body(), failure.status, {"Connection": "close"})
    await response(scope, receive, send)
