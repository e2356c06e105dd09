"""The thread that carries out what the record says is due: see `lifecycle` and `rules` for the decisions.

It wakes when something happened, and once a moment while an update is under way. What takes long is done by
`jobs`, and the model is changed by `changeover`.
"""

import random
from contextlib import suppress
from pathlib import Path

import structlog

from fleet_agent import durable
from fleet_agent.activation.activator import Activator
from fleet_agent.activation.outcomes import Opened
from fleet_agent.errors import UpdateError
from fleet_agent.ports import Clock
from fleet_agent.telemetry import Telemetry
from fleet_agent.updates.changeover import Around, Changeover
from fleet_agent.updates.happened import Asked, Booted, Heard, Passed
from fleet_agent.updates.jobs import JobDone
from fleet_agent.updates.ledger import Ledger
from fleet_agent.updates.mailbox import Mailbox
from fleet_agent.updates.news import News, Offered
from fleet_agent.updates.ports import ModelRepository, RunningCart
from fleet_agent.updates.record import WORKING, Record, RecordFile
from fleet_agent.updates.rules import due
from fleet_agent.updates.terms import UpdateTerms
from fleet_agent.updates.way import Way
from fleet_protocol.rollouts import Desired, Permit

log = structlog.get_logger()


class Updater:
    """Updates the model of one running cart.

    Telemetry: counters `update_<state>`, `update_unreachable`, `update_failed`, `update_record_failed`,
    `update_record_damaged`, `update_take_back_failed`; gauge `update_fetched_percent`.

    Args:
        terms: How.
        cart: The agent.
        activator: Of its models.
        repository: Where models come from; closed by `stop`.
        file: The record.
        folder: For downloads; it belongs to the updater but for the record.
        opened: What the agent started with.
        mailbox: Where orders arrive.
        clock: Time.
        telemetry: Counts.
        hung: What hung when the watchdog ended the run before; empty: nothing.
        rng: Jitter of the waits.
    """

    def __init__(
        self,
        terms: UpdateTerms,
        *,
        cart: RunningCart,
        activator: Activator,
        repository: ModelRepository,
        file: RecordFile,
        folder: Path,
        opened: Opened,
        mailbox: Mailbox[News],
        clock: Clock,
        telemetry: Telemetry,
        hung: str = "",
        rng: random.Random | None = None,
    ) -> None:
        self._poll_s = terms.poll_s
        self._activator = activator
        self._repository = repository
        self._damage = file.damage
        self._folder = folder
        self._mailbox = mailbox
        self._clock = clock
        self._telemetry = telemetry
        self._hung = hung
        self._ledger = Ledger(file, cart, telemetry)
        self._changeover = Changeover(
            Around(
                terms=terms,
                ledger=self._ledger,
                cart=cart,
                activator=activator,
                mailbox=mailbox,
                clock=clock,
                telemetry=telemetry,
            ),
            opened,
        )
        self._way = Way(
            self._ledger,
            repository=repository,
            activator=activator,
            folder=folder,
            mailbox=mailbox,
            clock=clock,
            telemetry=telemetry,
            rng=rng,
        )
        self._stopping = False
        self._last_asked: Desired | None = None
        self._passed_s = clock.monotonic_s()
        self._tidy_for: tuple[bool, str] | None = None
        self._thread = clock.thread(self._run, "updates")

    @property
    def record(self) -> Record:
        """Where the update is."""
        return self._ledger.record

    @property
    def told(self) -> bool:
        """Whether every step so far is in the spool."""
        return self._ledger.told

    @property
    def works(self) -> bool:
        """Whether something is being fetched, built or tested."""
        return self._way.works

    def start(self) -> None:
        """Start the thread; the agent runs already."""
        self._thread.start()

    def begin_stop(self) -> None:
        """Tell all threads to end, without waiting."""
        self._stopping = True
        self._way.begin_stop()
        self._mailbox.poke()

    def stop(self, timeout_s: float) -> bool:
        """End the threads after the agent has stopped; what is under way goes on with the next start.

        Returns:
            Whether they ended: a driver or a network that hangs leaves one behind.
        """
        self.begin_stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        ended = self._way.join(timeout_s) and not self._thread.is_alive()
        self._repository.close()
        self._changeover.close()
        while (news := self._mailbox.first()) is not None:
            if isinstance(news, JobDone) and news.prepared is not None:
                news.prepared.engine.close()
            self._mailbox.done()
        return ended

    # The updater's thread.

    def _run(self) -> None:
        if self._damage:
            self._telemetry.count("update_record_damaged")
        booted = False
        while not self._stopping:
            try:
                if not booted:
                    self._boot()
                    booted = True
                self._turn()
            except UpdateError as error:  # the disk refuses: nothing is done until it does not
                log.warning("update waits", why=str(error))
                self._telemetry.count("update_record_failed")
                self._nap()
            except Exception:  # a fault of ours must not end updates for good
                log.exception("updating failed")
                self._telemetry.count("update_failed")
                self._nap()
            else:
                self._mailbox.wait(self._rest_s())

    def _nap(self) -> None:
        """Wait although there is news that could not be dealt with."""
        self._clock.event().wait(self._poll_s)

    def _boot(self) -> None:
        with suppress(OSError):  # what is left over costs room only
            durable.sweep(self._folder)
        slots = self._activator.slots
        current = slots.current.model if slots.current else None
        self._ledger.apply(Booted(self._changeover.running, current, self._clock.epoch_ms(), self._hung))

    def _turn(self) -> None:
        self._pass_time()
        while (news := self._mailbox.first()) is not None:
            try:
                self._deal_with(news)
            except UpdateError:  # the disk refused: it is dealt with again
                raise
            except BaseException:
                self._mailbox.done()
                raise
            self._mailbox.done()
        self._ledger.tell()
        self._tidy()
        self._work()
        self._ledger.tell()

    def _rest_s(self) -> float | None:
        """Return how long nothing needs to be done; None: until something happens."""
        idle = due(self.record, self._clock.epoch_ms()) == "nothing"
        return None if idle and not self._way.works and self._ledger.told else self._poll_s

    def _pass_time(self) -> None:
        passed_ms = round((self._clock.monotonic_s() - self._passed_s) * 1000)
        if passed_ms > 0:
            self._passed_s += passed_ms / 1000
            self._ledger.apply(Passed(passed_ms, self._clock.epoch_ms()))

    def _deal_with(self, news: News | Desired | Permit) -> None:
        match news:
            case Desired():
                self._last_asked = news
                self._ask(news)
            case Permit():
                self._ledger.apply(Heard(news))
            case JobDone():
                self._end_job(news)
            case Offered():
                self._changeover.hear(news)
                self._ask_again()

    def _end_job(self, done: JobDone) -> None:
        if (prepared := self._way.hear(done)) is not None:
            self._changeover.stage(prepared)

    def _ask(self, desired: Desired) -> None:
        self._ledger.apply_with(lambda: Asked(desired, self._changeover.running))

    def _ask_again(self) -> None:
        """Take in what was asked while a model was being taken back; anything else is old, and no order."""
        if self._last_asked is not None:
            self._ask(self._last_asked)

    def _tidy(self) -> None:
        """Delete downloads that nobody waits for, and models that nobody needs; once for each try."""
        record = self.record
        wanted = record.target.manifest if record.target and record.state in WORKING else ""
        tidy_for = (record.state == "PROBATION", wanted)
        if self._way.works or self._changeover.offering or tidy_for == self._tidy_for:
            return
        self._changeover.unstage(wanted)
        self._way.begin_anew(wanted)
        self._activator.clean()
        self._tidy_for = tidy_for

    def _work(self) -> None:
        record = self.record
        work = due(record, self._clock.epoch_ms())
        self._way.go_on(record, work)
        if work == "switch":
            self._changeover.offer()
        elif work == "prove":
            self._changeover.prove()
        elif work == "take_back" and record.target is not None:
            self._changeover.take_back(record.target.manifest)
            self._ask_again()
