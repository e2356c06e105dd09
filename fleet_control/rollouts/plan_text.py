"""From YAML, or a tree of plain values, to a plan."""

import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fleet_control.errors import PlanError
from fleet_control.rollouts.plan import Plan, broken_rule
from fleet_control.rollouts.plan_faults import fault_of

# A plan is written by hand; more is a mistake or an attack.
MAX_PLAN_BYTES = 256 * 1024
# Fields `NAME_s` of a plan that may be written `NAME: 2h`.
DURATIONS = ("bake", "install", "max_wait", "timeout", "unreachable", "window")
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])\Z")
_TIMES_OF_DAY = ("start", "end")
_DAY_MIN = 24 * 60


def load_plan(path: Path) -> Plan:
    """Read a plan's file.

    Raises:
        PlanError: it cannot be read, or something in it is wrong.
    """
    try:
        with path.open("rb") as file:
            document = file.read(MAX_PLAN_BYTES + 1)
    except OSError as error:
        raise PlanError(str(path), error.strerror or str(error)) from error
    return parse_plan(document, str(path))


def parse_plan(document: bytes | str, name: str = "plan") -> Plan:
    """Return the plan of a YAML (or JSON) document. A duration may be written `bake: 2h` for `bake_s: 7200`.

    Raises:
        PlanError: it is no plan; names the field and what is wrong.
    """
    if len(document) > MAX_PLAN_BYTES:
        raise PlanError(name, f"larger than {MAX_PLAN_BYTES} bytes")
    try:
        tree = yaml.load(document, Loader=_PlainLoader)  # noqa: S506  # a safe loader, and a stricter one
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError, ValueError) as error:
        said = " ".join(str(error).replace("<byte string>", name).replace("<unicode string>", name).split())
        raise PlanError(name, f"not YAML: {said}") from error
    return plan_of(tree, name)


def plan_of(tree: Any, name: str = "plan") -> Plan:
    """Return the plan of a tree of plain values.

    Raises:
        PlanError: it is no plan; names the field and what is wrong.
    """
    try:
        plain = _in_seconds(tree, "")
        plan = msgspec.convert(plain, Plan, strict=True)
    except msgspec.ValidationError as error:
        raise PlanError(name, *fault_of(str(error), plain)) from error
    except _DurationError as error:
        raise PlanError(name, error.why, error.field) from error
    except (RecursionError, OverflowError) as error:
        raise PlanError(name, str(error)) from error
    if wrong := broken_rule(plan):
        raise PlanError(name, wrong)
    return plan


class _PlainLoader(yaml.SafeLoader):
    """Reads plain values; aliases, with which a few lines become gigabytes, and doubled names are refused."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(  # the signature is PyYAML's
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002
    ) -> dict[Any, Any]:
        """Refuse a name that stands twice: YAML would take the last one, without a word."""
        names: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
            names.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


class _DurationError(Exception):
    """A length of time that cannot be read, or stands twice."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(field, why)
        self.field = field
        self.why = why


def _in_seconds(value: Any, where: str) -> Any:
    """Return a tree with `NAME: 2h` replaced by `NAME_s: 7200` wherever NAME is a duration's.

    Raises:
        _DurationError: it is written in another way, or twice.
    """
    if isinstance(value, dict):
        entries = [_entry(key, inner, where) for key, inner in value.items()]
        plain = dict(entries)
        if len(plain) < len(entries):
            raise _DurationError(where, "a length of time stands twice, with and without _s")
        return plain
    if isinstance(value, list):
        return [_in_seconds(inner, f"{where}[{index}]") for index, inner in enumerate(value)]
    return value


def _entry(key: Any, value: Any, where: str) -> tuple[Any, Any]:
    path = f"{where}.{key}" if where else str(key)
    # Labels have the names that their owner gives them.
    if key in DURATIONS and not where.startswith("target"):
        return f"{key}_s", _seconds(value, path)
    if key in _TIMES_OF_DAY and isinstance(value, int) and 0 <= value < _DAY_MIN:
        # YAML 1.1 takes 22:00 without quotes for 22 times 60.
        return key, f"{value // 60:02}:{value % 60:02}"
    return key, _in_seconds(value, path)


def _seconds(value: Any, path: str) -> float:
    found = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if found is None:
        shown = repr(value) if isinstance(value, str | int | float) else "this"
        raise _DurationError(path, f"{shown:.60} is no length of time: write 90s, 30m, 2h or 7d")
    seconds = float(found[1]) * _UNITS_S[found[2]]
    return int(seconds) if seconds.is_integer() else seconds
