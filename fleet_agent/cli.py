"""`cartwright-agent`: run one cart, or check what its configuration names."""

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from fleet_agent.activation.recording import record
from fleet_agent.check import check
from fleet_agent.config import load_config
from fleet_agent.errors import AgentError
from fleet_agent.launch import Cart
from fleet_agent.logs import log_to_stderr
from fleet_agent.model_check import check_model
from fleet_agent.ports import SystemClock
from fleet_agent.stop_signals import on_stop_signal
from fleet_agent.updates.repository import open_repository

# How long a clean stop may take; systemd waits a little longer than this before it kills.
STOP_TIMEOUT_S = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = _parser().parse_args(argv)
    log_to_stderr()
    try:
        return int(arguments.command(arguments))
    except AgentError as error:
        print(f"cartwright-agent: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cartwright-agent", description="One cart of a Cartwright fleet.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("run", run, "run the cart until SIGTERM or Ctrl-C"),
        ("check", check_all, "open cameras, scale, broker and model, and report each"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--config", type=Path, required=True, metavar="FILE", help="the cart's TOML file")
        sub.set_defaults(command=command)
    _add_model(commands)
    return parser


def _add_model(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    model = commands.add_parser("model", help="what to do with networks", description="Work with networks.")
    parsers = model.add_subparsers(required=True, metavar="COMMAND")
    text = "say whether a network of your own will work on a cart, and why not"
    sub = parsers.add_parser("check", help=text, description=text)
    sub.add_argument("file", type=Path, metavar="FILE.onnx", help="the network")
    sub.add_argument(
        "--manifest", type=Path, required=True, metavar="FILE", help="manifest.json, or the folder it is in"
    )
    sub.set_defaults(command=check_network)
    text = "write into manifest.json what the network sees in the pictures of the folder golden"
    sub = parsers.add_parser("record", help=text, description=text)
    sub.add_argument("directory", type=Path, metavar="DIR", help="the model's folder")
    sub.set_defaults(command=record_golden)


def run(arguments: argparse.Namespace) -> int:
    """Run one cart until it is told to stop."""
    config = load_config(arguments.config)
    stop = threading.Event()
    on_stop_signal(stop.set)
    cart = Cart(config, open_repository=open_repository)
    cart.start()
    print(f"READY {config.cart}", flush=True)
    stop.wait()
    cart.stop(STOP_TIMEOUT_S)
    return 0


def check_all(arguments: argparse.Namespace) -> int:
    """Report each part; 1 if any failed."""
    config = load_config(arguments.config)
    failed = False
    for finding in check(config, SystemClock()):
        print(finding, flush=True)
        failed = failed or not finding.ok
    return 1 if failed else 0


def check_network(arguments: argparse.Namespace) -> int:
    """Report on a network; 1 if a cart cannot run it."""
    failed = False
    for finding in check_model(arguments.file, arguments.manifest):
        print(finding, flush=True)
        failed = failed or finding.verdict == "FAIL"
    return 1 if failed else 0


def record_golden(arguments: argparse.Namespace) -> int:
    """Record golden frames, and say what was seen in each."""
    for frame in record(arguments.directory):
        print(f"{frame.file}: {len(frame.expected)} seen")
    return 0


if __name__ == "__main__":
    sys.exit(main())
