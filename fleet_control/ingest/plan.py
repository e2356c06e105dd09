"""What to do with a batch: a pure decision over the ledger and the presences.

Messages of one batch can repeat each other, and a gap can cover a message that follows, so the plan
keeps an overlay of what will be settled once the batch is durable.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fleet_control.ingest.dead_letters import RecentLetters
from fleet_control.ingest.decoding import Accepted, Cleared, Incoming, Rejected, StateAccepted
from fleet_control.ingest.ledger import Ledger, MessageKey, SeqSet
from fleet_control.ingest.presence import Presence, Presences, StateVerdict, judge, key_of, presence_after
from fleet_control.ingest.rows import StateRow
from fleet_protocol.messages import CartState, Gap
from fleet_protocol.topics import DATA_CHANNELS


@dataclass(frozen=True, slots=True)
class Settlement:
    """Messages low..high of a stream that are settled once the batch is durable."""

    cart: str
    boot: str
    channel: str
    low: int
    high: int


@dataclass(slots=True)
class Plan:
    """The rows to write and what follows once they are durable.

    Attributes:
        messages: New messages, in order of arrival.
        states: States that count.
        letters: Messages for `dead_letters`.
        unentered: Letters that were durable before, and whose ledger entry an earlier ingest died over.
        settlements: Ranges that are settled apart from the messages themselves.
        presences: What changed, by (store, cart).
        touched: (store, cart, boot) whose watermark is to be told.
        duplicates: Deliveries that were durable before.
        superseded: States that no longer count, and cleared ones.
    """

    messages: list[Accepted] = field(default_factory=list)
    states: list[StateRow] = field(default_factory=list)
    letters: list[Rejected] = field(default_factory=list)
    unentered: list[Rejected] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    presences: dict[tuple[str, str], Presence] = field(default_factory=dict)
    touched: dict[tuple[str, str, str], None] = field(default_factory=dict)
    duplicates: int = 0
    superseded: int = 0


def make_plan(batch: Sequence[Incoming], ledger: Ledger, presences: Presences, recent: RecentLetters) -> Plan:
    """Decide for each message of a batch, in order of arrival."""
    planner = _Planner(ledger, presences, recent)
    for item in batch:
        planner.take(item)
    return planner.plan


class _Planner:
    def __init__(self, ledger: Ledger, presences: Presences, recent: RecentLetters) -> None:
        self.plan = Plan()
        self._ledger = ledger
        self._presences = presences
        self._recent = recent
        self._settled: dict[tuple[str, str, str], SeqSet] = {}
        self._filed: set[tuple[str, str]] = set()

    def take(self, item: Incoming) -> None:
        match item:
            case Accepted():
                self._take_message(item)
            case StateAccepted():
                self._take_state(item)
            case Rejected():
                self._take_letter(item)
            case Cleared():
                self.plan.superseded += 1

    def _take_message(self, item: Accepted) -> None:
        self.plan.touched[item.store, item.key.cart, item.key.boot] = None
        if self._is_settled(item.key):
            self.plan.duplicates += 1
            return
        self.plan.messages.append(item)
        self._settle(item.key, item.key.seq)
        if isinstance(item.message, Gap):
            self._settle_apart(item.key, item.message.first, item.message.last)

    def _take_letter(self, item: Rejected) -> None:
        if item.key is not None and item.letter.store is not None:
            self.plan.touched[item.letter.store, item.key.cart, item.key.boot] = None
        if item.key is not None and self._is_settled(item.key):
            self.plan.duplicates += 1
            return
        if self._was_filed(item):
            self.plan.duplicates += 1
            if item.key is not None:
                self.plan.unentered.append(item)
        else:
            self.plan.letters.append(item)
            self._filed.add((item.letter.topic, item.letter.payload_sha256))
        if item.key is not None:
            self._settle(item.key, item.key.seq)

    def _was_filed(self, item: Rejected) -> bool:
        """Tell whether this very message is in `dead_letters`, and not only one of the same bytes.

        With an identity, equal bytes are one message, however it came. Without one they are only if the
        broker sends it again: somebody may say the same nonsense twice.
        """
        again = item.key is not None or item.delivery.redelivered or item.delivery.retained
        letter = item.letter
        return again and (letter in self._recent or (letter.topic, letter.payload_sha256) in self._filed)

    def _take_state(self, item: StateAccepted) -> None:
        state = item.state
        current = self.plan.presences.get(key_of(state), self._presences.get(key_of(state)))
        verdict = judge(current, state)
        if verdict is StateVerdict.SUPERSEDED:
            self.plan.superseded += 1
            return
        self._take_held(state)
        if verdict is StateVerdict.REPEATED:
            self.plan.duplicates += 1
            return
        after = presence_after(current, state)
        self.plan.presences[key_of(state)] = after
        self.plan.states.append(StateRow(item.delivery, state, after))

    def _take_held(self, state: CartState) -> None:
        if not state.online:
            return
        self.plan.touched[state.store, state.cart, state.boot] = None
        for held in state.held:
            self.plan.touched[state.store, state.cart, held.boot] = None
            for channel in DATA_CHANNELS:
                lowest = getattr(held, channel)
                if lowest:
                    self._settle_apart(MessageKey(state.cart, held.boot, channel, 0), 0, lowest - 1)

    def _is_settled(self, key: MessageKey) -> bool:
        overlay = self._settled.get(key[:3])
        return (overlay is not None and key.seq in overlay) or key in self._ledger

    def _settle(self, key: MessageKey, high: int) -> None:
        overlay = self._settled.get(key[:3])
        if overlay is None:
            overlay = self._settled[key[:3]] = SeqSet()
        overlay.add(key.seq, high)

    def _settle_apart(self, key: MessageKey, low: int, high: int) -> None:
        self._settle(key._replace(seq=low), high)
        self.plan.settlements.append(Settlement(key.cart, key.boot, key.channel, low, high))
