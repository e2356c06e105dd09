"""Stories about what `cartwright rollouts` shows: words that can be typed, counted and looked up."""

import re
from pathlib import Path
from typing import Any

import pytest

from fleet_control.errors import CartsTakenError
from fleet_control.plurals import many
from fleet_control.rollouts.preview import preview_of
from fleet_control.rollouts.states import Action, CartStatus, DeviceState, RolloutStatus, StageStatus, Verdict
from fleet_control.rollouts_cli import legend, texts
from fleet_control.rollouts_cli.parser import parser
from fleet_control.rollouts_cli.tables import clean, table
from fleet_control.rollouts_cli.words import typed, words
from tests.fleet_control.api.desk import Desk
from tests.fleet_control.api.terminal import run, shown
from tests.fleet_control.rollouts.worlds import MODEL, plan, sightings

DOCUMENT = (Path(__file__).parents[3] / "docs" / "rollouts.md").read_text(encoding="utf-8")


def cells(text: str, row: str) -> dict[str, str]:
    """Return the cells of a table's row by their titles: numbers end where their title ends."""
    lines = text.splitlines()
    title = next(line for line in lines if "GOING BACK" in line)
    found = next(line for line in lines if line.lstrip("> ").startswith(f"{row} "))
    columns = [(one.group(), one.end()) for one in re.finditer(r"GOING BACK|\S+", title)]
    return {name: found[:end].split()[-1] for name, end in columns if name in legend.COLUMNS}


def test_what_is_shown_to_be_copied_never_spreads_a_model_that_failed(desk: Desk) -> None:
    """At night people copy the last line: with a gate that says FAIL it is the way back."""
    scene = desk.new_scene(RolloutStatus.RUNNING)
    scene.says("accuracy", Verdict.FAIL)
    scene.turn(1)
    paused = desk.get("/v1/rollouts/autumn")
    resume = next(choice for choice in paused["choices"] if choice["action"] == "resume")

    assert paused["status"] == "paused"
    assert "As in: cartwright rollouts rollback autumn" in texts.rollout(paused)
    assert resume["consequences"][0].startswith("accuracy: FAIL, and 6 carts run")


def test_carts_that_go_back_have_a_column_and_an_end_says_how_it_ended(desk: Desk) -> None:
    """Who looks while it goes back sees how far it is, and afterwards what became of how many carts."""
    desk.new_scene(RolloutStatus.RUNNING)
    desk.scene.turn(2)
    desk.scene.obeys = False
    desk.act("roll_back", reason="customers complain")
    desk.scene.turn(1)

    on_the_way = texts.rollout(desk.get("/v1/rollouts/autumn"))
    desk.scene.obeys = True
    desk.scene.model_of.clear()
    desk.new_scene(RolloutStatus.ROLLED_BACK)
    ended = texts.rollout(desk.get("/v1/rollouts/autumn"))

    assert "autumn: rolling back since" in on_the_way
    assert cells(on_the_way, "canary") == {
        "DONE": "0", "MOVING": "0", "WAIT": "0", "FAILED": "0", "GOING BACK": "6", "BACK": "0", "AWAY": "0"
    }  # fmt: skip
    assert cells(ended, "canary")["BACK"] == "6"
    assert re.match(r"autumn: ended \S+ \S+Z, rolled back: story\s+\(6 carts went back\)", ended)
    assert "You may: only look." in ended
    assert "\ncanary stopped: story\n" in ended
    assert max(map(len, (on_the_way + "\n" + ended).splitlines())) <= 100


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (RolloutStatus.COMPLETED, "completed (24 carts kept the model)"),
        (RolloutStatus.ABORTED, "aborted: story (6 carts kept the model)"),
    ],
)
def test_other_ends_are_told_apart(desk: Desk, status: RolloutStatus, sentence: str) -> None:
    """Nobody has to know which words are final."""
    desk.new_scene(status)

    text = texts.rollout(desk.get("/v1/rollouts/autumn"))

    assert sentence in " ".join(text.split())


def test_what_is_live_is_shown_if_the_api_says_it(desk: Desk) -> None:
    """An older service says nothing, and so no line claims anything."""
    desk.new_scene(RolloutStatus.RUNNING)
    desk.scene.turn(2)
    answer = desk.get("/v1/rollouts/autumn")
    desk.new_scene(RolloutStatus.COMPLETED)
    ended = texts.rollout(desk.get("/v1/rollouts/autumn"))

    assert "\nlive now: the model on 6 carts\n" in texts.rollout(answer)
    assert "\nlive now: the model on 1 cart\n" in texts.rollout({**answer, "live": 1})
    assert "\nlive when it ended: the model on 24 carts\n" in ended
    del answer["live"]
    assert "live" not in texts.rollout(answer)


def test_what_one_may_do_is_typed_as_it_is_printed(desk: Desk) -> None:
    """Every action that is shown is a command line that is understood, and means that action."""
    for status in RolloutStatus:
        desk.new_scene(status)
        text = texts.rollout(desk.get("/v1/rollouts/autumn"))
        may = text.partition("\nYou may: ")[2].partition(".")[0]
        for word in may.split(", "):
            if word != "only look":
                parser().parse_args([*word.split(), "autumn"])
    actions = {typed(action.value): action for action in Action}
    assert len(actions) == len(Action)
    assert not any("_" in word for word in actions)


@pytest.mark.end_to_end
def test_the_audit_log_is_whole_in_a_pipe_and_fits_a_terminal(desk: Desk) -> None:
    """What was asked, what became of it and why: searched in pipes, looked at on terminals."""
    desk.new_scene(RolloutStatus.RUNNING)
    reason = "customers complain in all stores of the north, see the notes of the morning round"
    desk.act("pause", reason=reason)
    desk.act("resume", "on_call", reason=reason)

    piped, on_terminal = run(desk, "audit", "autumn").stdout, shown(desk, "audit", "autumn")

    refused, accepted = piped.splitlines()[1:3]
    assert piped.splitlines()[0].split() == ["AT", "WHO", "ROLE", "ACTION", "ROLLOUT", "OUTCOME", "REASON"]
    assert re.search(r"pause +autumn +accepted +customers complain .* morning round$", accepted)
    assert "resume  autumn   refused: the role rollout owner is needed  " in refused
    assert refused.endswith(reason)
    assert max(map(len, on_terminal.splitlines())) <= 100
    assert "resume  autumn   refused: " in on_terminal
    assert "…" in on_terminal


@pytest.mark.end_to_end
def test_the_last_entries_of_a_log(desk: Desk) -> None:
    """The newest ones, in order, and all of them when there are fewer."""
    scene = desk.new_scene(RolloutStatus.PAUSED)

    last = run(desk, "log", "autumn", "--last", "3").stdout.splitlines()

    newest = scene.head.version
    assert [int(line.split()[0]) for line in last] == [newest - 2, newest - 1, newest]
    assert len(run(desk, "log", "autumn", "--last", "9999").stdout.splitlines()) == newest


def test_one_is_not_many() -> None:
    """Numbers agree with their nouns."""
    assert (many(0, "cart"), many(1, "cart"), many(1_200, "cart")) == ("0 carts", "1 cart", "1,200 carts")
    answer = {"carts": 1, "offline": 0, "already": 1, "stages": [], "problems": [], "warnings": []}
    assert texts.preview(answer).startswith("1 cart: 0 offline, 1 with the model already.")
    assert str(CartsTakenError({"c1": "autumn"})).startswith("1 cart is in a rollout")
    assert str(CartsTakenError({"c1": "autumn", "c2": "autumn"})).startswith("2 carts are in a rollout")
    taken = sightings(1, 1, model=MODEL)
    preview = preview_of(plan(promotion={}), taken, {}, dict.fromkeys(taken, "summer"))
    assert "1 cart is in rollout summer, which has not ended" in preview.problems
    assert "1 cart runs the model already" in preview.warnings


def test_what_a_cart_says_is_written_as_the_legend_has_it() -> None:
    """A word that is looked up is found."""
    cart = {"store": "s1", "cart": "c1", "status": "revert_failed", "stage": 0, "attempt": 1, "why": "",
            "device": "ROLLED_BACK", "running": None, "changed_at": "2027-01-15T08:00:00.000Z"}  # fmt: skip

    text = texts.carts({"carts": [cart]})

    assert "revert failed" in text
    assert "ROLLED BACK" in text
    assert {"revert failed", "ROLLED BACK"} <= {words(word) for word in (*legend.CARTS, *legend.DEVICES)}


def test_every_word_of_state_is_in_the_legend_and_in_the_document() -> None:
    """Help and document say the same of the same words."""
    parts: list[tuple[Any, Any]] = [
        (RolloutStatus, legend.ROLLOUTS),
        (StageStatus, legend.STAGES),
        (CartStatus, legend.CARTS),
        (DeviceState, legend.DEVICES),
    ]
    for states, meanings in parts:
        assert list(meanings) == [state.value for state in states]
        for word, meaning in meanings.items():
            assert f"| {words(word)} | {meaning} |" in DOCUMENT


@pytest.mark.parametrize(
    ("command", "word"), [("list", "aborted"), ("show", "baking"), ("carts", "PROBATION")]
)
def test_help_says_what_the_words_mean(capsys: pytest.CaptureFixture[str], command: str, word: str) -> None:
    """Where the words are shown they are explained."""
    with pytest.raises(SystemExit, match="0"):
        parser().parse_args([command, "--help"])

    assert f"\n  {word} " in capsys.readouterr().out


def test_what_carts_say_moves_no_cursor() -> None:
    """A cart that writes escape sequences writes spaces."""
    assert clean("a\x1b[2J\nb\u202e") == "a [2J b "
    assert "\x1b" not in table(("WHY",), [("\x1b]0;owned\x07",)])


GATE = {
    "gate": "accuracy",
    "mode": "shadow",
    "verdict": "inconclusive",
    "alpha": 0.0125,
    "e_value": 1.7976931348623157e308,
    "threshold": 80.0,
    "interval": [-0.0512, 0.0101],
    "canary": [123_456, 234_567],
    "control": [1_234_567, 2_345_678],
    "needed": 123_456,
    "pairs": None,
    "note": "n" * 300,
}


def test_evidence_fits_a_terminal_with_its_largest_numbers() -> None:
    """The e-value against its threshold, the interval in points, and what is still needed."""
    promotion = {**GATE, "gate": "promotion", "mode": "enforce", "verdict": None, "pairs": 27}

    text = texts.evidence({"gates": [GATE, promotion]})

    assert max(map(len, text.splitlines())) <= 100
    assert "1.8e+308 / 80" in text
    assert "-5.1 to +1.0 pp" in text
    assert "27 pairs" in text
