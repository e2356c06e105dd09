"""What the Rollouts page asks of the control API, and what it may ask it to do.

The records mirror the API's JSON; what is not known to this version is ignored. Times are UTC. Every method
raises only `dashboard.errors.SourceError`. A method that changes something takes an idempotency key: sent
again with the same key, it is done once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

NAME = "The control API"
# Statuses that nothing leaves.
FINAL = ("completed", "rolled_back", "aborted")
VIEWER = "viewer"
# What everybody wants to know when it is away.
PERMITS = "Carts keep their last permit until it expires."


@dataclass(frozen=True, slots=True)
class Me:
    """Who the API takes us for.

    Attributes:
        name: Of the person or the service.
        role: viewer, on_call or rollout_owner.
    """

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage.

    Attributes:
        index: From 0.
        name: Of the plan, or `tail`.
        status: waiting, installing, baking, holding, passed, failed or skipped.
        why: Why it holds or failed; by what it passed.
        planned: Its size in words: "10 %".
        began_at: When its carts were frozen.
        baking_at: When enough of them ran the model.
        ended_at: When it passed or failed.
        bake_s: How long it bakes.
        counts: Carts by status.
        counted: Carts in the denominator.
    """

    index: int
    name: str
    status: str
    why: str = ""
    planned: str = ""
    began_at: datetime | None = None
    baking_at: datetime | None = None
    ended_at: datetime | None = None
    bake_s: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    counted: int = 0


@dataclass(frozen=True, slots=True)
class VerdictView:
    """The newest word of one gate."""

    gate: str
    verdict: str
    stage: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """An action as the state and our role allow it, and what it would do.

    Attributes:
        action: approve, start, pause, resume, roll_back, abort_keep, abort_revert, retry or promote.
        allowed: Whether it would be carried out now.
        why_not: Why not.
        consequences: What happens to how many carts, in sentences.
    """

    action: str
    allowed: bool
    why_not: str = ""
    consequences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutView:
    """A rollout.

    Attributes:
        id: Unique for ever.
        title: For people; may be empty.
        status: draft, ready, running, paused, rolling_back, completed, rolled_back or aborted.
        why: Why it is there.
        automatic: A gate did that.
        model: Digest that is rolled out.
        baseline: Digest that a rollback brings back.
        version: Counts its changes; a command names the one it was decided on.
        created_at: When.
        created_by: By whom.
        changed_at: When the status last changed.
        current_stage: Index of the stage that runs or ran last.
        pool: Carts of the target in no stage yet.
        plan: As its owner wrote it.
        stages: In order.
        verdicts: Of its gates.
        choices: What may be asked for.
    """

    id: str
    title: str
    status: str
    model: str
    baseline: str
    version: int
    created_at: datetime
    created_by: str
    changed_at: datetime
    why: str = ""
    automatic: bool = False
    current_stage: int | None = None
    pool: int = 0
    plan: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[StageView, ...] = ()
    verdicts: tuple[VerdictView, ...] = ()
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class CartView:
    """One cart of a rollout; `why` are the cart's own words, `pair` its match among the others."""

    store: str
    cart: str
    status: str
    hardware: str = ""
    stage: int | None = None
    attempt: int = 0
    device: str | None = None
    why: str = ""
    running: str | None = None
    told_at: datetime | None = None
    changed_at: datetime | None = None
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class CartPage:
    """Some carts, and the place after which the next ones come; None: there are no more."""

    carts: tuple[CartView, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """What a gate knows.

    Attributes:
        gate: accuracy, errors, latency, promotion, sample_ratio or replay.
        mode: enforce or shadow.
        verdict: pass, fail, inconclusive, no_data, shadow, or None before the first.
        alpha: Its share of the plan's.
        e_value: Evidence now.
        threshold: At which it speaks.
        interval: Where the difference, canary minus control, is at all times together.
        canary: Hits, and of how many.
        control: The same of the carts without the model.
        needed: About how many more canary events until a harm of the margin would be found.
        pairs: Pairs of carts that have closed.
        watermark_at: Events up to then are counted.
        note: A sentence.
        query: The question to the warehouse.
        history: Times and e-values, the oldest first.
    """

    gate: str
    mode: str = "enforce"
    verdict: str | None = None
    alpha: float | None = None
    e_value: float | None = None
    threshold: float | None = None
    interval: tuple[float, float] | None = None
    canary: tuple[float, float] | None = None
    control: tuple[float, float] | None = None
    needed: float | None = None
    pairs: int | None = None
    watermark_at: datetime | None = None
    note: str = ""
    query: str = ""
    history: tuple[tuple[datetime, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all gates of a rollout know."""

    gates: tuple[GateEvidence, ...]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a rollout's log; `text` says it in a sentence."""

    number: int
    at: datetime
    kind: str
    text: str
    actor: str = ""
    reason: str = ""
    stage: int | None = None
    cart: str | None = None
    gate: str | None = None
    verdict: str | None = None
    numbers: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """Entries in order, and the number after which the next ones come."""

    entries: tuple[LogEntry, ...]
    next: int | None = None


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command of the audit log, carried out or refused."""

    key: str
    at: datetime
    actor: str
    role: str
    action: str
    outcome: str
    rollout: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FleetCart:
    """A cart as it is now; `since` is when `online` last changed."""

    store: str
    cart: str
    online: bool
    hardware: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    since: datetime | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model that may be rolled out."""

    digest: str
    name: str
    version: str
    manifest: str = ""
    size_bytes: int = 0
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StagePreview:
    """How many carts a stage adds, and pairs of a canary and a control."""

    name: str
    carts: int
    by_store: Mapping[str, int] = field(default_factory=dict)
    by_hardware: Mapping[str, int] = field(default_factory=dict)
    pairs: int = 0


@dataclass(frozen=True, slots=True)
class Preview:
    """What a plan would mean for the carts that exist now.

    Attributes:
        carts: Of its target.
        offline: Of those.
        already: Of those, with the model.
        stages: How large they are.
        problems: Why it cannot be created.
        warnings: What its owner should know.
    """

    carts: int
    offline: int = 0
    already: int = 0
    stages: tuple[StagePreview, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A command to a rollout.

    Attributes:
        action: What.
        reason: Why, in the person's words.
        expected_version: Of the rollout that the person saw; another one now, and it is refused. None:
            whatever it is now.
        key: Makes sure that it is done once.
        carts: Only these, for a retry; empty for all.
    """

    action: str
    reason: str
    expected_version: int | None
    key: str
    carts: tuple[str, ...] = ()


class ControlSource(Protocol):
    """The control API, as the page sees it."""

    def me(self) -> Me:
        """Return who we are."""
        ...

    def rollouts(self) -> tuple[RolloutView, ...]:
        """Return the rollouts, the newest first."""
        ...

    def rollout(self, rollout_id: str) -> RolloutView:
        """Return one rollout."""
        ...

    def carts(
        self, rollout_id: str, statuses: Sequence[str], store: str | None, after: str, limit: int
    ) -> CartPage:
        """Return carts of a rollout in the order of their ids; no statuses: all."""
        ...

    def evidence(self, rollout_id: str) -> Evidence:
        """Return what its gates know."""
        ...

    def log(self, rollout_id: str, after: int, limit: int) -> LogPage:
        """Return entries of its log, the oldest first."""
        ...

    def audit(self, rollout_id: str, limit: int) -> tuple[CommandView, ...]:
        """Return commands to it, the newest first."""
        ...

    def fleet(self) -> tuple[FleetCart, ...]:
        """Return all carts that exist."""
        ...

    def models(self) -> tuple[ModelView, ...]:
        """Return the models that may be rolled out."""
        ...

    def preview(self, plan: Mapping[str, Any]) -> Preview:
        """Return what a plan would mean now; changes nothing."""
        ...

    def create(self, plan: Mapping[str, Any], key: str, reason: str) -> RolloutView:
        """Create a rollout; no cart is told anything before it is started."""
        ...

    def act(self, rollout_id: str, order: Order) -> RolloutView:
        """Carry out a command and return the rollout after it."""
        ...
