"""The outline of an ONNX file: opset, operators, weights that lie elsewhere. Reads protobuf's wire format.

The cart needs no ONNX library to run networks, and so none is installed to look at one. The field numbers are
those of `onnx.proto` (github.com/onnx/onnx), which never change.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from fleet_agent.errors import EngineError

# Wire types of protobuf's encoding.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# A 64-bit number has at most ten bytes of seven bits.
LONGEST_VARINT = 10
# Graphs inside of nodes (If, Loop); deeper than this is no network but an attack on the stack.
DEEPEST_GRAPH = 16
# TensorProto.external_data and .data_location: the weights are in another file.
EXTERNAL_DATA, DATA_LOCATION = 13, 14

Value = int | memoryview


@dataclass(frozen=True, slots=True)
class Outline:
    """What an ONNX file says about itself.

    Attributes:
        ir_version: Of the format.
        producer: Who wrote it, with version; may be empty.
        opsets: Version of each domain of operators; the standard one is "".
        operators: How many nodes of each (domain, operator), those of inner graphs included.
        external: Files in which weights lie, sorted.
    """

    ir_version: int
    producer: str
    opsets: dict[str, int]
    operators: Counter[tuple[str, str]]
    external: tuple[str, ...]


def read_outline(document: bytes) -> Outline:
    """Read an ONNX file.

    Raises:
        EngineError: it is none, or it is damaged.
    """
    fields = _collect(memoryview(document))
    if not fields.get(7) or not fields.get(8):
        raise EngineError("no ONNX file: it has no graph or names no opset")
    operators: Counter[tuple[str, str]] = Counter()
    external: set[str] = set()
    for graph in _messages(fields, 7):
        _read_graph(graph, operators, external, DEEPEST_GRAPH)
    for function in _messages(fields, 25):
        _read_nodes(_messages(_collect(function), 7), operators, external, DEEPEST_GRAPH)
    opsets = [_collect(entry) for entry in _messages(fields, 8)]
    producer = " ".join(part for part in (_text(fields, 2), _text(fields, 3)) if part)
    return Outline(
        ir_version=_number(fields, 1),
        producer=producer,
        opsets={_text(entry, 1): _number(entry, 2) for entry in opsets},
        operators=operators,
        external=tuple(sorted(external)),
    )


def refuse_external(document: bytes) -> None:
    """Refuse weights that lie in other files: no digest covers those, and runtimes read any file they name.

    Runtimes look for them in the folder that the process happens to work in, if the file comes as bytes.

    Raises:
        EngineError: there are such weights; or it is no ONNX file.
    """
    external = read_outline(document).external
    if external:
        raise EngineError(f"weights lie in other files, which nothing vouches for: {', '.join(external[:3])}")


def _read_graph(
    graph: memoryview, operators: Counter[tuple[str, str]], external: set[str], depth: int
) -> None:
    if depth == 0:
        raise EngineError("graphs inside of graphs, too deep")
    fields = _collect(graph)
    for tensor in _messages(fields, 5):
        _read_tensor(tensor, external)
    for sparse in _messages(fields, 15):
        _read_sparse(sparse, external)
    _read_nodes(_messages(fields, 1), operators, external, depth)


def _read_nodes(
    nodes: list[memoryview], operators: Counter[tuple[str, str]], external: set[str], depth: int
) -> None:
    for node in nodes:
        parts = _collect(node)
        operators[_text(parts, 7), _text(parts, 4)] += 1
        for attribute in _messages(parts, 5):
            held = _collect(attribute)
            for tensor in [*_messages(held, 5), *_messages(held, 10)]:
                _read_tensor(tensor, external)
            for sparse in [*_messages(held, 22), *_messages(held, 23)]:
                _read_sparse(sparse, external)
            for inner in [*_messages(held, 6), *_messages(held, 11)]:
                _read_graph(inner, operators, external, depth - 1)


def _read_tensor(tensor: memoryview, external: set[str]) -> None:
    fields = _collect(tensor)
    # Either is enough: a message that is given in two pieces may have one of them in each.
    if not any(fields.get(DATA_LOCATION, [])) and not fields.get(EXTERNAL_DATA):
        return
    entries = [_collect(entry) for entry in _messages(fields, EXTERNAL_DATA)]
    places = [_text(entry, 2) for entry in entries if _text(entry, 1) == "location"]
    external.update(places or ["?"])


def _read_sparse(sparse: memoryview, external: set[str]) -> None:
    fields = _collect(sparse)
    for tensor in [*_messages(fields, 1), *_messages(fields, 2)]:
        _read_tensor(tensor, external)


def _collect(message: memoryview) -> dict[int, list[Value]]:
    fields: dict[int, list[Value]] = {}
    for number, value in _fields(message):
        fields.setdefault(number, []).append(value)
    return fields


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            length, at = _varint(message, at)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise EngineError("no ONNX file, or a damaged one: an unknown type on the wire")
        if at + length > end:
            raise EngineError("no ONNX file, or one that was cut off")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(message[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise EngineError("no ONNX file, or one that was cut off")


def _messages(fields: dict[int, list[Value]], number: int) -> list[memoryview]:
    return [value for value in fields.get(number, []) if isinstance(value, memoryview)]


def _text(fields: dict[int, list[Value]], number: int) -> str:
    values = _messages(fields, number)
    return bytes(values[-1]).decode("utf-8", "replace") if values else ""


def _number(fields: dict[int, list[Value]], number: int) -> int:
    values = [value for value in fields.get(number, []) if isinstance(value, int)]
    return values[-1] if values else 0
