"""The warehouse, through Google's own client: BigQuery itself or the embedded endpoint.

    warehouse = open_warehouse("emulator://127.0.0.1:9050/cartwright.fleet")
    result = warehouse.run(catalogue.freshness(FreshnessParams(...)))
    result.frame, result.fetched_at, result.bytes_processed
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd
import requests.exceptions
from google.api_core import exceptions as api
from google.api_core.client_options import ClientOptions
from google.auth import exceptions as auth_exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from queries.errors import ConfigurationError, QueryError, QueryRefusedError, QueryTimeoutError, WarehouseUnavailableError
from queries.parameters import to_parameters

DEFAULT_TIMEOUT_S = 30.0  # shorter: a cold BigQuery slot fails a page; longer: a person waits for nothing
DEFAULT_MAX_BYTES = 1024**3  # a page query that would read more is a mistake; costs about half a cent
REST_ENV = "BIGQUERY_EMULATOR_HOST"  # Google's own name
GRPC_ENV = "BIGQUERY_STORAGE_EMULATOR_HOST"  # ours: Google's storage client has none
DEFAULT_GRPC_PORT = 9060
NAME = re.compile(r"(?P<project>[a-z][a-z0-9.:-]*[a-z0-9])\.(?P<dataset>[A-Za-z0-9_]+)")
EMULATOR = re.compile(r"emulator://(?P<host>[^/:]+):(?P<port>\d+)(?:,(?P<grpc>\d+))?/(?P<name>.+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where the warehouse is.

    Attributes:
        project: Google Cloud project, or the one the endpoint plays.
        dataset: Dataset of unqualified names.
        rest: Address of an embedded endpoint ("http://127.0.0.1:9050"), or None for BigQuery.
        grpc: Address of its Storage Write service ("127.0.0.1:9060"), or None for BigQuery.
    """

    project: str
    dataset: str
    rest: str | None = None
    grpc: str | None = None

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> Target:
        """Read a target.

        Args:
            text: `PROJECT.DATASET`, or `emulator://HOST:PORT[,GRPC_PORT]/PROJECT.DATASET`.
            environment: Variables to honour; the process's own if None. BIGQUERY_EMULATOR_HOST (with or
                without http://) turns the first form into an embedded endpoint; BIGQUERY_STORAGE_EMULATOR_HOST
                names its Storage Write service, by default the same host at port 9060.

        Raises:
            ConfigurationError: It is neither form.
        """
        env = os.environ if environment is None else environment
        found = EMULATOR.fullmatch(text)
        name = NAME.fullmatch(found.group("name") if found else text)
        if name is None:
            raise ConfigurationError(f"{text!r} is not a warehouse: write PROJECT.DATASET or emulator://HOST:PORT/PROJECT.DATASET")
        if found:
            rest = f"http://{found.group('host')}:{found.group('port')}"
            given = f"{found.group('host')}:{found.group('grpc')}" if found.group("grpc") else env.get(GRPC_ENV)
            return cls(name["project"], name["dataset"], rest, given or f"{found.group('host')}:{DEFAULT_GRPC_PORT}")
        host = env.get(REST_ENV, "").rstrip("/")
        if not host:
            return cls(name["project"], name["dataset"])
        rest = host if "://" in host else f"http://{host}"
        bare = rest.split("://", 1)[1].rsplit(":", 1)[0]
        return cls(name["project"], name["dataset"], rest, env.get(GRPC_ENV) or f"{bare}:{DEFAULT_GRPC_PORT}")


class Question(Protocol):
    """What can be run: a named statement with its parameters (see `queries.catalogue`)."""

    @property
    def name(self) -> str:
        """Name, for errors and logs."""

    @property
    def sql(self) -> str:
        """GoogleSQL text."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Values of its named parameters."""

    @property
    def maximum_bytes_billed(self) -> int:
        """The most it may read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """A question made on the spot, for tools and tests; pages ask the catalogue."""

    name: str
    sql: str
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    maximum_bytes_billed: int = DEFAULT_MAX_BYTES


@dataclasses.dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer.

    Attributes:
        frame: The rows.
        fetched_at: When they were read, UTC.
        bytes_processed: Bytes BigQuery read for them.
        job_id: Job that ran it, or "".
        affected_rows: Rows changed, for DML.
    """

    frame: pd.DataFrame
    fetched_at: dt.datetime
    bytes_processed: int
    job_id: str
    affected_rows: int | None = None


class Warehouse(Protocol):
    """Answers questions."""

    def run(self, question: Question, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> QueryResult:
        """Ask one question.

        Raises:
            QueryError: It was refused, took too long or nobody answered.
        """


class BigQueryWarehouse:
    """The real thing.

    Args:
        target: Where it is.
        clock: Tells the time, UTC.
    """

    def __init__(self, target: Target, clock: Callable[[], dt.datetime] | None = None) -> None:
        self.target = target
        self._clock = clock or (lambda: dt.datetime.now(dt.UTC))
        self._client = _client(target)

    @property
    def client(self) -> bigquery.Client:
        """Google's client, for what this class does not offer."""
        return self._client

    def run(self, question: Question, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> QueryResult:
        """Ask one question.

        Args:
            question: What to ask.
            timeout_s: The longest it may take, all retries together.

        Raises:
            QueryRefusedError: The warehouse said no.
            QueryTimeoutError: No answer in time.
            WarehouseUnavailableError: Nobody answered.
        """
        config = bigquery.QueryJobConfig(
            query_parameters=to_parameters(question.parameters),
            default_dataset=f"{self.target.project}.{self.target.dataset}",
            maximum_bytes_billed=question.maximum_bytes_billed,
            use_legacy_sql=False,
            job_timeout_ms=int(timeout_s * 1000),
        )
        retry = bigquery.DEFAULT_RETRY.with_timeout(timeout_s)
        try:
            rows = self._client.query_and_wait(
                question.sql, job_config=config, api_timeout=timeout_s, wait_timeout=timeout_s, retry=retry, job_retry=None
            )
            frame = rows.to_dataframe(create_bqstorage_client=False)
        except Exception as error:
            raise translate_error(question.name, error) from error
        return QueryResult(frame, self._clock(), int(rows.total_bytes_processed or 0), rows.job_id or "", rows.num_dml_affected_rows)

    def ensure_dataset(self) -> None:
        """Make the dataset if it is missing.

        Raises:
            QueryError: It could not be made.
        """
        try:
            self._client.create_dataset(self.target.dataset, exists_ok=True, timeout=DEFAULT_TIMEOUT_S)
        except Exception as error:
            raise translate_error("create dataset", error) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _client(target: Target) -> bigquery.Client:
    if target.rest is None:
        try:
            return bigquery.Client(project=target.project)
        except auth_exceptions.GoogleAuthError as error:
            raise ConfigurationError(f"No Google credentials for {target.project}: {error}") from error
    options = ClientOptions(api_endpoint=target.rest)
    return bigquery.Client(project=target.project, credentials=AnonymousCredentials(), client_options=options)


def translate_error(name: str, error: Exception) -> QueryError:
    """Turn an exception of Google's client into one of ours."""
    if isinstance(error, QueryError):
        return error
    if isinstance(error, api.GoogleAPICallError):
        first: Mapping[str, Any] = (error.errors or [{}])[0] if isinstance(error.errors, Sequence) else {}
        reason = str(first.get("reason") or "") if isinstance(first, Mapping) else ""
        detail = str(error.message or error)
        detail = detail.split("?prettyPrint=false: ", 1)[-1]
        if reason == "stopped" or isinstance(error, api.GatewayTimeout):
            return QueryTimeoutError(name, detail, reason)
        if reason == "bytesBilledLimitExceeded" or isinstance(error, api.ClientError | api.MethodNotImplemented):
            return QueryRefusedError(name, detail, reason)
        return WarehouseUnavailableError(name, detail, reason)
    if isinstance(error, TimeoutError | requests.exceptions.Timeout):
        return QueryTimeoutError(name, "no answer within the time allowed")
    if isinstance(error, api.RetryError):
        return WarehouseUnavailableError(name, f"gave up after retries: {error.cause}")
    return WarehouseUnavailableError(name, f"{type(error).__name__}: {error}")


def open_warehouse(target: str | Target, *, clock: Callable[[], dt.datetime] | None = None) -> BigQueryWarehouse:
    """Open a warehouse.

    Args:
        target: `PROJECT.DATASET`, or `emulator://HOST:PORT[,GRPC_PORT]/PROJECT.DATASET`.
        clock: Tells the time, UTC; the system's if None.

    Raises:
        ConfigurationError: The target makes no sense, or there are no credentials.
    """
    return BigQueryWarehouse(target if isinstance(target, Target) else Target.parse(target), clock)
