"""Which components this run needs, in which order, and with which command lines."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dashboard
from demo.broker_address import PASSWORD_ENV
from demo.data_dir import DataDir
from demo.up.broker import broker_component
from demo.up.components import Component
from demo.up.ports import LOOPBACK, Ports
from demo.up.readiness import CleanExit, HttpOk, ReadyLine
from demo.up.settings import UpSettings
from demo.world.record import WorldRecord
from demo.world.settings import World

PROJECT = "cartwright-demo"
DATASET = "cartwright"
# Ingest keeps trying while the history pours in; its last batch must be durable before it ends.
INGEST_STOP_S = 15.0
HISTORY_TIMEOUT_S = 600.0
# How far pages may be behind. Lower keeps the warehouse of an idle laptop busy.
ROLLUP_INTERVAL_S = 20


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where broker and warehouse are for this run.

    Attributes:
        broker: Address without password.
        warehouse: Target as `queries` reads it.
    """

    broker: str
    warehouse: str


def needed_ports(settings: UpSettings) -> tuple[str, ...]:
    """Return the names of the ports that this run listens on."""
    ports = ["ingest", "control", "models"]
    if settings.broker is None:
        ports.append("broker")
    if settings.warehouse is None:
        ports += ["warehouse", "warehouse_grpc"]
    if not settings.headless:
        ports.append("dashboard")
    return tuple(ports)


def addresses(settings: UpSettings, ports: Ports) -> Addresses:
    """Return where broker and warehouse are."""
    embedded = f"emulator://{LOOPBACK}:{ports.warehouse}/{PROJECT}.{DATASET}?grpc={ports.warehouse_grpc}"
    return Addresses(
        broker=settings.broker or f"mqtt://{LOOPBACK}:{ports.broker}",
        warehouse=settings.warehouse or embedded,
    )


class Plan:
    """Makes the components of one run."""

    def __init__(
        self,
        settings: UpSettings,
        ports: Ports,
        record: WorldRecord,
        broker_kind: str,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._ports = ports
        self._world = World(record.settings)
        self._broker_kind = broker_kind
        self._environment = environment
        self._data = DataDir(settings.data_dir)
        self._where = addresses(settings, ports)
        self._secret = {PASSWORD_ENV: settings.broker_password} if settings.broker_password else {}

    def components(self) -> list[Component]:
        """Return all components, in the order in which they are listed."""
        components: list[Component] = []
        if self._settings.broker is None:
            folder = self._data.broker
            components.append(
                broker_component(self._broker_kind, folder, self._ports.broker, self._environment)
            )
        if self._settings.warehouse is None:
            components.append(self._warehouse())
        components += [self._tables(), self._ingest(), *self._rollouts()]
        if not self._settings.headless:
            components.append(self._dashboard())
        past = self._has_history_to_write()
        if past:
            components.append(self._history())
        after = ("history",) if past else ("ingest",)
        return components + [self._carts(store.store_id, after) for store in self._world.stores]

    def _has_history_to_write(self) -> bool:
        return self._world.settings.history_days > 0 and not self._data.history.exists()

    def _warehouse(self) -> Component:
        url = f"http://{LOOPBACK}:{self._ports.warehouse}"
        argv = (
            *_python("demo.cli", "bigquery-emulator", "--data-dir", str(self._data.warehouse)),
            *("--port", str(self._ports.warehouse), "--grpc-port", str(self._ports.warehouse_grpc)),
            *("--project", PROJECT),
        )
        return Component("warehouse", argv, ReadyLine(), url, note="embedded BigQuery")

    def _tables(self) -> Component:
        argv = _python(
            "demo.prepare", "--data-dir", str(self._data.root), "--warehouse", self._where.warehouse
        )
        after = ("warehouse",) if self._settings.warehouse is None else ()
        address = self._settings.warehouse or f"{PROJECT}.{DATASET}"
        return Component("tables", argv, CleanExit(), address, after=after, one_shot=True)

    def _ingest(self) -> Component:
        after = ("tables", "broker") if self._settings.broker is None else ("tables",)
        url = f"http://{LOOPBACK}:{self._ports.ingest}"
        argv = (
            *_python("demo.cli", "ingest", "--warehouse", self._where.warehouse),
            *("--broker", self._where.broker, "--http-port", str(self._ports.ingest)),
            *("--rollup-interval-s", str(ROLLUP_INTERVAL_S)),
        )
        return Component(
            "ingest", argv, ReadyLine(), url, after=after, env=self._secret, stop_timeout_s=INGEST_STOP_S
        )

    def _rollouts(self) -> list[Component]:
        """Return the model repository and the controller."""
        where, root = str(self._data.repository), str(self._data.repository / "metadata" / "1.root.json")
        published = _python("demo.rollout.prepare", "--data-dir", str(self._data.root))
        models = (
            *_python("demo.cli", "models", "serve", where),
            *("--host", LOOPBACK, "--port", str(self._ports.models)),
        )
        control = (
            *_python("demo.cli", "control", "--broker", self._where.broker),
            *("--warehouse", self._where.warehouse, "--tokens", str(self._data.tokens)),
            *("--database", f"sqlite:///{self._data.control.absolute() / 'rollouts.db'}"),
            *("--repository", self._models_url, "--root", root, "--pins", where),
            *("--http-port", str(self._ports.control)),
            # Simulated shoppers correct and scan within seconds, and the demo's rows arrive at once.
            *("--block-s", "20", "--label-lag-s", "30", "--arrival-s", "20"),
            *("--patience-s", "600", "--observe-s", "5"),
        )
        after = ("published", "models", "tables", *(() if self._settings.broker else ("broker",)))
        url = f"http://{LOOPBACK}:{self._ports.control}"
        return [
            Component("published", published, CleanExit(), one_shot=True, note="model repository"),
            Component("models", models, ReadyLine(), self._models_url, after=("published",)),
            Component(
                "control", control, ReadyLine(), url, after=after, env=self._secret, note="staged rollouts"
            ),
        ]

    @property
    def _models_url(self) -> str:
        return f"http://{LOOPBACK}:{self._ports.models}"

    def _dashboard(self) -> Component:
        port = self._ports.dashboard
        app = Path(dashboard.__file__).parent / "app.py"
        argv = (
            *_python("streamlit", "run", str(app)),
            *("--server.port", str(port), "--server.address", LOOPBACK, "--server.headless", "true"),
            *("--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"),
        )
        return Component(
            "dashboard",
            argv,
            HttpOk(LOOPBACK, port, "/_stcore/health"),
            f"http://{LOOPBACK}:{port}",
            after=("tables", "published"),
            env={
                "CARTWRIGHT_WAREHOUSE": self._where.warehouse,
                "CARTWRIGHT_CONTROL": f"http://{LOOPBACK}:{self._ports.control}",
                "CARTWRIGHT_CONTROL_TOKEN_FILE": str(self._data.dashboard_token),
            },
            # Streamlit looks for the theme in the directory where it is started.
            cwd=None if Path(".streamlit/config.toml").exists() else app.parent.parent,
            note="Streamlit",
        )

    def _history(self) -> Component:
        return Component(
            "history",
            (*_python("demo.history", "--data-dir", str(self._data.root)), "--broker", self._where.broker),
            CleanExit(),
            after=("ingest",),
            one_shot=True,
            env=self._secret,
            ready_timeout_s=HISTORY_TIMEOUT_S,
        )

    def _carts(self, store_id: str, after: tuple[str, ...]) -> Component:
        argv = (
            *_python("demo.carts", "--data-dir", str(self._data.root), "--store", store_id),
            *("--repository", self._models_url),
            *("--root", str(self._data.repository / "metadata" / "1.root.json")),
        )
        store = self._world.store(store_id)
        return Component(
            f"store {store_id}",
            (*argv, "--broker", self._where.broker),
            ReadyLine(),
            after=(*after, "ingest", "models"),
            env=self._secret,
            note=store.name,
        )


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
