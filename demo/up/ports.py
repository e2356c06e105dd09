"""Which port each component gets, and whether it is free."""

import contextlib
import errno
import socket
from dataclasses import dataclass, replace

import psutil

from demo.errors import PortOwner, PortTakenError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the demo on the loopback interface; 0 stands for "any free one".

    Attributes:
        broker: MQTT. Not 1883: Debian's mosquitto package starts a broker there by itself.
        warehouse: REST of the embedded BigQuery endpoint, the port that Google's users expect.
        warehouse_grpc: Storage Write of the same.
        dashboard: Streamlit's own default.
        ingest: Health and metrics of ingest.
        control: The control API of rollouts.
        models: The model repository.
    """

    broker: int = 18830
    warehouse: int = 9050
    warehouse_grpc: int = 9060
    dashboard: int = 8501
    ingest: int = 9102
    control: int = 9103
    models: int = 9104

    @classmethod
    def from_base(cls, base: int) -> "Ports":
        """Return ports that follow each other from a base; all 0 for base 0."""
        if base == 0:
            return cls(0, 0, 0, 0, 0, 0, 0)
        return cls(
            dashboard=base,
            warehouse=base + 1,
            warehouse_grpc=base + 2,
            broker=base + 3,
            ingest=base + 4,
            control=base + 5,
            models=base + 6,
        )


TITLES = {
    "broker": "MQTT broker",
    "warehouse": "embedded BigQuery endpoint",
    "warehouse_grpc": "embedded BigQuery endpoint (gRPC)",
    "dashboard": "dashboard",
    "ingest": "ingest service",
    "control": "control API",
    "models": "model repository",
}
OPTIONS = {name: f"--{name.replace('_', '-')}-port" for name in TITLES}


def settle(ports: Ports, needed: tuple[str, ...]) -> Ports:
    """Return the ports with every 0 replaced by a free one.

    Args:
        ports: As asked for.
        needed: Names of the ports that will be used.

    Raises:
        PortTakenError: a needed port is taken.
    """
    chosen: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        # Held together until all are chosen, or the same free port could be picked twice.
        for name in needed:
            probe = held.enter_context(socket.socket())
            chosen[name] = _claim(probe, name, getattr(ports, name))
    return replace(ports, **chosen)


def _claim(probe: socket.socket, name: str, port: int) -> int:
    # As servers do: a port in TIME_WAIT after a restart is free, one that is listened on is not.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
        probe.listen(1)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise PortTakenError(TITLES[name], port, OPTIONS[name], owner_of(port)) from error
    claimed: int = probe.getsockname()[1]
    return claimed


def owner_of(port: int) -> PortOwner | None:
    """Return the process that listens on a port, or None if this user may not know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr
        if listens and connection.laddr.port == port and connection.pid:  # type: ignore[union-attr]
            with contextlib.suppress(psutil.Error):
                return PortOwner(connection.pid, psutil.Process(connection.pid).name())
    return None
