"""Which watermarks are owed to which cart, at most one message per cart and interval."""

from collections import OrderedDict
from collections.abc import Iterator

from fleet_control.ingest.ledger import Ledger
from fleet_protocol.limits import MAX_ACK_BOOTS
from fleet_protocol.messages import Ack, encode_control
from fleet_protocol.topics import Topic

# A cart needs its watermark only to free its spool; every message would double the traffic.
# Higher lets spools grow; lower costs broker work.
INTERVAL_S = 0.5
# Carts remembered with their last boots; a forgotten cart is learned again from its next message.
MAX_CARTS = 100_000


class WatermarkDesk:
    """Collects touched carts and hands out what is due."""

    def __init__(self, interval_s: float = INTERVAL_S, max_carts: int = MAX_CARTS) -> None:
        self._interval_s = interval_s
        self._max_carts = max_carts
        self._boots: OrderedDict[tuple[str, str], OrderedDict[str, None]] = OrderedDict()
        self._touched: dict[tuple[str, str], None] = {}
        self._told_at_s: dict[tuple[str, str], float] = {}

    def touch(self, store: str, cart: str, boot: str) -> None:
        """Note that something of a boot became durable, or that its cart asks."""
        boots = self._boots.setdefault((store, cart), OrderedDict())
        boots[boot] = None
        boots.move_to_end(boot)
        while len(boots) > MAX_ACK_BOOTS:
            boots.popitem(last=False)
        self._boots.move_to_end((store, cart))
        self._touched[store, cart] = None
        if len(self._boots) > self._max_carts:
            self._forget(next(iter(self._boots)))

    def due(self, ledger: Ledger, now_s: float, *, everything: bool = False) -> Iterator[tuple[str, bytes]]:
        """Yield (topic, payload) of the watermarks to publish now.

        Args:
            ledger: What is durable.
            now_s: Monotonic time.
            everything: Ignore the interval: the service stops.
        """
        for owner in list(self._touched):
            told_at_s = self._told_at_s.get(owner)
            if not everything and told_at_s is not None and now_s - told_at_s < self._interval_s:
                continue
            del self._touched[owner]
            self._told_at_s[owner] = now_s
            if payload := self._payload(ledger, owner):
                yield str(Topic(*owner, "ack")), payload

    def _payload(self, ledger: Ledger, owner: tuple[str, str]) -> bytes | None:
        marks = (ledger.watermark(owner[1], boot) for boot in reversed(self._boots[owner]))
        acks = [mark for mark in marks if mark is not None]
        return encode_control(Ack(acks=acks)) if acks else None

    def _forget(self, owner: tuple[str, str]) -> None:
        del self._boots[owner]
        self._touched.pop(owner, None)
        self._told_at_s.pop(owner, None)
