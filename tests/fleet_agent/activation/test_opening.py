"""Stories from a cart's settings to the engine it starts with."""

from collections import Counter
from pathlib import Path

import pytest

from fleet_agent.activation.opening import open_store, start, store_directory, without_store
from fleet_agent.activation.signing import generate_key, write_public_key
from fleet_agent.config import CameraConfig, CartConfig, ModelConfig, SpoolConfig
from fleet_agent.errors import ActivationError, EngineError, SignatureError
from tests.fleet_agent.activation.carts import ITEMS_SHOWN, items_seen
from tests.fleet_agent.activation.models import KEY, write_model
from tests.fleet_agent.worlds import SteppedClock, config


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The model the cart ships with."""
    return write_model(tmp_path / "base")


def settings(folder: Path, **model: object) -> CartConfig:
    """Return the settings of a cart with two cameras that trusts the tests' key."""
    write_public_key(folder / "keys", KEY.public)
    chosen = {"backend": "onnxruntime", "trusted_keys": str(folder / "keys"), **model}
    return config(
        model=ModelConfig(**chosen),  # type: ignore[arg-type]
        spool=SpoolConfig(path=str(folder / "spool.db")),
        cameras=tuple(
            CameraConfig(name=name, kind="images", source=str(folder)) for name in ("front", "rear")
        ),
    )


def test_a_cart_starts_activates_and_starts_again(tmp_path: Path, base: Path) -> None:
    """From settings alone: first the base model, then what was activated, for as many cameras as it has."""
    counted: Counter[str] = Counter()
    cart = settings(tmp_path)
    started = start(cart, base, base, clock=SteppedClock(), on_count=lambda name: counted.update([name]))
    assert started.opened.source == "base"
    assert started.activator is not None
    assert started.opened.pending == base
    started.activator.activate(write_model(tmp_path / "new", order=(2, 1, 0))).engine.close()
    started.activator.close()
    again = start(cart, base, base, clock=SteppedClock(), on_count=lambda name: counted.update([name]))
    assert again.opened.source == "current"
    assert len(again.opened.engine.input) == 2
    assert items_seen(again.opened.engine, again.opened.manifest) == ITEMS_SHOWN
    assert counted["activation_activated"] == 1
    assert store_directory(cart) == tmp_path / "models"
    assert again.activator is not None
    again.activator.close()


def test_a_store_that_cannot_be_used_costs_updates_and_not_sight(tmp_path: Path, base: Path) -> None:
    """A file where the folder should be, or another agent in it: the base model serves and it is said."""
    (tmp_path / "taken").write_bytes(b"")
    counted: Counter[str] = Counter()
    cart = settings(tmp_path, store_directory=str(tmp_path / "taken"))
    started = start(cart, base, base, clock=SteppedClock(), on_count=lambda name: counted.update([name]))
    assert started.activator is None
    assert started.opened.fallbacks[0].what == "store"
    assert items_seen(started.opened.engine, started.opened.manifest) == ITEMS_SHOWN
    assert counted == {"activation_fallback_store": 1}
    first = open_store(settings(tmp_path), base, base, clock=SteppedClock(), on_count=print)
    second = start(settings(tmp_path), base, base, clock=SteppedClock(), on_count=lambda _: None)
    assert second.activator is None
    assert "another agent uses it" in second.opened.fallbacks[0].why
    first.close()


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx"])
def test_without_a_store_a_damaged_base_model_leaves_the_shipped_one(
    tmp_path: Path, base: Path, name: str
) -> None:
    """In safe mode too: two things are broken at once, and the cart sees."""
    shipped = write_model(tmp_path / "shipped", version="t9")
    (base / name).write_bytes(b"damaged")
    started = without_store(
        settings(tmp_path), base, shipped, "safe mode", clock=SteppedClock(), on_count=lambda _: None
    )
    assert started.opened.directory == shipped
    assert [fallback.what for fallback in started.opened.fallbacks] == ["store", "base"]
    assert items_seen(started.opened.engine, started.opened.manifest) == ITEMS_SHOWN


def test_a_stranger_is_refused_unless_the_owner_says_otherwise(tmp_path: Path, base: Path) -> None:
    """Signatures are asked for by default."""
    new = write_model(tmp_path / "new", key=generate_key())
    strict = open_store(settings(tmp_path), base, base, clock=SteppedClock(), on_count=print)
    with pytest.raises(ActivationError, match="not trusted"):
        strict.activate(new)
    strict.close()
    loose = open_store(
        settings(tmp_path, require_signature=False), base, base, clock=SteppedClock(), on_count=print
    )
    assert loose.activate(new).signed_by == ""
    loose.close()


def test_what_is_wrong_in_the_settings_is_said_at_once(tmp_path: Path, base: Path) -> None:
    """A broken key and a backend that is not there stop the cart; nothing else is taken in silence."""
    cart = settings(tmp_path, backend="tensorrt", device=999)
    with pytest.raises(EngineError):
        start(cart, base, base, clock=SteppedClock(), on_count=print)
    (tmp_path / "keys" / "broken.pub").write_bytes(b"?")
    with pytest.raises(SignatureError, match=r"broken\.pub"):
        start(cart, base, base, clock=SteppedClock(), on_count=print)


def test_a_cart_that_could_not_start_lets_go_of_its_store(tmp_path: Path, base: Path) -> None:
    """After an error the next start finds the folder free."""
    cart = settings(tmp_path)
    (base / "manifest.json").rename(tmp_path / "aside.json")
    with pytest.raises(Exception, match=r"manifest\.json"):
        start(cart, base, base, clock=SteppedClock(), on_count=print)
    (tmp_path / "aside.json").rename(base / "manifest.json")
    started = start(cart, base, base, clock=SteppedClock(), on_count=print)
    assert started.activator is not None
    started.activator.close()
