"""One rollout: the sentence at its head and its stages. Pure; the clock is passed in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboard import formats
from dashboard.sources.control import RolloutView, StageView
from dashboard.view_models.rollout_words import GATES, STAGES, STATUSES, Word, carts, span, word_of
from dashboard.view_models.rollouts import current, waits_for

# Statuses of carts as the strip joins them, in the order in which they are drawn.
GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "done": ("done", ("done",)),
    "back": ("back on the old model", ("reverted",)),
    "running": ("under way", ("told", "working", "proving", "reverting")),
    "failed": ("failed", ("failed", "regressed", "revert_failed")),
    "waiting": ("waiting", ("waiting",)),
    "offline": ("offline", ("unreachable",)),
    "excluded": ("left the target", ("excluded",)),
}


@dataclass(frozen=True, slots=True)
class Share:
    """Carts of a stage that are drawn as one.

    Attributes:
        group: A key of `GROUPS`.
        word: For people.
        n: How many.
    """

    group: str
    word: str
    n: int


@dataclass(frozen=True, slots=True)
class StageCard:
    """One stage as drawn.

    Attributes:
        title: "1 canary".
        word: Its state.
        planned: Its size as planned, and as frozen.
        shares: Its carts; empty before it begins.
        timing: How long it has baked, or will.
        why: Why it holds or stopped.
        now: Whether it is the one that runs or ran last.
    """

    title: str
    word: Word
    planned: str
    shares: tuple[Share, ...]
    timing: str
    why: str
    now: bool


def head_sentence(rollout: RolloutView, now: datetime) -> str:
    """Say where a rollout is, since when and why: "Paused 4 min ago by a gate: ..."."""
    word = word_of(STATUSES, rollout.status).text
    since = formats.ago(now - rollout.changed_at)
    if rollout.status == "running":
        return f"Running since {span(now - rollout.changed_at)}: {_going_on(rollout)}."
    why = rollout.why.strip().rstrip(".")
    by = f" by {_gates(rollout)}" if rollout.automatic else ""
    asks = _ASKS.get(waits_for(rollout), "")
    return f"{word} {since}{by}{': ' + why if why else ''}.{asks}"


def _gates(rollout: RolloutView) -> str:
    failed = [GATES.get(v.gate, v.gate).lower() for v in rollout.verdicts if v.verdict == "fail"]
    return f"the {formats.join_words(failed)} gate{'s' if len(failed) > 1 else ''}" if failed else "a gate"


_ASKS = {
    "approval": " A second person has to approve it.",
    "start": " Somebody has to start it.",
    "decision": " Somebody has to decide how it goes on.",
    "a look": " Some carts did not go back: somebody has to look.",
}


def _going_on(rollout: RolloutView) -> str:
    stage = current(rollout)
    if stage is None:
        untried = "its gates could not be tried on yesterday's data, as the warehouse does not answer"
        return untried if waits_for(rollout) else "its first stage is about to begin"
    name = f"stage {stage.name}"
    match stage.status:
        case "installing":
            return f"{name} installs on its carts"
        case "baking":
            return f"{name} bakes and its gates watch"
        case "holding":
            return f"{name} waits for a person, because {stage.why or 'somebody has to approve it'}"
        case "passed":
            return f"{name} passed, the next one is about to begin"
        case _:
            return f"{name} is {word_of(STAGES, stage.status).text.lower()}"


def build_stages(rollout: RolloutView, now: datetime) -> tuple[StageCard, ...]:
    """Build the strip of stages."""
    return tuple(_card(rollout, stage, now) for stage in rollout.stages)


def _card(rollout: RolloutView, stage: StageView, now: datetime) -> StageCard:
    begun = sum(stage.counts.values())
    frozen = f"{carts(stage.counted)}" + (f" of {begun} counted" if begun != stage.counted else "")
    return StageCard(
        title=f"{stage.index + 1} {stage.name}",
        word=word_of(STAGES, stage.status),
        planned=f"planned {stage.planned or formats.UNKNOWN}" + (f" · {frozen}" if begun else ""),
        shares=shares_of(stage.counts),
        timing=_timing(rollout, stage, now),
        why=stage.why,
        now=stage.index == rollout.current_stage,
    )


def shares_of(counts: Mapping[str, int]) -> tuple[Share, ...]:
    """Join statuses of carts; groups without any are left out, a status not known counts as under way."""
    known = {status for _, statuses in GROUPS.values() for status in statuses}
    found = []
    for group, (word, statuses) in GROUPS.items():
        n = sum(counts.get(status, 0) for status in statuses)
        if group == "running":
            n += sum(more for status, more in counts.items() if status not in known and status != "pool")
        if n:
            found.append(Share(group, word, n))
    return tuple(found)


def _timing(rollout: RolloutView, stage: StageView, now: datetime) -> str:
    bake = timedelta(seconds=stage.bake_s)
    if stage.status == "waiting":
        return f"bakes {span(bake)}" if bake else "does not bake"
    if stage.status == "baking" and stage.baking_at is not None:
        if rollout.status != "running":
            return f"had baked {span(rollout.changed_at - stage.baking_at)} of {span(bake)}"
        left = stage.baking_at + bake - now
        return f"bakes {span(left)} more" if left > timedelta() else f"baked its {span(bake)}, gates decide"
    if stage.ended_at is not None and stage.began_at is not None:
        return f"took {span(stage.ended_at - stage.began_at)}"
    if stage.began_at is not None:
        return f"began {formats.ago(now - stage.began_at)}"
    return ""
