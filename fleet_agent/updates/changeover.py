"""From the model that runs to a prepared one, the watch over it, and back if it proves bad.

The cart's deciding thread changes over, between two looks. It is the last to ask whether it may, and what it
asks is answered under the lock of the record; so a pause that was heard before is never overlooked.
"""

from dataclasses import dataclass

import structlog

from fleet_agent.activation.activator import Activator
from fleet_agent.activation.outcomes import Opened, Prepared
from fleet_agent.basket.rest import Rest, basket_open
from fleet_agent.errors import AgentError, UpdateError
from fleet_agent.manifest import ModelManifest
from fleet_agent.model_change import ModelChange
from fleet_agent.ports import Clock
from fleet_agent.telemetry import Telemetry
from fleet_agent.updates.happened import Disproved, Failed, GoesLive, Proved, TakenBack
from fleet_agent.updates.ledger import Ledger
from fleet_agent.updates.mailbox import Mailbox
from fleet_agent.updates.news import News, Offered
from fleet_agent.updates.ports import RunningCart
from fleet_agent.updates.probation import ProbationTerms, judge
from fleet_agent.updates.rules import may_go_live
from fleet_agent.updates.terms import UpdateTerms

log = structlog.get_logger()

# A model that is being taken back waits so long for a hand that moves. Lower, and a movement is decided half
# by one model and half by the other; higher, and a cart with a restless scale stays blind.
PATIENCE_S = 30.0
# Times that a cart may fail to take a model over before it is given up.
MOST_FAILED_OFFERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a changeover works with.

    Attributes:
        terms: How the cart is updated.
        ledger: The record.
        cart: The agent.
        activator: Of its models.
        mailbox: Where the deciding thread's word is posted, and orders wait.
        clock: Time.
        telemetry: Counts.
    """

    terms: UpdateTerms
    ledger: Ledger
    cart: RunningCart
    activator: Activator
    mailbox: Mailbox[News]
    clock: Clock
    telemetry: Telemetry


class Changeover:
    """Changes a running cart's model. The updater's thread owns it; the deciding thread calls what it offers.

    Args:
        around: What it works with.
        opened: What the agent started with.

    Attributes:
        running: sha256 of the manifest of the model that runs; set under the record's lock.
        offering: An offer waits for the deciding thread's word.
    """

    def __init__(self, around: Around, opened: Opened) -> None:
        self._with = around
        self.running = opened.model
        self.offering = False
        self._manifest: ModelManifest = opened.manifest
        self._prepared: Prepared | None = None
        self._fallen: Opened | None = None
        self._failed_offers = 0
        self._failing_since_s: float | None = None
        self._live_since_s = around.clock.monotonic_s()
        self._live_sight = around.cart.sight()

    def stage(self, prepared: Prepared) -> None:
        """Take a model that may go live."""
        self._prepared, self._failed_offers = prepared, 0

    def unstage(self, wanted: str) -> None:
        """Drop the staged model unless it is this one, by the sha256 of its manifest."""
        prepared = self._prepared
        if prepared is not None and prepared.model.name != wanted:
            self._prepared = None
            self._with.activator.drop(prepared)

    def close(self) -> None:
        """Close the engines that the cart never took over; after it stopped."""
        for owned in (self._prepared, self._fallen):
            if owned is not None:
                owned.engine.close()
        self._prepared = self._fallen = None

    def hear(self, offered: Offered) -> None:
        """Take the deciding thread's word.

        Raises:
            UpdateRecordError: what follows from it cannot be written yet: say it again.
        """
        if offered.used and not offered.forward:
            self._finish_taking_back()
        elif offered.forward and offered.why:
            self._give_up(offered.why)
        self.offering = False

    def _give_up(self, why: str) -> None:
        """End a try whose model could not be taken over: at once if that was already written down."""
        ledger = self._with.ledger
        if ledger.record.state == "PROBATION":
            ledger.apply(Disproved("active", why))
        elif ledger.record.state == "STAGED":
            self._failed_offers += 1
            if self._failed_offers >= MOST_FAILED_OFFERS:
                ledger.apply(Failed("active", why))

    # Forward.

    def offer(self) -> None:
        """Offer the staged model, unless somebody shops or the spool fails."""
        prepared, cart = self._prepared, self._with.cart
        if prepared is None or self.offering or not cart.sight().spool_works:
            return
        if basket_open(cart.rest(), self._with.terms.idle_s):
            return
        self.offering = cart.use_model(
            ModelChange(
                engine=prepared.engine,
                manifest=prepared.model.manifest,
                may=self._may_go_live,
                commit=lambda: self._go_live(prepared),
                done=lambda used, why: self._with.mailbox.post(Offered(forward=True, used=used, why=why)),
            )
        )

    def _may_go_live(self, rest: Rest) -> bool:
        """Tell the deciding thread whether it may change over: no order waits, and none forbids."""
        ledger, now_ms = self._with.ledger, self._with.clock.epoch_ms()
        is_open = basket_open(rest, self._with.terms.idle_s)
        with ledger.lock:
            waits = self._with.mailbox.has_orders()
            return not waits and may_go_live(ledger.record, now_ms, basket_open=is_open)

    def _go_live(self, prepared: Prepared) -> None:
        """Write down that the model is live; the deciding thread calls it, and changes over if it returns."""
        ledger, sight = self._with.ledger, self._with.cart.sight()
        with ledger.lock:
            after = ledger.apply_locked(GoesLive(self._with.clock.epoch_ms(), basket_open=False))
            if after.state != "PROBATION":
                raise UpdateError("what permitted it has ended meanwhile")
            self._live_since_s, self._live_sight = self._with.clock.monotonic_s(), sight
            self._prepared = None  # it is the cart's now, or closed if the slots cannot be switched
            self._with.activator.switch(prepared)
            self.running, self._manifest = prepared.model.name, prepared.model.manifest

    def prove(self) -> None:
        """Judge the model that is live, and keep it or begin to take it back."""
        ledger, terms, activator = self._with.ledger, self._with.terms, self._with.activator
        if self.offering:
            return
        asked = ProbationTerms(
            lasts_s=terms.probation_s,
            looks=terms.probation_looks,
            budget_ms=terms.budget_ms(self._manifest),
        )
        live_s = self._with.clock.monotonic_s() - self._live_since_s
        judgement = judge(self._live_sight, self._with.cart.sight(), live_s, asked)
        if judgement.verdict == "bad":
            ledger.apply(Disproved(judgement.what, judgement.why))
        elif judgement.verdict == "good":
            ledger.apply(Proved())
            current = activator.slots.current
            if current is not None and current.model == self.running:
                activator.serves(current)

    # Back.

    def take_back(self, bad: str) -> None:
        """Open what served before, and offer it until the cart looks through it.

        Args:
            bad: sha256 of the manifest of the model that proved bad.
        """
        if self.offering:
            return
        if self._failing_since_s is None:
            self._failing_since_s = self._with.clock.monotonic_s()
        try:
            if self.running != bad:
                self._with.activator.withdraw(bad)
            elif self._fallen is None:
                self._fallen = self._with.activator.fall_back(bad)
        except AgentError as error:
            log.warning("model is not taken back yet", why=str(error))
            self._with.telemetry.count("update_take_back_failed")
            return
        fallen = self._fallen
        if fallen is None:
            self._finish_taking_back()
            return
        self.offering = self._with.cart.use_model(
            ModelChange(
                engine=fallen.engine,
                manifest=fallen.manifest,
                may=self._may_go_back,
                commit=lambda: self._go_back(fallen),
                done=lambda used, why: self._with.mailbox.post(Offered(forward=False, used=used, why=why)),
            )
        )

    def _may_go_back(self, rest: Rest) -> bool:
        """A cart that is blind helps no shopper: an open basket is no reason to wait, a moving hand is."""
        since_s = self._failing_since_s or 0.0
        return not rest.busy or self._with.clock.monotonic_s() - since_s > PATIENCE_S

    def _go_back(self, fallen: Opened) -> None:
        with self._with.ledger.lock:
            self.running, self._manifest, self._fallen = fallen.model, fallen.manifest, None

    def _finish_taking_back(self) -> None:
        self._with.ledger.apply(TakenBack())
        self._failing_since_s = None
