"""Jobs: every query, DML, DDL and load is one; they run in a small pool and are kept for a while."""

from __future__ import annotations

import concurrent.futures as cf
import dataclasses
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import duckdb

from queries.emulator.errors import ApiError, DuplicateError, NotFoundError, StoppedError, as_api_error
from queries.emulator.outcome import Outcome, billed

MAX_JOBS = 2_000  # jobs remembered; a client that asks for an older one gets 404
MAX_KEPT_BYTES = 512 * 1024 * 1024  # result bytes remembered over all jobs
CANCEL_S = 30.0  # how long a job is asked to stop
WORKERS = 8  # statements that run at once; DuckDB uses several threads for each


@dataclasses.dataclass(slots=True)
class Job:
    """One job.

    Attributes:
        job_id: Its id.
        kind: QUERY or LOAD.
        config: The `configuration` resource as the client sent it.
        created_ms: When it was made, epoch ms.
        future: Becomes its Outcome.
        work: What it runs, given the job; may ask `job.session` to be interrupted.
        started_ms: When it began.
        ended_ms: When it ended.
        outcome: What it gave, once done well.
        error: Why it failed.
        cancelled: Somebody asked to stop it.
        session: DuckDB session it runs on, for interruption; None before and after.
        session_lock: Held to interrupt, and to let go of the session: the next job of the same thread has
            the same session, and an interruption that comes late would stop that one.
        dry_run: It only checks.
    """

    job_id: str
    kind: str
    config: dict[str, Any]
    created_ms: int
    future: cf.Future[None] | None = None
    started_ms: int = 0
    ended_ms: int = 0
    outcome: Outcome | None = None
    error: ApiError | None = None
    cancelled: bool = False
    session: Any = None
    session_lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    dry_run: bool = False
    output_rows: int | None = None

    @property
    def done(self) -> bool:
        """True once it has ended."""
        return self.ended_ms > 0


class Jobs:
    """Runs and remembers jobs.

    Args:
        project: Project of the jobs.
        location: Location they claim.
        session: Gives the DuckDB session of the running thread.
    """

    def __init__(self, project: str, location: str, session: Callable[[], Any]) -> None:
        self.project = project
        self.location = location
        self._session = session
        self._pool = cf.ThreadPoolExecutor(WORKERS, thread_name_prefix="job")
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._requests: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def start(
        self,
        kind: str,
        config: dict[str, Any],
        work: Callable[[Job], Outcome],
        *,
        job_id: str | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Job:
        """Start a job; a repeated `request_id` gives the first one.

        Raises:
            DuplicateError: The job id is taken.
        """
        with self._lock:
            if request_id and request_id in self._requests:
                return self._requests[request_id]
            if job_id and job_id in self._jobs:
                raise DuplicateError(f"Already Exists: Job {self.project}:{self.location}.{job_id}")
            job = Job(job_id or f"job_{uuid.uuid4().hex}", kind, config, _now_ms())
            self._jobs[job.job_id] = job
            if request_id:
                self._requests[request_id] = job
                while len(self._requests) > MAX_JOBS:
                    self._requests.popitem(last=False)
            # Before anybody can find the job: who waits for it waits for its future.
            job.future = self._pool.submit(self._run, job, work)
        if timeout_s:
            timer = threading.Timer(timeout_s, self._expire, [job])
            timer.daemon = True
            timer.start()
            job.future.add_done_callback(lambda _: timer.cancel())
        return job

    def _run(self, job: Job, work: Callable[[Job], Outcome]) -> None:
        job.started_ms = _now_ms()
        try:
            if job.cancelled:
                raise StoppedError("Job execution was cancelled: User requested cancellation")  # noqa: TRY301
            job.session = self._session()
            job.outcome = work(job)
        except Exception as error:  # noqa: BLE001  # whatever it is becomes the job's error
            job.error = as_api_error(error)
        finally:
            with job.session_lock:
                job.session = None
            job.ended_ms = max(_now_ms(), job.started_ms)
        self._forget()

    def _expire(self, job: Job) -> None:
        if not job.done:
            self.cancel(job)

    def _forget(self) -> None:
        with self._lock:
            kept = sum(
                j.outcome.rows.nbytes
                for j in self._jobs.values()
                if j.outcome is not None and j.outcome.rows is not None
            )
            for job_id, job in list(self._jobs.items()):
                if len(self._jobs) <= MAX_JOBS and kept <= MAX_KEPT_BYTES:
                    break
                if job.done and len(self._jobs) > 1:
                    kept -= (
                        job.outcome.rows.nbytes
                        if job.outcome is not None and job.outcome.rows is not None
                        else 0
                    )
                    del self._jobs[job_id]

    def get(self, job_id: str) -> Job:
        """Find a job.

        Raises:
            NotFoundError: It never was, or is forgotten.
        """
        with self._lock:
            found = self._jobs.get(job_id)
        if found is None:
            raise NotFoundError(f"Not found: Job {self.project}:{self.location}.{job_id}")
        return found

    def recent(self) -> list[Job]:
        """List the jobs, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        self.get(job_id)
        with self._lock:
            self._jobs.pop(job_id, None)

    def wait(self, job: Job, timeout_s: float) -> bool:
        """Wait until a job has ended, or the time is up; tell whether it has."""
        if job.future is not None:
            cf.wait([job.future], timeout=timeout_s)
        return job.done

    def cancel(self, job: Job) -> None:
        """Ask a job to stop, again and again until it has: a statement that begins forgets the first time."""
        job.cancelled = True
        threading.Thread(target=_interrupt, args=[job], daemon=True, name=f"cancel {job.job_id}").start()

    def close(self) -> None:
        """Stop everything that runs."""
        for job in self.recent():
            if not job.done:
                self.cancel(job)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def resource(self, job: Job, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Give the REST resource of a job."""
        state = "DONE" if job.done else ("RUNNING" if job.started_ms else "PENDING")
        status: dict[str, Any] = {"state": state}
        if job.error is not None:
            status |= {"errorResult": job.error.item(), "errors": [job.error.item()]}
        statistics: dict[str, Any] = {"creationTime": str(job.created_ms)}
        if job.started_ms:
            statistics["startTime"] = str(job.started_ms)
        if job.done:
            statistics["endTime"] = str(job.ended_ms)
            statistics["totalSlotMs"] = str(job.ended_ms - job.started_ms)
        if job.outcome is not None:
            statistics |= _statistics(self.project, job, job.outcome)
        reference = {"projectId": self.project, "jobId": job.job_id, "location": self.location}
        return {
            "kind": "bigquery#job",
            "id": f"{self.project}:{self.location}.{job.job_id}",
            "jobReference": reference,
            "configuration": {"jobType": job.kind, **configuration},
            "status": status,
            "statistics": statistics,
            "etag": f"{job.job_id}-{state}",
            "selfLink": "",
            "user_email": "emulator@localhost",
        }


def _interrupt(job: Job) -> None:
    deadline = time.monotonic() + CANCEL_S
    while not job.done and time.monotonic() < deadline:
        with job.session_lock, suppress(duckdb.Error):  # a session that failed may be closed already
            if job.session is not None:
                job.session.interrupt()
        if job.future is not None:
            cf.wait([job.future], timeout=0.05)


def _statistics(project: str, job: Job, outcome: Outcome) -> dict[str, Any]:
    total = str(outcome.bytes_processed)
    if job.kind == "LOAD":
        return {
            "load": {
                "outputRows": str(outcome.affected or 0),
                "inputFiles": "1",
                "inputFileBytes": total,
                "outputBytes": total,
                "badRecords": "0",
            }
        }
    query: dict[str, Any] = {
        "totalBytesProcessed": total,
        "totalBytesBilled": str(billed(outcome.bytes_processed)),
        "cacheHit": False,
        "statementType": outcome.kind,
        "billingTier": 1,
        "totalSlotMs": str(max(job.ended_ms - job.started_ms, 0)),
        "referencedTables": [
            {"projectId": project, "datasetId": d, "tableId": t} for d, t in dict.fromkeys(outcome.referenced)
        ],
    }
    if outcome.fields:
        query["schema"] = {"fields": [f.to_api() for f in outcome.fields]}
    if outcome.affected is not None:
        query["numDmlAffectedRows"] = str(outcome.affected)
        query["dmlStats"] = {
            "insertedRowCount": str(outcome.inserted),
            "updatedRowCount": str(outcome.updated),
            "deletedRowCount": str(outcome.deleted),
        }
    if outcome.operation:
        query["ddlOperationPerformed"] = outcome.operation
        if outcome.target is not None:
            query["ddlTargetTable"] = {
                "projectId": project,
                "datasetId": outcome.target[0],
                "tableId": outcome.target[1],
            }
    return {"query": query, "totalBytesProcessed": total}


def _now_ms() -> int:
    return max(int(time.time() * 1000), 1)
