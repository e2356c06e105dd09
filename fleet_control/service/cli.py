"""`cartwright control`: drive rollouts, and serve the API that people use."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fleet_control.api.server import ApiSettings
from fleet_control.cli import BROKER_ENV, PASSWORD_ENV, WAREHOUSE_ENV, log_to_stderr
from fleet_control.errors import FleetControlError
from fleet_control.ingest.addresses import parse_broker
from fleet_control.rollouts.controller import Rhythm
from fleet_control.rollouts.gating.blocks import Timing
from fleet_control.rollouts_cli import token_command
from fleet_control.service.service import ControlService, ControlSettings
from fleet_control.stop_signals import on_stop_signal
from queries.errors import QueriesError

DATABASE_ENV = "CARTWRIGHT_CONTROL_DATABASE"
WEBHOOK_SECRET_ENV = "CARTWRIGHT_WEBHOOK_SECRET"  # noqa: S105  # the variable's name


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["token"]:
        return token_command.main(arguments)
    options = _parser().parse_args(arguments)
    log_to_stderr()
    try:
        service = ControlService(_settings(options))
    except (FleetControlError, QueriesError) as error:
        print(f"cartwright control: {error}", file=sys.stderr)
        return 1
    on_stop_signal(service.request_stop)
    return 0 if service.run(lambda url: print(f"READY {url}", flush=True)) else 1


def _settings(options: argparse.Namespace) -> ControlSettings:
    return ControlSettings(
        database=options.database,
        broker=parse_broker(options.broker, os.environ.get(PASSWORD_ENV)),
        warehouse=options.warehouse,
        repository=options.repository,
        root=options.root,
        pins=options.pins,
        api=ApiSettings(
            tokens=options.tokens,
            host=options.http_host,
            port=options.http_port,
            tls_certificate=options.tls_certificate,
            tls_key=options.tls_key,
        ),
        webhook=options.webhook,
        webhook_secret=os.environ.get(WEBHOOK_SECRET_ENV, ""),
        timing=Timing(
            block_s=options.block_s,
            label_lag_s=options.label_lag_s,
            arrival_s=options.arrival_s,
            patience_s=options.patience_s,
        ),
        rhythm=Rhythm(observe_s=options.observe_s),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cartwright control",
        description="Drive staged rollouts, and serve the control API.",
        epilog=f"{BROKER_ENV}, {WAREHOUSE_ENV} and {DATABASE_ENV} stand in for the options; {PASSWORD_ENV} "
        f"and {WEBHOOK_SECRET_ENV} keep secrets out of the process list. Several of these processes may run "
        "on one PostgreSQL: one drives, all serve. `cartwright control token create` makes tokens.",
    )
    _connections(parser)
    _pins(parser)
    _serving(parser)
    timing = Timing()
    group = parser.add_argument_group("evidence, in seconds")
    for option, kind, default, text in (
        ("--block-s", int, timing.block_s, "length of a block"),
        ("--label-lag-s", int, timing.label_lag_s, "an outcome is fixed so long after its event"),
        ("--arrival-s", int, timing.arrival_s, "rows may take so long to arrive after that"),
        ("--patience-s", float, timing.patience_s, "nothing to count for so long is no data"),
        ("--observe-s", float, Rhythm().observe_s, "between two looks at the warehouse"),
    ):
        group.add_argument(option, type=kind, default=default, help=f"{text} (default: %(default)s)")
    return parser


def _connections(parser: argparse.ArgumentParser) -> None:
    env = os.environ
    for option, variable, text in (
        ("--broker", BROKER_ENV, "mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS"),
        ("--warehouse", WAREHOUSE_ENV, "PROJECT.DATASET, or emulator://HOST:PORT/PROJECT.DATASET"),
        ("--database", DATABASE_ENV, "sqlite:///FILE, or postgresql://USER@HOST/NAME"),
    ):
        parser.add_argument(option, default=env.get(variable), required=variable not in env, help=text)
    parser.add_argument(
        "--repository", required=True, metavar="URL", help="model repository: http(s) address or folder"
    )
    parser.add_argument(
        "--root", required=True, type=Path, metavar="FILE", help="its trusted root metadata (1.root.json)"
    )


def _pins(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pins",
        type=Path,
        metavar="DIR",
        help="the repository's folder, if it is on this machine: models that carts may need are pinned",
    )


def _serving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tokens", required=True, type=Path, metavar="FILE", help="see `cartwright control token create`"
    )
    parser.add_argument("--http-host", default="127.0.0.1", help="address of the API")
    parser.add_argument("--http-port", type=int, default=9103, help="port of the API; 0 picks a free one")
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="serve with TLS")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="key of the certificate")
    parser.add_argument("--webhook", metavar="URL", help="where every verdict and action is posted")


if __name__ == "__main__":
    sys.exit(main())
