"""The warehouse as one narrow object over Google's own BigQuery client."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import pandas as pd
import pyarrow as pa
from google.api_core.client_options import ClientOptions
from google.auth import exceptions as auth_errors
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from queries.errors import ConfigurationError
from queries.faults import our_errors
from queries.question import Parameter, Query, Question, parameters_from
from queries.target import Target, parse_target

# How long faults that pass (a refused connection, a 503) are tried again. Longer, and a page waits
# for a warehouse that is away; shorter, and its restart is seen as an error.
RETRY_S = 5.0
# DDL, MERGE and whatever else is not a page.
STATEMENT_TIMEOUT_S = 300.0

# Types that keep a null a null: an integer with a gap would turn into a float.
_DTYPES = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


@dataclass(frozen=True, slots=True)
class QueryResult:
    """An answer.

    Attributes:
        frame: Its rows. TIMESTAMP is datetime64[us, UTC], INT64 is Int64, BOOL is boolean, DATE is
            datetime.date, ARRAY is a NumPy array.
        fetched_at: When it arrived, UTC.
        bytes_processed: What the warehouse read for it; 0 where it was not said.
        job_id: BigQuery's job or query id, "" where there is none.
    """

    frame: pd.DataFrame
    fetched_at: datetime
    bytes_processed: int
    job_id: str


@dataclass(frozen=True, slots=True)
class Execution:
    """What a statement did.

    Attributes:
        rows_affected: Rows inserted, changed or deleted; 0 for DDL.
        seconds: How long it took.
    """

    rows_affected: int
    seconds: float


class Warehouse:
    """One dataset. May be used from several threads: connections come from a pool.

    Attributes:
        target: Where it is.
        client: Google's client, for what is not asked here (tests, administration).
    """

    def __init__(
        self,
        target: Target,
        client: bigquery.Client,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        retry_s: float = RETRY_S,
    ) -> None:
        self.target = target
        self.client = client
        self._clock = clock
        self._retry = DEFAULT_RETRY.with_timeout(retry_s)

    def run(self, question: Question | Query) -> QueryResult:
        """Ask a question of the catalogue and wait for its answer.

        Raises:
            QueryTimeoutError: no answer within the question's time-out.
            QueryRefusedError: the warehouse refused it (syntax, missing table, cost limit, rights).
            WarehouseUnavailableError: nobody answered, or the answer was a server error.
        """
        query = question.query() if isinstance(question, Question) else question
        rows = self._ask(query)
        with our_errors(query):
            table = rows.to_arrow(create_bqstorage_client=False)
        return QueryResult(
            table.to_pandas(types_mapper=_DTYPES.get),
            self._clock(),
            int(rows.total_bytes_processed or 0),
            _id_of(rows),
        )

    def execute(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        name: str,
        timeout_s: float = STATEMENT_TIMEOUT_S,
    ) -> Execution:
        """Run a statement that came from a file: DDL, MERGE, INSERT.

        Args:
            sql: BigQuery's dialect.
            parameters: Plain values of its named parameters.
            name: For logs and errors.
            timeout_s: Seconds after which nobody waits any more.

        Raises:
            QueryError: as for `run`.
        """
        values = tuple(parameters_from(parameters or {}))
        began = time.monotonic()
        rows = self._ask(Query(name, sql, values, None, timeout_s))
        return Execution(int(rows.num_dml_affected_rows or 0), time.monotonic() - began)

    def create_dataset(self) -> None:
        """Create the dataset where it is missing.

        Raises:
            QueryError: as for `run`.
        """
        dataset = bigquery.Dataset(f"{self.target.project}.{self.target.dataset}")
        if self.target.location:
            dataset.location = self.target.location
        with our_errors(Query("create dataset", "", timeout_s=STATEMENT_TIMEOUT_S)):
            self.client.create_dataset(
                dataset, exists_ok=True, retry=self._retry, timeout=STATEMENT_TIMEOUT_S
            )

    def close(self) -> None:
        """Give connections back."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, query: Query) -> Any:
        config = bigquery.QueryJobConfig(
            query_parameters=[_bind(p) for p in query.parameters],
            # The warehouse stops working on what nobody waits for any more.
            job_timeout_ms=int(query.timeout_s * 1000),
        )
        if query.maximum_bytes_billed is not None:
            config.maximum_bytes_billed = query.maximum_bytes_billed
        with our_errors(query):
            return self.client.query_and_wait(
                query.sql,
                job_config=config,
                api_timeout=query.timeout_s,
                wait_timeout=query.timeout_s,
                retry=self._retry,
                # A job that failed is not run again behind the page's back.
                job_retry=None,
            )


def open_warehouse(target: str | Target) -> Warehouse:
    """Open a warehouse; nothing is sent yet.

    Args:
        target: See `queries.target`.

    Raises:
        ConfigurationError: the target makes no sense, or there are no credentials for BigQuery.
    """
    parsed = parse_target(target) if isinstance(target, str) else target
    dataset = bigquery.DatasetReference(parsed.project, parsed.dataset)
    config = bigquery.QueryJobConfig(default_dataset=dataset)
    if parsed.is_emulator:
        client = bigquery.Client(
            project=parsed.project,
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=parsed.rest_url),
            default_query_job_config=config,
        )
        return Warehouse(parsed, client)
    try:
        return Warehouse(parsed, bigquery.Client(project=parsed.project, default_query_job_config=config))
    except auth_errors.DefaultCredentialsError as error:
        raise ConfigurationError(
            "there are no Google Cloud credentials here; run `gcloud auth application-default login`, "
            "or name an emulator://HOST:PORT/PROJECT.DATASET"
        ) from error


def _id_of(rows: Any) -> str:
    return str(rows.job_id or getattr(rows, "query_id", None) or "")


def _bind(parameter: Parameter) -> Any:
    if parameter.is_array:
        return bigquery.ArrayQueryParameter(parameter.name, parameter.type, list(parameter.value))
    return bigquery.ScalarQueryParameter(parameter.name, parameter.type, parameter.value)
