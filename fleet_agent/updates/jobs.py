"""What takes long on the way to a staged model: fetching, and building and testing.

Each runs in a thread of its own. It is told to stop and then waited for, by all that would use the network or
its folder: two of them never write into one folder. What it came to is posted, for a try that may have been
replaced meanwhile.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import structlog

from fleet_agent.activation.activator import Activator
from fleet_agent.activation.outcomes import ActivationProgress, Prepared
from fleet_agent.errors import (
    ActivationError,
    FetchStoppedError,
    RepositoryRefusedError,
    RepositoryUnreachableError,
)
from fleet_agent.updates.ports import ModelRepository
from fleet_agent.updates.record import State, Target

log = structlog.get_logger()

JobKind = Literal["fetch", "prepare"]
# What activation calls its stages, as far as an update tells them: it was verified before.
STAGES: dict[str, State] = {"building": "BUILDING", "selftest": "SELFTEST"}


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work under way.

    Attributes:
        kind: What it does.
        target: For which try.
        stopping: Set to end it.
    """

    kind: JobKind
    target: Target
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class JobDone:
    """What a job came to.

    Attributes:
        job: Which.
        folder: Of the model that was fetched.
        prepared: The model that may go live.
        failed: What failed for good, in a word; empty: it is done, or was stopped, or may be tried again.
        why: In a sentence; empty unless something failed.
    """

    job: Job
    folder: Path | None = None
    prepared: Prepared | None = None
    failed: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Does jobs, in the thread that calls.

    Attributes:
        repository: Where models come from.
        activator: Of the cart.
        folder: For downloads, one folder for each model.
        on_progress: Told the share that was fetched, 0..1.
        on_stage: Told each step that is about to be taken, for which job; what it raises ends it.
    """

    repository: ModelRepository
    activator: Activator
    folder: Path
    on_progress: Callable[[float], None]
    on_stage: Callable[[Job, State], None]

    def find(self, job: Job) -> JobDone:
        """Find a model in the store, while another fetch has not ended yet."""
        folder = self.activator.kept(job.target.manifest)
        return JobDone(job, folder=folder, why="" if folder else "the fetch before has not ended yet")

    def fetch(self, job: Job) -> JobDone:
        """Find a model in the store, or download it."""
        target = job.target
        try:
            folder = self.activator.kept(target.manifest) or self.repository.fetch(
                target.model,
                target.manifest,
                self.folder / target.manifest,
                on_progress=lambda done, of: self.on_progress(done / of if of else 0.0),
                stop=job.stopping.is_set,
            )
        except FetchStoppedError:
            return JobDone(job)
        except RepositoryRefusedError as error:
            return JobDone(job, failed="repository", why=str(error))
        except RepositoryUnreachableError as error:
            return JobDone(job, why=str(error))
        except Exception as error:  # whatever a library does, it is tried again until the time is over
            log.exception("fetching failed")
            return JobDone(job, why=str(error) or type(error).__name__)
        return JobDone(job, folder=folder)

    def prepare(self, job: Job, folder: Path) -> JobDone:
        """Build and test a model."""

        def on_progress(progress: ActivationProgress) -> None:
            if progress.stage in STAGES and not progress.phase:
                self.on_stage(job, STAGES[progress.stage])

        try:
            prepared = self.activator.prepare(folder, on_progress=on_progress, cancelled=job.stopping)
        except ActivationError as error:
            stopped = job.stopping.is_set()
            return JobDone(job) if stopped else JobDone(job, failed=error.stage, why=error.why)
        return JobDone(job, prepared=prepared)
