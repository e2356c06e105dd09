"""Asks the warehouse, away from the engine: what carts run, and what the gates say.

Queries take seconds, and a warehouse may be away for hours. The engine waits for none of that: what is found
is handed to it, and counts in its next pass. Every look begins from the states in the database: what was
found and never written is found again.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from fleet_control.errors import FleetControlError
from fleet_control.rollouts import events
from fleet_control.rollouts.batch import Loaded
from fleet_control.rollouts.engine import Engine, Findings, draw_of
from fleet_control.rollouts.policy import carts as of_carts
from fleet_control.rollouts.policy import stages as of_stages
from fleet_control.rollouts.ports import GateReading, Proofs, RolloutStore
from fleet_control.rollouts.rollout import CartRecord, Rollout

_log = structlog.get_logger(__name__)

# How far back telemetry is looked at for proof of what a cart runs. Lower, and windows that arrive late prove
# nothing; higher, and each look reads more.
PROOF_SPAN_MS = 30 * 60_000


@dataclass(frozen=True, slots=True)
class Look:
    """What the gates of a rollout made of new evidence.

    Attributes:
        verdicts: Of gates that changed their mind.
        gates: New states, by name.
        readings: For people.
    """

    verdicts: tuple[events.VerdictGiven, ...]
    gates: Mapping[str, Mapping[str, Any]]
    readings: tuple[GateReading, ...]


class Evidence(Protocol):
    """The gates over the warehouse. Raises only `FleetControlError`."""

    def look(
        self,
        rollout: Rollout,
        carts: Mapping[str, CartRecord],
        states: Mapping[str, Mapping[str, Any]],
        now_ms: int,
    ) -> Look:
        """Count the blocks that have closed since the states were made."""

    def arm(
        self, rollout: Rollout, canary: tuple[str, ...], control: tuple[str, ...], now_ms: int
    ) -> events.VerdictGiven:
        """Try the gates on the day before, when all these carts ran one model: FAIL if they fire."""


class Observer:
    """Looks at every rollout that goes on; one thread calls `run_once`, any thread may read.

    Args:
        engine: Gets what is found.
        store: Keeps the states of gates.
        proofs: What carts run.
        evidence: The gates.
        now_ms: The time, epoch milliseconds.
    """

    def __init__(
        self,
        engine: Engine,
        store: RolloutStore,
        *,
        proofs: Proofs,
        evidence: Evidence,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._store = store
        self._proofs = proofs
        self._evidence = evidence
        self._now_ms = now_ms
        self._readings: dict[str, tuple[GateReading, ...]] = {}
        self._lock = threading.Lock()

    def readings(self, rollout_id: str) -> tuple[GateReading, ...]:
        """Return what the gates of a rollout knew at the last look."""
        with self._lock:
            return self._readings.get(rollout_id, ())

    def run_once(self) -> None:
        """Look once at every rollout that goes on; an error costs one look at one of them."""
        for loaded in self._engine.loaded():
            try:
                self._look_at(loaded)
            except FleetControlError as error:
                _log.warning("no evidence", rollout=loaded.rollout.rollout_id, why=str(error))
            except Exception:  # noqa: BLE001  # the other rollouts must be looked at
                _log.exception("no evidence", rollout=loaded.rollout.rollout_id)

    def _look_at(self, loaded: Loaded) -> None:
        rollout = loaded.rollout
        if of_stages.needs_arming(rollout):
            self._arm(loaded)
        elif rollout.current is not None:
            self._prove(loaded)
            self._judge(loaded)

    def _arm(self, loaded: Loaded) -> None:
        draw = draw_of(loaded, 0)
        canary = tuple(cart.cart for cart in draw.carts)
        control = tuple(name for name in loaded.carts if name not in canary)
        verdict = self._evidence.arm(loaded.rollout, canary, control, self._now_ms())
        self._engine.found(Findings(loaded.rollout.rollout_id, {}, (verdict,)))

    def _prove(self, loaded: Loaded) -> None:
        wanted = of_carts.worth_a_look(loaded.carts.values())
        if wanted:
            shown = self._proofs.running(wanted, self._now_ms() - PROOF_SPAN_MS)
            self._engine.found(Findings(loaded.rollout.rollout_id, shown))

    def _judge(self, loaded: Loaded) -> None:
        rollout_id = loaded.rollout.rollout_id
        before = self._store.gates(rollout_id)
        look = self._evidence.look(loaded.rollout, loaded.carts, before, self._now_ms())
        with self._lock:
            self._readings[rollout_id] = look.readings
        counted = [reading.watermark_ms for reading in look.readings if reading.watermark_ms is not None]
        counted_ms = max(counted, default=None)
        gates = look.gates if look.gates != before else None
        self._engine.found(Findings(rollout_id, {}, look.verdicts, gates, counted_ms))
