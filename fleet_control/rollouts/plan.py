"""What a rollout owner asks for, checked and frozen; `plan_text` reads it from YAML.

rollout: autumn
model: 66196504fd6e7b0a
target: {stores: [s001, s002], percent: 100}
stages:
  - {name: canary, percent: 10, bake: 2h}
  - {name: half, percent: 50, bake: 4h, approval: true}
  - {name: all, percent: 100}
gates:
  - {metric: accuracy, margin: 0.01}
  - {metric: errors}
  - {metric: latency, quantile: 0.99, threshold_ms: 250, mode: shadow}
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from fleet_protocol.fields import Digest, Id, LabelName, RolloutId, ShortText

Percent = Annotated[float, Meta(gt=0, le=100)]
Alpha = Annotated[float, Meta(gt=0, lt=0.5)]
Margin = Annotated[float, Meta(ge=0, le=0.999)]
Quantile = Annotated[float, Meta(gt=0, lt=1)]
Text = Annotated[str, Meta(max_length=500)]
Metric = Literal["accuracy", "errors", "latency"]
Mode = Literal["enforce", "shadow"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ClockTime = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d\Z")]

MAX_STAGES = 20
MAX_GATES = 12
MAX_NAMED_CARTS = 20_000
# The stage of carts that came after the start. Not a name for a stage of a plan.
TAIL = "tail"


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which carts a rollout is for; what is left empty does not choose.

    Attributes:
        stores: Their ids.
        carts: Ids of single carts.
        labels: Allowed values of labels; `hardware` is what the cart runs on.
        percent: Of the carts chosen so far, drawn by the rollout's seed; the others stay out altogether.
    """

    stores: Annotated[tuple[Id, ...], Meta(max_length=MAX_NAMED_CARTS)] = ()
    carts: Annotated[tuple[Id, ...], Meta(max_length=MAX_NAMED_CARTS)] = ()
    labels: dict[LabelName, tuple[ShortText, ...]] = field(default_factory=dict)
    percent: Percent = 100.0


class StagePlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage.

    Attributes:
        name: Unique in the plan.
        percent: Of the target that runs the model when the stage has ended, earlier stages included.
        carts: Instead of a percentage: how many carts, earlier stages included; or their ids.
        bake_s: How long the gates watch after enough carts run the model.
        approval: A person promotes it; the gates may only stop it.
        min_done_share: Of the counted carts that must run the model before it bakes.
        min_carts: Fewer than so many that run it, and the stage does not pass.
        install_s: After so long with fewer carts done than that, a person is called.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_ -]{0,31}\Z")]
    percent: Percent | None = None
    carts: Annotated[int, Meta(ge=1)] | tuple[Id, ...] | None = None
    bake_s: Annotated[float, Meta(ge=0, le=60 * 86_400)] = 3_600.0
    approval: bool = False
    min_done_share: Annotated[float, Meta(gt=0, le=1)] = 0.9
    min_carts: Annotated[int, Meta(ge=1)] = 1
    install_s: Annotated[float, Meta(gt=0, le=60 * 86_400)] = 86_400.0


class GatePlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gate that may stop the rollout.

    Attributes:
        metric: accuracy: share of item events that no label contradicts; errors: per inference; latency:
            share of decisions slower than the threshold.
        margin: Loss that is tolerated (accuracy only).
        quantile: Of latency.
        threshold_ms: Of latency; None: the control carts' quantile of the day before the start.
        mode: shadow watches and never stops.
    """

    metric: Metric
    margin: Margin = 0.0
    quantile: Quantile = 0.99
    threshold_ms: Annotated[float, Meta(gt=0)] | None = None
    mode: Mode = "enforce"


class Promotion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be proved before the gates promote a stage by themselves.

    Attributes:
        margin: Loss of accuracy that is tolerated, as a difference of shares.
        window_s: How long each pair of carts is compared.
        min_events: Of each cart of a pair in its window; a pair with fewer is not counted.
    """

    margin: Margin = 0.02
    window_s: Annotated[float, Meta(gt=0, le=30 * 86_400)] = 3_600.0
    min_events: Annotated[int, Meta(ge=1)] = 20


class Window(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time in which carts may put a model live, by the store's own clock.

    Attributes:
        days: On which it begins; empty: all.
        start: Begin, HH:MM.
        end: End, HH:MM; at or before the begin: on the next day.
    """

    days: tuple[Weekday, ...] = ()
    start: ClockTime
    end: ClockTime


class DevicePlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long carts may take.

    Attributes:
        timeout_s: From telling a cart until it has committed.
        retries: After the first try.
        unreachable_s: Offline for so long, and it leaves the denominator.
        max_failed_share: Of a stage's counted carts that may fail before the rollout pauses.
        rate_per_min: Carts told per minute, at most.
    """

    timeout_s: Annotated[int, Meta(ge=10, le=30 * 86_400)] = 3_600
    retries: Annotated[int, Meta(ge=0, le=100)] = 2
    unreachable_s: Annotated[float, Meta(ge=10, le=30 * 86_400)] = 3_600.0
    max_failed_share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    rate_per_min: Annotated[int, Meta(ge=1)] = 10_000


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rollout, as its owner wants it.

    Attributes:
        rollout: Id, unique for ever.
        model: Digest of the model that is rolled out.
        baseline: Digest of the model that a rollback brings back; None: what most carts of the target run.
        title: For people.
        target: Which carts.
        stages: In order; the last one covers the target.
        gates: What may stop it.
        promotion: What may promote it.
        alpha: Probability that the gates together ever stop a harmless model, and that they ever promote a
            harmful one.
        approval: A second person approves it before it starts.
        on_fail: What a FAIL does, after the pause.
        max_wait_s: After so long at the bake's end without PASS or FAIL it is inconclusive.
        windows: When carts may put it live; empty: always.
        device: How long carts may take.
        seed: Of the draw; None: the rollout's id.
    """

    rollout: RolloutId
    model: Digest
    baseline: Digest | None = None
    title: Text = ""
    target: Target = field(default_factory=Target)
    stages: Annotated[tuple[StagePlan, ...], Meta(min_length=1, max_length=MAX_STAGES)]
    gates: Annotated[tuple[GatePlan, ...], Meta(max_length=MAX_GATES)] = (
        GatePlan(metric="accuracy", margin=0.01),
        GatePlan(metric="errors"),
        GatePlan(metric="latency"),
    )
    promotion: Promotion | None = field(default_factory=Promotion)
    alpha: Alpha = 0.05
    approval: bool = False
    on_fail: Literal["pause", "roll_back"] = "pause"
    max_wait_s: Annotated[float, Meta(gt=0, le=60 * 86_400)] = 7 * 86_400.0
    windows: Annotated[tuple[Window, ...], Meta(max_length=21)] = ()
    device: DevicePlan = field(default_factory=DevicePlan)
    seed: Annotated[str, Meta(max_length=64)] | None = None


def broken_rule(plan: Plan) -> str:
    """Return what the types alone cannot tell, in a sentence; empty if nothing."""
    return _wrong_stages(plan) or _wrong_gates(plan)


def _wrong_stages(plan: Plan) -> str:
    names = [stage.name for stage in plan.stages]
    if len(set(names)) < len(names) or TAIL in names:
        return f"names of stages are unique, and none is {TAIL!r}: {', '.join(names)}"
    for stage in plan.stages:
        if (stage.percent is None) == (stage.carts is None):
            return f"stage {stage.name!r} has either percent or carts"
    sizes = [stage.percent for stage in plan.stages if stage.percent is not None]
    if sizes != sorted(set(sizes)):
        return f"each stage is larger than the one before, which it counts in, so percentages rise: {sizes}"
    if plan.stages[-1].percent != 100.0:
        return "the last stage has percent: 100; target.percent leaves carts out altogether"
    return ""


def _wrong_gates(plan: Plan) -> str:
    if plan.model == plan.baseline:
        return "model and baseline are the same"
    metrics = [gate.metric for gate in plan.gates]
    if len(set(metrics)) < len(metrics):
        return "a metric has one gate"
    if plan.promotion is None and not all(stage.approval for stage in plan.stages[:-1]):
        return "without promotion nothing but a person may promote: give the stages approval: true"
    return ""
