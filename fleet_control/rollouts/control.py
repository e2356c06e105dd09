"""What people may ask of rollouts, carried out at once in a transaction of its own.

No lease is needed: a command that meets another writer reads again and tries anew. So a pause depends on the
database and nothing else; the engine, the warehouse and the other rollouts may be in any state.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import structlog

from fleet_control.errors import (
    ActionRefusedError,
    CartsTakenError,
    PlanError,
    RegistryError,
    ReusedKeyError,
    StaleVersionError,
    UnknownRolloutError,
)
from fleet_control.rollouts import commands, events, membership, permissions
from fleet_control.rollouts.batch import Batch, Loaded
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.plan_text import plan_of
from fleet_control.rollouts.ports import (
    CartSighting,
    Change,
    Choice,
    Command,
    CommandRecord,
    Fleet,
    GateReading,
    Preview,
    PublishedModel,
    Registry,
    RolloutStore,
)
from fleet_control.rollouts.preview import baseline_of, preview_of
from fleet_control.rollouts.reducer import create
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import Action, Role

_log = structlog.get_logger(__name__)
# A command that meets other writers this often is given up: somebody changes the rollout all the time.
MAX_TRIES = 20
DONE = "done"
# Actions that read the records of carts.
_READ_CARTS = (Action.RETRY, Action.ABORT_KEEP)
# Actions that send carts back: without a baseline that can be fetched they would leave carts with nothing.
_GO_BACK = (Action.ROLL_BACK, Action.ABORT_REVERT)


class RolloutControl:
    """Implements `Control`. All methods may be called from any thread.

    Args:
        store: The database.
        fleet: The carts.
        registry: The models.
        now_ms: The time, epoch milliseconds.
        can_go_back: Whether the baseline of a rollout can be fetched, by what was heard last; None: the
            repository is asked then and there.
        on_change: Called after every command that changed something: what waits to be told goes out now.
        evidence: What the gates of a rollout know.
    """

    def __init__(
        self,
        store: RolloutStore,
        fleet: Fleet,
        registry: Registry,
        *,
        now_ms: Callable[[], int],
        can_go_back: Callable[[Rollout], bool] | None = None,
        on_change: Callable[[], None] = lambda: None,
        evidence: Callable[[str], tuple[GateReading, ...]] = lambda _: (),
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._registry = registry
        self._now_ms = now_ms
        self._can_go_back = can_go_back or (lambda rollout: baseline_is_there(registry, rollout))
        self._on_change = on_change
        self._evidence = evidence

    @property
    def store(self) -> RolloutStore:
        """For reading."""
        return self._store

    def fleet(self) -> Mapping[str, CartSighting]:
        """Return all carts."""
        return self._fleet.carts()

    def models(self) -> tuple[PublishedModel, ...]:
        """Return all models that may be rolled out."""
        return self._registry.models()

    def evidence(self, rollout_id: str) -> tuple[GateReading, ...]:
        """Return what the gates know.

        Raises:
            UnknownRolloutError: there is no such rollout.
        """
        self._store.head(rollout_id)
        return self._evidence(rollout_id)

    def choices(self, rollout_id: str, role: Role, actor: str | None = None) -> tuple[Choice, ...]:
        """Return all actions with what they would do now.

        Raises:
            UnknownRolloutError: there is no such rollout.
        """
        return permissions.choices(self._store.head(rollout_id), role, actor)

    def preview(self, plan_tree: Any) -> Preview:
        """Return what a plan would mean now.

        Raises:
            PlanError: it is no plan.
        """
        plan = plan_of(plan_tree)
        preview = self._preview(plan)[0]
        try:
            self._store.head(plan.rollout)
        except UnknownRolloutError:
            return preview
        used = f"there is a rollout {plan.rollout} already: every one has an id of its own"
        return replace(preview, problems=(used, *preview.problems))

    def _preview(self, plan: Plan) -> tuple[Preview, Mapping[str, str]]:
        fleet = self._fleet.carts()
        models = {model.digest: model for model in self._registry.models()}
        target = membership.population(plan, fleet.values())
        taken = self._store.taken(cart.cart for cart in target)
        return preview_of(plan, fleet, models, taken), taken

    def create(self, plan_tree: Any, *, key: str, actor: str, role: Role, reason: str = "") -> Rollout:
        """Create a rollout; the same key gives the same rollout.

        Raises:
            PlanError: the plan is wrong or does not fit the fleet.
            ActionRefusedError: the role may not, or a rollout of that id exists.
            CartsTakenError: carts are in another rollout.
            ReusedKeyError: the key was used for another command.
        """
        plan = plan_of(plan_tree)
        command = Command(key, actor, role, Action.CREATE, plan.rollout, reason)
        record = self._record(command, msgspec.json.encode(plan))
        if self._answered(record):
            return self._store.head(plan.rollout)
        with self._recorded(record):
            event = self._created(plan, record)
            step = create(event)
            change = Change(
                rollout=step.rollout,
                expected_version=0,
                events=(event,),
                at_ms=record.at_ms,
                effects=step.effects,
                command=record,
            )
            try:
                self._store.commit(change)
            except StaleVersionError as error:
                raise ActionRefusedError(Action.CREATE.value, f"{plan.rollout} exists already") from error
        self._on_change()
        return step.rollout

    def _created(self, plan: Plan, record: CommandRecord) -> events.Created:
        if not permissions.may(record.role, Action.CREATE):
            raise ActionRefusedError(Action.CREATE.value, "the role rollout owner is needed", forbidden=True)
        preview, taken = self._preview(plan)
        if taken:
            raise CartsTakenError(dict(taken))
        if preview.problems:
            raise PlanError(plan.rollout, "; ".join(preview.problems))
        baseline = baseline_of(plan, self._fleet.carts()) or ""
        for digest in (plan.model, baseline):
            if not self._registry.fetchable(digest):
                raise PlanError(plan.rollout, f"the model {digest} cannot be fetched from the repository")
        manifests = {model.digest: model.manifest for model in self._registry.models()}
        return events.Created(
            at_ms=record.at_ms,
            actor=record.actor,
            reason=record.reason,
            plan=plan,
            baseline=baseline,
            manifests={digest: manifests[digest] for digest in (plan.model, baseline)},
        )

    def act(self, command: Command) -> Rollout:
        """Carry out an action; the same key changes nothing the second time.

        Raises:
            UnknownRolloutError: there is no such rollout.
            ActionRefusedError: the state or the role forbids it.
            CartsTakenError: at the start: carts are in another rollout by now.
            StaleVersionError: the rollout has moved on.
            ReusedKeyError: the key was used for another command.
        """
        record = self._record(command, msgspec.json.encode(sorted(command.carts)))
        head = self._store.head(command.rollout_id)
        if self._answered(record):
            return head
        with self._recorded(record):
            head = self._carried_out(command, record)
        self._on_change()
        return head

    def _carried_out(self, command: Command, record: CommandRecord) -> Rollout:
        if command.action in _GO_BACK:
            self._check_baseline(command)
        for _ in range(MAX_TRIES):
            loaded = self._load(command)
            _check_version(loaded.rollout, command)
            batch = Batch(loaded, record.at_ms)
            batch.add(self._events(loaded, command, record.at_ms))
            if batch.ignored:
                raise ActionRefusedError(command.action.value, batch.ignored[0][1])
            try:
                batch.commit(self._store, command=record)
            except StaleVersionError:
                continue
            return loaded.rollout
        found = self._store.head(command.rollout_id).version
        raise StaleVersionError(command.rollout_id, loaded.rollout.version, found)

    def _check_baseline(self, command: Command) -> None:
        """Refuse to send carts back to what is gone; a repository that does not answer stops nobody."""
        rollout = self._store.head(command.rollout_id)
        if not permissions.may(command.role, command.action):
            return
        try:
            there = self._can_go_back(rollout)
        except RegistryError as error:
            # Carts that keep the baseline do not need the repository to go back to it.
            _log.warning("not known whether the baseline can be fetched", why=str(error))
            return
        if not there:
            why = f"the baseline {rollout.baseline} cannot be fetched from the repository any more"
            raise ActionRefusedError(command.action.value, why)

    def _load(self, command: Command) -> Loaded:
        head = self._store.head(command.rollout_id)
        reads = command.action in _READ_CARTS
        return Loaded(head, self._store.carts(command.rollout_id) if reads else {})

    def _events(self, loaded: Loaded, command: Command, at_ms: int) -> tuple[events.AnyEvent, ...]:
        starts = command.action is Action.START
        carts = self._fleet.carts().values() if starts else ()
        population = membership.population(loaded.rollout.plan, carts)
        return commands.events_of(loaded.rollout, loaded.carts, command, at_ms, population)

    def _record(self, command: Command, details: bytes) -> CommandRecord:
        told = (command.action, command.rollout_id, command.actor, command.reason)
        digest = hashlib.sha256("\x1f".join(told).encode() + b"\x1f" + details)
        return CommandRecord(
            key=command.key,
            fingerprint=digest.hexdigest(),
            at_ms=self._now_ms(),
            actor=command.actor,
            role=command.role,
            action=command.action,
            rollout_id=command.rollout_id,
            reason=command.reason,
        )

    def _answered(self, record: CommandRecord) -> bool:
        """Whether this very command was carried out before; a refusal is said again."""
        before = self._store.command(record.key)
        if before is None:
            return False
        if before.fingerprint != record.fingerprint:
            raise ReusedKeyError(record.key)
        if before.outcome != DONE:
            why = before.outcome.removeprefix(f"{record.action.value} is refused: ")
            forbidden = not permissions.may(record.role, record.action)
            raise ActionRefusedError(record.action.value, why, forbidden=forbidden)
        return True

    @contextmanager
    def _recorded(self, record: CommandRecord) -> Iterator[None]:
        """Write a refusal into the audit log before it is told."""
        try:
            yield
        except (ActionRefusedError, CartsTakenError, PlanError, StaleVersionError) as error:
            self._store.record_refusal(replace(record, outcome=str(error)))
            raise


def baseline_is_there(registry: Registry, rollout: Rollout) -> bool:
    """Whether the very baseline that a rollout would bring back can be fetched.

    Raises:
        RegistryError: the repository does not answer.
    """
    wanted = rollout.manifests.get(rollout.baseline)
    published = any(
        model.digest == rollout.baseline and model.manifest == wanted for model in registry.models()
    )
    return published and registry.fetchable(rollout.baseline)


def _check_version(rollout: Rollout, command: Command) -> None:
    wanted = command.expected_version
    if wanted is not None and wanted != rollout.version:
        raise StaleVersionError(rollout.rollout_id, wanted, rollout.version)
