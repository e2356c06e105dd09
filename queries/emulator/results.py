"""Results in Arrow, for clients that ask jobs.query for them."""

from __future__ import annotations

import base64
from typing import Any

import pyarrow as pa

from queries.emulator.decoding import arrow_schema
from queries.emulator.errors import NotImplementedApiError
from queries.emulator.outcome import Outcome

MAX_ARROW_BYTES = (
    64 * 1024 * 1024
)  # all rows go into one answer; more needs the Storage Read API, which is not here


def has_rows(outcome: Outcome) -> bool:
    """Tell whether a job left rows that can be read."""
    return outcome.kind == "SELECT" and outcome.rows is not None


def arrow_page(outcome: Outcome) -> dict[str, Any]:
    """Write all rows as one Arrow record batch.

    Raises:
        NotImplementedApiError: There are too many for one answer.
    """
    if outcome.rows is None or outcome.rows.nbytes > MAX_ARROW_BYTES:
        raise NotImplementedApiError(
            f"Arrow results above {MAX_ARROW_BYTES} bytes are not supported by the embedded BigQuery endpoint"
        )
    table = outcome.rows.cast(arrow_schema(outcome.fields)).combine_chunks()
    batch = table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], table.schema)
    return {
        "arrowSchema": {"serializedSchema": base64.b64encode(table.schema.serialize().to_pybytes()).decode()},
        "arrowRecordBatch": {
            "serializedRecordBatch": base64.b64encode(batch.serialize().to_pybytes()).decode()
        },
        "pageRowCount": str(table.num_rows),
    }
