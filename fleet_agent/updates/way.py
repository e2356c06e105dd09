"""The way to a staged model: which job runs, what it came to, and when a failed one is tried again."""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from fleet_agent import durable
from fleet_agent.activation.activator import Activator
from fleet_agent.activation.outcomes import Prepared
from fleet_agent.ports import Clock
from fleet_agent.telemetry import Telemetry
from fleet_agent.updates.happened import Failed, Reached
from fleet_agent.updates.jobs import Job, JobDone, JobKind, Jobs
from fleet_agent.updates.ledger import Ledger
from fleet_agent.updates.mailbox import Mailbox
from fleet_agent.updates.news import News
from fleet_agent.updates.ports import ModelRepository
from fleet_agent.updates.record import WORKING, Record, State
from fleet_agent.updates.rules import Work

log = structlog.get_logger()

# Waits before a repository that did not answer is asked again, doubled each time, with jitter: carts that a
# pause held back must not come all at once.
FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 300.0
FETCHED_GAUGE = "update_fetched_percent"


class Way:
    """Runs one job at a time. The updater's thread owns it.

    A fetch that another order ends may take its time to end: looking up a name or a handshake cannot be
    stopped. It is left behind: a model that the cart keeps need not wait for it; the network does.

    Args:
        ledger: The record.
        repository: Where models come from.
        activator: Of the cart.
        folder: For downloads, one folder for each model.
        mailbox: Where jobs post what they came to.
        clock: Time.
        telemetry: Counts.
        rng: Jitter of the waits.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        repository: ModelRepository,
        activator: Activator,
        folder: Path,
        mailbox: Mailbox[News],
        clock: Clock,
        telemetry: Telemetry,
        rng: random.Random | None = None,
    ) -> None:
        self._ledger = ledger
        self._activator = activator
        self._folder = folder
        self._mailbox = mailbox
        self._clock = clock
        self._telemetry = telemetry
        self._rng = rng or random.Random()  # noqa: S311  # jitter is no secret
        self._jobs = Jobs(
            repository=repository,
            activator=activator,
            folder=folder,
            on_progress=lambda share: telemetry.gauge(FETCHED_GAUGE, 100.0 * share),
            on_stage=self._on_stage,
        )
        self._stopping = False
        self._job: Job | None = None
        self._left: Job | None = None
        self._threads: list[threading.Thread] = []
        self._fetched: Path | None = None
        self._retries = 0
        self._retry_at_s = 0.0

    @property
    def works(self) -> bool:
        """Whether a job is under way that was not left behind."""
        return self._job is not None

    def begin_stop(self) -> None:
        """Tell the job to end, and begin none any more. Any thread."""
        self._stopping = True
        job = self._job
        if job is not None:
            job.stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads of jobs; returns whether they ended."""
        until_s = self._clock.monotonic_s() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - self._clock.monotonic_s()))
        return not any(thread.is_alive() for thread in self._threads)

    def begin_anew(self, wanted: str) -> None:
        """Forget the try before, and delete all downloads that no job writes.

        Args:
            wanted: sha256 of the manifest of the model whose download stays; empty: none.
        """
        self._fetched, self._retries, self._retry_at_s = None, 0, 0.0
        self._telemetry.gauge(FETCHED_GAUGE, None)
        if self._folder.is_dir():
            stays = {wanted, self._left.target.manifest if self._left else ""}
            for path in self._folder.iterdir():
                if path.is_dir() and path.name not in stays:
                    _remove(path)

    def go_on(self, record: Record, work: Work) -> None:
        """Begin what is due, or stop what is not wanted or not permitted any more."""
        job, folder = self._job, self._fetched
        if job is not None:
            wanted = _wanted(job, record)
            if not wanted or (work == "wait" and job.kind == "fetch"):
                job.stopping.set()
            if not wanted and job.kind == "fetch" and self._left is None:
                self._job, self._left = None, job
                self._mailbox.poke()
        elif work == "fetch" and self._clock.monotonic_s() >= self._retry_at_s:
            self._begin("fetch", record, self._jobs.find if self._left else self._jobs.fetch)
        elif work == "prepare" and folder is not None:
            self._begin("prepare", record, lambda job: self._jobs.prepare(job, folder))

    def _begin(self, kind: JobKind, record: Record, work: Callable[[Job], JobDone]) -> None:
        if record.target is None:
            return
        job = Job(kind, record.target)
        self._job = job
        # In this order: either `begin_stop` finds the job, or the stop is found here.
        if self._stopping:
            self._job = None
            return
        thread = self._clock.thread(lambda: self._mailbox.post(work(job)), f"updates-{kind}")
        thread.start()
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]

    def _on_stage(self, job: Job, state: State) -> None:
        with self._ledger.lock:
            if _wanted(job, self._ledger.record):
                self._ledger.apply_locked(Reached(state))

    def hear(self, done: JobDone) -> Prepared | None:
        """Take what a job came to; returns the model that may go live, if it came to one.

        Raises:
            UpdateRecordError: it cannot be written yet: say it again.
        """
        if done.job is self._left:
            self._end_left(done.job)
            return None
        self._job = None
        if not _wanted(done.job, self._ledger.record) or done.job.stopping.is_set():
            if done.prepared is not None:
                self._activator.drop(done.prepared)
        elif done.failed:
            self._ledger.apply(Failed(done.failed, done.why))
        elif done.folder is not None:
            self._ledger.apply(Reached("VERIFIED"))
            self._fetched, self._retries = done.folder, 0
        elif done.prepared is not None:
            self._ledger.apply(Reached("STAGED"))
            _remove(self._folder / done.prepared.model.name)
            return done.prepared
        else:
            self._retry_later(done.why)
        return None

    def _end_left(self, job: Job) -> None:
        """Let fetches go on; what was left behind came to nothing."""
        self._left, self._retries, self._retry_at_s = None, 0, 0.0
        self._telemetry.gauge(FETCHED_GAUGE, None)
        record, manifest = self._ledger.record, job.target.manifest
        if record.state not in WORKING or record.target is None or record.target.manifest != manifest:
            _remove(self._folder / manifest)

    def _retry_later(self, why: str) -> None:
        longest_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self._retries, 20))
        self._retries += 1
        self._retry_at_s = self._clock.monotonic_s() + self._rng.uniform(longest_s / 2, longest_s)
        self._telemetry.count("update_unreachable")
        log.info("repository is asked again later", why=why)


def _wanted(job: Job, record: Record) -> bool:
    """Whether what a job does is still on the way to what the cart was asked for."""
    return record.state in WORKING and record.target is not None and record.target.key == job.target.key


def _remove(path: Path) -> None:
    """Delete a download; one that does not go costs room, and is tried again at the next start."""
    with suppress(OSError):
        durable.remove(path)
