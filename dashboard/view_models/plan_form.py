"""A rollout plan from a form or from YAML, as the tree of plain values that the API takes. Pure.

What a plan means is checked by the API, against carts that exist; here only what cannot be sent is refused.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from dashboard.errors import PlanDraftError

# As the API: a plan is written by hand; more is a mistake or an attack.
MOST_BYTES = 256 * 1024
# A plan has six. Deeper ones take minutes to read.
MOST_LEVELS = 32
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

MODES = ("enforce", "shadow")
STAGES: tuple[dict[str, Any], ...] = (
    {"name": "canary", "percent": 10.0, "bake": "2h", "approval": False},
    {"name": "half", "percent": 50.0, "bake": "4h", "approval": False},
    {"name": "all", "percent": 100.0, "bake": "0s", "approval": False},
)
GATES: tuple[dict[str, Any], ...] = (
    {
        "use": True,
        "metric": "accuracy",
        "mode": "enforce",
        "margin": 1.0,
        "quantile": None,
        "threshold": None,
    },
    {"use": True, "metric": "errors", "mode": "enforce", "margin": None, "quantile": None, "threshold": None},
    {"use": True, "metric": "latency", "mode": "shadow", "margin": None, "quantile": 99.0, "threshold": None},
)


@dataclass(frozen=True, slots=True)
class PlanForm:
    """What was typed into the form; percentages as people write them.

    Attributes:
        rollout: Id.
        title: For people.
        model: Digest.
        baseline: Digest, or "" for what most carts run.
        stores: Ids; empty for all.
        carts: Ids; empty for all.
        labels: "name=value" each.
        percent: Of the carts chosen so far.
        stages: Rows with name, percent, bake and approval.
        gates: Rows with use, metric, mode, margin, quantile and threshold.
        windows: Rows with days, start and end.
        alpha: Of all gates together.
        promotion: Margin of accuracy in points; None: only people promote.
        on_fail: pause or roll_back.
        approval: A second person approves it.
    """

    rollout: str
    title: str
    model: str
    stages: Sequence[Mapping[str, Any]]
    gates: Sequence[Mapping[str, Any]]
    baseline: str = ""
    stores: Sequence[str] = ()
    carts: Sequence[str] = ()
    labels: Sequence[str] = ()
    percent: float = 100.0
    windows: Sequence[Mapping[str, Any]] = ()
    alpha: float = 0.05
    promotion: float | None = 2.0
    on_fail: str = "pause"
    approval: bool = False


def plan_of_form(form: PlanForm) -> dict[str, Any]:
    """Return the plan of a form.

    Raises:
        PlanDraftError: something is missing or cannot be read; names it.
    """
    if not form.rollout.strip():
        raise PlanDraftError("Give the rollout an id: it is kept for ever.")
    if not form.model:
        raise PlanDraftError("Choose a model.")
    plan = {
        "rollout": form.rollout.strip(),
        "title": form.title.strip(),
        "model": form.model,
        "baseline": form.baseline or None,
        "target": _target(form),
        "stages": [_stage(row) for row in form.stages if _text(row.get("name"))],
        "gates": [_gate(row) for row in form.gates if row.get("use")],
        "promotion": None if form.promotion is None else {"margin": form.promotion / 100},
        "alpha": form.alpha,
        "on_fail": form.on_fail,
        "approval": form.approval,
        "windows": [_window(row) for row in form.windows if any(_text(v) for v in row.values())],
    }
    if not plan["stages"]:
        raise PlanDraftError("A plan has at least one stage.")
    return sendable(plan)


def _target(form: PlanForm) -> dict[str, Any]:
    labels: dict[str, list[str]] = {}
    for pair in form.labels:
        name, _, value = pair.partition("=")
        labels.setdefault(name, []).append(value)
    return {
        "stores": list(form.stores),
        "carts": list(form.carts),
        "labels": labels,
        "percent": float(form.percent),
    }


def _stage(row: Mapping[str, Any]) -> dict[str, Any]:
    name = _text(row["name"])
    percent = _number(row.get("percent"))
    if percent is None:
        raise PlanDraftError(f"Stage {name} has no percentage.")
    return {
        "name": name,
        "percent": percent,
        "bake_s": duration_s(_text(row.get("bake")) or "0s", f"Stage {name}"),
        "approval": bool(row.get("approval")),
    }


def _gate(row: Mapping[str, Any]) -> dict[str, Any]:
    gate: dict[str, Any] = {"metric": _text(row["metric"]), "mode": _text(row.get("mode")) or "enforce"}
    margin, quantile, threshold = (_number(row.get(key)) for key in ("margin", "quantile", "threshold"))
    if gate["metric"] == "accuracy" and margin is not None:
        gate["margin"] = margin / 100
    if gate["metric"] == "latency":
        gate["quantile"] = 0.99 if quantile is None else quantile / 100
        gate["threshold_ms"] = threshold
    return gate


def _window(row: Mapping[str, Any]) -> dict[str, Any]:
    start, end = _text(row.get("start")), _text(row.get("end"))
    for at in (start, end):
        if not _CLOCK.fullmatch(at):
            raise PlanDraftError(
                f"A window begins and ends at a time such as 22:00, not at {at or 'nothing'}."
            )
    days = [day.strip().lower()[:3] for day in _text(row.get("days")).split(",") if day.strip()]
    if unknown := [day for day in days if day not in _DAYS]:
        raise PlanDraftError(f"There is no day {unknown[0]}: write {', '.join(_DAYS)}, or nothing for all.")
    return {"days": days, "start": start, "end": end}


def duration_s(text: str, where: str) -> float:
    """Return a length of time such as 2h or 30m in seconds.

    Raises:
        PlanDraftError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise PlanDraftError(f"{where} bakes for a time such as 30m, 2h or 1d, not for {text!r}.")
    return float(found[1]) * _UNITS_S[found[2]]


def plan_of_yaml(text: str) -> dict[str, Any]:
    """Return the plan of a YAML text.

    Raises:
        PlanDraftError: it is none.
    """
    if len(text.encode()) > MOST_BYTES:
        raise PlanDraftError(f"A plan has at most {MOST_BYTES // 1024} KiB.")
    if not text.strip():
        raise PlanDraftError("Paste a plan first.")
    try:
        _check_tokens(text)
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise PlanDraftError(f"This is not YAML{line}: {error.problem or 'it cannot be read'}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PlanDraftError("This is not YAML.") from error
    if not isinstance(tree, dict):
        raise PlanDraftError("A plan is a list of names and values, such as `rollout: autumn`.")
    return sendable(tree)


def _check_tokens(text: str) -> None:
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            # A few lines of aliases can stand for gigabytes.
            raise PlanDraftError("Aliases (*name) are not allowed in a plan.")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MOST_LEVELS:
            raise PlanDraftError("This is not a plan: it is nested too deeply.")


def sendable(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan that survives JSON as it is.

    Raises:
        PlanDraftError: it holds something that JSON has no words for, such as a date without quotes.
    """
    try:
        found: dict[str, Any] = json.loads(json.dumps(plan, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise PlanDraftError(
            "Something in the plan is neither text nor a number: put it in quotes."
        ) from error
    return found


def fingerprint(plan: Mapping[str, Any]) -> str:
    """Return what tells two plans apart."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def labels_of(carts: Iterable[Mapping[str, str]]) -> list[str]:
    """Return every "name=value" that some cart has."""
    return sorted({f"{name}={value}" for labels in carts for name, value in labels.items()})


def _text(value: object) -> str:
    # An editor's empty cell is None, or NaN in a column of numbers.
    return "" if value is None or value != value else str(value).strip()  # noqa: PLR0124


def _number(value: object) -> float | None:
    text = _text(value)
    return float(text) if text else None
