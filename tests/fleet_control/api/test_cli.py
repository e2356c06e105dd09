"""Stories about `cartwright rollouts`, most of them run as a process against a real server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from fleet_control.errors import ControlAwayError, ControlRefusedError
from fleet_control.rollouts.states import Action, RolloutStatus, Verdict
from fleet_control.rollouts_cli.acting import Wish, carry_out
from fleet_control.rollouts_cli.client import ControlClient
from fleet_control.rollouts_cli.settings import Connection
from fleet_control.rollouts_cli.watching import follow
from tests.fleet_control.api.desk import Desk
from tests.fleet_control.api.terminal import PLAN, client, run, typed_in
from tests.fleet_control.rollouts.worlds import MODEL


@pytest.mark.end_to_end
def test_a_rollout_from_its_file_to_its_end(desk: Desk, tmp_path: Path) -> None:
    """Every command once, as somebody at a terminal would give them."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)

    def done(*argv: str) -> str:
        ended = run(desk, *argv)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "canary      6" in done("create", str(plan), "--dry-run")
    assert desk.get("/v1/rollouts")["rollouts"] == []
    assert "autumn: ready" in done("create", str(plan), "--reason", "für die Ernte")
    assert "autumn: running" in done("start", "autumn", "--yes")
    desk.scene.arm()
    desk.scene.turn(2)
    assert "autumn  running  canary  6/24" in done("list", "--status", "running")
    assert "> canary" in done("show", "autumn")
    assert "s001-c01" in done("carts", "autumn", "--store", "s001", "--limit", "3")
    assert "There are more" in done("carts", "autumn", "--limit", "3")
    assert "The gates know nothing yet." in done("evidence", "autumn")
    assert "autumn: paused" in done("pause", "autumn", "--yes", "--reason", "looking")
    assert "autumn: running" in done("resume", "autumn", "--yes")
    assert "autumn: rolling back" in done("rollback", "autumn", "--yes", "--reason", "customers complain")
    desk.scene.turn(6)
    assert "rollout_owner paused it: looking" in done("log", "autumn")
    assert "customers complain" in done("audit", "autumn")
    assert json.loads(done("show", "autumn", "--json"))["status"] == "rolled_back"
    watched = run(desk, "watch", "autumn")
    assert watched.returncode == 1
    assert watched.stdout.splitlines()[-1].endswith("It ended: rolled back.")


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("argv", "who", "status", "sentence"),
    [
        (["pause", "autumn", "--yes"], "viewer", 1, "pause is refused: the role on call is needed"),
        (["resume", "autumn", "--yes"], "rollout_owner", 1, "resume is refused: it is running, not paused"),
        (["show", "gone"], "viewer", 1, "there is no rollout 'gone'"),
        (["pause", "autumn"], "rollout_owner", 5, "nobody is there to ask: say --yes"),
        (["rollback", "autumn", "--yes"], "rollout_owner", 5, "say why: --reason"),
        (["create", "none.yaml"], "rollout_owner", 1, "none.yaml: No such file or directory"),
        (["show", "autumn", "--control", "http://127.0.0.1:1"], "viewer", 3, "does not answer"),
        (["show", "autumn", "--control", "http://example.com"], "viewer", 4, "unencrypted: use https"),
        (["show", "autumn", "--control", "example.com:9103"], "viewer", 2, "has no https:// in front"),
        (["log", "autumn", "--last", "0"], "viewer", 2, "'0' is no number of entries"),
        (["log", "autumn", "--last", "3", "--after", "2"], "viewer", 2, "not allowed with argument"),
        (["show", "autumn", "--token-file", "/dev/null"], "viewer", 4, "/dev/null holds no token"),
        (
            ["abort", "autumn", "--yes"],
            "rollout_owner",
            2,
            "one of the arguments --keep --revert is required",
        ),
        (["show", "NOT-AN-ID"], "viewer", 2, "'NOT-AN-ID' is no id of a rollout"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_a_status(
    desk: Desk, argv: Sequence[str], who: str, status: int, sentence: str
) -> None:
    """Scripts see the status, people the sentence, and nobody a traceback."""
    desk.new_scene(RolloutStatus.RUNNING)

    ended = run(desk, *argv, who=who)

    assert ended.returncode == status, ended.stderr
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert desk.tokens[who] not in ended.stderr
    assert desk.scene.head.status is RolloutStatus.RUNNING


@pytest.mark.end_to_end
@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 5), ("", 5), ("Y es", 5)])
def test_a_person_is_asked_with_the_consequences_in_numbers(desk: Desk, answer: str, status: int) -> None:
    """On a real terminal: nothing but a yes is a yes."""
    desk.new_scene(RolloutStatus.RUNNING)
    desk.scene.turn(2)

    code, _, said = typed_in(desk, f"{answer}\n", "pause", "autumn", who="on_call")

    assert f"6 carts keep {MODEL[:8]} and go on with it." in said
    assert "Pause autumn? [y/N]" in said
    assert code == status
    assert (desk.scene.head.status is RolloutStatus.PAUSED) == (status == 0)


class Unsure(ControlClient):
    """A caller before whose eyes a rollout moves on.

    Attributes:
        meanwhile: Done before the next command.
    """

    meanwhile: Any = None

    def act(self, rollout: str, action: str, **asked: Any) -> dict[str, Any]:
        """Ask, after what happens meanwhile."""
        if self.meanwhile is not None:
            happen, self.meanwhile = self.meanwhile, None
            happen()
        return super().act(rollout, action, **asked)


class Forgetful(HTTPAdapter):
    """A network that carries everything there, and loses the first answers.

    Attributes:
        lost: How many are still lost.
    """

    lost = 2

    def send(self, *request: Any, **options: Any) -> requests.Response:
        """Send, and perhaps lose the answer."""
        response = super().send(*request, **options)
        if self.lost:
            self.lost -= 1
            response.close()
            raise requests.ConnectionError
        return response


def wish_for(action: str, **more: Any) -> Wish:
    """Return a wish of somebody who is sure."""
    return Wish("autumn", action, more.pop("reason", "a story"), sure=True, **more)


def silent(_: str) -> str:
    """Answer nothing."""
    return ""


def test_reports_of_carts_do_not_stand_in_the_way_of_a_person(desk: Desk) -> None:
    """The version grew between looking and acting, and nothing that matters changed: it is done."""
    scene = desk.new_scene(RolloutStatus.RUNNING)
    caller = Unsure(Connection(desk.server.url, desk.tokens["rollout_owner"]))
    version = scene.head.version

    def a_gate_speaks() -> None:
        scene.says("errors", Verdict.INCONCLUSIVE)
        scene.turn(1)

    caller.meanwhile = a_gate_speaks

    carry_out(caller, wish_for("promote"), say=print, ask=silent)

    assert scene.head.version > version + 1
    assert scene.head.stages[0].status.value == "passed"


def test_a_stage_that_ended_meanwhile_takes_no_promote_meant_for_it(desk: Desk) -> None:
    """Whoever looked at one stage does not promote the next."""
    scene = desk.new_scene(RolloutStatus.RUNNING)
    caller = Unsure(Connection(desk.server.url, desk.tokens["rollout_owner"]))

    def somebody_else() -> None:
        scene.act(Action.PROMOTE)
        scene.turn(2)

    caller.meanwhile = somebody_else

    with pytest.raises(ControlRefusedError, match="has moved on"):
        carry_out(caller, wish_for("promote"), say=print, ask=silent)

    assert scene.head.current == 1
    assert scene.head.stages[1].status.value != "passed"


@pytest.mark.end_to_end
def test_a_reason_is_asked_for_where_the_log_needs_one(desk: Desk) -> None:
    """Nobody reads months later that carts went back and not why."""
    scene = desk.new_scene(RolloutStatus.RUNNING)

    code, answer, said = typed_in(desk, "\n  \ncustomers complain\ny\n", "rollback", "autumn")

    assert code == 0, said
    assert said.count("Reason, for the log: ") == 3
    assert "Rollback means:" in said
    assert "autumn: rolling back" in answer
    assert scene.head.why == "customers complain"


@pytest.mark.end_to_end
def test_whoever_closes_the_terminal_instead_of_giving_a_reason_has_done_nothing(desk: Desk) -> None:
    """The end of the input is an answer, too; it is not asked for ever."""
    desk.new_scene(RolloutStatus.RUNNING)

    code, _, said = typed_in(desk, "\n\x04", "abort", "--keep", "autumn")

    assert code == 5
    assert said.count("Reason, for the log: ") == 2
    assert "nothing was done" in said
    assert desk.scene.head.status is RolloutStatus.RUNNING


def test_an_answer_that_got_lost_is_asked_for_again_and_nothing_is_done_twice(desk: Desk) -> None:
    """The command came three times under one key."""
    scene = desk.new_scene(RolloutStatus.RUNNING)
    caller = ControlClient(Connection(desk.server.url, desk.tokens["rollout_owner"]), lambda _: None)
    caller._session.mount("http://", Forgetful())

    paused = caller.act("autumn", "pause", reason="lost")

    assert paused["status"] == "paused"
    commands = [one for one in scene.store.audit() if one.reason == "lost"]
    assert [one.outcome for one in commands] == ["done"]


def test_a_call_without_an_answer_is_made_again_and_then_given_up(desk: Desk) -> None:
    """With pauses in between, and an error that names the address."""
    pauses: list[float] = []
    caller = ControlClient(Connection("http://127.0.0.1:1", "cwt_x"), pauses.append)

    with pytest.raises(ControlAwayError, match=r"127\.0\.0\.1:1"):
        caller.get("/v1/me", "role")

    assert pauses == [0.5, 1.0, 2.0]
    assert desk.get("/v1/rollouts") == {"rollouts": []}


def test_an_address_with_a_path_too_many_is_told_what_is_wrong_with_it(desk: Desk) -> None:
    """Not "Not Found", which sounds as if there were no such rollout."""
    caller = ControlClient(Connection(f"{desk.server.url}/v1", desk.tokens["viewer"]))

    with pytest.raises(ControlRefusedError, match="paths begin with /v1"):
        caller.get("/v1/rollouts", "rollouts")


def test_watching_follows_to_the_end(desk: Desk) -> None:
    """Each entry once, also those that come while it waits."""
    scene = desk.new_scene(RolloutStatus.RUNNING)
    said: list[str] = []

    def wait(_: float) -> None:
        scene.act(Action.PROMOTE)
        scene.turn(4)

    status = follow(client(desk, "viewer"), "autumn", 1.0, say=said.append, sleep=wait)

    assert status == 0
    assert [int(line.split()[0]) for line in said] == list(range(1, scene.head.version + 1))
