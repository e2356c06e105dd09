"""Commands that only look: each asks the API, and returns the answer with its text."""

import argparse
from collections.abc import Callable
from typing import Any

from fleet_control.rollouts_cli import inventory, texts
from fleet_control.rollouts_cli.client import ControlClient

Answer = dict[str, Any]
Reading = Callable[[ControlClient, argparse.Namespace, int | None], tuple[Answer, str]]
# Most carts and entries that one page of the API has; a page of the fleet has more.
_PAGE = 1_000
_FLEET_PAGE = 100_000


def _list(client: ControlClient, options: argparse.Namespace, width: int | None) -> tuple[Answer, str]:
    asked = {"status": options.status, "limit": options.limit}
    answer = client.get("/v1/rollouts", "rollouts", asked)
    return answer, texts.rollouts(answer, width)


def _show(client: ControlClient, options: argparse.Namespace, width: int | None) -> tuple[Answer, str]:
    answer = client.get(f"/v1/rollouts/{options.rollout}", "stages")
    return answer, texts.rollout(answer, width)


def _carts(client: ControlClient, options: argparse.Namespace, width: int | None) -> tuple[Answer, str]:
    asked = {"status": options.status, "store": options.store}
    answer = _pages(client, f"/v1/rollouts/{options.rollout}/carts", "carts", asked, options.limit)
    return answer, texts.carts(answer, width) + _more(answer)


def _evidence(client: ControlClient, options: argparse.Namespace, width: int | None) -> tuple[Answer, str]:
    answer = client.get(f"/v1/rollouts/{options.rollout}/evidence", "gates")
    return answer, texts.evidence(answer, width)


def _log(client: ControlClient, options: argparse.Namespace, _: int | None) -> tuple[Answer, str]:
    after, limit = options.after, options.limit
    if options.last:
        # Entries are numbered without gaps, and the newest one is the version.
        version = client.get(f"/v1/rollouts/{options.rollout}", "version")["version"]
        after, limit = max(0, version - options.last), options.last
    answer = _pages(client, f"/v1/rollouts/{options.rollout}/log", "entries", {"after": after}, limit)
    return answer, texts.log(answer) + ("" if options.last else _more(answer))


def _pages(client: ControlClient, path: str, name: str, asked: Answer, limit: int) -> Answer:
    """Return the first entries of a list that comes in pages."""
    found: list[Any] = []
    while True:
        page = client.get(path, name, {**asked, "limit": min(_PAGE, limit - len(found))})
        found += page[name]
        if page["next"] is None or len(found) >= limit:
            return {name: found, "next": page["next"]}
        asked = {**asked, "after": page["next"]}


def _more(answer: Answer) -> str:
    return "" if answer["next"] is None else "\nThere are more: --limit."


def _audit(client: ControlClient, options: argparse.Namespace, width: int | None) -> tuple[Answer, str]:
    asked = {"rollout": options.rollout, "limit": options.limit}
    answer = client.get("/v1/audit", "commands", asked)
    return answer, texts.audit(answer, width)


def _models(client: ControlClient, _: argparse.Namespace, width: int | None) -> tuple[Answer, str]:
    answer = client.get("/v1/models", "models")
    return answer, inventory.models(answer, width)


def _fleet(client: ControlClient, _: argparse.Namespace, width: int | None) -> tuple[Answer, str]:
    answer = client.get("/v1/carts", "carts", {"limit": _FLEET_PAGE})
    while answer["next"] is not None:
        page = client.get("/v1/carts", "carts", {"limit": _FLEET_PAGE, "after": answer["next"]})
        answer = {"carts": answer["carts"] + page["carts"], "next": page["next"]}
    return answer, inventory.fleet(answer, width)


READ: dict[str, Reading] = {
    "list": _list,
    "show": _show,
    "carts": _carts,
    "evidence": _evidence,
    "log": _log,
    "audit": _audit,
    "models": _models,
    "fleet": _fleet,
}
