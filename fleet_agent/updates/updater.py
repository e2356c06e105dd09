"""The thread that carries out what the record says is due: see `lifecycle` and `rules` for the decisions.

It wakes when something happened, and once a moment while an update is under way. What takes long is done by
`jobs`; the cart's deciding thread changes the model over, between two looks, and is the last to ask whether
it may. Every step is on the disk before it is taken.
"""

import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from fleet_agent import durable
from fleet_agent.activation.activator import Activator
from fleet_agent.activation.outcomes import Opened, Prepared
from fleet_agent.basket.rest import Rest, basket_open
from fleet_agent.errors import AgentError, SpoolError, UpdateError
from fleet_agent.manifest import ModelManifest
from fleet_agent.model_change import ModelChange
from fleet_agent.ports import Clock
from fleet_agent.telemetry import Telemetry
from fleet_agent.updates.jobs import Job, JobDone, Jobs
from fleet_agent.updates.lifecycle import (
    Asked,
    Booted,
    Disproved,
    Failed,
    GoesLive,
    Happened,
    Heard,
    Passed,
    Proved,
    Reached,
    TakenBack,
    reduce,
)
from fleet_agent.updates.mailbox import Mailbox
from fleet_agent.updates.ports import ModelRepository, RunningCart
from fleet_agent.updates.probation import ProbationTerms, judge
from fleet_agent.updates.record import WORKING, Record, RecordFile, State
from fleet_agent.updates.rules import due, may_go_live
from fleet_agent.wire import UpdateStep
from fleet_protocol.rollouts import Desired, Permit

log = structlog.get_logger()

# While an update is under way it is looked after this often. Lower wakes the cart for nothing; higher, and a
# basket that closes only for a moment is missed.
POLL_S = 1.0
# Waits before a repository that did not answer is asked again, doubled each time, with jitter: carts that a
# pause held back must not come all at once.
FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 300.0
# A model that is being taken back waits so long for a hand that moves. Lower, and a movement is decided half
# by one model and half by the other; higher, and a cart with a restless scale stays blind.
PATIENCE_S = 30.0
# Times that a cart may fail to take a model over before it is given up.
MOST_FAILED_OFFERS = 3
# Reports that wait for a spool that fails. More would only tell what is long over.
MOST_UNTOLD = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateTerms:
    """How a cart is updated.

    Attributes:
        idle_s: How long a cart must rest before it counts as one in which nobody shops.
        probation_s: How long a new model is watched.
        probation_looks: How many inferences it must show at least.
        budget_ms: Returns the longest time of an inference of a model; None: there is no limit.
        poll_s: How often an update that is under way is looked after.
    """

    idle_s: float
    probation_s: float
    probation_looks: int
    budget_ms: Callable[[ModelManifest], float | None]
    poll_s: float = POLL_S


@dataclass(frozen=True, slots=True)
class _Offered:
    """What the deciding thread said to an offer: to go live, or back."""

    forward: bool
    used: bool
    why: str


News = JobDone | _Offered


class Updater:
    """Updates the model of one running cart.

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
        self._terms = terms
        self._cart = cart
        self._activator = activator
        self._repository = repository
        self._file = file
        self._folder = folder
        self._mailbox = mailbox
        self._clock = clock
        self._telemetry = telemetry
        self._hung = hung
        self._rng = rng or random.Random()  # noqa: S311  # jitter is no secret
        self._jobs = Jobs(
            repository=repository,
            activator=activator,
            folder=folder,
            on_progress=lambda share: telemetry.gauge("update_fetched_percent", 100.0 * share),
            on_stage=self._on_stage,
        )
        # The record is changed under it: by this thread, by that of a job, and by the deciding thread.
        self._lock = threading.Lock()
        self._stopping = False
        self._untold: deque[UpdateStep] = deque(maxlen=MOST_UNTOLD)
        self._running, self._manifest = opened.model, opened.manifest
        self._job: Job | None = None
        self._job_thread: threading.Thread | None = None
        self._fetched: Path | None = None
        self._prepared: Prepared | None = None
        self._fallen: Opened | None = None
        self._offering = False
        self._failed_offers = 0
        self._retries = 0
        self._retry_at_s = 0.0
        self._last_asked: Desired | None = None
        self._live_since_s = clock.monotonic_s()
        self._live_sight = cart.sight()
        self._failing_since_s: float | None = None
        self._passed_s = clock.monotonic_s()
        self._tidy_for: tuple[bool, str] | None = None
        self._thread = clock.thread(self._run, "updates")

    @property
    def record(self) -> Record:
        """Where the update is."""
        return self._file.record

    def start(self) -> None:
        """Start the thread; the agent runs already."""
        self._thread.start()

    def begin_stop(self) -> None:
        """Tell all threads to end, without waiting."""
        self._stopping = True
        job = self._job
        if job is not None:
            job.stopping.set()
        self._mailbox.poke()

    def stop(self, timeout_s: float) -> bool:
        """End the threads after the agent has stopped; what is under way goes on with the next start.

        Returns:
            Whether they ended: a driver or a network that hangs leaves one behind.
        """
        self.begin_stop()
        threads = [t for t in (self._thread, self._job_thread) if t is not None and t.ident is not None]
        for thread in threads:
            thread.join(timeout_s)
        self._repository.close()
        for owned in (self._prepared, self._fallen):
            if owned is not None:
                owned.engine.close()
        self._prepared = self._fallen = None
        return not any(thread.is_alive() for thread in threads)

    # The updater's thread.

    def _run(self) -> None:
        if self._file.damage:
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
                self._nap(self._terms.poll_s)
            except Exception:  # a fault of ours must not end updates for good
                log.exception("updating failed")
                self._telemetry.count("update_failed")
                self._nap(self._terms.poll_s)
            else:
                self._mailbox.wait(self._rest_s())

    def _nap(self, seconds: float) -> None:
        """Wait although there is news that could not be dealt with."""
        self._clock.event().wait(seconds)

    def _boot(self) -> None:
        durable.sweep(self._folder)
        slots = self._activator.slots
        current = slots.current.model if slots.current else None
        self._apply(Booted(self._running, current, self._clock.epoch_ms(), self._hung))

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
        self._tell()
        self._tidy()
        self._work()
        self._tell()

    def _rest_s(self) -> float | None:
        """Return how long nothing needs to be done; None: until something happens."""
        idle = due(self.record, self._clock.epoch_ms()) == "nothing"
        return None if idle and self._job is None and not self._untold else self._terms.poll_s

    def _deal_with(self, news: News | Desired | Permit) -> None:
        match news:
            case Desired():
                self._last_asked = news
                self._ask(news)
            case Permit():
                self._apply(Heard(news))
            case JobDone():
                self._end_job(news)
            case _Offered():
                self._end_offer(news)

    def _ask(self, desired: Desired) -> None:
        with self._lock:  # the deciding thread says under it what runs
            self._apply_locked(Asked(desired, self._running))

    def _apply(self, happened: Happened) -> Record:
        """Take the record one step on, and write it down first.

        Raises:
            UpdateRecordError: it cannot be written; nothing happened.
        """
        with self._lock:
            return self._apply_locked(happened)

    def _apply_locked(self, happened: Happened) -> Record:
        before = self._file.record
        after = reduce(before, happened)
        self._file.save(after)
        target = after.target
        if target is not None and (after.step, target.key) != (
            before.step,
            before.target.key if before.target else None,
        ):
            self._untold.append(
                UpdateStep(
                    state=after.state,
                    target=target.model,
                    rollout=target.rollout,
                    attempt=target.attempt if target.rollout else 0,
                    number=after.step,
                    reason=after.reason,
                )
            )
            self._telemetry.count(f"update_{after.state.lower()}")
            log.info("update", state=after.state, target=target.model, step=after.step, reason=after.reason)
        return after

    def _pass_time(self) -> None:
        now_s = self._clock.monotonic_s()
        passed_ms = round((now_s - self._passed_s) * 1000)
        if passed_ms > 0:
            self._passed_s += passed_ms / 1000
            self._apply(Passed(passed_ms, self._clock.epoch_ms()))

    def _tell(self) -> None:
        """Put reports into the spool, in order; what it does not take is tried again."""
        while self._untold:
            try:
                self._cart.report_update(self._untold[0])
            except SpoolError as error:
                log.warning("update not told", why=str(error))
                return
            self._untold.popleft()

    def _tidy(self) -> None:
        """Delete downloads that nobody waits for, and models that nobody needs."""
        record = self.record
        working = record.state in WORKING
        wanted = record.target.manifest if record.target and working else ""
        tidy_for = (record.state == "PROBATION", wanted)
        if self._job is not None or self._offering or tidy_for == self._tidy_for:
            return
        if self._prepared is not None and self._prepared.model.name != wanted:
            self._drop_prepared()
        self._fetched, self._retries, self._retry_at_s = None, 0, 0.0
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.is_dir() and path.name != wanted:
                    _remove(path)
        self._activator.clean()
        self._telemetry.gauge("update_fetched_percent", None)
        self._tidy_for = tidy_for

    def _drop_prepared(self) -> None:
        if self._prepared is not None:
            prepared, self._prepared = self._prepared, None
            self._activator.drop(prepared)

    def _work(self) -> None:
        record = self.record
        work = due(record, self._clock.epoch_ms())
        if self._job is not None:
            self._keep_or_stop(self._job, record, pausing=work == "wait")
        elif work == "fetch":
            if self._clock.monotonic_s() >= self._retry_at_s:
                self._begin("fetch", record, self._jobs.fetch)
        elif work == "prepare":
            folder = self._fetched
            if folder is not None:
                self._begin("prepare", record, lambda job: self._jobs.prepare(job, folder))
        elif work == "switch":
            self._offer_prepared()
        elif work == "prove":
            self._prove()
        elif work == "take_back":
            self._take_back(record)

    # Jobs.

    def _begin(self, kind: str, record: Record, work: Callable[[Job], JobDone]) -> None:
        if record.target is None:
            return
        job = Job("fetch" if kind == "fetch" else "prepare", record.target)
        self._job = job
        self._job_thread = self._clock.thread(lambda: self._mailbox.post(work(job)), f"updates-{kind}")
        self._job_thread.start()

    def _keep_or_stop(self, job: Job, record: Record, *, pausing: bool) -> None:
        """Stop a job whose try was replaced or has ended, and a download that is not permitted any more."""
        current = record.target is not None and record.target.key == job.target.key
        if not current or record.state not in WORKING or (pausing and job.kind == "fetch"):
            job.stopping.set()

    def _on_stage(self, job: Job, state: State) -> None:
        with self._lock:
            target = self._file.record.target
            if target is not None and target.key == job.target.key:
                self._apply_locked(Reached(state))

    def _end_job(self, done: JobDone) -> None:
        self._job = None
        record = self.record
        wanted = record.target is not None and record.target.key == done.job.target.key
        if not wanted or record.state not in WORKING or done.job.stopping.is_set():
            if done.prepared is not None:
                self._activator.drop(done.prepared)
        elif done.failed:
            self._apply(Failed(done.failed, done.why))
        elif done.folder is not None:
            self._apply(Reached("VERIFIED"))
            self._fetched, self._retries = done.folder, 0
        elif done.prepared is not None:
            self._apply(Reached("STAGED"))
            self._prepared, self._failed_offers = done.prepared, 0
            _remove(self._folder / done.prepared.model.name)
        else:
            self._retry_later(done.why)

    def _retry_later(self, why: str) -> None:
        longest_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self._retries, 20))
        self._retries += 1
        self._retry_at_s = self._clock.monotonic_s() + self._rng.uniform(longest_s / 2, longest_s)
        self._telemetry.count("update_unreachable")
        log.info("repository is asked again later", why=why)

    # Going live, and back.

    def _offer_prepared(self) -> None:
        prepared = self._prepared
        if prepared is None or self._offering or not self._cart.sight().spool_works:
            return
        if basket_open(self._cart.rest(), self._terms.idle_s):
            return
        self._offer(
            ModelChange(
                engine=prepared.engine,
                manifest=prepared.model.manifest,
                may=self._may_go_live,
                commit=lambda: self._go_live(prepared),
                done=lambda used, why: self._mailbox.post(_Offered(forward=True, used=used, why=why)),
            )
        )

    def _offer(self, change: ModelChange) -> None:
        self._offering = self._cart.use_model(change)

    def _may_go_live(self, rest: Rest) -> bool:
        """Tell the deciding thread whether it may change over: nothing that was said waits to be heard."""
        is_open = basket_open(rest, self._terms.idle_s)
        with self._lock:
            now_ms = self._clock.epoch_ms()
            return not self._mailbox.has_orders() and may_go_live(self.record, now_ms, basket_open=is_open)

    def _go_live(self, prepared: Prepared) -> None:
        """Write down that the model is live; the deciding thread calls it, and changes over if it returns."""
        sight = self._cart.sight()
        with self._lock:
            after = self._apply_locked(GoesLive(self._clock.epoch_ms(), basket_open=False))
            if after.state != "PROBATION":
                raise UpdateError("what permitted it has ended meanwhile")
            self._live_since_s, self._live_sight = self._clock.monotonic_s(), sight
            self._prepared = None  # it is the cart's now, or closed if the slots cannot be switched
            self._activator.switch(prepared)
            self._running, self._manifest = prepared.model.name, prepared.model.manifest

    def _end_offer(self, offered: _Offered) -> None:
        if offered.used and not offered.forward:
            self._finish_taking_back()
        elif offered.forward and offered.why:
            self._end_failed_offer(offered.why)
        self._offering = False

    def _end_failed_offer(self, why: str) -> None:
        """Give up a model that could not be taken over, at once if that was already written down."""
        state = self.record.state
        if state == "PROBATION":
            self._apply(Disproved("active", why))
        elif state == "STAGED":
            self._failed_offers += 1
            if self._failed_offers >= MOST_FAILED_OFFERS:
                self._apply(Failed("active", why))

    def _prove(self) -> None:
        record = self.record
        if self._offering or record.target is None:
            return
        terms = ProbationTerms(
            lasts_s=self._terms.probation_s,
            looks=self._terms.probation_looks,
            budget_ms=self._terms.budget_ms(self._manifest),
        )
        live_s = self._clock.monotonic_s() - self._live_since_s
        judgement = judge(self._live_sight, self._cart.sight(), live_s, terms)
        if judgement.verdict == "bad":
            self._apply(Disproved(judgement.what, judgement.why))
            self._take_back(self.record)
        elif judgement.verdict == "good":
            self._apply(Proved())
            current = self._activator.slots.current
            if current is not None and current.model == record.target.manifest:
                self._activator.serves(current)

    def _take_back(self, record: Record) -> None:
        """Open what served before, and offer it until the cart looks through it."""
        if record.target is None or self._offering:
            return
        if self._failing_since_s is None:
            self._failing_since_s = self._clock.monotonic_s()
        bad = record.target.manifest
        try:
            if self._running != bad:
                self._activator.withdraw(bad)
            elif self._fallen is None:
                self._fallen = self._activator.fall_back(bad)
        except AgentError as error:
            log.warning("model is not taken back yet", why=str(error))
            self._telemetry.count("update_take_back_failed")
            return
        fallen = self._fallen
        if fallen is None:
            self._finish_taking_back()
            return
        self._offer(
            ModelChange(
                engine=fallen.engine,
                manifest=fallen.manifest,
                may=self._may_go_back,
                commit=lambda: self._go_back(fallen),
                done=lambda used, why: self._mailbox.post(_Offered(forward=False, used=used, why=why)),
            )
        )

    def _may_go_back(self, rest: Rest) -> bool:
        """A cart that is blind helps no shopper: an open basket is no reason to wait, a moving hand is."""
        since_s = self._failing_since_s or 0.0
        return not rest.busy or self._clock.monotonic_s() - since_s > PATIENCE_S

    def _go_back(self, fallen: Opened) -> None:
        with self._lock:
            self._running, self._manifest, self._fallen = fallen.model, fallen.manifest, None

    def _finish_taking_back(self) -> None:
        self._apply(TakenBack())
        self._failing_since_s = None
        if self._last_asked is not None:  # it may have come while nothing else could begin
            self._ask(self._last_asked)


def _remove(path: Path) -> None:
    """Delete a download; one that does not go costs room, and is tried again at the next start."""
    with suppress(OSError):
        durable.remove(path)
