"""Stories about what the API shows."""

import typing
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from fleet_control.api.rendering import gate_of, iso
from fleet_control.api.sentences import sentence_of
from fleet_control.rollouts import events
from fleet_control.rollouts.ports import GateReading
from fleet_control.rollouts.states import Action, DeviceState, RolloutStatus, Verdict
from fleet_protocol.rollouts import Desired
from tests.fleet_control.api.desk import Desk, bring_to
from tests.fleet_control.rollouts.scene import PLAN, Scene
from tests.fleet_control.rollouts.worlds import BASELINE, MODEL


def test_a_rollout_is_shown_with_its_stages_and_what_its_viewer_may_do(desk: Desk) -> None:
    """Counts are carts, times are UTC, and choices have numbers."""
    desk.new_scene(RolloutStatus.RUNNING)
    desk.scene.turn(3)

    one = desk.get("/v1/rollouts/autumn", "on_call")

    assert (one["id"], one["status"], one["model"], one["baseline"]) == ("autumn", "running", MODEL, BASELINE)
    assert one["created_at"] == "1970-01-01T00:16:40.000Z"
    assert [stage["planned"] for stage in one["stages"]] == ["25 %", "100 %", "late joiners"]
    canary = one["stages"][one["current_stage"]]
    assert (canary["name"], canary["counts"]["done"], canary["counted"], canary["bake_s"]) == (
        "canary",
        6,
        6,
        600,
    )
    assert (one["pool"], one["live"]) == (18, 6)
    choices = {choice["action"]: choice for choice in one["choices"]}
    assert choices["pause"]["allowed"]
    assert choices["pause"]["consequences"][0] == f"6 carts keep {MODEL[:8]} and go on with it."
    assert choices["promote"]["why_not"] == "the role rollout owner is needed"


def test_the_list_is_filtered_by_status(desk: Desk) -> None:
    """What runs, what ended, and no choices, which only the detail has."""
    bring_to(desk.scene, RolloutStatus.ABORTED)
    desk.create({**PLAN, "rollout": "winter"})

    def ids(query: str) -> list[str]:
        return [one["id"] for one in desk.get(f"/v1/rollouts{query}", "viewer")["rollouts"]]

    assert ids("") == ["winter", "autumn"]
    assert ids("?status=ready&status=running") == ["winter"]
    assert ids("?status=aborted") == ["autumn"]
    assert ids("?status=paused") == []
    assert ids("?limit=1") == ["winter"]
    assert "choices" not in desk.get("/v1/rollouts")["rollouts"][0]


def test_pages_of_carts_are_the_whole_list(desk: Desk) -> None:
    """Each cart once, in order, and a page knows whether it is the last."""
    desk.new_scene(RolloutStatus.RUNNING)
    path, found, after = "/v1/rollouts/autumn/carts", [], ""
    while True:
        page = desk.get(f"{path}?limit=7{after}")
        found += [cart["cart"] for cart in page["carts"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert found == sorted(desk.scene.fleet.carts())
    assert desk.get(f"{path}?limit=24")["next"] is None
    in_store = desk.get(f"{path}?store=s001&status=done&status=pool")["carts"]
    assert {cart["store"] for cart in in_store} == {"s001"}
    assert len(in_store) == 6


def test_a_cart_that_waits_says_what_for(desk: Desk) -> None:
    """A cart that is ready, one whose word is not proved and one that goes back are not just silent."""
    scene = desk.new_scene(RolloutStatus.READY)
    scene.obeys = False
    scene.act(Action.START)
    scene.arm()
    scene.turn(2)
    path = "/v1/rollouts/autumn/carts?status=told&status=working&status=proving&status=reverting"
    told = desk.get(path)["carts"]
    first, second = told[0], told[1]
    for cart, state in ((first, DeviceState.STAGED), (second, DeviceState.COMMITTED)):
        desired = Desired(generation=1, model=MODEL, manifest="2" * 64, rollout="autumn")
        scene.fleet.say(scene.report(cart["store"], cart["cart"], desired, state))
    scene.turn()

    def why() -> dict[str, str]:
        return {cart["cart"]: cart["why"] for cart in desk.get(path)["carts"]}

    assert why()[first["cart"]] == "ready; goes live when nobody shops"
    assert why()[second["cart"]] == "has committed; its telemetry has to show the model"
    scene.act(Action.PAUSE)
    assert why()[first["cart"]] == "ready; waits until the rollout goes on"
    scene.act(Action.ROLL_BACK)
    scene.turn()
    assert why()[first["cart"]] == "goes back when nobody shops"


def test_what_carts_of_an_ended_rollout_run_is_what_they_say_now(desk: Desk) -> None:
    """Nobody watches them for this rollout any more, and another one may have changed them."""
    scene = desk.new_scene(RolloutStatus.COMPLETED)
    other = "c" * 16
    cart = scene.fleet.carts()["s001-c01"]
    scene.fleet.see([replace(cart, model=other)])

    found = desk.get("/v1/rollouts/autumn/carts?store=s001&limit=1")["carts"]

    assert [(one["cart"], one["running"]) for one in found] == [("s001-c01", other)]


def test_pages_of_the_log_are_the_whole_log(desk: Desk) -> None:
    """Numbers have no gap, and each entry has a sentence for people."""
    desk.new_scene(RolloutStatus.PAUSED)
    found: list[Any] = []
    while not found or found[-1]["next"] is not None:
        after = found[-1]["next"] if found else 0
        found.append(desk.get(f"/v1/rollouts/autumn/log?limit=2&after={after}"))
    entries = [entry for page in found for entry in page["entries"]]

    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0]["text"] == f"olga created it for model {MODEL[:8]}."
    assert entries[-1]["text"] == "olga paused it: story"
    assert (entries[-1]["kind"], entries[-1]["actor"], entries[-1]["reason"]) == ("paused", "olga", "story")


def test_evidence_is_shown_in_numbers_that_json_has(desk: Desk) -> None:
    """Evidence beyond what a float holds is still a number; what is not known is null."""
    reading = GateReading(
        gate="accuracy",
        mode="enforce",
        verdict="fail",
        alpha=0.0125,
        e_value=float("inf"),
        threshold=80.0,
        interval=(-0.05, 0.01),
        canary=(90, 100),
        control=(97, 100),
        watermark_ms=60_000,
        history=((1_000, 1.5), (2_000, float("inf"))),
    )
    desk.new_scene(RolloutStatus.RUNNING)
    desk.control.current = replaced = Scene()
    bring_to(replaced, RolloutStatus.RUNNING)

    class Knowing:
        """Gates that know something."""

        def __getattr__(self, name: str) -> Any:
            return getattr(replaced.control, name)

        def evidence(self, rollout_id: str) -> tuple[GateReading, ...]:
            """Return it."""
            assert rollout_id == "autumn"
            return (reading, replace(reading, e_value=None, interval=None, canary=None, history=()))

    desk.control.current = Knowing()

    known, unknown = desk.get("/v1/rollouts/autumn/evidence")["gates"]

    assert known["e_value"] > 1e308
    assert (known["canary"], known["interval"]) == ([90, 100], [-0.05, 0.01])
    assert known["watermark_at"] == "1970-01-01T00:01:00.000Z"
    assert known["history"][0] == ["1970-01-01T00:00:01.000Z", 1.5]
    assert (unknown["e_value"], unknown["interval"], unknown["canary"]) == (None, None, None)
    assert gate_of(replace(reading, e_value=float("nan"))).e_value is None


def test_the_fleet_and_the_models_are_listed(desk: Desk) -> None:
    """What the form of a new rollout offers."""
    fleet = desk.get("/v1/carts", "viewer")

    assert (len(fleet["carts"]), fleet["next"]) == (24, None)
    assert fleet["carts"][0]["hardware"] == "jetson"
    assert desk.get("/v1/carts?limit=23")["next"] == "s004-c05"
    assert [cart["cart"] for cart in desk.get("/v1/carts?after=s004-c05")["carts"]] == ["s004-c06"]
    assert [model["version"] for model in desk.get("/v1/models", "viewer")["models"]] == ["v2", "v1"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/rollouts?limit=0",
        "/v1/rollouts?limit=201",
        "/v1/rollouts?status=lost",
        "/v1/rollouts/UPPER",
        "/v1/rollouts/autumn/carts?limit=1001",
        "/v1/rollouts/autumn/carts?after=%00",
        "/v1/rollouts/autumn/log?after=-1",
        "/v1/rollouts/autumn/log?after=1e99",
        "/v1/audit?limit=many",
        "/v1/audit?rollout=%27",
        "/v1/carts?limit=100001",
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(desk: Desk, path: str) -> None:
    """Nobody reads a million rows by one request."""
    response = desk.call("GET", path)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize("what", ["", "/carts", "/log", "/evidence"])
def test_a_rollout_that_is_not_there_is_404(desk: Desk, what: str) -> None:
    """Not an empty list, which would look like one without carts."""
    response = desk.call("GET", f"/v1/rollouts/gone{what}")

    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_rollout")


VALUES: dict[str, Any] = {
    "at_ms": 0,
    "stage": 1,
    "cart": "s001-c01",
    "carts": ("s001-c01", "s001-c02"),
    "population": (),
    "gate": "accuracy",
    "verdict": Verdict.FAIL,
    "by": "gates",
    "outcome": "rolled_back",
    "state": DeviceState.ROLLED_BACK,
    "attempt": 2,
    "step": 3,
    "running": BASELINE,
    "windows": 3,
    "inferences": 1_000,
    "baseline": BASELINE,
    "manifests": {},
}


@pytest.mark.parametrize("kind", typing.get_args(events.AnyEvent))
@pytest.mark.parametrize("reason", ["", "because"])
def test_every_kind_of_entry_has_a_sentence(kind: type[Any], reason: str) -> None:
    """An entry that is added to the log without words for people fails here."""
    scene = Scene()
    bring_to(scene, RolloutStatus.RUNNING)
    names = [one.name for one in msgspec.structs.fields(kind)]
    values = {name: value for name, value in {**VALUES, "plan": scene.plan()}.items() if name in names}

    sentence = sentence_of(kind(**values, reason=reason), scene.head)

    assert sentence.endswith(": because" if reason else ".")
    assert sentence[0].isupper() or sentence.startswith(("controller ", "s001-c01 ", "2 carts "))
    assert "\n" not in sentence


def test_a_clock_that_is_far_off_ends_in_no_error() -> None:
    """A retained message of a cart from the year 200,000 must not take the list away."""
    assert iso(2**53) == "9999-12-31T23:59:59.999Z"
    assert iso(-1) == "1970-01-01T00:00:00.000Z"
