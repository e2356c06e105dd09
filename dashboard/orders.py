"""A command that a person is about to give: asked once, sent once, answered plainly. No Streamlit.

The rules:

- the idempotency key is made when the dialog opens, so that a second click or a rerun changes nothing;
- what is not a stop is carried out only if the rollout still means what the person saw: status, stages and
  verdicts. Reports of carts in between do not count: the version they move is read again;
- a stop is right whatever happened in between, so Pause names no version;
- no answer is not a refusal: it may have been done. It is sent again with the same key and the same reason.
"""

import secrets
from dataclasses import dataclass, field
from enum import Enum

from dashboard.errors import DashboardError, SourceRefusedError
from dashboard.sources.control import ControlSource, Order, RolloutView

# Carts may report between reading and acting this often before a person has to try again.
_TRIES = 4
_CONFLICT = 409, 412
LONGEST_REASON = 500
_STOP = "pause"


@dataclass(frozen=True, slots=True)
class ActionWord:
    """How an action is called, everywhere the same.

    Attributes:
        text: On its button.
        done: When it was carried out.
        icon: Of its button.
        needs_reason: Nobody does that without saying why.
    """

    text: str
    done: str
    icon: str
    needs_reason: bool = False


ACTIONS = {
    "approve": ActionWord("Approve", "Approved", ":material/verified:"),
    "start": ActionWord("Start", "Started", ":material/play_arrow:"),
    "pause": ActionWord("Pause", "Paused", ":material/pause:"),
    "resume": ActionWord("Resume", "Resumed", ":material/play_arrow:"),
    "promote": ActionWord("Promote early", "Promoted", ":material/fast_forward:", needs_reason=True),
    "retry": ActionWord("Retry failed carts", "Told to try again", ":material/refresh:"),
    "roll_back": ActionWord("Roll back", "Rolling back", ":material/undo:", needs_reason=True),
    "abort_keep": ActionWord("Abort, keep model", "Aborted", ":material/block:", needs_reason=True),
    "abort_revert": ActionWord("Abort, roll back", "Aborting", ":material/block:", needs_reason=True),
}


class Outcome(Enum):
    """What became of a command."""

    OPEN = "not sent yet"
    DONE = "carried out"
    REFUSED = "refused"
    CHANGED = "the rollout means something else by now"
    UNKNOWN = "no answer"


@dataclass(slots=True, eq=False)
class Draft:
    """A command, from the click that opens its dialog to its answer.

    Attributes:
        seen: The rollout as the person sees it in the dialog.
        action: What is asked for.
        key: Of the command.
        reason: As it was sent.
        outcome: What became of it.
        said: The answer, in a sentence.
    """

    seen: RolloutView
    action: str
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    reason: str = ""
    outcome: Outcome = Outcome.OPEN
    said: str = ""

    @property
    def word(self) -> ActionWord:
        """How the action is called."""
        return ACTIONS[self.action]

    @property
    def consequences(self) -> tuple[str, ...]:
        """What it would do, as the API said when the dialog opened."""
        return next((c.consequences for c in self.seen.choices if c.action == self.action), ())

    @property
    def settled(self) -> bool:
        """Whether sending it again could only do harm, or nothing."""
        return self.outcome in (Outcome.DONE, Outcome.REFUSED, Outcome.CHANGED)


def carry_out(draft: Draft, control: ControlSource, reason: str) -> None:
    """Send a command unless it was answered before; its outcome is noted in the draft."""
    if draft.settled:
        return
    reason = reason.strip()[:LONGEST_REASON]
    if draft.word.needs_reason and not reason and draft.outcome is Outcome.OPEN:
        draft.said = "Say why, in a few words: it is kept in the audit log."
        return
    if draft.outcome is Outcome.OPEN:
        draft.reason = reason
    try:
        _send(draft, control)
    except SourceRefusedError as error:
        draft.outcome, draft.said = Outcome.REFUSED, f"Nothing was done. {_capital(error.sentence)}"
    except DashboardError as error:
        draft.outcome = Outcome.UNKNOWN
        why = getattr(error, "sentence", str(error))
        draft.said = (
            f"The control API did not answer: {why} It may have been done; send it again to find out."
        )


def _send(draft: Draft, control: ControlSource) -> None:
    for turn in range(_TRIES):
        version = None
        if draft.action != _STOP:
            # A command without an answer may have been done, and then the rollout does mean something else.
            now = control.rollout(draft.seen.id)
            if draft.outcome is not Outcome.UNKNOWN and meaning(now) != meaning(draft.seen):
                draft.outcome = Outcome.CHANGED
                draft.said = "Nothing was done: the rollout has changed since you opened this. Look again."
                return
            version = now.version
        try:
            control.act(draft.seen.id, _order(draft, version))
        except SourceRefusedError as error:
            if error.status not in _CONFLICT or version is None or turn == _TRIES - 1:
                raise
            if control.rollout(draft.seen.id).version == version:
                raise
            continue
        draft.outcome, draft.said = Outcome.DONE, f"{draft.word.done}: {draft.seen.title or draft.seen.id}."
        return


def _order(draft: Draft, version: int | None) -> Order:
    return Order(draft.action, draft.reason, version, draft.key)


def meaning(rollout: RolloutView) -> tuple[object, ...]:
    """Return what a decision about a rollout rests on: not how many carts have reported meanwhile."""
    stages = tuple(stage.status for stage in rollout.stages)
    verdicts = tuple(sorted((v.gate, v.verdict) for v in rollout.verdicts))
    return rollout.status, rollout.current_stage, stages, verdicts


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
