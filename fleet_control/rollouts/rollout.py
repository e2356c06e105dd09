"""The state of a rollout: a head that is small, and one record per cart."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.states import CartStatus, DeviceState, RolloutStatus, StageStatus, Verdict


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """The newest word of one gate."""

    gate: str
    verdict: Verdict
    stage: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage as it goes.

    Attributes:
        name: As in the plan; `tail` for the last one.
        status: Where it is.
        began_ms: When its carts were frozen.
        baking_ms: When enough of them ran the model.
        ended_ms: When it passed or failed.
        why: Why it holds or failed; by what it passed.
        tally: How many of its carts are in each status.
    """

    name: str
    status: StageStatus = StageStatus.WAITING
    began_ms: int | None = None
    baking_ms: int | None = None
    ended_ms: int | None = None
    why: str = ""
    tally: Mapping[CartStatus, int] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        """Carts in the denominator."""
        return sum(n for status, n in self.tally.items() if status.counted)

    def count(self, *statuses: CartStatus) -> int:
        """Return how many carts are in any of these."""
        return sum(self.tally.get(status, 0) for status in statuses)


@dataclass(frozen=True, slots=True)
class Standing:
    """How many carts of a rollout an action would concern; kept up to date cart by cart.

    Attributes:
        live: Last known to run the model.
        on_trial: Those of them that have not committed to it yet.
        to_recall: Told before and not on their way back: a rollback tells them.
        lost: Those of them that cannot be reached.
        under_way: Told before and not done: what they were told is withdrawn when the rollout ends.
        under_way_live: Those of them that run the model.
    """

    live: int = 0
    on_trial: int = 0
    to_recall: int = 0
    lost: int = 0
    under_way: int = 0
    under_way_live: int = 0

    def changed(self, came: "Standing", left: "Standing") -> "Standing":
        """Return the counts after a cart came to stand in one way and left another."""
        return Standing(
            self.live + came.live - left.live,
            self.on_trial + came.on_trial - left.on_trial,
            self.to_recall + came.to_recall - left.to_recall,
            self.lost + came.lost - left.lost,
            self.under_way + came.under_way - left.under_way,
            self.under_way_live + came.under_way_live - left.under_way_live,
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """The head.

    Attributes:
        plan: As its owner wants it.
        baseline: Digest that a rollback brings back.
        manifests: sha256 of `manifest.json` by digest, of both models.
        status: Where it is.
        version: Entries of the log that made it.
        generation: Of the permit: rises with each change of what carts may do.
        stages: Those of the plan, and the tail.
        current: Index of the stage that runs or ran last; None before the first.
        pool: Carts of the target in no stage yet.
        standing: Carts by what an action would do to them.
        created_ms: When it was created.
        created_by: By whom.
        changed_ms: When the status last changed.
        why: Why it is where it is: the reason of the last pause, abort or rollback.
        automatic: A gate did that.
        aborting: A rollback that ends as aborted.
        verdicts: Newest word of each gate, by name.
        acknowledged_ms: Verdicts and failures until then were seen by whoever resumed it.
        acknowledged_failed: Carts that had failed by then.
    """

    plan: Plan
    baseline: str
    manifests: Mapping[str, str]
    status: RolloutStatus
    version: int
    generation: int
    stages: tuple[Stage, ...]
    current: int | None = None
    pool: int = 0
    standing: Standing = field(default_factory=Standing)
    created_ms: int = 0
    created_by: str = ""
    changed_ms: int = 0
    why: str = ""
    automatic: bool = False
    aborting: bool = False
    verdicts: Mapping[str, GateVerdict] = field(default_factory=dict)
    acknowledged_ms: int = 0
    acknowledged_failed: int = 0

    @property
    def rollout_id(self) -> str:
        """Its id."""
        return self.plan.rollout

    @property
    def stage(self) -> Stage | None:
        """The stage that runs or ran last."""
        return None if self.current is None else self.stages[self.current]

    def count(self, *statuses: CartStatus) -> int:
        """Return how many carts of all stages are in any of these."""
        return sum(stage.count(*statuses) for stage in self.stages)


@dataclass(frozen=True, slots=True)
class CartRecord:
    """One cart of a rollout.

    Attributes:
        store: Where it is.
        cart: Its id.
        hardware: What it runs on.
        status: Where it is.
        stage: Index of its stage; None in the pool.
        attempt: Tries so far.
        allowed: Tries it may have; more after a retry.
        step: Highest step of this try that was counted.
        device: What it said last.
        why: Why it failed, in its own words.
        running: Digest it last said or showed to run.
        told_ms: When it was told last.
        changed_ms: When its status last changed.
        pair: Its match: the control of a canary, the canary of a control.
        before: Its status before it became unreachable.
    """

    store: str
    cart: str
    hardware: str
    status: CartStatus = CartStatus.POOL
    stage: int | None = None
    attempt: int = 0
    allowed: int = 1
    step: int = -1
    device: DeviceState | None = None
    why: str = ""
    running: str | None = None
    told_ms: int | None = None
    changed_ms: int = 0
    pair: str | None = None
    before: CartStatus | None = None

    @property
    def holds(self) -> bool:
        """Whether no other rollout may have it: until the end, unless it left before it was told."""
        return self.attempt > 0 or self.status is not CartStatus.EXCLUDED


@dataclass(frozen=True, slots=True)
class TellPermit:
    """Tell all carts of the rollout, with one retained message, whether they may go on."""

    state: str
    generation: int


@dataclass(frozen=True, slots=True)
class TellCart:
    """Tell one cart which model it should run.

    Attributes:
        store: Where it is.
        cart: Its id.
        model: Digest.
        attempt: Of this rollout; 0: the message stands for itself and needs no permit.
        not_after_ms: Not put live later than this; None: any time.
    """

    store: str
    cart: str
    model: str
    attempt: int
    not_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Tell people, through the webhook."""

    what: str
    text: str


Effect = TellPermit | TellCart | Notice


@dataclass(frozen=True, slots=True)
class Step:
    """What an event changes: all that is written in one transaction.

    Attributes:
        rollout: The new head.
        carts: New records of the carts that changed.
        effects: What has to be told, in this order.
        ignored: Why the event changed nothing but its count; empty when it did.
    """

    rollout: Rollout
    carts: tuple[CartRecord, ...] = ()
    effects: tuple[Effect, ...] = ()
    ignored: str = ""
