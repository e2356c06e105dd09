"""A small real HTTP server that answers as the control API does, and remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROLLOUT: dict[str, Any] = {
    "id": "autumn",
    "title": "Autumn shelves",
    "status": "paused",
    "why": "accuracy",
    "automatic": True,
    "model": "e70b52d4c91f3a88",
    "baseline": "5d0c1e7a94b2f630",
    "version": 41,
    "created_at": "2026-03-10T14:00:00Z",
    "created_by": "maria@example.org",
    "changed_at": "2026-03-10T15:26:00.250Z",
    "current_stage": 0,
    "pool": 216,
    "plan": {"rollout": "autumn", "gates": [{"metric": "accuracy", "margin": 0.01}]},
    "stages": [
        {
            "index": 0, "name": "canary", "status": "failed", "why": "gate accuracy", "planned": "10 %",
            "began_at": "2026-03-10T14:08:00Z", "baking_at": None, "ended_at": None, "bake_s": 7200.0,
            "counts": {"waiting": 0, "done": 19, "unreachable": 2}, "counted": 22, "of_a_later_version": [1],
        }
    ],
    "verdicts": [{"gate": "accuracy", "verdict": "fail", "stage": 0, "at": "2026-03-10T15:26:00Z"}],
    "choices": [
        {"action": "resume", "allowed": True, "why_not": "", "consequences": ["2 carts go on."]},
        {"action": "pause", "allowed": False, "why_not": "it is paused, not running", "consequences": []},
    ],
    "of_a_later_version": {"what": "ever"},
}  # fmt: skip
SUMMARY = {key: value for key, value in ROLLOUT.items() if key != "choices"}
ANSWERS: dict[str, Any] = {
    "GET /v1/me": {"name": "dashboard", "role": "on_call"},
    "GET /v1/rollouts": {"rollouts": [SUMMARY]},
    "GET /v1/rollouts/autumn": ROLLOUT,
    "GET /v1/rollouts/autumn/carts": {
        "carts": [
            {
                "store": "s001", "cart": "c1", "hardware": "orin", "status": "done", "stage": 0, "attempt": 1,
                "device": "COMMITTED", "why": "", "running": "e70b52d4c91f3a88", "told_at": None,
                "changed_at": "2026-03-10T15:00:00Z", "pair": None,
            }
        ],
        "next": "c1",
    },
    "GET /v1/rollouts/autumn/evidence": {
        "gates": [
            {
                "gate": "accuracy", "mode": "enforce", "verdict": "fail", "alpha": 0.0167, "e_value": 71.0,
                "threshold": 60.0, "interval": [-0.11, -0.07], "canary": [87, 100], "control": [970, 1000],
                "needed": None, "pairs": None, "watermark_at": "2026-03-10T15:25:00Z", "note": "",
                "query": "rollout_outcomes", "history": [["2026-03-10T15:00:00Z", 1.0]],
            }
        ]
    },
    "GET /v1/rollouts/autumn/log": {
        "entries": [
            {
                "number": 41, "at": "2026-03-10T15:26:00Z", "kind": "paused", "actor": "controller",
                "reason": "accuracy", "text": "A gate paused it: accuracy", "stage": None, "cart": None,
                "gate": None, "verdict": None, "numbers": {},
            }
        ],
        "next": None,
    },
    "GET /v1/audit": {
        "commands": [
            {
                "key": "k", "at": "2026-03-10T14:00:00Z", "actor": "maria@example.org",
                "role": "rollout_owner",
                "action": "create", "rollout": "autumn", "reason": "", "outcome": "done",
            }
        ]
    },
    "GET /v1/carts": {
        "carts": [
            {
                "store": "s001", "cart": "c1", "online": True, "hardware": "orin",
                "labels": {"aisle": "wide"},
                "model": None, "since": "2026-03-10T10:00:00Z", "simulated": True,
            }
        ]
    },
    "GET /v1/models": {
        "models": [
            {
                "digest": "e70b52d4c91f3a88", "name": "shelf", "version": "3", "manifest": "ab",
                "size_bytes": 8, "published_at": "2026-03-09T10:00:00Z",
            }
        ]
    },
    "POST /v1/rollouts/preview": {
        "carts": 24, "offline": 1, "already": 0, "problems": [], "warnings": ["offline now: c9"],
        "stages": [{"name": "all", "carts": 24, "by_store": {"s001": 24}, "by_hardware": {}, "pairs": 0}],
    },
    "POST /v1/rollouts": ROLLOUT,
    "POST /v1/rollouts/autumn/actions": {**ROLLOUT, "status": "running", "version": 42},
}  # fmt: skip


@dataclass
class Request:
    """What arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any


@dataclass
class ControlServer:
    """The server.

    Attributes:
        url: Where it is.
        requests: What it was asked.
        says: Status and body instead of the usual ones; bytes are sent as they are.
        hold: Set to let answers go; they wait for it while it is not set.
        location: Where it points to instead of answering.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    says: tuple[int, Any] | None = None
    hold: threading.Event = field(default_factory=threading.Event)
    location: str = ""

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        """Return status and body."""
        usual = ANSWERS.get(f"{method} {path}")
        status, body = self.says or (201 if path == "/v1/rollouts" and method == "POST" else 200, usual)
        if self.says is None and usual is None:
            status, body = 404, {"error": {"code": "unknown_rollout", "message": "there is no rollout 'x'"}}
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()


@contextmanager
def control_server() -> Iterator[ControlServer]:
    """Serve until the end of the block."""
    state = ControlServer()
    state.hold.set()

    class _Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            state.requests.append(Request(self.command, path, query, dict(self.headers), body))
            state.hold.wait(10)
            status, answer = state.answer(self.command, path)
            self.send_response(307 if state.location else status)
            if state.location:
                self.send_header("Location", state.location)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = _serve  # noqa: N815  # names of the standard library

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
