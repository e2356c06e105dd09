"""Stories about a model that goes live, and about all that must not."""

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent.activation.outcomes import Activated
from fleet_agent.activation.parity import ParityReport
from fleet_agent.activation.signing import generate_key, sign_manifest
from fleet_agent.activation.slots import MAX_ATTEMPT_WRITES, begin
from fleet_agent.errors import ActivationError
from tests.fleet_agent.activation.carts import ITEMS_SHOWN, SETTINGS, CartOnBench, items_seen
from tests.fleet_agent.activation.copying import COPY, CopyingBackend
from tests.fleet_agent.activation.models import network, swap_network, write_model
from tests.fleet_agent.worlds import SteppedClock

STAGES = ["verified", "building", "selftest", "active"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that the cart ships with."""
    return write_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def one_model(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """The store of a cart that runs a good model: to be copied."""
    folder = tmp_path_factory.mktemp("one")
    cart = CartOnBench(folder / "cart", base)
    good = cart.activator.activate(write_model(folder / "good", order=(1, 2, 0)))
    good.engine.close()
    cart.activator.serves(good.slot)
    cart.close()
    return folder / "cart"


@pytest.fixture
def cart(tmp_path: Path, base: Path, one_model: Path) -> CartOnBench:
    """A cart that runs a good model already."""
    shutil.copytree(one_model, tmp_path / "cart")
    return CartOnBench(tmp_path / "cart", base)


def refused(cart: CartOnBench, folder: Path) -> ActivationError:
    """Offer a model that must not go live: slots stay, nothing is left over, the old one still opens."""
    before = cart.activator.slots
    with pytest.raises(ActivationError) as caught:
        cart.activator.activate(folder)
    assert cart.activator.slots == before
    assert cart.leftovers() == []
    assert cart.counted[f"activation_refused_{caught.value.stage}"] == 1
    again = cart.again()
    opened = again.activator.open_at_boot()
    assert (opened.source, opened.fallbacks, opened.pending) == ("current", (), None)
    assert items_seen(opened.engine, opened.manifest) == ITEMS_SHOWN
    again.close()
    return caught.value


def test_a_good_model_goes_live(tmp_path: Path, base: Path) -> None:
    """First the base model serves; after activation the new one does, from its plan, at the next boot too."""
    cart = CartOnBench(tmp_path / "cart", base)
    opened = cart.activator.open_at_boot()
    assert (opened.source, opened.pending, opened.fallbacks) == ("base", base, ())
    assert items_seen(opened.engine, opened.manifest) == ITEMS_SHOWN
    activated = cart.activator.activate(write_model(tmp_path / "new", order=(2, 0, 1)))
    assert items_seen(activated.engine, activated.manifest) == ITEMS_SHOWN
    assert activated.report.passed
    assert [entry.stage for entry in cart.progress if not entry.phase] == STAGES
    assert [entry.step for entry in cart.progress if entry.phase == "copying"] == [0, 1, 2, 3]
    assert cart.leftovers() == []
    again = cart.again()
    opened = again.activator.open_at_boot()
    assert (opened.source, opened.pending, opened.fallbacks) == ("current", None, ())
    assert opened.manifest.sha256 == activated.manifest.sha256
    assert again.counted["plans_hit"] == 1
    again.close()


def test_the_cart_keeps_two_models_and_their_plans(cart: CartOnBench, tmp_path: Path) -> None:
    """The third model drives the first out; the folders they came from are not needed."""
    served = cart.activator.slots.current
    for ix, order in enumerate([(0, 2, 1), (2, 1, 0)]):
        previous = cart.activator.slots.current
        activated = cart.activator.activate(write_model(tmp_path / str(ix), order=order))
        activated.engine.close()
        cart.activator.serves(activated.slot)
        assert cart.activator.slots.last_good == previous
        assert len(list((cart.folder / "models").iterdir())) == 2
        assert cart.leftovers() == []
    assert served is not None
    assert served.model not in cart.activator.slots.models
    cart.close()


def test_activating_the_current_model_again_keeps_the_last_good_one(
    cart: CartOnBench, tmp_path: Path
) -> None:
    """A report that was lost makes the fleet offer the same model twice."""
    new = write_model(tmp_path / "new")
    cart.activator.activate(new).engine.close()
    before = cart.activator.slots
    cart.activator.activate(new).engine.close()
    assert cart.activator.slots == before
    cart.close()


def test_two_updates_without_a_restart_keep_the_model_that_serves(cart: CartOnBench, tmp_path: Path) -> None:
    """The first of them never ran: it is not what a cart falls back to."""
    serving = cart.activator.slots.current
    for ix, order in enumerate([(0, 2, 1), (2, 1, 0)]):
        cart.activator.activate(write_model(tmp_path / str(ix), order=order)).engine.close()
        assert cart.activator.slots.last_good == serving
    assert cart.leftovers() == []
    cart.close()


def test_a_refusal_does_not_end_the_attempt_of_another_model(cart: CartOnBench, tmp_path: Path) -> None:
    """A folder without a manifest says nothing about the model that was looping."""
    file = cart.workshop.slots
    file.save(begin(file.slots, "ab" * 32, "selftest", now_ms=cart.workshop.clock.epoch_ms()))
    attempt = file.slots.attempt
    with pytest.raises(ActivationError, match=r"manifest\.json"):
        cart.activator.activate(tmp_path / "nothing")
    assert cart.activator.slots.attempt == attempt
    cart.close()


def test_a_damaged_model_is_refused_although_both_engines_agree(cart: CartOnBench, tmp_path: Path) -> None:
    """Perturbed weights under a manifest that was made to fit and signed are found by the recording."""
    folder = write_model(tmp_path / "damaged")
    swap_network(folder, network(noise=4.0))
    error = refused(cart, folder)
    assert error.stage == "selftest"
    assert isinstance(error.report, ParityReport)
    assert not error.report.reference_passed
    assert error.report.to_reference.unmatched == 0
    assert "recording of training" in error.why


def test_a_model_whose_classes_were_swapped_is_refused(cart: CartOnBench, tmp_path: Path) -> None:
    """The network of another order of classes finds every box and names it wrong."""
    folder = write_model(tmp_path / "swapped")
    swap_network(folder, network((1, 0, 2)))
    error = refused(cart, folder)
    assert "took 'item-0' for 'item-1'" in error.why


def test_a_model_that_puts_out_nan_is_refused(cart: CartOnBench, tmp_path: Path) -> None:
    """Values that are not numbers are counted and named."""
    folder = write_model(tmp_path / "nan")
    swap_network(folder, network(bias=float("nan")))
    error = refused(cart, folder)
    assert isinstance(error.report, ParityReport)
    assert error.report.nan_count > 0
    assert "not finite" in error.why


def test_a_damaged_int8_artifact_of_a_good_model_is_refused(tmp_path: Path, base: Path) -> None:
    """The candidate is held to the FP32 reference, which is sound."""
    settings = type(SETTINGS)(precision="int8", cameras=2, runs=3)
    cart = CartOnBench(tmp_path / "cart", base, settings=settings)
    good = write_model(tmp_path / "good", files={"fp32": network(), "int8": network()})
    cart.activator.activate(good).engine.close()
    bad = write_model(tmp_path / "bad", files={"fp32": network(), "int8": network(noise=4.0)}, version="t2")
    cart.counted.clear()
    error = refused(cart, bad)
    assert isinstance(error.report, ParityReport)
    assert error.report.reference_passed
    assert "the candidate" in error.why


class LazyClock(SteppedClock):
    """Moves 50 ms whenever it is read: every timed run takes as long."""

    def monotonic_s(self) -> float:
        """Return the time, later each time."""
        self.now_s += 0.05
        return self.now_s


def test_a_model_that_is_too_slow_is_refused(tmp_path: Path, base: Path) -> None:
    """The manifest's budget is held, on the clock that the cart gives."""
    cart = CartOnBench(tmp_path / "cart", base, clock=LazyClock())
    cart.activator.activate(write_model(tmp_path / "good", order=(1, 2, 0), latency_budget_ms=60.0))
    cart.counted.clear()
    error = refused(cart, write_model(tmp_path / "slow", latency_budget_ms=40.0))
    assert "40.00 ms are allowed" in error.why
    assert isinstance(error.report, ParityReport)
    assert error.report.median_ms == pytest.approx(50.0)


def _strange_key(folder: Path) -> None:
    sign_manifest(folder, generate_key().private_pem)


def _unsigned(folder: Path) -> None:
    (folder / "manifest.sig").unlink()


def _changed_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"t1"', b'"t9"'))


def _changed_network(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(network(noise=0.1))


def _tampered_golden(folder: Path) -> None:
    (folder / "golden" / "0.png").write_bytes((folder / "golden" / "1.png").read_bytes())


def _missing_network(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (_strange_key, "not trusted"),
        (_unsigned, "not signed"),
        (_changed_manifest, "changed after it was signed"),
        (_changed_network, r"model\.onnx is not the manifest's file"),
        (_tampered_golden, r"0\.png is not the manifest's file"),
        (_missing_network, r"model\.onnx is missing"),
        (_no_manifest, r"manifest\.json: No such file"),
    ],
)
def test_a_model_that_is_not_what_was_signed_is_refused(
    cart: CartOnBench, tmp_path: Path, harm: Callable[[Path], None], why: str
) -> None:
    """Unknown key, no signature, any file changed or gone: it never reaches a builder."""
    folder = write_model(tmp_path / "offered")
    harm(folder)
    with pytest.raises(ActivationError, match=why) as caught:
        raise refused(cart, folder)
    assert caught.value.stage == "verified"
    assert cart.counted["plans_built"] == 0


def test_a_wrong_plan_under_the_right_key_is_refused_and_built_anew(
    cart: CartOnBench, tmp_path: Path
) -> None:
    """A plan of other weights whose sidecar was made to fit is found by the gate."""
    folder = write_model(tmp_path / "new")
    cart.activator.activate(folder).engine.close()
    _forge_plan(cart, network(noise=4.0))
    cart.counted.clear()
    activated = cart.activator.activate(folder)
    assert items_seen(activated.engine, activated.manifest) == ITEMS_SHOWN
    assert (cart.counted["plans_wrong"], cart.counted["plans_built"]) == (1, 1)
    cart.close()


@pytest.mark.parametrize(
    "content", [network(noise=4.0), network((2, 1, 0)), b"random bytes", network()[:200]]
)
def test_a_builder_that_makes_wrong_plans_changes_nothing(tmp_path: Path, base: Path, content: bytes) -> None:
    """Other weights, another model, random bytes, half a file: refused, and the plan does not stay."""
    cart = CartOnBench(tmp_path / "cart", base)
    cart.activator.activate(write_model(tmp_path / "good", order=(1, 2, 0)))
    (tmp_path / "wrong").write_bytes(content)
    wrong = COPY.replace(
        "source, target = sys.argv[1:3]", f"source, target = {str(tmp_path / 'wrong')!r}, sys.argv[2]"
    )
    kept = cart.workshop.backend
    bad = cart.again(backend=CopyingBackend(wrong))
    with pytest.raises(ActivationError) as caught:
        bad.activator.activate(write_model(tmp_path / "new"))
    assert caught.value.stage == "selftest"
    assert bad.leftovers() == []
    again = bad.again(backend=kept)
    opened = again.activator.open_at_boot()
    assert (opened.source, opened.fallbacks) == ("current", ())
    again.close()


def test_a_builder_that_fails_is_told_in_its_own_words(cart: CartOnBench, tmp_path: Path) -> None:
    """The parser's message is in the error of the activation."""
    script = (
        """print('{"error": "cannot parse", "log": ["node 7: no such operator"]}'); raise SystemExit(1)"""
    )
    bad = cart.again(backend=CopyingBackend(script))
    with pytest.raises(ActivationError, match=r"cannot parse.*node 7: no such operator") as caught:
        bad.activator.activate(write_model(tmp_path / "new"))
    assert caught.value.stage == "building"
    assert bad.counted["plans_build_failed"] == 1
    bad.close()


def test_a_precision_that_the_model_lacks_is_refused(tmp_path: Path, base: Path) -> None:
    """It is said before anything is built."""
    cart = CartOnBench(tmp_path / "cart", base, settings=type(SETTINGS)(precision="fp16"))
    with pytest.raises(ActivationError, match="no fp16 artifact"):
        cart.activator.activate(write_model(tmp_path / "new"))
    cart.close()


def test_one_activation_at_a_time_and_it_can_be_cancelled(cart: CartOnBench, tmp_path: Path) -> None:
    """A second one is refused at once; a cancelled one ends its builder and leaves nothing."""
    script = 'import time\nprint(\'{"phase": "slow"}\', flush=True)\ntime.sleep(600)'
    slow = cart.again(backend=CopyingBackend(script))
    new, cancelled, building = write_model(tmp_path / "new"), threading.Event(), threading.Event()
    errors: list[ActivationError] = []

    def work() -> None:
        try:
            slow.activator.activate(
                new, on_progress=lambda entry: building.set() if entry.phase else None, cancelled=cancelled
            )
        except ActivationError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert building.wait(30)
    with pytest.raises(ActivationError, match="another activation"):
        slow.activator.activate(new)
    cancelled.set()
    thread.join(30)
    assert not thread.is_alive()
    assert "cancelled" in errors[0].why
    assert slow.leftovers() == []
    slow.close()


def test_an_attempt_that_ends_the_agent_again_and_again_is_left_alone(
    cart: CartOnBench, tmp_path: Path
) -> None:
    """A model that kills the process while it is tried is not tried for ever; another one is."""
    new = write_model(tmp_path / "new")
    file, clock = cart.workshop.slots, cart.workshop.clock
    for _ in range(MAX_ATTEMPT_WRITES):
        name = _name(new)
        file.save(begin(file.slots, name, "selftest", now_ms=clock.epoch_ms()))
    with pytest.raises(ActivationError, match="again and again"):
        cart.activator.activate(new)
    with pytest.raises(ActivationError, match="again and again"):
        cart.activator.activate(new)
    assert cart.counted["activation_loop"] == 2
    cart.activator.activate(write_model(tmp_path / "other", order=(2, 1, 0))).engine.close()
    cart.activator.activate(new).engine.close()
    cart.close()


def test_activation_in_the_background_hands_over_an_engine(cart: CartOnBench, tmp_path: Path) -> None:
    """What came of it, good or bad, is told once, in that thread."""
    told: list[Activated | ActivationError] = []
    cart.activator.activate_in_background(write_model(tmp_path / "new"), told.append).join(30)
    cart.activator.activate_in_background(tmp_path / "nothing", told.append).join(30)
    good, bad = told
    assert isinstance(good, Activated)
    assert items_seen(good.engine, good.manifest) == ITEMS_SHOWN
    assert isinstance(bad, ActivationError)
    cart.close()


def _current_plan(cart: CartOnBench) -> Path:
    current = cart.activator.slots.current
    assert current is not None
    assert current.plan is not None
    return cart.folder / "plans" / current.plan / f"{current.plan}.plan"


def test_a_slow_moment_does_not_cost_the_serving_model_its_plan(tmp_path: Path, base: Path) -> None:
    """A new manifest over the serving network shares its plan: refused as too slow, it leaves the plan."""
    cart = CartOnBench(tmp_path / "cart", base, clock=LazyClock())
    cart.activator.activate(write_model(tmp_path / "good", order=(1, 2, 0))).engine.close()
    cart.counted.clear()
    hasty = write_model(tmp_path / "hasty", order=(1, 2, 0), latency_budget_ms=1e-6, version="t2")
    assert "are allowed" in refused(cart, hasty).why
    assert _current_plan(cart).exists()
    assert (cart.counted["plans_wrong"], cart.counted["plans_built"]) == (0, 0)


def test_a_cancelled_selftest_leaves_the_serving_models_plan(cart: CartOnBench, tmp_path: Path) -> None:
    """The serving model is sent again and its activation cancelled in the selftest: its plan stays."""
    same, cancelled = write_model(tmp_path / "same", order=(1, 2, 0)), threading.Event()
    with pytest.raises(ActivationError, match="cancelled"):
        cart.activator.activate(
            same,
            on_progress=lambda entry: cancelled.set() if entry.stage == "selftest" else None,
            cancelled=cancelled,
        )
    assert _current_plan(cart).exists()
    cart.close()


def test_a_disk_that_is_full_changes_nothing(
    cart: CartOnBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever write fails, the old model serves and the next try works."""
    new = write_model(tmp_path / "new")
    before = cart.activator.slots

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("copy_file", "write_file", "publish_folder"):
        with monkeypatch.context() as patch:
            patch.setattr(f"fleet_agent.durable.{name}", full)
            with pytest.raises(ActivationError, match="No space left"):
                cart.activator.activate(new)
        assert cart.activator.slots == before
        assert cart.leftovers() == []
    cart.activator.activate(new).engine.close()
    cart.close()


def _name(folder: Path) -> str:
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def _forge_plan(cart: CartOnBench, content: bytes) -> None:
    """Put another network under the current plan's key and make its sidecar fit."""
    current = cart.activator.slots.current
    assert current is not None
    assert current.plan is not None
    entry = cart.folder / "plans" / current.plan
    (entry / f"{current.plan}.plan").write_bytes(content)
    sidecar = json.loads((entry / "plan.json").read_bytes())
    sidecar.update(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    (entry / "plan.json").write_text(json.dumps(sidecar))


def test_a_prepared_model_waits_and_then_goes_live(cart: CartOnBench, tmp_path: Path) -> None:
    """In between the cart boots into the old one, and nothing of the new one is deleted that is pinned."""
    prepared = cart.activator.prepare(
        write_model(tmp_path / "new", order=(2, 1, 0)), cancelled=threading.Event()
    )
    before = cart.activator.slots
    assert before.current is not None
    assert before.attempt is not None
    activated = cart.activator.switch(prepared)
    slots = cart.activator.slots
    assert (slots.current, slots.last_good, slots.attempt) == (activated.slot, before.current, None)
    assert items_seen(activated.engine, activated.manifest) == ITEMS_SHOWN
    activated.engine.close()
    opened = cart.activator.fall_back(activated.slot.model)
    assert (opened.model, cart.activator.slots.current) == (before.current.model, before.current)
    opened.engine.close()
    assert cart.leftovers() == []


def test_a_prepared_model_that_is_dropped_leaves_nothing(cart: CartOnBench, tmp_path: Path) -> None:
    """Its engine is closed, its files are deleted, and its attempt is over."""
    before = cart.activator.slots
    prepared = cart.activator.prepare(
        write_model(tmp_path / "new", order=(2, 1, 0)), cancelled=threading.Event()
    )
    cart.activator.drop(prepared)
    assert (cart.activator.slots, cart.leftovers()) == (before, [])


def test_another_model_is_never_withdrawn(cart: CartOnBench) -> None:
    """Only the current one can prove bad."""
    before = cart.activator.slots
    cart.activator.withdraw("f" * 64)
    assert cart.activator.slots == before


def test_the_base_model_does_not_come_after_what_the_fleet_chose(tmp_path: Path, base: Path) -> None:
    """A cart that went live before its base model was ever activated stays with the fleet's."""
    cart = CartOnBench(tmp_path / "cart", base, base_is_configured=True)
    opened = cart.activator.open_at_boot()
    opened.engine.close()
    prepared = cart.activator.prepare(
        write_model(tmp_path / "new", order=(2, 1, 0)), cancelled=threading.Event()
    )
    cart.activator.switch(prepared).engine.close()
    again = cart.again(base_is_configured=True)
    opened = again.activator.open_at_boot()
    assert (opened.source, opened.pending) == ("current", None)
    opened.engine.close()
    again.close()
