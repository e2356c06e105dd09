"""PARTITION BY, CLUSTER BY and OPTIONS(...) of DDL as the REST API's resource."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlglot import exp

from queries.dialect.errors import StatementError, UnsupportedError

TEXT = {"description": "description", "friendly_name": "friendlyName"}
# Options that change nothing an emulator could show, taken and kept in the resource.
KEPT = {"location", "default_table_expiration_days", "max_time_travel_hours", "storage_billing_model"}
DAY_MS = 86_400_000


def property_parts(tree: exp.Expression) -> tuple[list[exp.Expression], dict[str, Any] | None, list[str]]:
    """Split the properties of a CREATE into options, partitioning and cluster columns.

    Raises:
        UnsupportedError: One is not supported.
    """
    options: list[exp.Expression] = []
    partition: dict[str, Any] | None = None
    cluster: list[str] = []
    properties = tree.args.get("properties")
    for item in properties.expressions if properties is not None else ():
        if isinstance(item, exp.PartitionedByProperty):
            partition = _partition(item.this)
        elif isinstance(item, exp.ClusterProperty | exp.Cluster):
            cluster = [c.name for c in item.expressions]
        elif isinstance(item, exp.LocationProperty):
            continue
        elif type(item) is exp.Property:
            options.append(item)
        else:
            raise UnsupportedError(f"The clause {item.sql(dialect='bigquery')[:60] or type(item).__name__}")
    return options, partition, cluster


def _partition(node: exp.Expression) -> dict[str, Any]:
    if isinstance(node, exp.Identifier | exp.Column):
        return {"type": "DAY", "field": node.name}
    kinds = (exp.Date, exp.TsOrDsToDate, exp.TimestampTrunc, exp.DatetimeTrunc, exp.DateTrunc)
    if isinstance(node, kinds) and isinstance(node.this, exp.Column) and not node.args.get("zone"):
        unit = node.args.get("unit")
        kind = unit.name.upper() if unit is not None else "DAY"
        if kind not in {"HOUR", "DAY", "MONTH", "YEAR"}:
            raise StatementError(f"PARTITION BY expression has unsupported granularity {kind}")
        return {"type": kind, "field": node.this.name}
    raise UnsupportedError(f"PARTITION BY {node.sql(dialect='bigquery')}")


def apply_options(options: Iterable[exp.Expression]) -> dict[str, Any]:
    """Read OPTIONS(...).

    Raises:
        UnsupportedError: An option is not supported.
        StatementError: A value is not a literal.
    """
    body: dict[str, Any] = {}
    for item in options:
        name, value = item.this.name.lower(), item.args.get("value")
        if name in TEXT:
            body[TEXT[name]] = value.name if value is not None else ""
        elif name == "require_partition_filter":
            body["requirePartitionFilter"] = isinstance(value, exp.Boolean) and bool(value.this)
        elif name == "labels":
            body["labels"] = _labels(value)
        elif name == "partition_expiration_days" and isinstance(value, exp.Literal):
            body["_expiration"] = {"expirationMs": str(int(float(value.name) * DAY_MS))}
        elif name not in KEPT:
            raise UnsupportedError(f"The option {name}")
    return body


def _labels(value: exp.Expression | None) -> dict[str, str]:
    if not isinstance(value, exp.Array) or not all(
        isinstance(t, exp.Tuple) and len(t.expressions) == 2 for t in value.expressions
    ):
        raise StatementError("labels must be an array of (key, value)")
    return {t.expressions[0].name: t.expressions[1].name for t in value.expressions}
