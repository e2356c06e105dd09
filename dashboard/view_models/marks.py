"""What happened to rollouts while a chart's line went on: one mark each. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from dashboard import formats
from dashboard.view_models import cells

# Sign and word of each kind that is drawn; others say nothing about what carts run.
KINDS = {
    "started": ("▶", "started"),
    "stage_passed": ("✓", "passed"),
    "paused": ("‖", "paused"),
    "resumed": ("▶", "resumed"),
    "rollback_started": ("↺", "rolled back"),
    "aborted": ("✕", "aborted"),
    "stage_held": ("!", "waits for a person"),
    "finished": ("■", "ended"),
}
# Of these kinds the line is drawn in the colour of an alarm.
_STOPS = frozenset({"paused", "rollback_started", "aborted", "stage_held"})
_LONGEST_REASON = 160


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark.

    Attributes:
        at: When.
        sign: Above the line.
        text: On hovering.
        stop: Something was stopped or undone.
    """

    at: datetime
    sign: str
    text: str
    stop: bool


def build_marks(frame: pd.DataFrame, models: Mapping[str, str] | None = None) -> tuple[Mark, ...]:
    """Build the marks of at, rollout_id, kind, stage, model_digest and reason, the oldest first."""
    rows = [row for row in frame.to_dict("records") if cells.text(row["kind"]) in KINDS]
    marks = [_mark({str(key): value for key, value in row.items()}, models or {}) for row in rows]
    return tuple(sorted(marks, key=lambda mark: mark.at))


def _mark(row: Mapping[str, object], models: Mapping[str, str]) -> Mark:
    kind, digest = cells.text(row["kind"]), cells.text(row["model_digest"])
    sign, word = KINDS[kind]
    model = models.get(digest, formats.short_version(digest)) if digest else ""
    stage = cells.text(row["stage"])
    what = f"stage {stage} {word}" if kind.startswith("stage_") else word
    reason = cells.text(row["reason"])[:_LONGEST_REASON]
    head = f"{cells.text(row['rollout_id'])} {what}" + (f" (model {model})" if model else "")
    return Mark(
        at=pd.Timestamp(str(row["at"])).to_pydatetime(),
        sign=sign,
        text=f"{head}: {reason}" if reason else head,
        stop=kind in _STOPS,
    )
