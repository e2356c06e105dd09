"""Rows that come as protobuf messages with their own descriptor."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from queries.dialect.fields import Field
from queries.emulator.decoding import EPOCH, ValueRefusedError, decode_value
from queries.emulator.errors import InvalidError
from queries.emulator.loading import rows_to_arrow

DAY_ZERO = dt.date(1970, 1, 1)


class ProtoRows:
    """Reads messages of one descriptor.

    Args:
        descriptor: The self-contained `DescriptorProto` of the first request.
    """

    def __init__(self, descriptor: Any) -> None:
        file = descriptor_pb2.FileDescriptorProto(name="row.proto", package="rows", syntax="proto2")
        own = descriptor_pb2.DescriptorProto()
        own.ParseFromString(descriptor.SerializeToString())
        file.message_type.append(own)
        pool = descriptor_pool.DescriptorPool()
        try:
            pool.Add(file)
            self._class = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"rows.{own.name}"))
        except (TypeError, KeyError, ValueError) as error:
            raise InvalidError(f"The protobuf schema cannot be read: {error}") from error

    def read(self, rows: Iterable[bytes], fields: Sequence[Field]) -> pa.Table:
        """Read rows; the columns are the fields of the message that the table has.

        Raises:
            InvalidError: A message cannot be read, or has a field the table lacks.
        """
        known = {f.name.lower(): f for f in fields}
        extra = [f.name for f in self._class.DESCRIPTOR.fields if f.name.lower() not in known]
        if extra:
            raise InvalidError(
                f"Input schema has more fields than BigQuery schema, extra fields: '{','.join(extra)}'"
            )
        mine = [known[f.name.lower()] for f in self._class.DESCRIPTOR.fields]
        try:
            decoded = [_message(self._class.FromString(row), mine) for row in rows]
        except (DecodeError, ValueRefusedError) as error:
            raise InvalidError(f"A protobuf row cannot be read: {error}") from error
        return rows_to_arrow(decoded, mine)


def _message(message: Any, fields: Sequence[Field]) -> dict[str, Any]:
    by_name = {f.name.lower(): f for f in message.DESCRIPTOR.fields}
    out: dict[str, Any] = {}
    for field in fields:
        part = by_name.get(field.name.lower())
        if part is None:
            out[field.name] = [] if field.mode == "REPEATED" else None
        elif field.mode == "REPEATED":
            out[field.name] = [_value(v, field) for v in getattr(message, part.name)]
        else:
            out[field.name] = (
                _value(getattr(message, part.name), field) if message.HasField(part.name) else None
            )
    return out


def _value(value: Any, field: Field) -> Any:
    if field.type == "RECORD":
        return _message(value, field.fields)
    if field.type == "TIMESTAMP" and isinstance(value, int):
        return EPOCH + dt.timedelta(microseconds=value)
    if field.type == "DATE" and isinstance(value, int):
        return DAY_ZERO + dt.timedelta(days=value)
    if field.type == "BYTES" and isinstance(value, bytes):
        return value
    if field.type in {"TIME", "DATETIME", "NUMERIC"} and not isinstance(value, str):
        raise ValueRefusedError(field.name, f"{field.type} must be sent as text")
    return decode_value(value, Field(field.name, field.type))
