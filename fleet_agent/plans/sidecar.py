"""What lies beside a plan, and whether the plan is still what was built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from fleet_agent import durable

SIDECAR = "plan.json"
MAX_SIDECAR_BYTES = 65_536
UNREADABLE = (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """What is written beside a plan.

    Attributes:
        key: In full.
        sha256: Of the plan.
        size_bytes: Of the plan.
        built_at_ms: By the cart's time of day.
        build_s: How long it took.
        recorded: Facts that are no part of the key, such as the power mode it was built in.
    """

    key: dict[str, Any]
    sha256: str
    size_bytes: int
    built_at_ms: int
    build_s: float
    recorded: dict[str, str | int]


def plan_file(entry: Path) -> Path:
    """Return the plan in an entry."""
    return entry / f"{entry.name}.plan"


def damage(entry: Path, document: Mapping[str, Any]) -> str:
    """Say what is wrong with an entry that should be of a key; empty: nothing."""
    try:
        sidecar = read_sidecar(entry)
        if sidecar.key != document:
            return "foreign"
        if plan_file(entry).stat().st_size != sidecar.size_bytes:
            return "truncated"
        return "" if durable.file_sha256(plan_file(entry)) == sidecar.sha256 else "corrupt"
    except UNREADABLE:
        return "unreadable"


def read_sidecar(entry: Path) -> Sidecar:
    """Return what is written beside a plan; raises one of `UNREADABLE`."""
    with (entry / SIDECAR).open("rb") as file:
        return msgspec.json.decode(file.read(MAX_SIDECAR_BYTES), type=Sidecar)
