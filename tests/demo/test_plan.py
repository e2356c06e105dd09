"""Which components a run has, and what people see of them."""

import io
from pathlib import Path

from demo.broker_address import PASSWORD_ENV, mqtt_config
from demo.up.board import Board
from demo.up.components import Component
from demo.up.plan import Plan, addresses, needed_ports
from demo.up.ports import Ports
from demo.up.readiness import CleanExit, Signs
from demo.up.settings import read_settings
from demo.up.supervisor import Change, State
from demo.world.record import WorldRecord
from demo.world.settings import WorldSettings
from tests.demo.conftest import EPOCH_MS

RECORD = WorldRecord(WorldSettings(7, 2, 3, 28, EPOCH_MS), "", 1)


def _plan(tmp_path: Path, *argv: str) -> dict[str, Component]:
    settings = read_settings(["--data-dir", str(tmp_path), *argv])
    plan = Plan(settings, Ports(), RECORD, "amqtt", {})
    return {component.name: component for component in plan.components()}


def test_a_bare_laptop_runs_everything(tmp_path: Path) -> None:
    """Broker, warehouse, tables, ingest, dashboard, history, and one process per store."""
    names = list(_plan(tmp_path))
    assert names == [
        "broker",
        "warehouse",
        "tables",
        "ingest",
        "published",
        "models",
        "control",
        "dashboard",
        "history",
        "store s001",
        "store s002",
    ]


def test_everything_waits_for_what_it_needs(tmp_path: Path) -> None:
    """Every name that a component waits for exists, with embedded parts and without."""
    for argv in ([], ["--broker", "mqtt://b.example", "--warehouse", "p.d"], ["--headless"]):
        components = _plan(tmp_path, *argv)
        assert all(set(component.after) <= components.keys() for component in components.values())


def test_other_peoples_broker_and_warehouse_are_not_started(tmp_path: Path) -> None:
    """With --broker and --warehouse the embedded ones are left out; the password goes by environment."""
    argv = ["--headless", "--broker", "mqtts://me:pssst@b.example", "--warehouse", "my-project.cartwright"]
    components = _plan(tmp_path, *argv)
    assert not components.keys() & {"broker", "warehouse", "dashboard"}
    assert not any("pssst" in word for component in components.values() for word in component.argv)
    assert components["ingest"].env == {PASSWORD_ENV: "pssst"}
    settings = read_settings(argv)
    assert needed_ports(settings) == ("ingest", "control", "models")
    assert addresses(settings, Ports()).broker == "mqtts://me@b.example:8883"


def test_history_is_written_once(tmp_path: Path) -> None:
    """Where the history is complete, a start goes on without it, and carts wait for ingest only."""
    (tmp_path / "history.json").write_text("{}")
    components = _plan(tmp_path)
    assert "history" not in components
    assert "history" not in components["store s001"].after


def test_carts_find_a_broker_with_login() -> None:
    """Address and environment together make the agent's own settings."""
    config = mqtt_config("mqtts://me@b.example:8883", {PASSWORD_ENV: "x"})
    assert (config.host, config.port, config.tls, config.username) == ("b.example", 8883, True, "me")
    assert config.password_env == PASSWORD_ENV


def test_the_board_prints_one_aligned_line_per_component() -> None:
    """Name, state and address stand in columns; a start that only begins is no news."""
    out = io.StringIO()
    board = Board(out)
    board.greet(RECORD, "data")
    for name, state in (("broker", State.STARTING), ("broker", State.READY), ("store s001", State.DONE)):
        component = Component(name, ("true",), CleanExit(), address="mqtt://h:1", note="a note")
        board.change(Change(component, state, "a remark", 1.25))
    board.all_up("http://127.0.0.1:8501", 42.0)
    lines = out.getvalue().splitlines()
    assert "2 stores x 3 carts, all simulated" in lines[0]
    assert [line.index("mqtt://h:1") for line in lines[2:4]] == [25, 25]
    assert "a note, a remark (1.2 s)" in lines[2]
    assert lines[-1].startswith("Dashboard: http://127.0.0.1:8501")


def test_a_one_shot_is_done_by_its_exit_and_says_what_it_did(tmp_path: Path) -> None:
    """Exit status 0 is done, with the words after DONE; anything else is not."""
    said = tmp_path / "said"
    said.write_text("working\nDONE 3 days\n")
    assert CleanExit().look(Signs(said, None)) is None
    assert CleanExit().look(Signs(said, 1)) is None
    assert CleanExit().look(Signs(said, 0)) == "3 days"
