"""`cartwright rollouts`: put together. `parser` has the exit status."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from fleet_control.api.tokens import create_token
from fleet_control.errors import (
    ControlAwayError,
    ControlRefusedError,
    ControlSettingError,
    FleetControlError,
    PlanError,
)
from fleet_control.rollouts.plan_text import MAX_PLAN_BYTES
from fleet_control.rollouts.states import Role
from fleet_control.rollouts_cli import texts
from fleet_control.rollouts_cli.acting import NotConfirmedError, Wish, carry_out
from fleet_control.rollouts_cli.client import ControlClient
from fleet_control.rollouts_cli.parser import parser
from fleet_control.rollouts_cli.settings import connection
from fleet_control.rollouts_cli.watching import follow

DONE, REFUSED, _USAGE, AWAY, NOT_SIGNED_IN, NOT_CONFIRMED = range(6)
_ACTIONS = {"rollback": "roll_back"}
# Most carts and entries that one page of the API has.
_PAGE = 1_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parser().parse_args(argv)
    try:
        return _run(options)
    except (NotConfirmedError, FleetControlError) as error:
        print(f"cartwright rollouts: {error}", file=sys.stderr)
        return _status(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read this has seen enough; the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _status(error: Exception) -> int:
    if isinstance(error, NotConfirmedError):
        return NOT_CONFIRMED
    if isinstance(error, ControlAwayError):
        return AWAY
    nobody = isinstance(error, ControlRefusedError) and error.status == 401
    return NOT_SIGNED_IN if nobody or isinstance(error, ControlSettingError) else REFUSED


def _run(options: argparse.Namespace) -> int:
    if options.command == "token":
        return _token(options)
    where = connection(
        os.environ, url=options.control, token_file=options.token_file, plain_http=options.plain_http
    )
    client = ControlClient(where)
    if options.command == "watch":
        return follow(client, options.rollout, options.every_s, say=_say, as_json=options.json)
    if options.command == "create":
        return _create(client, options)
    if options.command in _READ:
        answer, text = _READ[options.command](client, options)
    else:
        answer, text = _act(client, options)
    _say(json.dumps(answer, indent=2) if options.json else text)
    return DONE


def _token(options: argparse.Namespace) -> int:
    until_s = time.time() + options.expires
    token = create_token(
        options.tokens, options.name, Role(options.role), until_s, acts_for_people=options.acts_for_people
    )
    print(token)
    print("This is the only time that it is shown; the file keeps its digest.", file=sys.stderr)
    return DONE


def _create(client: ControlClient, options: argparse.Namespace) -> int:
    try:
        with options.file.open("rb") as file:
            plan = file.read(MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise PlanError(str(options.file), error.strerror or str(error)) from error
    if options.dry_run:
        answer = client.preview(plan)
        _say(json.dumps(answer, indent=2) if options.json else texts.preview(answer))
        return REFUSED if answer["problems"] else DONE
    answer = client.create(plan, options.reason)
    _say(json.dumps(answer, indent=2) if options.json else texts.rollout(answer))
    return DONE


def _act(client: ControlClient, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    action = _ACTIONS.get(options.command, options.command)
    if action == "abort":
        action = "abort_keep" if options.keep else "abort_revert"
    carts = tuple(getattr(options, "cart", ()))
    wish = Wish(options.rollout, action, options.reason, carts, options.yes)
    answer = carry_out(client, wish, say=_explain, ask=_ask)
    return answer, texts.rollout(answer)


def _carts(client: ControlClient, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    asked = {"status": options.status, "store": options.store}
    answer = _pages(client, f"/v1/rollouts/{options.rollout}/carts", "carts", asked, options.limit)
    return answer, texts.carts(answer) + _more(answer)


def _log(client: ControlClient, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    path = f"/v1/rollouts/{options.rollout}/log"
    answer = _pages(client, path, "entries", {"after": options.after}, options.limit)
    return answer, texts.log(answer) + _more(answer)


def _pages(client: ControlClient, path: str, name: str, asked: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return the first entries of a list that comes in pages."""
    found: list[Any] = []
    while True:
        page = client.get(path, {**asked, "limit": min(_PAGE, limit - len(found))})
        found += page[name]
        if page["next"] is None or len(found) >= limit:
            return {name: found, "next": page["next"]}
        asked = {**asked, "after": page["next"]}


def _more(answer: dict[str, Any]) -> str:
    return "" if answer["next"] is None else "\nThere are more: --limit."


def _list(client: ControlClient, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    answer = client.get("/v1/rollouts", {"status": options.status, "limit": options.limit})
    return answer, texts.rollouts(answer)


def _show(client: ControlClient, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    answer = client.get(f"/v1/rollouts/{options.rollout}")
    return answer, texts.rollout(answer)


def _evidence(client: ControlClient, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    answer = client.get(f"/v1/rollouts/{options.rollout}/evidence")
    return answer, texts.evidence(answer)


def _audit(client: ControlClient, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    answer = client.get("/v1/audit", {"rollout": options.rollout, "limit": options.limit})
    return answer, texts.audit(answer)


_READ: dict[str, Callable[[ControlClient, argparse.Namespace], tuple[dict[str, Any], str]]] = {
    "list": _list,
    "show": _show,
    "carts": _carts,
    "evidence": _evidence,
    "log": _log,
    "audit": _audit,
}


def _say(text: str) -> None:
    print(text, flush=True)


def _explain(text: str) -> None:
    # Beside the answer: what is piped stays the answer alone.
    print(text, file=sys.stderr, flush=True)


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise NotConfirmedError("nobody is there to ask: say --yes, and --reason where one is needed")
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


if __name__ == "__main__":
    sys.exit(main())
