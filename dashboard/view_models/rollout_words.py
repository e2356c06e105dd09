"""The words, marks and colours of rollouts: one for each state, everywhere the same. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from dashboard import formats

Colour = Literal["green", "red", "orange", "blue", "violet", "gray"]


@dataclass(frozen=True, slots=True)
class Word:
    """How a state is shown: never by colour alone.

    Attributes:
        text: In words.
        mark: A sign for tables, which draw no icons.
        icon: For badges.
        colour: Of the badge.
    """

    text: str
    mark: str
    icon: str
    colour: Colour

    @property
    def marked(self) -> str:
        """The sign and the word."""
        return f"{self.mark} {self.text}"


STATUSES = {
    "draft": Word("Draft", "○", ":material/edit_note:", "gray"),
    "ready": Word("Ready", "◇", ":material/flag:", "blue"),
    "running": Word("Running", "▶", ":material/play_arrow:", "blue"),
    "paused": Word("Paused", "‖", ":material/pause:", "orange"),
    "rolling_back": Word("Rolling back", "↺", ":material/undo:", "orange"),
    "completed": Word("Completed", "✓", ":material/check_circle:", "green"),
    "rolled_back": Word("Rolled back", "↺", ":material/undo:", "gray"),
    "aborted": Word("Aborted", "✕", ":material/cancel:", "gray"),
}
STAGES = {
    "waiting": Word("Waiting", "○", ":material/schedule:", "gray"),
    "installing": Word("Installing", "▶", ":material/download:", "blue"),
    "baking": Word("Baking", "◐", ":material/hourglass_top:", "blue"),
    "holding": Word("Needs a person", "!", ":material/front_hand:", "orange"),
    "passed": Word("Passed", "✓", ":material/check_circle:", "green"),
    "failed": Word("Failed", "▲", ":material/error:", "red"),
    "stopped": Word("Stopped", "✕", ":material/cancel:", "gray"),
    "skipped": Word("Skipped", formats.UNKNOWN, ":material/remove:", "gray"),
}
VERDICTS = {
    "pass": Word("Passed", "✓", ":material/check_circle:", "green"),
    "fail": Word("Failed", "▲", ":material/error:", "red"),
    "inconclusive": Word("Undecided", "◐", ":material/hourglass_top:", "gray"),
    "no_data": Word("No data", "○", ":material/data_loss_prevention:", "orange"),
    "shadow": Word("Would fail, only watches", "△", ":material/visibility:", "violet"),
}
NO_VERDICT = Word("No verdict yet", formats.UNKNOWN, ":material/pending:", "gray")
CARTS = {
    "waiting": "Waiting",
    "told": "Told",
    "working": "Working",
    "proving": "Proving",
    "done": "Done",
    "failed": "Failed",
    "regressed": "Regressed",
    "unreachable": "Offline",
    "excluded": "Excluded",
    "reverting": "Going back",
    "reverted": "Back",
    "revert_failed": "Did not go back",
    "pool": "Control",
}
CART_MARKS = {
    "done": "✓",
    "failed": "▲",
    "regressed": "▲",
    "revert_failed": "▲",
    "unreachable": "○",
    "excluded": formats.UNKNOWN,
    "told": "▶",
    "working": "▶",
    "proving": "◐",
    "reverting": "↺",
    "reverted": "↺",
}
GATES = {
    "accuracy": "Accuracy",
    "errors": "Errors",
    "latency": "Latency",
    "promotion": "Promotion",
    "sample_ratio": "Sample ratio",
    "replay": "A/A replay",
    "installs": "Installs",
}


def word_of(words: dict[str, Word], state: str | None) -> Word:
    """Return how a state is shown; one that this version does not know by its own name."""
    if state is None:
        return NO_VERDICT
    return words.get(state, Word(plain(state), "·", ":material/help:", "gray"))


def plain(name: str) -> str:
    """Write a state's or an action's name as a word: "rolling_back" -> "Rolling back"."""
    return name.replace("_", " ").capitalize()


def carts(n: int) -> str:
    """Write a number of carts."""
    return "1 cart" if n == 1 else f"{n:,} carts"


def span(length: timedelta) -> str:
    """Write a length of time in at most two units: "45 s", "24 min", "2 h 24 min", "3 d 4 h"."""
    minutes = max(0, round(length.total_seconds() / 60))
    if length < timedelta(minutes=2):
        return f"{max(0, round(length.total_seconds()))} s"
    if minutes < 60:
        return f"{minutes} min"
    big, small, units = (*divmod(minutes, 60), ("h", "min"))
    if big >= 48:
        big, small, units = (*divmod(big, 24), ("d", "h"))
    elif big >= 24:
        small = 0
    return f"{big} {units[0]} {small} {units[1]}" if small else f"{big} {units[0]}"
