"""What people ask for, and what they are told before and after."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fleet_control.rollouts.ports.database import RolloutStore
from fleet_control.rollouts.ports.evidence import PublishedModel
from fleet_control.rollouts.ports.fleet import CartSighting
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import Action, Role


@dataclass(frozen=True, slots=True)
class Command:
    """An action that somebody asks for.

    Attributes:
        key: Idempotency key: the same command under the same key is done once.
        actor: Who.
        role: With which role.
        action: What; `CREATE` has its own way in.
        rollout_id: Of which rollout.
        reason: Why.
        expected_version: Refused if the rollout has moved on since the actor looked; None: whatever it is.
        carts: For a retry: which; empty: all that failed.
    """

    key: str
    actor: str
    role: Role
    action: Action
    rollout_id: str
    reason: str = ""
    expected_version: int | None = None
    carts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StagePreview:
    """The size of a stage, before it begins.

    Attributes:
        name: Of the stage.
        carts: How many it adds.
        by_store: The same by store.
        by_hardware: The same by hardware.
        pairs: Pairs of a canary and a control.
    """

    name: str
    carts: int
    by_store: Mapping[str, int]
    by_hardware: Mapping[str, int]
    pairs: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a plan would mean for the carts that exist now.

    Attributes:
        carts: Of the target.
        offline: Of them, now.
        already: Of them, that run the model already.
        stages: In order.
        problems: Why it cannot be created; empty if it can.
        warnings: What its owner should know.
    """

    carts: int
    offline: int
    already: int
    stages: tuple[StagePreview, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """An action as the state of a rollout and a role allow it, and what it would do.

    Attributes:
        action: Which.
        allowed: Whether it would be carried out now.
        why_not: Why not; empty if it is allowed.
        consequences: What happens to how many carts, in sentences.
    """

    action: Action
    allowed: bool
    why_not: str = ""
    consequences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateReading:
    """What a gate knows, for people.

    Attributes:
        gate: accuracy, errors, latency, promotion, sample_ratio, replay.
        mode: enforce or shadow.
        verdict: The newest; None before the first.
        alpha: Its share of the plan's.
        e_value: Evidence now; None where the gate has none.
        threshold: At which it fails.
        interval: Where the difference is (canary minus control), at all times together; None if not known.
        canary: (hits, of) so far: right events, errors, slow decisions.
        control: The same of the controls.
        needed: About how many more canary events until a harm as large as the margin would be found; None.
        pairs: Pairs that have closed, for promotion.
        watermark_ms: Events up to then are counted.
        note: A sentence for people: why there is no data, what fired, what the replay found.
        query: The question it was asked with.
        history: (time, e-value), oldest first.
    """

    gate: str
    mode: str
    verdict: str | None
    alpha: float
    e_value: float | None = None
    threshold: float | None = None
    interval: tuple[float, float] | None = None
    canary: tuple[int, int] | None = None
    control: tuple[int, int] | None = None
    needed: int | None = None
    pairs: int | None = None
    watermark_ms: int | None = None
    note: str = ""
    query: str = ""
    history: tuple[tuple[int, float], ...] = ()


class Control(Protocol):
    """What the API, the command line and tests may ask. Raises only `FleetControlError`."""

    def create(self, plan_tree: Any, *, key: str, actor: str, role: Role, reason: str = "") -> Rollout:
        """Create a rollout from a tree of plain values; the same key gives the same rollout.

        Raises:
            PlanError: the plan is wrong or does not fit the fleet.
            ActionRefusedError: the role may not.
            CartsTakenError: carts are in another rollout.
        """

    def preview(self, plan_tree: Any) -> Preview:
        """Return what a plan would mean now.

        Raises:
            PlanError: it is no plan.
        """

    def act(self, command: Command) -> Rollout:
        """Carry out an action; the same key changes nothing the second time.

        Raises:
            UnknownRolloutError: there is no such rollout.
            ActionRefusedError: the state or the role forbids it.
            StaleVersionError: the rollout has moved on.
            ReusedKeyError: the key was used for another command.
        """

    def choices(self, rollout_id: str, role: Role, actor: str | None = None) -> tuple[Choice, ...]:
        """Return all actions with what they would do now; nobody may approve what they created."""

    def evidence(self, rollout_id: str) -> tuple[GateReading, ...]:
        """Return what the gates know."""

    def fleet(self) -> Mapping[str, CartSighting]:
        """Return all carts."""

    def models(self) -> tuple[PublishedModel, ...]:
        """Return all models that may be rolled out."""

    @property
    def store(self) -> RolloutStore:
        """For reading."""


OnNotice = Callable[[str, str, str], None]
