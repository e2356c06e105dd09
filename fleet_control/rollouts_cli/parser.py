"""The options of `cartwright rollouts`."""

import argparse
import re
from pathlib import Path

from fleet_control.rollouts.states import CartStatus, Role, RolloutStatus
from fleet_control.rollouts_cli.settings import DEFAULT_URL, TOKEN_ENV, TOKEN_FILE_ENV, URL_ENV

_EPILOG = f"""\
environment:
  {URL_ENV}             address of the control API (default: {DEFAULT_URL})
  {TOKEN_ENV}       token; never given on the command line, where every process can read it
  {TOKEN_FILE_ENV}  file that holds the token

exit status:
  0  done               1  refused: by the state, the role, or for what was asked
  2  wrong usage        3  the API does not answer: for a command, ask again to be sure
  4  not signed in      5  not confirmed, nothing was done
"""
_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
# Longer ones are never renewed, and so never revoked.
_MAX_EXPIRES_S = 366 * 86_400
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    cli = argparse.ArgumentParser(
        prog="cartwright rollouts",
        description="Create, watch and steer staged rollouts through the control API.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = cli.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_reading(commands)
    _add_acting(commands)
    _add_token(commands)
    return cli


def _command(commands: argparse._SubParsersAction, name: str, said: str) -> argparse.ArgumentParser:  # type: ignore[type-arg]
    one: argparse.ArgumentParser = commands.add_parser(name, help=said, description=said)
    one.add_argument("--control", metavar="URL", help="address of the control API")
    one.add_argument("--token-file", type=Path, metavar="FILE", help="file that holds the token")
    one.add_argument(
        "--plain-http", action="store_true", help="send the token to another machine unencrypted"
    )
    one.add_argument("--json", action="store_true", help="print the API's answer")
    return one


def _add_reading(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    one = _command(commands, "list", "List rollouts, the newest first.")
    one.add_argument("--status", action="append", choices=[status.value for status in RolloutStatus])
    one.add_argument("--limit", type=int, default=50)
    _on_rollout(commands, "show", "Show a rollout: stages, gates, and what you may do.")
    one = _on_rollout(commands, "carts", "List the carts of a rollout.")
    one.add_argument("--status", action="append", choices=[status.value for status in CartStatus])
    one.add_argument("--store")
    one.add_argument("--limit", type=int, default=100, help="at most so many (default: %(default)s)")
    _on_rollout(commands, "evidence", "Show what the gates know, and what they still need.")
    one = _on_rollout(commands, "log", "Show what happened to a rollout.")
    one.add_argument("--after", type=int, default=0, metavar="NUMBER", help="only entries after this one")
    one.add_argument("--limit", type=int, default=1_000, help="at most so many (default: %(default)s)")
    one = _command(commands, "audit", "Show who asked for what, the newest first.")
    one.add_argument("rollout", nargs="?", type=_rollout, metavar="ID")
    one.add_argument("--limit", type=int, default=50)
    one = _on_rollout(commands, "watch", "Follow a rollout until it ends; 0 if it completed.")
    one.add_argument(
        "--every-s", type=float, default=2.0, help="seconds between looks (default: %(default)s)"
    )


def _add_acting(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    one = _command(commands, "create", "Create a rollout from a plan in YAML. It does not start by itself.")
    one.add_argument("file", type=Path, metavar="FILE.yaml")
    one.add_argument("--dry-run", action="store_true", help="only say what the plan would mean")
    one.add_argument("--reason", default="")
    said = {
        "approve": "Approve a rollout, or a stage that waits for a person.",
        "start": "Start a rollout: the carts of its target are frozen.",
        "pause": "Pause: carts stop fetching and put nothing live.",
        "resume": "Go on; what was found until now is acknowledged.",
        "rollback": "Send all carts of a rollout back to the baseline.",
        "abort": "End a rollout for good.",
        "retry": "Give carts that failed another round of tries.",
        "promote": "End the stage that goes on without waiting for its gates.",
    }
    for name, text in said.items():
        one = _on_rollout(commands, name, text)
        one.add_argument("--reason", default="", help="why, for the log and for those who read it later")
        one.add_argument("--yes", action="store_true", help="do not ask")
        if name == "retry":
            one.add_argument("--cart", action="append", default=[], help="only this one; may be given again")
        if name == "abort":
            kept = one.add_mutually_exclusive_group(required=True)
            kept.add_argument("--keep", action="store_true", help="carts keep what they run")
            kept.add_argument("--revert", action="store_true", help="carts go back to the baseline")


def _add_token(commands: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    token = commands.add_parser("token", help="make tokens for services and people")
    kinds = token.add_subparsers(dest="token_command", required=True, metavar="COMMAND")
    one = kinds.add_parser("create", help="make a token, and print it once")
    one.add_argument("name", help="of the service or person; it is the actor in the audit log")
    one.add_argument("--role", required=True, choices=[role.value for role in Role])
    one.add_argument("--tokens", type=Path, required=True, metavar="FILE", help="the service's tokens file")
    one.add_argument("--expires", type=_expires, default="90d", metavar="90d", help="default: %(default)s")
    one.add_argument(
        "--acts-for-people", action="store_true", help="it may name whom it speaks for: for the dashboard"
    )


def _on_rollout(
    commands: argparse._SubParsersAction,  # type: ignore[type-arg]
    name: str,
    said: str,
) -> argparse.ArgumentParser:
    one = _command(commands, name, said)
    one.add_argument("rollout", type=_rollout, metavar="ID")
    return one


def _rollout(text: str) -> str:
    if not _ID.match(text):
        msg = f"{text!r} is no id of a rollout"
        raise argparse.ArgumentTypeError(msg)
    return text


def _expires(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    seconds = int(number) * _UNITS_S.get(unit, 0) if number.isascii() and number.isdigit() else 0
    if not 0 < seconds <= _MAX_EXPIRES_S:
        msg = f"{text!r} is no time such as 90d, 12h or 30m, at most 366d"
        raise argparse.ArgumentTypeError(msg)
    return float(seconds)
