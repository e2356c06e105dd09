"""The engine: looks at every rollout that has not ended, and writes down what is due.

One pass after the other, under a lease. What carts report is counted first, then what they and the gates
show, then time, then the stages move. A pause is written alone, before anything else, and no error of one
rollout holds another up. A pass that finds that somebody else wrote meanwhile reads again and starts over.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from msgspec.structs import replace

from fleet_control.errors import FencedError, FleetControlError, StaleVersionError
from fleet_control.rollouts import events, membership
from fleet_control.rollouts.batch import Batch, Loaded
from fleet_control.rollouts.events import AnyEvent, Candidate
from fleet_control.rollouts.plan import TAIL
from fleet_control.rollouts.policy import carts as of_carts
from fleet_control.rollouts.policy import stages as of_stages
from fleet_control.rollouts.ports import CartReport, CartSighting, Fleet, Lease, Proof, RolloutStore
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import CartStatus

_log = structlog.get_logger(__name__)

# Entries in one transaction. Lower, and a burst of reports takes many of them; higher, and a pause waits
# behind one.
MAX_ENTRIES = 1_000
MINUTE_MS = 60_000
# Reports of one rollout that are kept while the database is away.
MAX_UNWRITTEN = 100_000


@dataclass(frozen=True, slots=True)
class Findings:
    """What somebody found out about a rollout meanwhile, away from the engine.

    Attributes:
        rollout_id: Which.
        proofs: What its carts run, by id.
        verdicts: What gates say now, if they changed their mind.
        gates: New states of gates, by name.
        counted_ms: Events up to then are counted; None: nothing was counted.
    """

    rollout_id: str
    proofs: Mapping[str, Proof]
    verdicts: tuple[events.VerdictGiven, ...] = ()
    gates: Mapping[str, Mapping[str, Any]] | None = None
    counted_ms: int | None = None


OnIgnored = Callable[[AnyEvent, str], None]


class Engine:
    """Drives rollouts; one thread calls `run_pass`, any thread may call the rest.

    Args:
        store: The database.
        fleet: The carts.
        now_ms: The time, epoch milliseconds.
        zones: Time zones of stores.
        on_ignored: Told of every entry that changed nothing.
        can_go_back: Whether the baseline of a rollout can be fetched, else it is not rolled back by itself;
            must not wait.
    """

    def __init__(
        self,
        store: RolloutStore,
        fleet: Fleet,
        *,
        now_ms: Callable[[], int],
        zones: Callable[[], Mapping[str, ZoneInfo]] = dict,
        on_ignored: OnIgnored = lambda _event, _why: None,
        can_go_back: Callable[[Rollout], bool] = lambda _: True,
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._now_ms = now_ms
        self._zones = zones
        self._on_ignored = on_ignored
        self._can_go_back = can_go_back
        # What could not be written yet, by rollout: counting it again later is harmless.
        self._unwritten: dict[str, tuple[CartReport, ...]] = {}
        self._counted_ms: dict[str, int] = {}
        self._loaded: dict[str, Loaded] = {}
        self._findings: list[Findings] = []
        self._lock = threading.Lock()

    def found(self, findings: Findings) -> None:
        """Hand in what was found out; the next pass counts it."""
        with self._lock:
            self._findings.append(findings)

    def loaded(self) -> tuple[Loaded, ...]:
        """Return copies of the rollouts as the last pass left them."""
        with self._lock:
            return tuple(Loaded(one.rollout, dict(one.carts)) for one in self._loaded.values())

    def run_pass(self, lease: Lease) -> None:
        """Look at every rollout once.

        Raises:
            FencedError: another controller holds the lease: stop.
            StoreError: the database does not answer.
        """
        self._read_again()
        reports = self._reports()
        findings = self._take_findings()
        for rollout_id in list(self._loaded):
            mine = tuple(found for found in findings if found.rollout_id == rollout_id)
            said = (*self._unwritten.pop(rollout_id, ()), *reports.get(rollout_id, ()))
            self._unwritten[rollout_id] = said[-MAX_UNWRITTEN:]
            try:
                self._drive_safely(rollout_id, said, mine, lease)
                del self._unwritten[rollout_id]
            except FencedError:
                raise
            except FleetControlError as error:
                _log.warning("rollout not driven", rollout=rollout_id, why=str(error))
            except Exception:  # noqa: BLE001  # a fault in one rollout must not stop the others, or a pause
                _log.exception("rollout not driven", rollout=rollout_id)

    def _read_again(self) -> None:
        heads = {head.rollout_id: head for head in self._store.heads(open_only=True)}
        with self._lock:
            for gone in self._loaded.keys() - heads.keys():
                del self._loaded[gone]
        for rollout_id, head in heads.items():
            known = self._loaded.get(rollout_id)
            if known is None or known.rollout.version != head.version:
                self._load(rollout_id)

    def _load(self, rollout_id: str) -> Loaded:
        # The head first: records that are newer than it make the commit fail, and everything is read again.
        fresh = Loaded(self._store.head(rollout_id), self._store.carts(rollout_id))
        with self._lock:
            self._loaded[rollout_id] = fresh
        return fresh

    def _reports(self) -> dict[str, tuple[CartReport, ...]]:
        grouped: dict[str, list[CartReport]] = {}
        for report in self._fleet.reports():
            grouped.setdefault(report.rollout_id, []).append(report)
        return {rollout_id: tuple(each) for rollout_id, each in grouped.items()}

    def _take_findings(self) -> list[Findings]:
        with self._lock:
            taken, self._findings = self._findings, []
        return taken

    def _drive_safely(
        self, rollout_id: str, reports: tuple[CartReport, ...], found: tuple[Findings, ...], lease: Lease
    ) -> None:
        try:
            self._drive(self._loaded[rollout_id], reports, found, lease)
        except StaleVersionError:
            # Somebody paused or resumed it. What was reported counts all the same.
            self._drive(self._load(rollout_id), reports, found, lease)

    def _drive(
        self, loaded: Loaded, reports: tuple[CartReport, ...], found: tuple[Findings, ...], lease: Lease
    ) -> None:
        if loaded.rollout.status.final:
            return
        now_ms, sightings = self._now_ms(), self._fleet.carts()
        self._write(loaded, of_carts.heard(reports), now_ms, lease)
        for findings in found:
            if findings.counted_ms is not None:
                self._counted_ms[loaded.rollout.rollout_id] = findings.counted_ms
            shown = of_carts.shown(loaded.rollout, loaded.carts.values(), findings.proofs, now_ms)
            self._write(loaded, shown, now_ms, lease)
            self._write_verdicts(loaded, findings, now_ms, lease)
        self._alarm(loaded, now_ms, lease)
        # Before the broker has told what it retains nobody is known, and nobody is missing.
        if sightings:
            overdue = of_carts.overdue(loaded.rollout, loaded.carts.values(), sightings, now_ms)
            self._write(loaded, overdue, now_ms, lease)
            self._alarm(loaded, now_ms, lease)
            self._write(loaded, self._stage_moves(loaded, sightings, now_ms), now_ms, lease)
            self._write(loaded, self._orders(loaded, sightings, now_ms), now_ms, lease)
        self._write(loaded, of_stages.recalls(loaded.rollout, loaded.carts.values(), now_ms), now_ms, lease)

    def _alarm(self, loaded: Loaded, now_ms: int, lease: Lease) -> None:
        """Stop it if it has to be stopped: the pause is written alone, and before anything else."""
        for event in tuple(of_stages.alarms(loaded.rollout, now_ms)):
            if isinstance(event, events.RollbackStarted) and not self._can_go_back(loaded.rollout):
                _log.error("not rolled back: the baseline is gone", rollout=loaded.rollout.rollout_id)
                continue
            self._write(loaded, (event,), now_ms, lease)

    def _write(self, loaded: Loaded, entries: Iterable[AnyEvent], now_ms: int, lease: Lease) -> None:
        rest = iter(entries)
        while chunk := tuple(islice(rest, MAX_ENTRIES)):
            batch = Batch(loaded, now_ms)
            batch.add(chunk)
            for event, why in batch.ignored:
                self._on_ignored(event, why)
            with self._lock:
                batch.commit(self._store, lease=lease)

    def _write_verdicts(self, loaded: Loaded, found: Findings, now_ms: int, lease: Lease) -> None:
        known = {gate: said.verdict for gate, said in loaded.rollout.verdicts.items()}
        # What was found twice is said once: a FAIL that a person has acknowledged must not stop it again.
        # And it is said now, not when the look began: a person who resumed meanwhile has not seen it.
        said_ms = max(now_ms, loaded.rollout.acknowledged_ms + 1)
        words = tuple(
            replace(word, at_ms=said_ms)
            for word in found.verdicts
            if known.get(word.gate) is not word.verdict
        )
        if not words and not found.gates:
            return
        batch = Batch(loaded, now_ms)
        batch.add(words)
        with self._lock:
            batch.commit(self._store, lease=lease, gates=found.gates)

    def _stage_moves(
        self, loaded: Loaded, sightings: Mapping[str, CartSighting], now_ms: int
    ) -> Iterable[AnyEvent]:
        rollout = loaded.rollout
        if of_stages.is_over(rollout):
            return (events.Finished(at_ms=now_ms, outcome="completed"),)
        if (index := of_stages.next_stage(rollout)) is not None:
            if of_stages.needs_arming(rollout):
                return ()
            if rollout.stages[index].name == TAIL:
                return (self._begin_tail(loaded, index, sightings, now_ms),)
            return (begin_stage(loaded, index, now_ms),)
        counted_ms = self._counted_ms.get(rollout.rollout_id)
        moved = of_stages.progress(rollout, now_ms, has_controls=rollout.pool > 0, counted_ms=counted_ms)
        return () if moved is None else (moved,)

    def _begin_tail(
        self, loaded: Loaded, index: int, sightings: Mapping[str, CartSighting], now_ms: int
    ) -> AnyEvent:
        """Return the begin of the stage of carts that came later; where a part was drawn, nobody joins it."""
        plan = loaded.rollout.plan
        late = membership.population(plan, sightings.values()) if plan.target.percent >= 100.0 else ()
        new = [cart for cart in late if cart.cart not in loaded.carts]
        taken = self._store.taken((cart.cart for cart in new), but=plan.rollout)
        joined = tuple(cart for cart in new if cart.cart not in taken)
        if not joined:
            return events.StageSkipped(at_ms=now_ms, stage=index)
        names = tuple(cart.cart for cart in joined)
        return events.StageStarted(at_ms=now_ms, stage=index, carts=names, joined=joined)

    def _orders(
        self, loaded: Loaded, sightings: Mapping[str, CartSighting], now_ms: int
    ) -> Iterable[AnyEvent]:
        records = loaded.carts.values()
        lately = sum(cart.told_ms is not None and now_ms - cart.told_ms < MINUTE_MS for cart in records)
        room = loaded.rollout.plan.device.rate_per_min - lately
        return of_stages.orders(loaded.rollout, records, sightings, self._zones(), now_ms=now_ms, room=room)


def begin_stage(loaded: Loaded, index: int, now_ms: int) -> AnyEvent:
    """Return the begin of a planned stage with its carts; a pause if it has none."""
    draw = draw_of(loaded, index)
    if not draw.carts:
        why = f"stage {loaded.rollout.stages[index].name} has no carts"
        return events.Paused(at_ms=now_ms, reason=why, automatic=True)
    names = tuple(cart.cart for cart in draw.carts)
    return events.StageStarted(at_ms=now_ms, stage=index, carts=names, pairs=draw.pairs)


def draw_of(loaded: Loaded, index: int) -> membership.Draw:
    """Return the carts of a planned stage."""
    rollout, records = loaded.rollout, loaded.carts
    seed = membership.seed_of(rollout.plan)
    target = membership.ordered(seed, [Candidate(c.store, c.cart, c.hardware) for c in records.values()])
    taken = [name for name, cart in records.items() if cart.stage is not None]
    gone = [name for name, cart in records.items() if cart.status is CartStatus.EXCLUDED]
    return membership.draw_stage(seed, of_stages.stage_plan(rollout, index), target, taken, gone)
