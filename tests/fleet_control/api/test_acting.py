"""Stories about commands: who may give them, in which state, how often they are done."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from fleet_control.errors import StoreError
from fleet_control.rollouts.states import Action, Role, RolloutStatus
from tests.fleet_control.api.desk import BY_HAND, Desk
from tests.fleet_control.rollouts.scene import PLAN

# Written by hand: what the roles promise, not what the code says.
LEAST = {
    "approve": "rollout_owner",
    "start": "rollout_owner",
    "pause": "on_call",
    "resume": "rollout_owner",
    "roll_back": "on_call",
    "abort_keep": "rollout_owner",
    "abort_revert": "rollout_owner",
    "retry": "on_call",
    "promote": "rollout_owner",
}
ROLES = ["viewer", "on_call", "rollout_owner"]
FINAL = (RolloutStatus.COMPLETED, RolloutStatus.ROLLED_BACK, RolloutStatus.ABORTED)


@pytest.mark.parametrize("status", list(RolloutStatus))
def test_no_action_is_done_without_its_role_in_any_state(desk: Desk, status: RolloutStatus) -> None:
    """Every action, by every role, in every state: 403 below the role, else what the choices said."""
    fresh = False
    for action, least in LEAST.items():
        for role in ROLES:
            scene = desk.scene if fresh else desk.new_scene(status)
            before = scene.head
            choices = {one["action"]: one for one in desk.get("/v1/rollouts/autumn", role)["choices"]}
            response = desk.act(action, role)
            said = (status.value, action, role, response.text)
            if ROLES.index(role) < ROLES.index(least):
                assert not choices[action]["allowed"], said
                # In a state that forbids it to everybody, the state may be named instead of the role.
                assert response.status_code == 403, said
            else:
                assert response.status_code == (200 if choices[action]["allowed"] else 409), said
            fresh = response.status_code != 200
            assert not fresh or scene.head == before
            outcome = scene.store.audit(limit=1)[0].outcome
            assert (outcome == "done") == (response.status_code == 200)


@pytest.mark.parametrize("status", FINAL)
def test_nothing_leaves_a_final_state(desk: Desk, status: RolloutStatus) -> None:
    """Final is final, also for the owner."""
    desk.new_scene(status)

    assert {desk.act(action).status_code for action in LEAST} == {409}


def test_the_same_key_is_done_once(desk: Desk) -> None:
    """A client that got no answer asks again, and nothing happens twice."""
    desk.new_scene(RolloutStatus.RUNNING)

    first = desk.act("pause", key="the-same-key")
    second = desk.act("pause", key="the-same-key")

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    paused = [one for one in desk.get("/v1/rollouts/autumn/log")["entries"] if one["kind"] == "paused"]
    assert len(paused) == 1


def test_a_key_that_was_used_for_something_else_is_a_mistake(desk: Desk) -> None:
    """Nobody gets the answer to another question."""
    desk.new_scene(RolloutStatus.RUNNING)
    desk.act("pause", key="the-same-key")

    response = desk.act("resume", key="the-same-key")

    assert response.status_code == 409
    assert response.json()["error"]["code"] == "reused_key"


def test_whoever_looked_too_long_ago_is_told_how_far_it_has_gone(desk: Desk) -> None:
    """A promote meant for one stage never promotes the next."""
    desk.new_scene(RolloutStatus.RUNNING)

    response = desk.act("promote", expected_version=1)

    assert response.status_code == 409
    error = response.json()["error"]
    assert (error["code"], error["expected"]) == ("stale_version", 1)
    assert error["found"] == desk.get("/v1/rollouts/autumn")["version"]


def test_a_refusal_is_in_the_audit_log_with_its_reason(desk: Desk) -> None:
    """Who tried what is known, also when nothing came of it."""
    desk.new_scene(RolloutStatus.RUNNING)

    desk.act("pause", "viewer", reason="I was curious")

    newest = desk.get("/v1/audit?rollout=autumn", "viewer")["commands"][0]
    assert (newest["actor"], newest["role"], newest["action"]) == ("viewer", "viewer", "pause")
    assert newest["reason"] == "I was curious"
    assert newest["outcome"] == "pause is refused: the role on call is needed"


@pytest.mark.parametrize("action", ["roll_back", "abort_revert"])
def test_a_repository_that_is_away_stops_nobody_from_going_back(desk: Desk, action: str) -> None:
    """Carts that keep the baseline do not need it; only one that says that the baseline is gone refuses."""
    desk.new_scene(RolloutStatus.RUNNING).shelf.away = True

    response = desk.act(action)

    assert (response.status_code, response.json()["status"]) == (200, "rolling_back")


def test_a_refusal_for_the_role_is_one_the_second_time_too(desk: Desk) -> None:
    """The same key has the same answer."""
    desk.new_scene(RolloutStatus.RUNNING)

    answers = [desk.act("pause", "viewer", key="the-same-key") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize(
    "plan",
    [
        "x: !!bool foo",
        "x: !!timestamp foo",
        'x: !!int ""',
        'x: !!float ""',
        '"\\ud800": 1',
        "a: 1\na: 2",
        "? [a]\n: 1",
    ],
)
def test_strange_yaml_is_refused_as_a_plan(desk: Desk, plan: str) -> None:
    """Nothing that a constructor of YAML trips over is an error of ours."""
    response = desk.create(None, data=plan, headers={"Content-Type": "text/yaml"})

    assert (response.status_code, response.json()["error"]["code"]) == (400, "plan")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_nothing_edits_the_audit_log_or_the_log(desk: Desk, method: str) -> None:
    """There is no way in."""
    desk.new_scene(RolloutStatus.RUNNING)

    for path in ("/v1/audit", "/v1/rollouts/autumn/log", "/v1/audit/create-00"):
        response = desk.call(method, path)
        assert response.status_code in (404, 405)
        assert set(response.json()["error"]) == {"code", "message"}


def test_a_rollout_is_created_from_yaml_with_its_reason(desk: Desk) -> None:
    """The file that somebody wrote is what is sent; the reason may be in any language."""
    yaml = """
rollout: autumn
model: bbbbbbbbbbbbbbbb
stages:
  - {name: canary, percent: 25, bake: 2h}
  - {name: all, percent: 100}
"""
    response = desk.create(
        None,
        data=yaml.encode(),
        headers={"Content-Type": "text/yaml", "X-Reason": "für die Ernte".encode()},
    )

    assert response.status_code == 201
    assert response.headers["Location"] == "/v1/rollouts/autumn"
    made = response.json()
    assert (made["status"], made["created_by"], made["stages"][0]["bake_s"]) == (
        "ready",
        "rollout_owner",
        7200,
    )
    assert desk.get("/v1/audit")["commands"][0]["reason"] == "für die Ernte"


def test_two_rollouts_do_not_take_the_same_carts(desk: Desk) -> None:
    """The refusal names the carts, so that somebody can change the plan."""
    desk.new_scene(RolloutStatus.RUNNING)

    response = desk.create({**PLAN, "rollout": "winter"})

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["count"]) == (409, "carts_taken", 24)
    assert error["carts"]["s001-c01"] == "autumn"


def test_a_preview_says_what_creating_would_refuse(desk: Desk) -> None:
    """An id that is taken, and carts that nobody knows, are problems before anything is created."""
    assert desk.create(PLAN).status_code == 201
    stages = [{"name": "canary", "carts": ["s001-c01", "s009-c01"]}, {"name": "all", "percent": 100}]

    problems = desk.call("POST", "/v1/rollouts/preview", json={**PLAN, "stages": stages}).json()["problems"]

    assert problems[0] == "there is a rollout autumn already: every one has an id of its own"
    assert "stage canary names unknown carts: s009-c01" in problems


def test_a_preview_creates_nothing(desk: Desk) -> None:
    """A viewer may find out what a plan would mean."""
    seen = desk.call("POST", "/v1/rollouts/preview", "viewer", json=PLAN).json()

    assert [stage["carts"] for stage in seen["stages"]] == [6, 18]
    assert desk.get("/v1/rollouts")["rollouts"] == []


WRONG_PLANS: list[tuple[Any, str]] = [
    ({**PLAN, "stages": [{"name": "a", "percent": "much"}]}, "stages[0].percent"),
    ({**PLAN, "gates": [{"metric": "beauty"}]}, "gates[0].metric"),
    ({**PLAN, "colour": "red"}, ""),
    ({**PLAN, "title": "x\0y"}, ""),
    ({**PLAN, "model": "c" * 16}, ""),
    ([], ""),
    ("text", ""),
    (None, ""),
]


@pytest.mark.parametrize(("plan", "field"), WRONG_PLANS)
def test_a_wrong_plan_is_refused_with_its_field(desk: Desk, plan: Any, field: str) -> None:
    """Whoever wrote it finds the line."""
    response = desk.create(None, data=json.dumps(plan), headers={"Content-Type": "application/json"})

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "plan")
    assert error.get("field", "") == field
    assert desk.get("/v1/rollouts")["rollouts"] == []


BAD_BODIES = [
    (b"{", "application/json", 422),
    (b"\xff\xfe", "application/json", 422),
    (b"[" * 100_000, "application/json", 422),
    (b"[" * 40 + b"]" * 40, "application/json", 400),
    (b'{"title": "\\ud800"}', "application/json", 422),
    (b'{"alpha": 1' + b"0" * 5_000 + b"}", "application/json", 422),
    (b'{"alpha": NaN}', "application/json", 422),
    (b"a: [", "text/yaml", 400),
    (b"[" * 5_000, "text/yaml", 400),
    (b"\xff\xfe\x00", "text/yaml", 400),
    (b"a: !!python/object/apply:os.system [ls]", "text/yaml", 400),
    (b"a: &a [1]\nb: *a", "text/yaml", 400),
    (b"? [1, 2]\n: 3", "text/yaml", 400),
    (b"a: 9999-99-99", "text/yaml", 400),
    (b"{}", "application/x-www-form-urlencoded", 415),
    (b"{}", "", 415),
    (b" " * 300_000, "application/json", 413),
]


@pytest.mark.parametrize(("body", "kind", "status"), BAD_BODIES)
def test_a_body_that_cannot_be_read_is_never_our_fault(
    desk: Desk, body: bytes, kind: str, status: int
) -> None:
    """Depth, size, aliases, Python's tags, half characters: refused before anything is built."""
    response = desk.call("POST", "/v1/rollouts/preview", data=body, headers={"Content-Type": kind})

    assert response.status_code == status, response.text
    assert response.json()["error"]["message"]


BAD_WISHES: list[tuple[Any, dict[str, str], int]] = [
    ({"action": "create"}, {}, 400),
    ({"action": "pause", "force": True}, {}, 400),
    ({"action": "pause", "expected_version": "1"}, {}, 400),
    ({"action": "pause", "expected_version": 10**30}, {}, 400),
    ({"action": "pause", "reason": "x" * 501}, {}, 400),
    ({"action": "pause", "reason": "\x1b[2J"}, {}, 400),
    ({"action": "retry", "carts": ["UP"]}, {}, 400),
    ({"action": "pause"}, {"Idempotency-Key": "short"}, 400),
    ({"action": "pause"}, {"Idempotency-Key": ""}, 400),
]


@pytest.mark.parametrize(("wish", "headers", "status"), BAD_WISHES)
def test_a_wish_that_is_none_is_refused_with_its_field(
    desk: Desk, wish: Any, headers: dict[str, str], status: int
) -> None:
    """No action on a guess."""
    desk.new_scene(RolloutStatus.RUNNING)
    headers = {"Idempotency-Key": "a-good-key", **headers}

    response = desk.call("POST", "/v1/rollouts/autumn/actions", json=wish, headers=headers)

    assert response.status_code == status, response.text
    assert response.json()["error"]["problems"]
    assert desk.scene.head.status is RolloutStatus.RUNNING


def test_a_database_that_is_away_is_said_and_not_guessed_about(desk: Desk) -> None:
    """503, when to ask again, and not ready; alive all the same."""

    class Away:
        """No database."""

        def __getattr__(self, name: str) -> Any:
            raise StoreError("the database of rollouts does not answer")

    desk.control.current = Away()

    response = desk.act("pause")

    assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert desk.call("GET", "/ready").status_code == 503
    assert desk.call("GET", "/live").status_code == 200


def test_a_fault_of_ours_tells_nothing_and_has_the_same_shape(desk: Desk) -> None:
    """What broke is for the log."""

    class Broken:
        """A fault."""

        def __getattr__(self, name: str) -> Any:
            raise ValueError("a secret detail")

    desk.control.current = Broken()

    with capture_logs() as logs:
        response = desk.act("pause")

    assert response.status_code == 500
    assert str(logs[0]["exc_info"]) == "a secret detail"
    assert "secret" not in response.text
    assert response.json()["error"]["code"] == "internal"


def test_retry_names_carts_and_a_rollout_that_is_not_there_is_404(desk: Desk) -> None:
    """A wish about nothing is told apart from one that is refused."""
    desk.new_scene(RolloutStatus.RUNNING)

    assert desk.act("retry", carts=["s001-c01"]).status_code == 409
    headers = {"Idempotency-Key": "a-good-key"}
    gone = desk.call("POST", "/v1/rollouts/gone/actions", json={"action": "pause"}, headers=headers)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "unknown_rollout")


def test_somebody_else_approves(desk: Desk) -> None:
    """Four eyes: the e-mail addresses tell people apart behind one dashboard."""
    olga = {"X-Cartwright-Person": "olga@example.com"}
    made = desk.create({**BY_HAND, "approval": True}, "dashboard", headers=olga)
    assert (made.status_code, made.json()["created_by"]) == (201, "olga@example.com")
    path, wish = "/v1/rollouts/autumn/actions", {"action": "approve"}

    by_olga = desk.call(
        "POST", path, "dashboard", json=wish, headers={**olga, "Idempotency-Key": "approve-1"}
    )
    by_owner = desk.act("approve")

    assert (by_olga.status_code, by_owner.status_code) == (409, 200)
    assert desk.scene.head.status is RolloutStatus.READY
    assert desk.scene.store.audit(limit=1)[0].role is Role.OWNER
    assert desk.scene.store.audit(limit=1)[0].action is Action.APPROVE
