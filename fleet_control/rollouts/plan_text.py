"""From YAML, or a tree of plain values, to a plan."""

import re
from typing import TYPE_CHECKING, Any

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
_HOUR_MIN = 60
_DAY_MIN = 24 * _HOUR_MIN
# A plan has six levels. Deeper ones are an attack on those who walk through it.
MAX_DEPTH = 32
if TYPE_CHECKING:
    _FastLoader = yaml.SafeLoader
else:
    # libyaml reads a plan of full size in a fraction of a second; Python alone takes seconds.
    _FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# All that a constructor of YAML's own types lets out: `!!bool foo` is a KeyError, `!!int ""` an IndexError.
_YAML_ERRORS = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def parse_plan(document: bytes | str, name: str = "plan") -> Plan:
    """Return the plan of a YAML (or JSON) document. A duration may be written `bake: 2h` for `bake_s: 7200`.

    Raises:
        PlanError: it is no plan; names the field and what is wrong.
    """
    return plan_of(tree_of(document, name), name)


def tree_of(document: bytes | str, name: str = "plan") -> Any:
    """Return the plain values of a YAML document.

    Raises:
        PlanError: it is too large or too deep, none, or holds what no plan may hold.
    """
    if len(document) > MAX_PLAN_BYTES:
        raise PlanError(name, f"larger than {MAX_PLAN_BYTES} bytes")
    try:
        _check_events(document, name)
        tree = yaml.load(document, Loader=_PlainLoader)  # noqa: S506  # a safe loader, and a stricter one
    except _YAML_ERRORS as error:
        said = " ".join(str(error).replace("<byte string>", name).replace("<unicode string>", name).split())
        raise PlanError(name, f"not YAML: {said}") from error
    check_values(tree, name)
    return tree


def _check_events(document: bytes | str, name: str) -> None:
    """Refuse aliases and depth before anything is built: a few lines of aliases stand for gigabytes."""
    depth = 0
    for event in yaml.parse(document, Loader=_FastLoader):
        if isinstance(event, yaml.AliasEvent):
            raise PlanError(name, f"aliases are not allowed: *{event.anchor}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise PlanError(name, f"more than {MAX_DEPTH} levels")


def check_values(tree: Any, name: str = "plan") -> None:
    """Refuse depth, and characters that no database takes.

    Raises:
        PlanError: there are some.
    """
    waiting = [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise PlanError(name, f"more than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
            raise PlanError(name, "a text holds a NUL character or half of a surrogate pair")


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


class _PlainLoader(_FastLoader):
    """Reads plain values; names that stand twice are refused."""

    def construct_mapping(  # the signature is PyYAML's
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002
    ) -> dict[Any, Any]:
        """Refuse a name that stands twice: YAML would take the last one, without a word."""
        names: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in names:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
            names.add(key.value)
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
    if key in _TIMES_OF_DAY and type(value) is int and _HOUR_MIN <= value < _DAY_MIN:
        # YAML 1.1 takes 22:00 without quotes for 22 times 60; 22 alone may mean anything.
        return key, f"{value // 60:02}:{value % 60:02}"
    return key, _in_seconds(value, path)


def _seconds(value: Any, path: str) -> float:
    found = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if found is None:
        shown = repr(value) if isinstance(value, str | int | float) else "this"
        raise _DurationError(path, f"{shown:.60} is no length of time: write 90s, 30m, 2h or 7d")
    seconds = float(found[1]) * _UNITS_S[found[2]]
    return int(seconds) if seconds.is_integer() else seconds
