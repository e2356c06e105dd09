"""The list of rollouts: one row each, and the filters above it. Pure; the clock is passed in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard import formats
from dashboard.sources.control import FINAL, RolloutView, StageView
from dashboard.view_models.rollout_words import GATES, STAGES, STATUSES, VERDICTS, span, word_of

# What a filter keeps, by its name in the URL.
FILTERS = {
    "all": "All",
    "running": "Running",
    "paused": "Paused",
    "person": "Needs a person",
    "ended": "Ended",
}
DONE = ("done",)
BACK = ("reverted",)


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """One line of the list.

    Attributes:
        rollout_id: Its id.
        title: Its title, or its id.
        status: Its state.
        model: "shelf-detector 2 · a31f09c7".
        stage: "canary, 1 of 3", or "" before the first.
        done: Carts that are where the rollout wants them.
        total: Carts of its target, without those that are left out openly.
        gates: What they say, the gravest first.
        waits_for: What it waits for a person to do; "" if it does not.
        changed_at: When its status last changed.
        created_at: When it was created.
    """

    rollout_id: str
    title: str
    status: str
    model: str
    stage: str
    done: int
    total: int
    gates: str
    waits_for: str
    changed_at: datetime
    created_at: datetime

    @property
    def share(self) -> float | None:
        """Done over total."""
        return self.done / self.total if self.total else None


def build_rows(rollouts: Sequence[RolloutView], models: Mapping[str, str]) -> tuple[RolloutRow, ...]:
    """Build the list: what waits for a person first, then what runs, then the newest."""
    rows = [_row(rollout, models) for rollout in rollouts]
    return tuple(sorted(rows, key=_order))


def _order(row: RolloutRow) -> tuple[bool, bool, float]:
    urgent = bool(row.waits_for) and row.status not in ("draft", "ready")
    return not urgent, row.status in FINAL, -row.changed_at.timestamp()


def _row(rollout: RolloutView, models: Mapping[str, str]) -> RolloutRow:
    done, total = progress(rollout)
    return RolloutRow(
        rollout_id=rollout.id,
        title=title_of(rollout),
        status=rollout.status,
        model=model_text(rollout.model, models),
        stage=stage_text(rollout),
        done=done,
        total=total,
        gates=gates_text(rollout),
        waits_for=waits_for(rollout),
        changed_at=rollout.changed_at,
        created_at=rollout.created_at,
    )


def kept(rows: Sequence[RolloutRow], name: str) -> tuple[RolloutRow, ...]:
    """Return the rows that a filter keeps."""
    return tuple(row for row in rows if _keeps(row, name))


def _keeps(row: RolloutRow, name: str) -> bool:
    match name:
        case "running":
            return row.status in ("running", "rolling_back")
        case "paused":
            return row.status == "paused"
        case "person":
            return bool(row.waits_for)
        case "ended":
            return row.status in FINAL
        case _:
            return True


def title_of(rollout: RolloutView) -> str:
    """Return its title, or its id."""
    return rollout.title or rollout.id


def model_text(digest: str, models: Mapping[str, str]) -> str:
    """Write a model with its name, where the registry knows it."""
    short = formats.short_version(digest)
    return f"{models[digest]} · {short}" if digest in models else short


def count(rollout: RolloutView, *statuses: str) -> int:
    """Return how many carts of all stages are in any of these."""
    return sum(stage.counts.get(status, 0) for stage in rollout.stages for status in statuses)


def progress(rollout: RolloutView) -> tuple[int, int]:
    """Return how many carts are where the rollout wants them, of how many."""
    back = rollout.status in ("rolling_back", "rolled_back")
    told = sum(stage.counted for stage in rollout.stages)
    return count(rollout, *(BACK if back else DONE)), told if back else told + rollout.pool


def current(rollout: RolloutView) -> StageView | None:
    """Return the stage that runs or ran last."""
    place = rollout.current_stage
    return rollout.stages[place] if place is not None and place < len(rollout.stages) else None


def stage_text(rollout: RolloutView) -> str:
    """Write where it is among its stages."""
    stage = current(rollout)
    return f"{stage.name}, {stage.index + 1} of {len(rollout.stages)}" if stage else ""


def gates_text(rollout: RolloutView) -> str:
    """Write what its gates say, the gravest first: who failed, has no data, is undecided; what is proved."""
    for verdict in ("fail", "no_data", "shadow"):
        names = [GATES.get(v.gate, v.gate).lower() for v in rollout.verdicts if v.verdict == verdict]
        if names:
            word = "△ Watches" if verdict == "shadow" else word_of(VERDICTS, verdict).marked
            return f"{word}: {formats.join_words(names)}"
    undecided = sum(v.verdict == "inconclusive" for v in rollout.verdicts)
    if undecided:
        return f"◐ {undecided} undecided"
    if any(v.gate == "promotion" and v.verdict == "pass" for v in rollout.verdicts):
        return "✓ Proved harmless"
    # That the gates passed on yesterday's data says nothing about the model.
    return "○ Nothing against it yet" if rollout.verdicts else ""


def waits_for(rollout: RolloutView) -> str:
    """Return what it wants of a person, in a word or two; empty if it goes on by itself or has ended."""
    if rollout.status == "running":
        return _running_waits_for(rollout)
    if rollout.status == "rolling_back" and not count(rollout, "revert_failed"):
        return ""
    return _WAITS_FOR.get(rollout.status, "")


_WAITS_FOR = {"draft": "approval", "ready": "start", "paused": "decision", "rolling_back": "a look"}


def _running_waits_for(rollout: RolloutView) -> str:
    stage = current(rollout)
    if stage is not None:
        return "decision" if stage.status == "holding" else ""
    untried = any(v.gate == "replay" and v.verdict == "inconclusive" for v in rollout.verdicts)
    return "the warehouse" if untried else ""


def status_text(status: str) -> str:
    """Write a status with its mark."""
    return word_of(STATUSES, status).marked


def head_line(rollout: RolloutView, now: datetime) -> str:
    """Write a running rollout in one line of Markdown."""
    done, total = progress(rollout)
    stage = current(rollout)
    where = f"stage {stage.name} {word_of(STAGES, stage.status).text.lower()}" if stage else "about to begin"
    said = gates_text(rollout)
    since = f"running since {span(now - rollout.changed_at)}"
    rest = " · ".join(part for part in (where, f"{done} of {total} carts done", said, since) if part)
    return f"**{escaped(title_of(rollout))}** · {escaped(rest)}"


_MARKDOWN = "\\`*_{}[]<>()#+-.!|$~:"
_UNIT = re.compile(r"(?<=\d) (?=(%|h|min|d|s|carts?|points?)\b|%)")


def escaped(text: str) -> str:
    """Return words so that Markdown shows them as they are; a number stays on one line with its unit."""
    kept_together = _UNIT.sub("\N{NO-BREAK SPACE}", text)
    return "".join(f"\\{char}" if char in _MARKDOWN else char for char in kept_together)
