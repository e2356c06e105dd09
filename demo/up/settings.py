"""What `cartwright up` was asked to do, checked."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from demo.broker_address import split_password
from demo.errors import SettingsError
from demo.up.broker import KINDS
from demo.up.ports import OPTIONS, TITLES, Ports
from demo.world.places import MAX_CARTS_PER_STORE, MAX_STORES
from demo.world.record import DEFAULTS, Wishes
from demo.world.settings import MAX_HISTORY_DAYS

DEFAULT_DATA_DIR = Path("demo-data")

_EPILOG = """\
examples:
  cartwright up                                     everything, on the ports below
  cartwright up --stores 2 --carts-per-store 3      a smaller fleet
  cartwright up --headless --for 60                 no dashboard, stop after a minute
  cartwright up --port-base 20000                   dashboard on 20000, the others follow
  cartwright up --broker mqtts://me:secret@broker.example:8883 --warehouse my-project.cartwright

A second start with the same --data-dir continues on the same data.
"""


@dataclass(frozen=True, slots=True)
class UpSettings:
    """One `cartwright up`.

    Attributes:
        data_dir: Where everything is kept.
        wishes: Seed and shape of the world.
        ports: Of the embedded components.
        headless: No dashboard.
        run_for_s: Stop by itself after this long; None runs until Ctrl-C.
        broker: Address of somebody else's broker, without password; None for the embedded one.
        broker_password: Of that broker.
        broker_kind: Which embedded broker: auto, mosquitto, amqtt.
        warehouse: PROJECT.DATASET of real BigQuery; None for the embedded endpoint.
    """

    data_dir: Path
    wishes: Wishes
    ports: Ports
    headless: bool
    run_for_s: float | None
    broker: str | None
    broker_password: str | None
    broker_kind: str
    warehouse: str | None


def parser() -> argparse.ArgumentParser:
    """Return the command line of `cartwright up`."""
    cli = argparse.ArgumentParser(
        prog="cartwright up",
        description="Start broker, warehouse, ingest, simulated stores and dashboard on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _world_options(cli.add_argument_group("the simulated world"))
    _run_options(cli.add_argument_group("this run"))
    _port_options(cli.add_argument_group("ports on this machine (0 picks a free one)"))
    return cli


def _world_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--stores", type=int, metavar="N", help=f"1 to {MAX_STORES} ({DEFAULTS.stores})")
    group.add_argument(
        "--carts-per-store",
        type=int,
        metavar="M",
        help=f"1 to {MAX_CARTS_PER_STORE} ({DEFAULTS.carts_per_store})",
    )
    group.add_argument("--seed", type=int, metavar="S", help=f"of every random draw ({DEFAULTS.seed})")
    group.add_argument(
        "--history-days",
        type=int,
        metavar="DAYS",
        help=f"past to write at the first start, 0 to {MAX_HISTORY_DAYS} ({DEFAULTS.history_days})",
    )


def _run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        default=DEFAULT_DATA_DIR,
        help=f"where everything is kept (./{DEFAULT_DATA_DIR})",
    )
    group.add_argument(
        "--for", dest="run_for_s", type=float, metavar="SECONDS", help="stop by itself, once up"
    )
    group.add_argument("--headless", action="store_true", help="no dashboard")
    group.add_argument("--broker", metavar="URL", help="use this broker: mqtt://HOST:PORT or mqtts://…")
    group.add_argument("--broker-kind", choices=KINDS, default="auto", help="which embedded broker")
    group.add_argument(
        "--warehouse", metavar="PROJECT.DATASET", help="use real BigQuery, with your own credentials"
    )


def _port_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--port-base", type=int, metavar="PORT", help="the first of seven in a row")
    defaults = Ports()
    for name, option in OPTIONS.items():
        group.add_argument(
            option,
            dest=f"{name}_port",
            type=int,
            metavar="PORT",
            help=f"{TITLES[name]} ({getattr(defaults, name)})",
        )


def read_settings(argv: Sequence[str]) -> UpSettings:
    """Read the command line.

    Raises:
        SettingsError: an option makes no sense.
    """
    options = parser().parse_args(argv)
    address, password = split_password(options.broker) if options.broker else (None, None)
    if options.run_for_s is not None and options.run_for_s <= 0:
        raise SettingsError(f"--for is a number of seconds above 0, not {options.run_for_s:g}.")
    if options.warehouse is not None and options.warehouse.count(".") != 1:
        raise SettingsError(f"--warehouse is PROJECT.DATASET, not {options.warehouse!r}.")
    return UpSettings(
        data_dir=options.data_dir,
        wishes=Wishes(
            seed=options.seed,
            stores=options.stores,
            carts_per_store=options.carts_per_store,
            history_days=options.history_days,
            warehouse=options.warehouse,
        ),
        ports=_ports(options),
        headless=options.headless,
        run_for_s=options.run_for_s,
        broker=address,
        broker_password=password,
        broker_kind=options.broker_kind,
        warehouse=options.warehouse,
    )


def _ports(options: argparse.Namespace) -> Ports:
    ports = Ports() if options.port_base is None else Ports.from_base(options.port_base)
    given = {name: getattr(options, f"{name}_port") for name in TITLES}
    chosen = replace(ports, **{name: port for name, port in given.items() if port is not None})
    for name in TITLES:
        if not 0 <= getattr(chosen, name) <= 65535:
            raise SettingsError(f"{OPTIONS[name]} is 0 to 65535, not {getattr(chosen, name)}.")
    return chosen
