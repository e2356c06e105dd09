"""One cart's past as messages of the contract, in order of time, and the truth about it.

Everything follows from seed, shape and the moment the history ends: a second run gives the same boots,
the same sequence numbers and the same bytes, so that writing it twice stores it once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from demo.history.decisions import Decisions, draw_decisions
from demo.history.eyes import Eyes
from demo.history.hours import Hours, hours_of
from demo.history.pools import read_pools
from demo.history.rows import event_columns, truth_rows
from demo.history.telemetry import Telemetry
from demo.world.places import Cart
from demo.world.settings import World
from demo.world.truth import TruthRow
from fleet_protocol.messages import Events, Window, encode
from fleet_protocol.topics import Topic

AGENT_VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Models:
    """Digests of the model that ran first and of the one that runs now."""

    before: str
    present: str


@dataclass(frozen=True, slots=True)
class PastMessage:
    """One message of the past, ready for the broker; `at_ms` is when its hour began."""

    at_ms: int
    cart_id: str
    boot: str
    channel: str
    seq: int
    topic: str
    payload: bytes


class CartPast:
    """All that one cart sent in the past."""

    def __init__(self, world: World, cart: Cart, models: Models, eyes: Eyes) -> None:
        rng = np.random.default_rng([world.settings.seed, 1_000 + cart.index])
        self.cart = cart
        self.hours: Hours = hours_of(world, cart, rng)
        self.decisions: Decisions = draw_decisions(world, cart, self.hours, read_pools(), rng)
        self._telemetry = Telemetry(cart, self.hours, self.decisions, eyes, rng)
        self._world = world
        self._models = models

    def truth(self) -> Iterator[TruthRow]:
        """Yield what really happened."""
        return truth_rows(self._world, self.cart, self.decisions)

    def messages(self) -> Iterator[PastMessage]:
        """Yield all messages: per hour one window and, when something was moved, one batch of events."""
        for present in (False, True):
            yield from self._boot(present=present)

    def _boot(self, *, present: bool) -> Iterator[PastMessage]:
        boot = boot_id(self._world, self.cart, present=present)
        model = self._models.present if present else self._models.before
        batches = 0
        for windows, hour in enumerate(np.flatnonzero(self.hours.present == present).tolist()):
            yield self._sealed(self._window(hour, boot, windows, model), "tel")
            if self.hours.events[hour]:
                yield self._sealed(self._events(hour, boot, batches, model), "evt")
                batches += 1

    def _window(self, hour: int, boot: str, seq: int, model: str) -> Window:
        parts = self._telemetry.window(hour)
        return Window(
            store=self.cart.store_id,
            cart=self.cart.cart_id,
            boot=boot,
            seq=seq,
            fw=AGENT_VERSION,
            model=model,
            sim=True,
            t0=int(self.hours.start_ms[hour]),
            t1=int(self.hours.end_ms[hour]),
            merged=60,
            hist=parts.hist,
            sig=parts.sig,
            cnt=parts.cnt,
            gau=parts.gau,
        )

    def _events(self, hour: int, boot: str, seq: int, model: str) -> Events:
        t0 = int(self.hours.start_ms[hour])
        return Events(
            store=self.cart.store_id,
            cart=self.cart.cart_id,
            boot=boot,
            seq=seq,
            fw=AGENT_VERSION,
            model=model,
            sim=True,
            t0=t0,
            cols=event_columns(self._world, self.cart, self.decisions, hour, t0),
        )

    def _sealed(self, message: Window | Events, channel: str) -> PastMessage:
        topic = str(Topic(self.cart.store_id, self.cart.cart_id, channel))
        return PastMessage(
            message.t0, self.cart.cart_id, message.boot, channel, message.seq, topic, encode(message)
        )


def boot_id(world: World, cart: Cart, *, present: bool) -> str:
    """Return the boot under which a cart's past was sent: one per model version."""
    settings = world.settings
    name = f"{settings.seed}/{settings.epoch_ms}/{cart.cart_id}/{'present' if present else 'before'}"
    return hashlib.sha256(name.encode()).hexdigest()[:16]
