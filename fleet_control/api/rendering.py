"""From the values of rollouts to the answers of the API. Pure."""

import math
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fleet_control.api import views
from fleet_control.api.sentences import sentence_of, waits_for
from fleet_control.plurals import many
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.ports import (
    CartSighting,
    Choice,
    CommandRecord,
    GateReading,
    LoggedEvent,
    Preview,
    PublishedModel,
)
from fleet_control.rollouts.rollout import CartRecord, Rollout, Stage
from fleet_control.rollouts.states import CartStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The last millisecond that a date can name: a clock that is far off must not end in an error.
_LAST_MS = 253_402_300_799_999


def iso(at_ms: int) -> str:
    """Return a time as people and programs read it."""
    known = max(0, min(at_ms, _LAST_MS))
    at = _EPOCH + timedelta(milliseconds=known)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)


def summary_of(rollout: Rollout) -> views.RolloutSummary:
    """Return a rollout for a list."""
    return views.RolloutSummary(**_fields(rollout))


def rollout_of(rollout: Rollout, choices: Iterable[Choice]) -> views.RolloutView:
    """Return a rollout with what the caller may do."""
    allowed = [
        views.ChoiceView(
            action=choice.action,
            allowed=choice.allowed,
            why_not=choice.why_not,
            consequences=list(choice.consequences),
        )
        for choice in choices
    ]
    return views.RolloutView(**_fields(rollout), choices=allowed)


def _fields(rollout: Rollout) -> dict[str, Any]:
    return {
        "id": rollout.rollout_id,
        "title": rollout.plan.title,
        "status": rollout.status,
        "why": rollout.why,
        "automatic": rollout.automatic,
        "model": rollout.plan.model,
        "baseline": rollout.baseline,
        "version": rollout.version,
        "created_at": iso(rollout.created_ms),
        "created_by": rollout.created_by,
        "changed_at": iso(rollout.changed_ms),
        "current_stage": rollout.current,
        "pool": rollout.pool,
        "live": rollout.standing.live,
        "plan": msgspec.to_builtins(rollout.plan),
        "stages": [_stage(rollout.plan, index, stage) for index, stage in enumerate(rollout.stages)],
        "verdicts": [
            views.VerdictView(gate=word.gate, verdict=word.verdict, stage=word.stage, at=iso(word.at_ms))
            for word in rollout.verdicts.values()
        ],
    }


def _stage(plan: Plan, index: int, stage: Stage) -> views.StageView:
    # The tail is after those of the plan, and bakes as long as the last of them.
    wished = plan.stages[min(index, len(plan.stages) - 1)]
    counts = {status.value: count for status, count in stage.tally.items() if status is not CartStatus.POOL}
    return views.StageView(
        index=index,
        name=stage.name,
        status=stage.status,
        why=stage.why,
        planned=_planned(plan, index),
        began_at=_iso(stage.began_ms),
        baking_at=_iso(stage.baking_ms),
        ended_at=_iso(stage.ended_ms),
        bake_s=wished.bake_s,
        counts=views.CountsView(**counts),
        counted=stage.counted,
    )


def _planned(plan: Plan, index: int) -> str:
    if index >= len(plan.stages):
        return "late joiners"
    stage = plan.stages[index]
    if stage.percent is not None:
        return f"{stage.percent:g} %"
    if isinstance(stage.carts, tuple):
        return many(len(stage.carts), "named cart")
    return many(stage.carts or 0, "cart")


def cart_of(record: CartRecord, rollout: Rollout, seen: CartSighting | None) -> views.CartView:
    """Return a cart of a rollout.

    Args:
        record: The cart, as the rollout knows it.
        rollout: The head.
        seen: The cart as the broker knows it now: a rollout that has ended watches nobody any more.
    """
    running = seen.model if rollout.status.final and seen and seen.model else record.running
    return views.CartView(
        store=record.store,
        cart=record.cart,
        hardware=record.hardware,
        status=record.status,
        stage=record.stage,
        attempt=record.attempt,
        device=record.device,
        why=record.why or waits_for(record, rollout),
        running=running,
        told_at=_iso(record.told_ms),
        changed_at=iso(record.changed_ms),
        pair=record.pair,
    )


def gate_of(reading: GateReading) -> views.GateView:
    """Return what a gate knows."""
    return views.GateView(
        gate=reading.gate,
        mode=reading.mode,
        verdict=reading.verdict,
        alpha=reading.alpha,
        e_value=_finite(reading.e_value),
        threshold=_finite(reading.threshold),
        interval=reading.interval,
        canary=reading.canary,
        control=reading.control,
        needed=reading.needed,
        pairs=reading.pairs,
        watermark_at=_iso(reading.watermark_ms),
        note=reading.note,
        query=reading.query,
        history=[(iso(at_ms), _finite(value) or 0.0) for at_ms, value in reading.history],
    )


def _finite(value: float | None) -> float | None:
    """Return a number that JSON has: evidence may grow beyond what a float holds."""
    if value is None or math.isnan(value):
        return None
    return max(-sys.float_info.max, min(sys.float_info.max, value))


def entry_of(logged: LoggedEvent, rollout: Rollout) -> views.EntryView:
    """Return an entry of the log."""
    event = logged.event
    return views.EntryView(
        number=logged.number,
        at=iso(event.at_ms),
        kind=str(event.__struct_config__.tag),
        actor=event.actor,
        reason=event.reason,
        text=sentence_of(event, rollout),
        stage=getattr(event, "stage", None),
        cart=getattr(event, "cart", None),
        gate=getattr(event, "gate", None),
        verdict=getattr(event, "verdict", None),
        numbers=getattr(event, "numbers", {}),
    )


def command_of(record: CommandRecord) -> views.CommandView:
    """Return a command of the audit log."""
    return views.CommandView(
        key=record.key,
        at=iso(record.at_ms),
        actor=record.actor,
        role=record.role,
        action=record.action,
        rollout=record.rollout_id,
        reason=record.reason,
        outcome=record.outcome,
    )


def sighting_of(cart: CartSighting) -> views.SightingView:
    """Return a cart of the fleet."""
    return views.SightingView(
        store=cart.store,
        cart=cart.cart,
        online=cart.online,
        hardware=cart.hardware,
        labels=dict(cart.labels),
        model=cart.model,
        since=iso(cart.since_ms),
        simulated=cart.simulated,
    )


def model_of(model: PublishedModel) -> views.ModelView:
    """Return a model of the repository."""
    return views.ModelView(
        digest=model.digest,
        name=model.name,
        version=model.version,
        manifest=model.manifest,
        size_bytes=model.size_bytes,
        published_at=iso(model.published_ms),
    )


def preview_of(preview: Preview) -> views.PreviewView:
    """Return what a plan would mean."""
    stages = [
        views.StagePreviewView(
            name=stage.name,
            carts=stage.carts,
            by_store=dict(stage.by_store),
            by_hardware=dict(stage.by_hardware),
            pairs=stage.pairs,
        )
        for stage in preview.stages
    ]
    return views.PreviewView(
        carts=preview.carts,
        offline=preview.offline,
        already=preview.already,
        stages=stages,
        problems=list(preview.problems),
        warnings=list(preview.warnings),
    )
