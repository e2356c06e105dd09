"""From the outbox to the carts: at least once, in order, permits before everything else.

An entry is marked as told when the broker has acknowledged it; what was told twice changes nothing, because
a cart ignores generations that it has seen. Of several permits of a rollout only the newest is told: a pause
that is told again after a crash must not be preceded by what it ended. Permits are renewed before they run
out; a permit or an order that somebody overwrote with an older one, or that the broker lost, is set right.
"""

from collections.abc import Callable, Sequence

import structlog

from fleet_control.errors import BrokerRefusedError
from fleet_control.rollouts.ports import Fleet, OutboxEntry, RolloutStore
from fleet_control.rollouts.rollout import Notice, Rollout, TellCart, TellPermit
from fleet_control.rollouts.states import RolloutStatus
from fleet_protocol.rollouts import Desired, Permit, PermitState

_log = structlog.get_logger(__name__)

# Orders between two looks for a permit: a pause waits behind so many. Lower costs queries.
CHUNK = 500
# How long a permit holds without being renewed. Lower, and a controller that is replaced stops rollouts;
# higher, and carts go on longer without one.
PERMIT_TTL_S = 600.0
# How often the permits that the broker holds are looked at. Lower costs queries; higher, and carts that
# connect read for longer what somebody overwrote.
RENEW_MS = 1_000
# How long the broker may take to acknowledge a chunk.
TELL_TIMEOUT_S = 10.0

_PERMITS: dict[RolloutStatus, PermitState] = {RolloutStatus.RUNNING: "running"}
Notify = Callable[[str, str, str], None]


def permit_state(rollout: Rollout) -> PermitState:
    """Return what the carts of a rollout may do."""
    if rollout.status.final:
        return "ended"
    return _PERMITS.get(rollout.status, "paused")


class OutboxPublisher:
    """Sends what waits; one thread calls it.

    Args:
        store: The database.
        fleet: The carts.
        now_ms: The time, epoch milliseconds.
        notify: Told of (rollout, what, text) for people; must not block, whatever it raises is logged.
        permit_ttl_s: How long a permit holds.
    """

    def __init__(
        self,
        store: RolloutStore,
        fleet: Fleet,
        *,
        now_ms: Callable[[], int],
        notify: Notify = lambda _rollout, _what, _text: None,
        permit_ttl_s: float = PERMIT_TTL_S,
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._now_ms = now_ms
        self._notify = notify
        self._permit_ttl_s = permit_ttl_s
        self._timeouts: dict[str, int] = {}
        self._renewed_ms: int | None = None
        self._unwelcome: dict[str, int] = {}

    def begin(self) -> None:
        """Begin to tell, after another controller perhaps: what carts were told before can be missed now.

        Raises:
            RolloutError: the database does not answer.
        """
        told = [self._order(entry) for entry in self._store.orders()]
        self._fleet.expect(order for order in told if not isinstance(order, Permit))

    def run_once(self) -> int:
        """Send a part of what waits, and renew permits when it is time; returns how many entries were sent.

        Raises:
            RolloutError: the database does not answer.
            BrokerError: the broker cannot be reached, or refuses. People were told all the same.
        """
        waiting = self._store.outbox(limit=CHUNK)
        notices = [entry for entry in waiting if isinstance(entry.effect, Notice)]
        try:
            sent = self._tell_carts([entry for entry in waiting if not isinstance(entry.effect, Notice)])
        finally:
            # Neither waits for a broker that refuses an order.
            self._tell_people(notices)
            self._renew_in_time()
        return sent + len(notices)

    def _renew_in_time(self) -> None:
        now_ms = self._now_ms()
        if self._renewed_ms is None or abs(now_ms - self._renewed_ms) >= RENEW_MS:
            # Read after what waited was told: a pause that is committed from now on is told after this.
            self._renewed_ms = now_ms
            self.renew(self._store.heads(open_only=True))
            self._set_right()

    def _set_right(self) -> None:
        """Tell orders again that the broker lost, or that somebody replaced by older ones."""
        missing = self._fleet.missing(CHUNK + len(self._unwelcome))
        lost = [(cart, order) for cart, order in missing if self._unwelcome.get(cart) != order.generation]
        if not lost:
            return
        _log.warning("orders told again that the broker does not hold", carts=len(lost))
        try:
            self._fleet.tell(lost, TELL_TIMEOUT_S)
        except BrokerRefusedError:
            self._tell_each(lost)

    def _tell_each(self, orders: Sequence[tuple[str, Desired]]) -> None:
        """Tell orders one by one: one that the broker refuses must not hold up the others, now or later."""
        for cart, order in orders:
            try:
                self._fleet.tell([(cart, order)], TELL_TIMEOUT_S)
            except BrokerRefusedError as error:
                _log.error("an order is refused and given up", cart=cart, why=str(error))
                self._unwelcome[cart] = order.generation

    def renew(self, rollouts: Sequence[Rollout]) -> int:
        """Renew the permits of rollouts before they run out, and set right what somebody overwrote.

        Args:
            rollouts: Those that have begun and not ended.

        Returns:
            How many permits were told.
        """
        held, now_ms = self._fleet.permits(), self._now_ms()
        due = [rollout for rollout in rollouts if self._is_due(rollout, held.get(rollout.rollout_id), now_ms)]
        return self._fleet.tell([self._permit(rollout) for rollout in due], TELL_TIMEOUT_S) if due else 0

    def _is_due(self, rollout: Rollout, held: Permit | None, now_ms: int) -> bool:
        if rollout.generation == 0:
            return False
        if held is None or held.generation < rollout.generation or held.state != permit_state(rollout):
            return True
        return not self._permit_ttl_s * 500 <= held.until - now_ms <= self._permit_ttl_s * 2_000

    def _tell_carts(self, entries: Sequence[OutboxEntry]) -> int:
        """Tell orders and permits; returns how many entries are done with."""
        newest = {entry.rollout_id: entry.id for entry in entries if isinstance(entry.effect, TellPermit)}
        old = {
            entry.id: newest[entry.rollout_id]
            for entry in entries
            if isinstance(entry.effect, TellPermit) and entry.id != newest[entry.rollout_id]
        }
        fresh = [entry for entry in entries if entry.id not in old]
        if not fresh:
            return 0
        try:
            sent = self._fleet.tell([self._order(entry) for entry in fresh], TELL_TIMEOUT_S)
            done = {entry.id for entry in fresh[:sent]}
        except BrokerRefusedError:
            done = self._tell_one_by_one(fresh)
        done |= {superseded for superseded, by in old.items() if by in done}
        self._store.told(sorted(done))
        return len(done)

    def _tell_one_by_one(self, entries: Sequence[OutboxEntry]) -> set[int]:
        """Tell what the broker takes; an order that it refuses is given up: its cart runs out of time.

        Raises:
            BrokerRefusedError: it refuses a permit, without which nothing may be told.
        """
        done = set()
        for entry in entries:
            try:
                if not self._fleet.tell([self._order(entry)], TELL_TIMEOUT_S):
                    break
            except BrokerRefusedError as error:
                if not isinstance(entry.effect, TellCart):
                    raise
                _log.error("an order is refused and given up", cart=entry.effect.cart, why=str(error))
            done.add(entry.id)
        return done

    def _order(self, entry: OutboxEntry) -> tuple[str, Desired] | Permit:
        if isinstance(entry.effect, TellPermit):
            return self._permit_of(entry.rollout_id, entry.effect.generation, entry.effect.state)
        effect = entry.effect
        if not isinstance(effect, TellCart):
            msg = "notices are told to people"
            raise TypeError(msg)
        own = effect.attempt == 0
        return f"{effect.store}/{effect.cart}", Desired(
            generation=entry.id,
            model=effect.model,
            manifest=entry.manifest,
            rollout=None if own else entry.rollout_id,
            attempt=max(1, effect.attempt),
            not_after=effect.not_after_ms,
            timeout_s=self._timeout_s(entry.rollout_id),
        )

    def _timeout_s(self, rollout_id: str) -> int:
        if rollout_id not in self._timeouts:
            self._timeouts[rollout_id] = self._store.head(rollout_id).plan.device.timeout_s
        return self._timeouts[rollout_id]

    def _permit(self, rollout: Rollout) -> Permit:
        return self._permit_of(rollout.rollout_id, rollout.generation, permit_state(rollout))

    def _permit_of(self, rollout_id: str, generation: int, state: str) -> Permit:
        until = self._now_ms() + int(self._permit_ttl_s * 1000)
        known: PermitState = "running" if state == "running" else "ended" if state == "ended" else "paused"
        return Permit(rollout=rollout_id, generation=generation, state=known, until=until)

    def _tell_people(self, entries: Sequence[OutboxEntry]) -> None:
        for entry in entries:
            if isinstance(entry.effect, Notice):
                try:
                    self._notify(entry.rollout_id, entry.effect.what, entry.effect.text)
                except Exception:  # noqa: BLE001  # nobody's webhook may hold up a pause
                    _log.exception("notice not told", rollout=entry.rollout_id)
        if entries:
            self._store.told([entry.id for entry in entries])
