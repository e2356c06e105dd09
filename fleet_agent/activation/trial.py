"""A model on trial: its plan is found or built, its engine is opened and held to the reference."""

import threading
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass

from fleet_agent.activation.golden import load_golden
from fleet_agent.activation.outcomes import ActivationProgress, OnCount, OnProgress
from fleet_agent.activation.parity import ParityReport, budget_for, check
from fleet_agent.activation.slots import Stage
from fleet_agent.activation.store import StoredModel
from fleet_agent.engines.contract import Backend, PlanRequest
from fleet_agent.errors import ActivationError, EngineError, PlanLoadError
from fleet_agent.manifest import Precision
from fleet_agent.perception import PerceptionEngine
from fleet_agent.plans.cache import CachedPlan, PlanCache
from fleet_agent.plans.child import BuildProgress
from fleet_agent.plans.key import PlanKey, split_facts
from fleet_agent.ports import Clock

# Timed runs after the warm-up. Fewer and one interrupt decides; more and a slow model keeps the cart's
# GPU from the engine that serves.
TIMED_RUNS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSettings:
    """How engines are made on this cart.

    Attributes:
        precision: Which artifact runs.
        cameras: Rows of the engine's input.
        workspace_mb: Of the builder.
        optimization_level: Of the builder.
        build_timeout_s: Of the builder.
        latency_budget_ms: Instead of the manifest's; None: the manifest's.
        runs: Timed runs of the gate.
    """

    precision: Precision = "fp32"
    cameras: int = 4
    workspace_mb: int = 512
    optimization_level: int = 3
    build_timeout_s: float = 3600.0
    latency_budget_ms: float | None = None
    runs: int = TIMED_RUNS


@dataclass(frozen=True, slots=True)
class Passed:
    """An engine that passed the gate.

    Attributes:
        engine: Belongs to the caller.
        plan: Key of its plan; None where there is none.
        report: Of the gate.
    """

    engine: PerceptionEngine
    plan: str | None
    report: ParityReport


def plan_request(model: StoredModel, settings: TrialSettings) -> PlanRequest:
    """Return what a plan of a model is built from; the cache says where it is written."""
    artifact = model.manifest.artifacts[settings.precision]
    spec = model.manifest.input
    return PlanRequest(
        onnx=model.directory / artifact.file,
        sha256=artifact.sha256,
        precision=settings.precision,
        input_name=spec.name,
        shape=(settings.cameras, 3, spec.height, spec.width),
        plan=model.directory / "unset.plan",
        workspace_mb=settings.workspace_mb,
        optimization_level=settings.optimization_level,
    )


def plan_key(backend: Backend, request: PlanRequest) -> PlanKey:
    """Return the key of the plan that a request asks for on this machine.

    Raises:
        EngineError: the device does not answer.
    """
    facts, recorded = split_facts(backend.facts())
    return PlanKey(
        backend=backend.name,
        facts=facts,
        onnx_sha256=request.sha256,
        precision=request.precision,
        input_name=request.input_name,
        shape=request.shape,
        optimization_level=request.optimization_level,
        workspace_mb=request.workspace_mb,
        recorded=recorded,
    )


class Trial:
    """One model's way to an engine that may go live.

    Args:
        model: In the store.
        backend: That shall run it.
        reference: ONNX Runtime on the CPU.
        plans: The cart's.
        settings: How engines are made here.
        clock: Times the runs and limits the build.
        on_count: Counts what happened.
        on_stage: Called before each step with its stage and the plan's key; writes it down.
        on_progress: Told of each step of a build.
        cancelled: Set by another thread to end the trial.
        protected: Plans of the models that serve or served: whatever this trial finds, they stay.
    """

    def __init__(
        self,
        model: StoredModel,
        *,
        backend: Backend,
        reference: Backend,
        plans: PlanCache,
        settings: TrialSettings,
        clock: Clock,
        on_count: OnCount,
        on_stage: Callable[[Stage, str | None], None],
        on_progress: OnProgress,
        cancelled: threading.Event | None,
        protected: Collection[str] = (),
    ) -> None:
        self._model = model
        self._backend = backend
        self._reference = reference
        self._plans = plans
        self._settings = settings
        self._clock = clock
        self._count = on_count
        self._on_stage = on_stage
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._protected = protected

    def run(self) -> Passed:
        """Find or build the plan, open the engine, and hold it to the reference.

        A plan from the cache that does not load, or whose engine answers wrongly although the reference is
        sound, is built once more. Until then a plan that a slot names stays where it is.

        Raises:
            ActivationError: the gate refused the engine.
            ModelError: no engine could be made.
        """
        request = plan_request(self._model, self._settings)
        if self._backend.build_command(request) is None:
            self._on_stage("building", None)
            return self._test(None)
        key = plan_key(self._backend, request)
        self._on_stage("building", key.digest)
        cached = self._plans.find(key)
        if cached is not None:
            passed = self._second_chance(cached)
            if passed is not None:
                return passed
            self._on_stage("building", key.digest)
        self._plans.sweep_timings(key)
        fresh = self._plans.build(
            self._backend,
            key,
            request,
            timeout_s=self._settings.build_timeout_s,
            on_progress=self._tell,
            cancelled=self._cancelled,
        )
        return self._test_or_drop(fresh)

    def _second_chance(self, cached: CachedPlan) -> Passed | None:
        """Test a plan of the cache; None: it is wrong, and another may be built."""
        try:
            return self._test_or_drop(cached)
        except (ActivationError, EngineError) as error:
            if not _is_plans_fault(error):
                raise  # another plan would fare no better
        self._count("plans_wrong")
        return None

    def _test_or_drop(self, plan: CachedPlan) -> Passed:
        try:
            return self._test(plan)
        except (ActivationError, EngineError) as error:
            if _is_plans_fault(error) and plan.key not in self._protected:
                self._plans.drop(plan.key)
            raise

    def _test(self, plan: CachedPlan | None) -> Passed:
        self._on_stage("selftest", plan.key if plan else None)
        self._refuse_cancelled()
        engine = self._backend.open(
            self._model.directory,
            self._model.manifest,
            precision=self._settings.precision,
            cameras=self._settings.cameras,
            plan=plan.path if plan else None,
        )
        try:
            report = self._compare(engine)
            _refuse_failed(report)
            self._refuse_cancelled()
        except BaseException:
            engine.close()
            raise
        return Passed(engine, plan.key if plan else None, report)

    def _compare(self, engine: PerceptionEngine) -> ParityReport:
        manifest, settings = self._model.manifest, self._settings
        frames = load_golden(self._model.directory, manifest)
        with ExitStack() as opened:
            reference = self._on_cpu("fp32", opened)
            same_file = None if settings.precision == "fp32" else self._on_cpu(settings.precision, opened)
            return check(
                engine,
                reference,
                manifest,
                frames,
                manifest.artifacts[settings.precision].parity,
                budget_ms=budget_for(manifest, settings.cameras, settings.latency_budget_ms),
                clock=self._clock,
                runs=settings.runs,
                same_file=same_file,
            )

    def _on_cpu(self, precision: Precision, opened: ExitStack) -> PerceptionEngine:
        engine = self._reference.open(
            self._model.directory, self._model.manifest, precision=precision, cameras=1, plan=None
        )
        opened.callback(engine.close)
        return engine

    def _tell(self, progress: BuildProgress) -> None:
        self._on_progress(
            ActivationProgress(self._model.name, "building", progress.phase, progress.step, progress.of)
        )

    def _refuse_cancelled(self) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise ActivationError("selftest", "the activation was cancelled")


def _is_plans_fault(error: ActivationError | EngineError) -> bool:
    """Whether a plan is to blame: not the model, a slow moment, a cancellation or a device without memory."""
    if isinstance(error, ActivationError):
        report = error.report
        return isinstance(report, ParityReport) and report.reference_passed and not report.candidate_right
    return isinstance(error, PlanLoadError)


def _refuse_failed(report: ParityReport) -> None:
    if not report.passed:
        raise ActivationError("selftest", " ".join(report.reasons), report)
