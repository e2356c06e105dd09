"""What a query job asks for, and what a statement gave."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from queries.dialect.fields import Field

MEBIBYTE = 1024 * 1024
MIN_BILLED = 10 * MEBIBYTE  # what BigQuery bills at least for a query that reads anything


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What a query job asks for.

    Attributes:
        text: GoogleSQL.
        parameters: Name to (type, value); positional ones are named "0", "1", ...
        default_dataset: Dataset of unqualified names, or None.
        destination: (dataset, table) the result goes to, or None.
        write_disposition: WRITE_EMPTY, WRITE_APPEND or WRITE_TRUNCATE.
        create_disposition: CREATE_IF_NEEDED or CREATE_NEVER.
        dry_run: Check and estimate only.
        max_bytes_billed: Refuse above this estimate, or None.
        table_options: timePartitioning and clustering of a new destination.
    """

    text: str
    parameters: Mapping[str, tuple[Field, Any]] = dataclasses.field(default_factory=dict)
    default_dataset: str | None = None
    destination: tuple[str, str] | None = None
    write_disposition: str = "WRITE_EMPTY"
    create_disposition: str = "CREATE_IF_NEEDED"
    dry_run: bool = False
    max_bytes_billed: int | None = None
    table_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement gave.

    Attributes:
        kind: BigQuery's statement type (SELECT, INSERT, CREATE_TABLE, ...).
        fields: Columns of the result.
        rows: The result, or None where there is none.
        bytes_processed: Estimate of the bytes read.
        affected: Rows changed by DML, or None.
        inserted: Of those inserted.
        updated: Of those updated.
        deleted: Of those deleted.
        operation: What DDL did: CREATE, REPLACE, SKIP, DROP, ALTER; or "".
        target: (dataset, table) of DDL or of the destination, or None.
        referenced: Tables the statement names.
    """

    kind: str
    fields: tuple[Field, ...] = ()
    rows: pa.Table | None = None
    bytes_processed: int = 0
    affected: int | None = None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    operation: str = ""
    target: tuple[str, str] | None = None
    referenced: tuple[tuple[str, str], ...] = ()


def billed(bytes_processed: int) -> int:
    """Tell what BigQuery would bill: whole MiB, at least ten, nothing for nothing."""
    return 0 if bytes_processed == 0 else max(math.ceil(bytes_processed / MEBIBYTE) * MEBIBYTE, MIN_BILLED)
