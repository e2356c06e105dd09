"""`cartwright ingest`: from MQTT into the warehouse."""

import argparse
import os
import sys
from collections.abc import Sequence

import structlog

from fleet_control.errors import AddressError, BrokerUnreachableError
from fleet_control.ingest.addresses import parse_broker
from fleet_control.ingest.service import IngestService, IngestSettings
from fleet_control.stop_signals import on_stop_signal
from queries.errors import QueriesError

BROKER_ENV = "CARTWRIGHT_BROKER"
PASSWORD_ENV = "CARTWRIGHT_BROKER_PASSWORD"  # noqa: S105  # the variable's name
WAREHOUSE_ENV = "CARTWRIGHT_WAREHOUSE"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    log_to_stderr()
    try:
        service = IngestService(_settings(options))
    except (AddressError, QueriesError) as error:
        return _fail(str(error))
    except OSError as error:
        address = f"{options.http_host}:{options.http_port}"
        return _fail(f"cannot listen on {address}: {error.strerror or error}; choose another --http-port")
    on_stop_signal(service.request_stop)
    try:
        return 0 if service.run(lambda address: print(f"READY {address}", flush=True)) else 1
    except (BrokerUnreachableError, QueriesError) as error:
        return _fail(str(error))


def _settings(options: argparse.Namespace) -> IngestSettings:
    return IngestSettings(
        broker=parse_broker(options.broker, os.environ.get(PASSWORD_ENV)),
        warehouse=options.warehouse,
        client_id=options.client_id,
        http_host=options.http_host,
        http_port=options.http_port,
        rollup_interval_s=None if options.no_rollups else options.rollup_interval_s,
        stop_timeout_s=options.stop_timeout_s,
        fail_fast=options.fail_fast,
    )


def _parser() -> argparse.ArgumentParser:
    env = os.environ
    parser = argparse.ArgumentParser(
        prog="cartwright ingest",
        description="Take the messages of all carts from an MQTT broker into the warehouse, each once.",
        epilog=f"{BROKER_ENV} and {WAREHOUSE_ENV} stand in for the options; {PASSWORD_ENV} keeps the "
        "broker's password out of the process list.",
    )
    parser.add_argument(
        "--broker",
        default=env.get(BROKER_ENV),
        required=BROKER_ENV not in env,
        help="mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS",
    )
    parser.add_argument(
        "--warehouse",
        default=env.get(WAREHOUSE_ENV),
        required=WAREHOUSE_ENV not in env,
        help="PROJECT.DATASET, or emulator://HOST:PORT/PROJECT.DATASET",
    )
    parser.add_argument(
        "--client-id",
        default="cartwright-ingest",
        help="names the session on the broker; one process per name (default: %(default)s)",
    )
    parser.add_argument("--http-host", default="127.0.0.1", help="address of the status port")
    parser.add_argument(
        "--http-port", type=int, default=9102, help="/metrics, /live and /ready; 0 picks a free port"
    )
    parser.add_argument(
        "--rollup-interval-s", type=float, default=60.0, help="seconds between rollups (default: %(default)s)"
    )
    parser.add_argument("--no-rollups", action="store_true", help="leave the rollups to another process")
    parser.add_argument("--stop-timeout-s", type=float, default=10.0, help="how long a clean stop may drain")
    parser.add_argument(
        "--fail-fast",
        action="store_true",
        help="end with an error instead of trying on when something is away",
    )
    return parser


def log_to_stderr() -> None:
    """Make this process log key=value lines to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _fail(sentence: str) -> int:
    print(f"cartwright ingest: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
