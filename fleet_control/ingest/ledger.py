"""Which messages are durable: per (cart, boot, channel) a watermark and the ranges above it.

Pure state. Ranges instead of single numbers keep a declared gap of a million messages as cheap as
one message.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fleet_protocol.messages import Watermark
from fleet_protocol.topics import DATA_CHANNELS

# Boots kept in memory, at about 1 kB each: 10,000 carts with a reboot a day for a week. Lower makes
# returning carts cost a warehouse query; higher costs memory only.
MAX_BOOTS = 70_000
# Ranges kept in memory over all boots. A healthy boot has none: they exist only while messages
# are missing. Higher costs about 100 bytes each.
MAX_RANGES = 1_000_000


class MessageKey(NamedTuple):
    """The identity of a message."""

    cart: str
    boot: str
    channel: str
    seq: int


class SeqSet:
    """A set of sequence numbers from 0: all up to `watermark`, and disjoint ranges above it."""

    __slots__ = ("_highs", "_lows", "watermark")

    def __init__(self) -> None:
        self.watermark = -1
        self._lows: list[int] = []
        self._highs: list[int] = []

    def __contains__(self, seq: int) -> bool:
        if seq <= self.watermark:
            return True
        at = bisect_right(self._lows, seq) - 1
        return at >= 0 and seq <= self._highs[at]

    def add(self, low: int, high: int) -> None:
        """Add the numbers low..high, both included; nothing when high < low."""
        if high < low or high <= self.watermark:
            return
        if low > self.watermark + 1:
            self._insert(low, high)
            return
        self.watermark = high
        self._absorb()

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges above the watermark, ascending."""
        return zip(self._lows, self._highs, strict=True)

    @property
    def range_count(self) -> int:
        """How many ranges there are above the watermark."""
        return len(self._lows)

    def _insert(self, low: int, high: int) -> None:
        first = bisect_left(self._highs, low - 1)
        end = bisect_right(self._lows, high + 1)
        if first < end:
            low = min(low, self._lows[first])
            high = max(high, self._highs[end - 1])
        self._lows[first:end] = [low]
        self._highs[first:end] = [high]

    def _absorb(self) -> None:
        end = bisect_right(self._lows, self.watermark + 1)
        if end:
            self.watermark = max(self.watermark, self._highs[end - 1])
            del self._lows[:end]
            del self._highs[:end]


class Ledger:
    """All boots that were heard of lately; the longest silent ones are forgotten first.

    Attributes:
        has_forgotten: Whether a boot was ever evicted: an unknown boot may then be an old one, and
            has to be looked up in the warehouse before its messages are called new.
    """

    def __init__(self, max_boots: int = MAX_BOOTS, max_ranges: int = MAX_RANGES) -> None:
        self._boots: OrderedDict[tuple[str, str], dict[str, SeqSet]] = OrderedDict()
        self._max_boots = max_boots
        self._max_ranges = max_ranges
        self.has_forgotten = False

    def __contains__(self, key: MessageKey) -> bool:
        streams = self._boots.get((key.cart, key.boot))
        stream = streams.get(key.channel) if streams else None
        return stream is not None and key.seq in stream

    def __len__(self) -> int:
        return len(self._boots)

    def knows(self, cart: str, boot: str) -> bool:
        """Tell whether anything of a boot is in memory."""
        return (cart, boot) in self._boots

    def settle(self, cart: str, boot: str, channel: str, low: int, high: int) -> None:
        """Note that the messages low..high are durable, or will never come."""
        streams = self._boots.get((cart, boot))
        if streams is None:
            streams = self._boots[cart, boot] = {}
        else:
            self._boots.move_to_end((cart, boot))
        stream = streams.get(channel)
        if stream is None:
            stream = streams[channel] = SeqSet()
        stream.add(low, high)

    def remember(self, cart: str, boot: str) -> None:
        """Note that a boot was looked up, even if nothing was found."""
        self._boots.setdefault((cart, boot), {})

    def watermark(self, cart: str, boot: str) -> Watermark | None:
        """Return the highest contiguous durable numbers of a boot; None when there are none."""
        streams = self._boots.get((cart, boot), {})
        marks = {c: s.watermark for c in DATA_CHANNELS if (s := streams.get(c)) and s.watermark >= 0}
        return Watermark(boot=boot, **marks) if marks else None

    def missing_ranges(self) -> int:
        """How many ranges wait above their watermark, over all boots."""
        return sum(s.range_count for streams in self._boots.values() for s in streams.values())

    def evict(self, keep: Iterable[tuple[str, str]] = ()) -> int:
        """Forget the longest silent boots until within bounds; return how many.

        Args:
            keep: Boots (cart, boot) that must stay.
        """
        kept = frozenset(keep)
        ranges = self.missing_ranges()
        silent = [key for key in self._boots if key not in kept]
        evicted = 0
        for key in silent:
            if len(self._boots) <= self._max_boots and ranges <= self._max_ranges:
                break
            ranges -= sum(s.range_count for s in self._boots.pop(key).values())
            evicted += 1
        self.has_forgotten = self.has_forgotten or evicted > 0
        return evicted
