"""The command `cartwright`. Each subcommand imports what it needs only when it is called."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

_USAGE = """\
usage: cartwright COMMAND [OPTIONS]

Watch and steer the perception models of a fleet of AI shopping carts.

commands:
{commands}

  cartwright COMMAND --help says more; cartwright --version says which version this is.

examples:
  cartwright up                                      a whole simulated fleet on this machine
  cartwright bigquery-emulator --data-dir data       only the embedded BigQuery endpoint
  cartwright ingest --help                           the service between broker and warehouse
"""


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand: what it is for, and who runs it."""

    name: str
    purpose: str
    load: Callable[[], Callable[[Sequence[str]], int | None]]


def _up() -> Callable[[Sequence[str]], int | None]:
    from demo.up.main import main  # noqa: PLC0415  # only when asked for

    return main


def _emulator() -> Callable[[Sequence[str]], int | None]:
    from queries.emulator.cli import main  # noqa: PLC0415

    return main


def _ingest() -> Callable[[Sequence[str]], int | None]:
    from fleet_control.cli import main  # noqa: PLC0415

    return main


def _schema() -> Callable[[Sequence[str]], int | None]:
    from demo.schema import main  # noqa: PLC0415

    return main


def _models() -> Callable[[Sequence[str]], int | None]:
    from fleet_control.registry.cli import main  # noqa: PLC0415

    return main


COMMANDS = (
    Command("up", "start everything on one machine: broker, warehouse, ingest, stores, dashboard", _up),
    Command("bigquery-emulator", "serve the embedded BigQuery endpoint alone", _emulator),
    Command("ingest", "move messages from an MQTT broker into a warehouse", _ingest),
    Command("models", "publish models to the repository that carts fetch from", _models),
    Command("schema", "create the warehouse's tables and views", _schema),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help(), end="")
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        print(f"cartwright {_version()}")
        return 0
    for command in COMMANDS:
        if command.name == arguments[0]:
            return command.load()(arguments[1:]) or 0
    names = ", ".join(command.name for command in COMMANDS)
    print(f"cartwright: there is no command {arguments[0]!r}; there are: {names}.", file=sys.stderr)
    return 2


def _help() -> str:
    lines = (f"  {command.name:<19} {command.purpose}" for command in COMMANDS)
    return _USAGE.format(commands="\n".join(lines))


def _version() -> str:
    try:
        return version("cartwright")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
