"""Stories about the engine a cart starts with, whatever happened to its disk."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fleet_agent.activation.outcomes import Opened
from fleet_agent.activation.slots import LOOP_REST_MS, MAX_FAILURES, begin, count_failure
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.errors import ActivationError, ModelError
from tests.fleet_agent.activation.carts import ITEMS_SHOWN, SETTINGS, CartOnBench, items_seen
from tests.fleet_agent.activation.copying import CopyingBackend
from tests.fleet_agent.activation.models import network, write_model
from tests.fleet_agent.worlds import SteppedClock


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base model, and a store with a current and a last good model: to be copied."""
    folder = tmp_path_factory.mktemp("two")
    cart = CartOnBench(folder / "cart", write_model(folder / "base"))
    first = cart.activator.activate(write_model(folder / "first", order=(1, 2, 0)))
    first.engine.close()
    cart.activator.serves(first.slot)
    cart.activator.activate(write_model(folder / "second", order=(2, 0, 1))).engine.close()
    cart.close()
    return folder


@pytest.fixture
def cart(tmp_path: Path, two_models: Path) -> CartOnBench:
    """A cart with a current and a last good model."""
    for name in ("base", "cart"):
        shutil.copytree(two_models / name, tmp_path / name)
    return CartOnBench(tmp_path / "cart", tmp_path / "base")


def boot(cart: CartOnBench, **changes: object) -> tuple[CartOnBench, Opened]:
    """Start the cart anew: it always sees what is shown."""
    again = cart.again(**changes)
    opened = again.activator.open_at_boot()
    assert items_seen(opened.engine, opened.manifest) == ITEMS_SHOWN
    assert again.leftovers() == []
    for fallback in opened.fallbacks:
        assert again.counted[f"activation_fallback_{fallback.what}"] >= 1
        assert fallback.why
    return again, opened


def current_plan(cart: CartOnBench) -> Path:
    """Return the file of the current plan."""
    current = cart.activator.slots.current
    assert current is not None
    assert current.plan is not None
    return cart.folder / "plans" / current.plan / f"{current.plan}.plan"


def current_model(cart: CartOnBench) -> Path:
    """Return the folder of the current model."""
    current = cart.activator.slots.current
    assert current is not None
    return cart.folder / "models" / current.model


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (lambda plan: plan.write_bytes(b"\0" * plan.stat().st_size), "corrupt"),
        (lambda plan: plan.write_bytes(plan.read_bytes()[:100]), "truncated"),
        (lambda plan: plan.unlink(), "unreadable"),
        (lambda plan: (plan.parent / "plan.json").write_bytes(b"{"), "unreadable"),
        (lambda plan: shutil.rmtree(plan.parent), "absent"),
    ],
)
def test_a_damaged_plan_is_built_anew_while_the_model_serves(
    cart: CartOnBench, harm: Callable[[Path], object], cause: str
) -> None:
    """The current model runs on ONNX Runtime at once; activating what is pending brings its plan back."""
    harm(current_plan(cart))
    again, opened = boot(cart)
    assert (opened.source, opened.fallbacks[0].what) == ("current", "plan")
    assert opened.pending == current_model(again) == opened.directory
    assert again.counted[f"plans_{cause}"] == 1
    before = again.activator.slots
    again.activator.activate(opened.pending).engine.close()
    assert again.activator.slots.last_good == before.last_good
    again, opened = boot(again)
    assert (opened.source, opened.fallbacks, opened.pending) == ("current", (), None)
    again.close()


def test_a_plan_of_another_runtime_is_built_anew(cart: CartOnBench) -> None:
    """After an update of the system the old plan is of another machine, and still the cart serves."""
    newer = CopyingBackend(facts={"runtime": "copying", "version": "2.0"})
    again, opened = boot(cart, backend=newer)
    assert (opened.source, opened.fallbacks[0].what) == ("current", "plan")
    assert opened.pending is not None
    again.activator.activate(opened.pending).engine.close()
    again, opened = boot(again)
    assert opened.fallbacks == ()
    again.close()


def test_a_plan_built_with_less_effort_serves_until_the_new_one_is_built(cart: CartOnBench) -> None:
    """Changing the builder's settings never sends a cart to the slow engine; changing its cameras must."""
    again, opened = boot(cart, settings=replace(SETTINGS, optimization_level=5, workspace_mb=64))
    assert (opened.source, opened.fallbacks) == ("current", ())
    assert again.counted["plans_older"] == 1
    assert opened.pending == current_model(again)
    again.activator.activate(opened.pending).engine.close()
    again, opened = boot(again)
    assert (opened.pending, again.counted["plans_hit"]) == (None, 1)
    again, opened = boot(again, settings=replace(SETTINGS, cameras=3))
    assert opened.fallbacks[0].what == "plan"
    again.close()


def test_a_plan_that_loads_and_is_wrong_does_not_serve(cart: CartOnBench) -> None:
    """Its answers on the golden frames are held to the recording at each boot."""
    plan = current_plan(cart)
    content = network(noise=4.0)
    plan.write_bytes(content)
    sidecar = json.loads((plan.parent / "plan.json").read_bytes())
    sidecar.update(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    (plan.parent / "plan.json").write_text(json.dumps(sidecar))
    again, opened = boot(cart)
    assert (opened.source, opened.fallbacks[0].what) == ("current", "plan")
    assert "recording of training" in opened.fallbacks[0].why
    assert opened.pending is not None
    again.activator.activate(opened.pending).engine.close()
    assert again.counted["plans_wrong"] == 1
    again.close()


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "manifest.sig", "golden/0.png"])
def test_a_current_model_whose_files_were_damaged_gives_way_to_the_last_good_one(
    cart: CartOnBench, name: str
) -> None:
    """One flipped byte in any file is found, and the reason names the file."""
    path = current_model(cart) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again, opened = boot(cart)
    assert (opened.source, opened.fallbacks[0].what) == ("last_good", "current")
    assert opened.pending is None
    again.close()


def test_two_lost_models_leave_the_base_model(cart: CartOnBench) -> None:
    """The last resort is the model shipped, on ONNX Runtime; it is what is pending."""
    shutil.rmtree(cart.folder / "models")
    again, opened = boot(cart)
    assert opened.source == "base"
    assert [fallback.what for fallback in opened.fallbacks] == ["current", "last_good"]
    assert opened.pending == again.workshop.base
    again.activator.activate(opened.pending).engine.close()
    again, opened = boot(again)
    assert (opened.source, opened.fallbacks) == ("current", ())
    again.close()


def test_a_lost_store_leaves_the_base_model(cart: CartOnBench) -> None:
    """A new disk is a first boot."""
    cart.close()
    shutil.rmtree(cart.folder)
    again, opened = boot(cart)
    assert (opened.source, opened.fallbacks) == ("base", ())
    again.close()


def test_a_model_that_ends_the_process_at_load_is_passed_over(cart: CartOnBench) -> None:
    """Three boots in a row that ended before the model answered, and the last good one serves, each time."""
    file = cart.workshop.slots
    for _ in range(MAX_FAILURES - 1):
        file.save(count_failure(file.slots, "current", cart.workshop.clock.epoch_ms()))
    again, opened = boot(cart)
    assert opened.source == "current"
    assert again.activator.slots.current is not None
    assert again.activator.slots.current.failures == 0
    file = again.workshop.slots
    for _ in range(MAX_FAILURES):
        file.save(count_failure(file.slots, "current", cart.workshop.clock.epoch_ms()))
    for _ in range(2):
        again, opened = boot(again)
        assert (opened.source, opened.fallbacks[0].what) == ("last_good", "current")
        assert "3 boots in a row" in opened.fallbacks[0].why
    again.close()


def test_three_power_cuts_do_not_degrade_a_cart_for_ever(cart: CartOnBench) -> None:
    """After a day of rest the model that was passed over passes the gate in the background and serves."""
    clock = cart.workshop.clock
    assert isinstance(clock, SteppedClock)
    file = cart.workshop.slots
    for _ in range(MAX_FAILURES):
        file.save(count_failure(file.slots, "current", clock.epoch_ms()))
    again, opened = boot(cart)
    assert (opened.source, opened.pending) == ("last_good", None)
    clock.now_s += LOOP_REST_MS / 1000
    again, opened = boot(again)
    assert (opened.source, opened.pending) == ("last_good", current_model(again))
    again.activator.activate(current_model(again)).engine.close()
    again, opened = boot(again)
    assert (opened.source, opened.fallbacks, opened.pending) == ("current", (), None)
    again.close()


def test_slots_that_are_damaged_twice_delete_no_model(cart: CartOnBench) -> None:
    """What a broken disk forgot is still there for the fleet to offer again."""
    kept = sorted(path.name for path in (cart.folder / "models").iterdir())
    for name in ("slots.json", "slots.copy"):
        (cart.folder / name).write_bytes(b"?")
    again = cart.again()
    opened = again.activator.open_at_boot()
    assert (opened.source, opened.fallbacks[0].what) == ("base", "slots")
    assert sorted(path.name for path in (cart.folder / "models").iterdir()) == kept
    again.close()


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "model.onnx"])
def test_a_damaged_configured_model_leaves_the_shipped_one(tmp_path: Path, name: str) -> None:
    """A model that lies on the disk and works is better than no cart."""
    base, shipped = write_model(tmp_path / "base"), write_model(tmp_path / "shipped", version="t9")
    (base / name).write_bytes(b"damaged")
    cart = CartOnBench(tmp_path / "cart", base, shipped=shipped, base_is_configured=True)
    opened = cart.activator.open_at_boot()
    assert (opened.source, opened.directory, opened.fallbacks[0].what) == ("base", shipped, "base")
    assert items_seen(opened.engine, opened.manifest) == ITEMS_SHOWN
    cart.close()


def test_an_unsigned_base_model_does_not_serve_where_signatures_are_asked_for(tmp_path: Path) -> None:
    """The shipped model serves instead; an owner who asks for no signatures gets the own model."""
    base, shipped = write_model(tmp_path / "base", key=None), write_model(tmp_path / "shipped", version="t9")
    cart = CartOnBench(tmp_path / "cart", base, shipped=shipped, base_is_configured=True)
    opened = cart.activator.open_at_boot()
    assert opened.directory == shipped
    assert "not signed" in opened.fallbacks[0].why
    cart.close()
    loose = CartOnBench(tmp_path / "cart", base, shipped=shipped, base_is_configured=True, trusted=None)
    opened = loose.activator.open_at_boot()
    assert (opened.directory, opened.fallbacks) == (base, ())
    loose.close()


def test_a_base_model_that_was_refused_is_not_tried_at_every_boot(tmp_path: Path) -> None:
    """It is left alone for a day, and then its keys may have come."""
    base, clock = write_model(tmp_path / "base", key=None), SteppedClock()
    cart = CartOnBench(tmp_path / "cart", base, clock=clock)
    assert cart.activator.open_at_boot().pending == base
    with pytest.raises(ActivationError, match="not signed"):
        cart.activator.activate(base)
    again = cart.again()
    assert again.activator.open_at_boot().pending is None
    clock.now_s += LOOP_REST_MS / 1000
    again = again.again()
    assert again.activator.open_at_boot().pending == base
    again.close()


def test_a_model_of_other_thresholds_over_the_same_network_has_another_name(cart: CartOnBench) -> None:
    """What opened is named after its manifest, which is more than its ONNX file."""
    again, opened = boot(cart)
    assert again.activator.slots.current is not None
    assert opened.model == again.activator.slots.current.model
    again.close()


def test_a_clean_error_is_not_a_crash(cart: CartOnBench) -> None:
    """A damaged model that is refused at each boot never counts up, and serves again when repaired."""
    path = current_model(cart) / "model.onnx"
    content = path.read_bytes()
    path.write_bytes(b"damaged")
    again = cart
    for _ in range(MAX_FAILURES + 1):
        again, opened = boot(again)
        assert opened.source == "last_good"
    path.write_bytes(content)
    again, opened = boot(again)
    assert opened.source == "current"
    again.close()


def test_a_key_that_is_no_longer_trusted_takes_its_models_along(cart: CartOnBench) -> None:
    """Revoked means revoked: the base model serves."""
    again, opened = boot(cart, trusted={})
    assert opened.source == "base"
    assert "not trusted" in opened.fallbacks[0].why
    again.close()


def test_another_backend_runs_the_model_until_it_is_activated_anew(cart: CartOnBench) -> None:
    """A cart whose GPU is gone runs its current model on ONNX Runtime."""
    again, opened = boot(cart, backend=OnnxRuntimeBackend())
    assert (opened.source, opened.fallbacks[0].what) == ("current", "backend")
    assert opened.pending is not None
    again.activator.activate(opened.pending).engine.close()
    again, opened = boot(again)
    assert (opened.fallbacks, opened.pending) == ((), None)
    again.close()


def test_a_backend_that_cannot_open_leaves_onnx_runtime(cart: CartOnBench) -> None:
    """A driver that fails costs speed, not sight."""

    class Broken(CopyingBackend):
        """Its driver fails."""

        def open(self, *_: object, **__: object) -> object:  # type: ignore[override]
            """Fail."""
            raise RuntimeError("driver says no")

    again, opened = boot(cart, backend=Broken())
    assert (opened.source, opened.fallbacks[0].what) == ("current", "plan")
    assert "driver says no" in opened.fallbacks[0].why
    again.close()


def test_an_interrupted_activation_is_told_and_what_it_left_is_gone(
    cart: CartOnBench, tmp_path: Path
) -> None:
    """Half a model, half a plan and an open attempt are what a power cut leaves."""
    file = cart.workshop.slots
    file.save(begin(file.slots, "ab" * 32, "building", now_ms=1))
    (cart.folder / "models" / ".incomplete-abc").mkdir()
    (cart.folder / "models" / ".incomplete-abc" / "model.onnx").write_bytes(b"half")
    (cart.folder / "plans" / ".incomplete-def").mkdir()
    (cart.folder / ".incomplete-slots.json").write_bytes(b"{")
    (cart.folder / "models" / ("cd" * 32)).mkdir()
    again, opened = boot(cart)
    assert opened.interrupted is not None
    assert opened.interrupted.stage == "building"
    assert again.counted["activation_interrupted"] == 1
    assert again.counted["activation_leftover"] == 1
    assert again.counted["plans_leftover"] == 1
    again.activator.activate(write_model(tmp_path / "new")).engine.close()
    assert again.activator.slots.attempt is None
    again.close()


def test_a_new_base_model_is_pending_once(cart: CartOnBench, tmp_path: Path) -> None:
    """A model that the owner names is tried once; a newly shipped one does not replace the fleet's choice."""
    other = write_model(tmp_path / "other", version="t7")
    cart.close()
    for configured, pending in ((False, None), (True, other)):
        named = CartOnBench(cart.folder, other, base_is_configured=configured)
        opened = named.activator.open_at_boot()
        assert opened.pending == pending
        if pending is not None:
            named.activator.activate(pending).engine.close()
        named.close()
    named = CartOnBench(cart.folder, other, base_is_configured=True)
    assert named.activator.open_at_boot().pending is None
    named.close()


def test_no_model_at_all_is_an_error(tmp_path: Path) -> None:
    """Without a base model there is nothing to serve with, and it is said."""
    cart = CartOnBench(tmp_path / "cart", tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"manifest\.json"):
        cart.activator.open_at_boot()
    cart.close()


def test_two_agents_do_not_share_a_store(cart: CartOnBench) -> None:
    """The second would sweep away what the first is writing."""
    with pytest.raises(OSError, match="another agent"):
        CartOnBench(cart.folder, cart.workshop.base)
    cart.close()
