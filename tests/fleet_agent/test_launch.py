"""Stories about a cart that is made from its settings, and about what it lets go of."""

import threading
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from fleet_agent.activation.activator import Activator
from fleet_agent.activation.opening import start, store_directory
from fleet_agent.config import CartConfig, ModelConfig, SpoolConfig
from fleet_agent.durable import FolderLock
from fleet_agent.errors import ActivationError
from fleet_agent.launch import SHIPPED_MODEL, Cart
from fleet_agent.manifest import load_manifest
from fleet_agent.ports import SystemClock
from tests.fleet_agent.activation.models import write_manifest, write_model
from tests.fleet_agent.worlds import config, open_spool, wait_for


def settings(folder: Path, model: Path) -> CartConfig:
    """Return the settings of a cart without cameras and scale that runs a model of its owner."""
    chosen = ModelConfig(backend="onnxruntime", directory=str(model), require_signature=False)
    return config(model=chosen, spool=SpoolConfig(path=str(folder / "spool.db")))


def test_a_cart_that_cannot_be_made_lets_go_of_all_it_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try in the same process finds the store and the spool free."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such agent")

    cart = settings(tmp_path, write_model(tmp_path / "model"))
    monkeypatch.setattr("fleet_agent.launch.Agent", fail)
    with pytest.raises(RuntimeError, match="no such agent"):
        Cart(cart)
    FolderLock(store_directory(cart)).release()
    open_spool(Path(cart.spool.path)).close()


def test_a_store_in_which_a_thread_still_writes_is_not_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another agent would sweep away what it has in hand."""
    go_on, begun = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        begun.set()
        go_on.wait(60)
        raise ActivationError("selftest", "the story is over")

    monkeypatch.setattr(Activator, "activate", hang)
    made = settings(tmp_path, write_model(tmp_path / "model"))
    cart = Cart(made)
    cart.start()
    assert begun.wait(30)
    cart.stop(0.2)
    with pytest.raises(OSError, match="another agent"):
        FolderLock(store_directory(made))
    go_on.set()


def test_a_new_manifest_over_the_same_network_waits_for_the_next_start(tmp_path: Path) -> None:
    """Its temperature and classes are not those that the running cart reads its answers with."""
    old, new = write_model(tmp_path / "old"), write_model(tmp_path / "new")
    write_manifest(new, msgspec.structs.replace(load_manifest(new), temperature=2.0))
    first = settings(tmp_path, old)
    started = start(first, old, SHIPPED_MODEL, clock=SystemClock(), on_count=lambda _: None)
    assert started.activator is not None
    started.activator.activate(old).engine.close()
    started.activator.close()
    cart = Cart(settings(tmp_path, new))
    with capture_logs() as logs:
        cart.start()
        wait_for(lambda: any(entry["event"] == "model_runs_from_the_next_start" for entry in logs))
        cart.stop(5.0)
    again = start(settings(tmp_path, new), new, SHIPPED_MODEL, clock=SystemClock(), on_count=lambda _: None)
    assert again.opened.manifest.temperature == 2.0
    assert again.activator is not None
    again.activator.close()


def test_a_model_that_a_running_cart_took_over_counts_as_one_that_served(tmp_path: Path) -> None:
    """It needs no restart to become the one that the next update falls back to."""
    made = settings(tmp_path, write_model(tmp_path / "model"))
    cart = Cart(made)
    cart.start()
    slots = store_directory(made) / "slots.json"
    wait_for(lambda: slots.is_file() and b'"served": true' in slots.read_bytes())
    cart.stop(5.0)
