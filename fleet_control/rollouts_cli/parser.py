"""The options of `cartwright rollouts`."""

import argparse
import re
from pathlib import Path

from fleet_control.rollouts.states import CartStatus, RolloutStatus
from fleet_control.rollouts_cli import legend
from fleet_control.rollouts_cli.settings import DEFAULT_URL, TOKEN_ENV, TOKEN_FILE_ENV, URL_ENV
from fleet_control.rollouts_cli.token_command import add_token

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
    add_token(commands)
    return cli


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    said: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = commands.add_parser(
        name,
        help=said,
        description=said,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("--control", metavar="URL", help="address of the control API")
    one.add_argument("--token-file", type=Path, metavar="FILE", help="file that holds the token")
    one.add_argument(
        "--plain-http", action="store_true", help="send the token to another machine unencrypted"
    )
    one.add_argument("--json", action="store_true", help="print the API's answer")
    return one


def _add_reading(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    one = _command(
        commands, "list", "List rollouts, the newest first.", legend.legend(STATUS=legend.ROLLOUTS)
    )
    one.add_argument("--status", action="append", choices=[status.value for status in RolloutStatus])
    one.add_argument("--limit", type=int, default=50)
    words = legend.legend(rollouts=legend.ROLLOUTS, stages=legend.STAGES, columns_count_carts=legend.COLUMNS)
    _on_rollout(commands, "show", "Show a rollout: stages, gates, and what you may do.", words)
    words = legend.legend(STATUS=legend.CARTS, SAYS=legend.DEVICES)
    one = _on_rollout(commands, "carts", "List the carts of a rollout.", words)
    one.add_argument("--status", action="append", choices=[status.value for status in CartStatus])
    one.add_argument("--store")
    one.add_argument("--limit", type=int, default=100, help="at most so many (default: %(default)s)")
    _on_rollout(commands, "evidence", "Show what the gates know, and what they still need.")
    one = _on_rollout(commands, "log", "Show what happened to a rollout.")
    where = one.add_mutually_exclusive_group()
    where.add_argument("--after", type=int, default=0, metavar="NUMBER", help="only entries after this one")
    where.add_argument("--last", type=_count, metavar="N", help="only the newest N entries")
    one.add_argument("--limit", type=int, default=1_000, help="at most so many (default: %(default)s)")
    one = _command(commands, "audit", "Show who asked for what, the newest first.")
    one.add_argument("rollout", nargs="?", type=_rollout, metavar="ID")
    one.add_argument("--limit", type=int, default=50)
    _command(commands, "models", "List the models that a plan can name, the newest first.")
    _command(commands, "fleet", "List the carts that a plan's target can choose: stores, hardware, labels.")
    one = _on_rollout(commands, "watch", "Follow a rollout until it ends; 0 if it completed.")
    one.add_argument(
        "--every-s", type=float, default=2.0, help="seconds between looks (default: %(default)s)"
    )


def _add_acting(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _on_rollout(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    said: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    one = _command(commands, name, said, epilog)
    one.add_argument("rollout", type=_rollout, metavar="ID")
    return one


def _rollout(text: str) -> str:
    if not _ID.match(text):
        msg = f"{text!r} is no id of a rollout"
        raise argparse.ArgumentTypeError(msg)
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        msg = f"{text!r} is no number of entries"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
