"""`cartwright rollouts`: put together. `parser` has the exit status."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from fleet_control.errors import (
    ControlAddressError,
    ControlAwayError,
    ControlRefusedError,
    ControlSettingError,
    FleetControlError,
    PlanError,
)
from fleet_control.rollouts.plan_text import MAX_PLAN_BYTES
from fleet_control.rollouts_cli import inventory, texts
from fleet_control.rollouts_cli.acting import NotConfirmedError, Wish, carry_out
from fleet_control.rollouts_cli.client import ControlClient
from fleet_control.rollouts_cli.parser import parser
from fleet_control.rollouts_cli.reading import READ
from fleet_control.rollouts_cli.settings import connection
from fleet_control.rollouts_cli.tables import WIDTH
from fleet_control.rollouts_cli.token_command import make_token
from fleet_control.rollouts_cli.watching import follow

DONE, REFUSED, USAGE, AWAY, NOT_SIGNED_IN, NOT_CONFIRMED = range(6)
_ACTIONS = {"rollback": "roll_back"}


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
    if isinstance(error, ControlAddressError):
        return USAGE
    nobody = isinstance(error, ControlRefusedError) and error.status == 401
    return NOT_SIGNED_IN if nobody or isinstance(error, ControlSettingError) else REFUSED


def _run(options: argparse.Namespace) -> int:
    if options.command == "token":
        make_token(options)
        return DONE
    where = connection(
        os.environ,
        url=options.control,
        token_file=options.token_file,
        plain_http=options.plain_http,
        warn=_explain,
    )
    client = ControlClient(where)
    if options.command == "watch":
        return follow(client, options.rollout, options.every_s, say=_say, as_json=options.json)
    if options.command == "create":
        return _create(client, options)
    if options.command in READ:
        answer, text = READ[options.command](client, options, _width())
    else:
        answer, text = _act(client, options)
    _say(json.dumps(answer, indent=2) if options.json else text)
    return DONE


def _create(client: ControlClient, options: argparse.Namespace) -> int:
    try:
        with options.file.open("rb") as file:
            plan = file.read(MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise PlanError(str(options.file), error.strerror or str(error)) from error
    try:
        answer = client.preview(plan) if options.dry_run else client.create(plan, options.reason)
    except ControlRefusedError as error:
        hints = inventory.hints(str(error)) if error.code == "plan" else []
        raise ControlRefusedError(error.status, error.code, "\n".join([str(error), *hints])) from error
    text = (texts.preview if options.dry_run else texts.rollout)(answer, _width())
    _say(json.dumps(answer, indent=2) if options.json else text)
    return REFUSED if options.dry_run and answer["problems"] else DONE


def _act(client: ControlClient, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    action = _ACTIONS.get(options.command, options.command)
    if action == "abort":
        action = "abort_keep" if options.keep else "abort_revert"
    carts = tuple(getattr(options, "cart", ()))
    wish = Wish(options.rollout, action, options.reason, carts, options.yes)
    answer = carry_out(client, wish, say=_explain, ask=_ask)
    return answer, texts.rollout(answer, _width())


def _width() -> int | None:
    """Return how wide tables may be: whoever reads a pipe can scroll, and searches for what would be cut."""
    if not sys.stdout.isatty():
        return None
    return max(WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns)


def _say(text: str) -> None:
    print(text, flush=True)


def _explain(text: str) -> None:
    # Beside the answer: what is piped stays the answer alone.
    print(text, file=sys.stderr, flush=True)


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise NotConfirmedError("nobody is there to ask: say --yes, and --reason where one is needed")
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise NotConfirmedError("nothing was done")
    return answer


if __name__ == "__main__":
    sys.exit(main())
