"""Rollouts for the in-memory control API: SIMULATED, one in every state, the same at every start."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import numpy as np

from dashboard.sources import fake_world as world
from dashboard.sources.control import CartView, ModelView, RolloutView, StageView, VerdictView

CARTS_PER_STORE = 60
BAD_MODEL = "e70b52d4c91f3a8860"
MODELS = (
    (BAD_MODEL, "shelf-detector", "3-bad", 8_412_331, 2),
    (world.NEW_MODEL, "shelf-detector", "2", 8_397_120, 9),
    (world.OLD_MODEL, "shelf-detector", "1", 8_391_744, 61),
)
HARDWARE = ("jetson-orin-nano", "jetson-orin-nano", "n100-onnx")
_STAGES = (("canary", 10.0, 2.0), ("half", 50.0, 4.0), ("all", 100.0, 0.0))
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Script:
    """How a rollout stands.

    Attributes:
        name: Its id.
        title: For people.
        status: Of the rollout.
        model: Digest.
        age: Since it was created.
        changed: Since its status changed.
        stages: Status and counts of each stage, by stage; the rest wait.
        verdicts: Of the gates.
        why: Why it is there.
        automatic: A gate did that.
        by: Who created it.
    """

    name: str
    title: str
    status: str
    model: str
    age: timedelta
    changed: timedelta
    stages: tuple[tuple[str, dict[str, int], str], ...] = ()
    verdicts: tuple[tuple[str, str], ...] = ()
    why: str = ""
    automatic: bool = False
    by: str = "maria@example.org"


_PASSED = (("accuracy", "pass"), ("errors", "pass"), ("latency", "pass"), ("promotion", "pass"),
           ("sample_ratio", "pass"), ("replay", "pass"))  # fmt: skip
FAIL_WHY = "87.4 % uncontradicted with the new model, 96.9 % without, and the margin is 1 point"
SCRIPTS = (
    Script(
        "shelf-3", "Autumn shelves", "paused", BAD_MODEL, 52 * _MINUTE, 4 * _MINUTE,
        (("failed", {"done": 19, "working": 2, "failed": 1, "unreachable": 2}, "gate accuracy"),),
        (("accuracy", "fail"), ("errors", "inconclusive"), ("latency", "shadow"), ("sample_ratio", "pass"),
         ("replay", "pass")),
        FAIL_WHY, automatic=True,
    ),
    Script(
        "lamps-2", "Steadier under dim lamps", "running", world.NEW_MODEL, 9 * _HOUR, 9 * _HOUR,
        (("passed", {"done": 23, "unreachable": 1}, "its gates promoted it"),
         ("baking", {"done": 81, "working": 6, "told": 4, "proving": 2, "failed": 2, "unreachable": 1}, "")),
        (("accuracy", "inconclusive"), ("errors", "inconclusive"), ("latency", "inconclusive"),
         ("promotion", "inconclusive"), ("sample_ratio", "pass"), ("replay", "pass")),
    ),
    Script(
        "night-stores", "Night stores first", "running", world.NEW_MODEL, 30 * _HOUR, 28 * _HOUR,
        (("holding", {"done": 22, "unreachable": 2}, "no labels for 6 h, so accuracy has no data"),),
        (("accuracy", "no_data"), ("errors", "pass"), ("sample_ratio", "pass"), ("replay", "pass")),
        by="ines@example.org",
    ),
    Script("quay-2", "Quay stores", "ready", world.NEW_MODEL, 3 * _HOUR, 2 * _HOUR, by="ines@example.org"),
    Script("winter-2", "Winter packs", "draft", world.NEW_MODEL, 26 * _MINUTE, 26 * _MINUTE),
    Script(
        "shelf-3-pilot", "Autumn shelves, pilot", "rolling_back", BAD_MODEL, 7 * _HOUR, 6 * _MINUTE,
        (("failed", {"reverted": 15, "reverting": 7, "unreachable": 1, "revert_failed": 1}, "by a person"),),
        (("accuracy", "fail"),), "wrong labels on citrus in two stores",
    ),
    Script(
        "spring-2", "Spring catalogue", "completed", world.NEW_MODEL, timedelta(days=9), timedelta(days=8),
        (("passed", {"done": 24}, "its gates promoted it"),
         ("passed", {"done": 95, "excluded": 1}, "a person approved it"),
         ("passed", {"done": 118, "unreachable": 2}, "its gates promoted it")), _PASSED,
    ),
    Script(
        "shelf-3-try", "Autumn shelves, first try", "rolled_back", BAD_MODEL, timedelta(days=3),
        timedelta(days=2, hours=20),
        (("failed", {"reverted": 23, "unreachable": 1}, "gate errors"),),
        (("accuracy", "inconclusive"), ("errors", "fail")), "the errors gate failed", automatic=True,
    ),
    Script(
        "spring-1b", "Spring catalogue, half tuned", "aborted", world.NEW_MODEL, timedelta(days=16),
        timedelta(days=15), (("failed", {"done": 20, "failed": 4}, "by a person"),),
        (("accuracy", "inconclusive"),), "superseded by Spring catalogue", by="ines@example.org",
    ),
)  # fmt: skip


def fleet() -> list[tuple[str, str, str]]:
    """Return (store, cart, hardware) of all carts, in the order in which rollouts draw them."""
    carts = [
        (store[0], f"{store[0]}-c{n + 1:02d}", HARDWARE[n % len(HARDWARE)])
        for store in world.STORES
        for n in range(CARTS_PER_STORE)
    ]
    order = np.argsort(world.uniform(np.arange(len(carts), dtype=np.int64), 5))
    return [carts[int(i)] for i in order]


def models(now: datetime) -> tuple[ModelView, ...]:
    """Return the models of the registry."""
    return tuple(
        ModelView(digest, name, version, digest * 3, size, now - timedelta(days=age))
        for digest, name, version, size, age in MODELS
    )


def plan_of(script: Script) -> dict[str, object]:
    """Return the plan as its owner wrote it."""
    return {
        "rollout": script.name,
        "title": script.title,
        "model": script.model,
        "baseline": world.OLD_MODEL,
        "target": {"stores": [store[0] for store in world.STORES], "percent": 100.0},
        "stages": [{"name": n, "percent": p, "bake_s": h * 3600} for n, p, h in _STAGES],
        "gates": [
            {"metric": "accuracy", "margin": 0.01, "mode": "enforce"},
            {"metric": "errors", "mode": "enforce"},
            {"metric": "latency", "quantile": 0.99, "threshold_ms": 250, "mode": "shadow"},
        ],
        "promotion": {"margin": 0.02, "window_s": 3600, "min_events": 20},
        "alpha": 0.05,
        "on_fail": "pause",
    }


def rollout_of(script: Script, now: datetime) -> RolloutView:
    """Return the rollout at its beginning; the fake's actions go on from there."""
    created = now - script.age
    stages = tuple(_stage(script, i, created, now) for i in range(len(_STAGES)))
    total = CARTS_PER_STORE * len(world.STORES)
    current = len(script.stages) - 1 if script.stages else None
    return RolloutView(
        id=script.name,
        title=script.title,
        status=script.status,
        why=script.why,
        automatic=script.automatic,
        model=script.model,
        baseline=world.OLD_MODEL,
        version=40 + 3 * sum(sum(counts.values()) for _, counts, _ in script.stages),
        created_at=created,
        created_by=script.by,
        changed_at=now - script.changed,
        current_stage=current,
        pool=total - sum(sum(counts.values()) for _, counts, _ in script.stages),
        plan=plan_of(script),
        stages=stages,
        verdicts=tuple(
            VerdictView(gate, verdict, current or 0, now - script.changed)
            for gate, verdict in script.verdicts
        ),
    )


def _stage(script: Script, index: int, created: datetime, now: datetime) -> StageView:
    name, percent, bake_h = _STAGES[index]
    planned = f"{percent:.0f} %"
    if index >= len(script.stages):
        return StageView(index, name, "waiting", planned=planned, bake_s=bake_h * 3600)
    status, counts, why = script.stages[index]
    span = (now - script.changed - created) / max(1, len(script.stages))
    began = created + 8 * _MINUTE + index * span
    ended = script.status in ("completed", "rolled_back", "aborted")
    baked = None if status == "installing" else began + min(25 * _MINUTE, span / 2 or 12 * _MINUTE)
    if status == "baking":
        baked = now - 96 * _MINUTE
        began = baked - 31 * _MINUTE
    return StageView(
        index=index,
        name=name,
        status=status,
        why=why,
        planned=planned,
        began_at=began,
        baking_at=baked,
        ended_at=now - script.changed
        if ended or status == "failed"
        else baked and _end(status, baked, bake_h),
        bake_s=bake_h * 3600,
        counts=counts,
        counted=sum(n for key, n in counts.items() if key not in ("unreachable", "excluded")),
    )


def _end(status: str, baked: datetime, bake_h: float) -> datetime | None:
    return baked + bake_h * _HOUR if status == "passed" else None


def carts_of(rollout: RolloutView) -> list[CartView]:
    """Return the carts by id; those that no stage has drawn are in the pool."""
    drawn, found = iter(fleet()), list[CartView]()
    for stage in rollout.stages:
        spread = [status for status, n in stage.counts.items() for _ in range(n)]
        picked = islice(drawn, len(spread))
        found += [_cart(rollout, stage, one, status) for one, status in zip(picked, spread, strict=True)]
    found += [
        CartView(store, cart, "pool", hardware, running=rollout.baseline, changed_at=rollout.created_at)
        for store, cart, hardware in drawn
    ]
    return sorted(found, key=lambda view: view.cart)


_DEVICE = {"done": "COMMITTED", "working": "FETCHING", "proving": "COMMITTED", "failed": "ROLLED_BACK"}
_WHY = {
    "failed": "p95 of the self-test 412 ms, the budget is 250 ms",
    "unreachable": "offline for too long",
    "revert_failed": "did not go back in time",
}


def _cart(rollout: RolloutView, stage: StageView, drawn: tuple[str, str, str], status: str) -> CartView:
    store, cart, hardware = drawn
    began = stage.began_at or rollout.created_at
    late = timedelta(seconds=40 + 900 * float(world.uniform(sum(cart.encode()), stage.index)[0]))
    new = status in ("done", "proving")
    return CartView(
        store=store,
        cart=cart,
        status=status,
        hardware=hardware,
        stage=stage.index,
        attempt=3 if status == "failed" else 0 if status == "waiting" else 1,
        device=_DEVICE.get(status),
        why=_WHY.get(status, ""),
        running=rollout.model if new else rollout.baseline,
        told_at=None if status == "waiting" else began + timedelta(seconds=5),
        changed_at=began + late,
        pair=f"{store}-c{(int(cart[-2:]) + 29) % CARTS_PER_STORE + 1:02d}" if new else None,
    )


MARK_COLUMNS = ["at", "rollout_id", "kind", "stage", "model_digest", "reason"]


def mark_rows(now: datetime) -> list[tuple[object, ...]]:
    """Return what happened to the rollouts, as it landed in the warehouse."""
    return [row for script in SCRIPTS for row in _marks(script, rollout_of(script, now))]


def _marks(script: Script, rollout: RolloutView) -> list[tuple[object, ...]]:
    begun = [stage for stage in rollout.stages if stage.began_at is not None]
    if not begun:
        return []
    name, model = script.name, script.model
    rows: list[tuple[object, ...]] = [(begun[0].began_at, name, "started", None, model, "")]
    rows += [
        (stage.ended_at, name, "stage_passed", stage.name, model, "")
        for stage in begun
        if stage.status == "passed" and stage.ended_at is not None
    ]
    kind = {"paused": "paused", "completed": "finished", "aborted": "aborted"}.get(script.status)
    if script.status in ("rolling_back", "rolled_back"):
        kind = "rollback_started"
    if kind is not None:
        rows.append((rollout.changed_at, name, kind, None, model, script.why))
    return rows
