"""What an answer of the write service means for the batch at the head of the stream."""

from __future__ import annotations

from enum import Enum

import grpc
from google.cloud.bigquery_storage_v1 import types
from google.rpc import code_pb2


class Verdict(Enum):
    """What to do.

    DELIVERED: the rows are durable. REFUSED: they never will be. AGAIN: send the same bytes at the same
    offset. ROTATE: this stream is of no use any more; send in a new one. BLOCKED: the table cannot be
    written at all.
    """

    DELIVERED = "delivered"
    REFUSED = "refused"
    AGAIN = "again"
    ROTATE = "rotate"
    BLOCKED = "blocked"


_BY_CODE = {
    code_pb2.INVALID_ARGUMENT: Verdict.REFUSED,
    code_pb2.OUT_OF_RANGE: Verdict.ROTATE,
    code_pb2.FAILED_PRECONDITION: Verdict.ROTATE,
    code_pb2.NOT_FOUND: Verdict.BLOCKED,
    code_pb2.PERMISSION_DENIED: Verdict.BLOCKED,
    code_pb2.UNAUTHENTICATED: Verdict.BLOCKED,
    code_pb2.UNIMPLEMENTED: Verdict.BLOCKED,
}
_Codes = types.StorageError.StorageErrorCode
_BY_STORAGE_CODE = {
    _Codes.STREAM_NOT_FOUND: Verdict.ROTATE,
    _Codes.STREAM_FINALIZED: Verdict.ROTATE,
    _Codes.INVALID_STREAM_STATE: Verdict.ROTATE,
    _Codes.STREAM_ALREADY_COMMITTED: Verdict.ROTATE,
    _Codes.TABLE_NOT_FOUND: Verdict.BLOCKED,
}


def verdict_of(code: int, storage_code: int | None, sends: int) -> Verdict:
    """Judge an error.

    "Already exists" means delivered only if the batch went out before and the answer was lost. On a
    first send it means that somebody else wrote at this offset: these rows are not stored.

    Args:
        code: gRPC status code.
        storage_code: The service's own code, where it gave one.
        sends: How often the batch went out at this offset.
    """
    if code == code_pb2.ALREADY_EXISTS:
        return Verdict.DELIVERED if sends > 1 else Verdict.ROTATE
    if storage_code in _BY_STORAGE_CODE:
        return _BY_STORAGE_CODE[storage_code]
    return _BY_CODE.get(code, Verdict.AGAIN)


def storage_code_of(status: types.AppendRowsResponse) -> int | None:
    """Return the service's own code from the details of an error in an answer."""
    for detail in status.error.details:
        error = types.StorageError.pb()()
        if detail.Unpack(error):
            return int(error.code)
    return None


def code_of(error: grpc.RpcError) -> int:
    """Return the status code of a call that broke."""
    code = error.code() if hasattr(error, "code") else None
    return int(code.value[0]) if code is not None else int(code_pb2.UNKNOWN)


def detail_of(error: grpc.RpcError) -> str:
    """Return what the service said when a call broke."""
    details = error.details() if hasattr(error, "details") else None
    return str(details or error)
