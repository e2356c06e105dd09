"""`token create`: of `cartwright control`, and of `cartwright rollouts`."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fleet_control.api.tokens import create_token
from fleet_control.errors import FleetControlError, TokenOutputError
from fleet_control.rollouts.states import Role

_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}
# Longer ones are never renewed, and so never revoked.
_MAX_EXPIRES_S = 366 * 86_400


def main(argv: Sequence[str]) -> int:
    """Run `cartwright control token ...`; returns the exit status."""
    cli = argparse.ArgumentParser(prog="cartwright control")
    add_token(cli.add_subparsers(required=True, metavar="COMMAND"))
    try:
        make_token(cli.parse_args(argv))
    except FleetControlError as error:
        sys.stderr.write(f"cartwright control: {error}\n")
        return 1
    return 0


def add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    token = commands.add_parser("token", help="make tokens for services and people")
    kinds = token.add_subparsers(dest="token_command", required=True, metavar="COMMAND")
    one = kinds.add_parser("create", help="make a token: into a file, or printed once")
    one.add_argument("name", help="of the service or person; it is the actor in the audit log")
    one.add_argument("--role", required=True, choices=[role.value for role in Role])
    one.add_argument("--tokens", type=Path, required=True, metavar="FILE", help="the service's tokens file")
    one.add_argument(
        "--out", type=Path, metavar="FILE", help="a new file that only its owner reads; default: print it"
    )
    one.add_argument("--expires", type=_expires, default="90d", metavar="90d", help="default: %(default)s")
    one.add_argument(
        "--acts-for-people", action="store_true", help="it may name whom it speaks for: for the dashboard"
    )


def make_token(options: argparse.Namespace) -> None:
    """Make a token.

    Raises:
        TokensFileError: the service's file cannot be written, or has a token of that name.
        TokenOutputError: the token's own file is there already, or cannot be written.
    """
    if options.out is None:
        sys.stdout.write(_made(options) + "\n")
        sys.stderr.write("This is the only time that it is shown; the file keeps its digest.\n")
        return
    # First the file: a token that could not be written down would stay in force, and be known to nobody.
    handle = _new(options.out)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(_made(options) + "\n")
    except BaseException as error:
        options.out.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise TokenOutputError(str(options.out), error.strerror or str(error)) from error
        raise
    sys.stderr.write(f"The token is in {options.out}, which only its owner may read.\n")


def _made(options: argparse.Namespace) -> str:
    until_s = time.time() + options.expires
    return create_token(
        options.tokens, options.name, Role(options.role), until_s, acts_for_people=options.acts_for_people
    )


def _new(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise TokenOutputError(str(path), "it is there already; name a new file") from error
    except OSError as error:
        raise TokenOutputError(str(path), error.strerror or str(error)) from error


def _expires(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    seconds = int(number) * _UNITS_S.get(unit, 0) if number.isascii() and number.isdigit() else 0
    if not 0 < seconds <= _MAX_EXPIRES_S:
        msg = f"{text!r} is no time such as 90d, 12h or 30m, at most 366d"
        raise argparse.ArgumentTypeError(msg)
    return float(seconds)
