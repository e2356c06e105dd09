"""What the API answers, as models of OpenAPI. Times are ISO 8601, UTC, with Z."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from fleet_control.rollouts.states import (
    Action,
    CartStatus,
    DeviceState,
    Role,
    RolloutStatus,
    StageStatus,
    Verdict,
)


class View(BaseModel):
    """Every answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorBody(BaseModel):
    """What went wrong; some codes carry more fields."""

    model_config = ConfigDict(frozen=True, extra="allow")

    code: str
    message: str


class ErrorView(View):
    """Every refusal has this shape."""

    error: ErrorBody


class MeView(View):
    """Who the caller is."""

    name: str
    role: Role


class CountsView(View):
    """Carts of a stage by status."""

    waiting: int = 0
    told: int = 0
    working: int = 0
    proving: int = 0
    done: int = 0
    failed: int = 0
    regressed: int = 0
    unreachable: int = 0
    excluded: int = 0
    reverting: int = 0
    reverted: int = 0
    revert_failed: int = 0


class StageView(View):
    """One stage. `counted` is the denominator: neither unreachable nor excluded carts."""

    index: int
    name: str
    status: StageStatus
    why: str
    planned: str
    began_at: str | None
    baking_at: str | None
    ended_at: str | None
    bake_s: float
    counts: CountsView
    counted: int


class VerdictView(View):
    """Newest word of a gate."""

    gate: str
    verdict: Verdict
    stage: int
    at: str


class ChoiceView(View):
    """An action, for the caller's role and the state as it is."""

    action: Action
    allowed: bool
    why_not: str
    consequences: list[str]


class RolloutSummary(View):
    """A rollout in a list. `live`: carts last known to run its model; of an ended one, when it ended."""

    id: str
    title: str
    status: RolloutStatus
    why: str
    automatic: bool
    model: str
    baseline: str
    version: int
    created_at: str
    created_by: str
    changed_at: str
    current_stage: int | None
    pool: int
    live: int
    plan: dict[str, Any]
    stages: list[StageView]
    verdicts: list[VerdictView]


class RolloutView(RolloutSummary):
    """A rollout with what the caller may do."""

    choices: list[ChoiceView]


class RolloutsView(View):
    """Rollouts, the newest first."""

    rollouts: list[RolloutSummary]


class CartView(View):
    """One cart of a rollout. `why`: why it failed, or what it waits for; `running`: as it says now."""

    store: str
    cart: str
    hardware: str
    status: CartStatus
    stage: int | None
    attempt: int
    device: DeviceState | None
    why: str
    running: str | None
    told_at: str | None
    changed_at: str
    pair: str | None


class CartsView(View):
    """A page of carts; `next` goes into `after`, and is null on the last page."""

    carts: list[CartView]
    next: str | None


class GateView(View):
    """What a gate knows."""

    gate: str
    mode: str
    verdict: str | None
    alpha: float
    e_value: float | None
    threshold: float | None
    interval: tuple[float, float] | None
    canary: tuple[int, int] | None
    control: tuple[int, int] | None
    needed: int | None
    pairs: int | None
    watermark_at: str | None
    note: str
    query: str
    history: list[tuple[str, float]]


class EvidenceView(View):
    """What the gates of a rollout know."""

    gates: list[GateView]


class EntryView(View):
    """An entry of the log."""

    number: int
    at: str
    kind: str
    actor: str
    reason: str
    text: str
    stage: int | None
    cart: str | None
    gate: str | None
    verdict: Verdict | None
    numbers: dict[str, Any]


class LogView(View):
    """A page of the log; `next` goes into `after`, and is null on the last page."""

    entries: list[EntryView]
    next: int | None


class CommandView(View):
    """A command, done or refused."""

    key: str
    at: str
    actor: str
    role: Role
    action: Action
    rollout: str
    reason: str
    outcome: str


class AuditView(View):
    """Commands, the newest first."""

    commands: list[CommandView]


class SightingView(View):
    """A cart of the fleet."""

    store: str
    cart: str
    online: bool
    hardware: str
    labels: dict[str, str]
    model: str | None
    since: str
    simulated: bool


class FleetView(View):
    """Carts of the fleet, by id; `next` goes into `after`, and is null on the last page."""

    carts: list[SightingView]
    next: str | None


class ModelView(View):
    """A model of the repository."""

    digest: str
    name: str
    version: str
    manifest: str
    size_bytes: int
    published_at: str


class ModelsView(View):
    """Models, the newest first."""

    models: list[ModelView]


class StagePreviewView(View):
    """The size of a stage, before it begins."""

    name: str
    carts: int
    by_store: dict[str, int]
    by_hardware: dict[str, int]
    pairs: int


class PreviewView(View):
    """What a plan would mean for the carts that exist now."""

    carts: int
    offline: int
    already: int
    stages: list[StagePreviewView]
    problems: list[str]
    warnings: list[str]
