"""What is wrong with a plan, in words for whoever wrote it. Pure.

The types of the plan check it; their errors speak of types and patterns. Here they become: the field as it
stands in the file, what it has to be, and what stands there.
"""

import difflib
import re
from typing import Any

from fleet_control.plurals import many
from fleet_control.rollouts import plan

_SAID = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_BOUND = re.compile(r"Expected `\w+` (<=|>=|<|>) (\S+)")
_LENGTH = re.compile(r"Expected `(\w+)` of length (<=|>=) (\d+)")
_TYPE = re.compile(r"Expected `([^`]+)`, got `[^`]+`")
_STEP = re.compile(r"\[(\d+)\]|\.(\w+)")
# How much of a value is repeated in an error.
_SHOWN_CHARACTERS = 60

_PARTS: dict[str, type] = {
    "": plan.Plan,
    "target": plan.Target,
    "stages": plan.StagePlan,
    "gates": plan.GatePlan,
    "promotion": plan.Promotion,
    "windows": plan.Window,
    "device": plan.DevicePlan,
}
_TYPES = {
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list, as in [a, b]",
    "object": "names with values, as in {name: value}",
}
_COMPARED = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_ID = "characters, which are small letters, digits, _ and -, and begins with a letter or digit"
_LISTS_OF_IDS = ("stores", "carts")
# What a pattern, a choice or a number means, by the field's name.
_MEANT = {
    "rollout": f"an id has at most 64 {_ID}",
    "stores": f"an id has at most 32 {_ID}",
    "carts": f"an id has at most 32 {_ID}",
    "name": f"a stage's name has at most 32 {_ID}; spaces are allowed",
    "model": "a digest has 12 to 64 hex digits, in quotes: `cartwright rollouts models` lists them",
    "baseline": "a digest has 12 to 64 hex digits, in quotes: `cartwright rollouts models` lists them",
    "percent": "10 is ten percent",
    "margin": "0.02 is two points",
    "quantile": "0.99 is the slowest hundredth",
    "min_done_share": "0.9 is nine of ten",
    "max_failed_share": "0.2 is one of five",
    "alpha": "0.05 is one of twenty",
    "metric": "there are accuracy, errors and latency",
    "mode": "there are enforce and shadow",
    "on_fail": "there are pause and roll_back",
    "days": "there are mon, tue, wed, thu, fri, sat and sun",
    "start": "a time is written 22:00",
    "end": "a time is written 22:00",
    "labels": "a label is written hardware: [orin, xavier]",
    "promotion": "null: nothing but a person promotes",
}


def fault_of(said: str, tree: Any) -> tuple[str, str]:
    """Return what is wrong, and the field in which; empty if it is the plan as a whole.

    Args:
        said: The error of the types.
        tree: What they were asked to take.
    """
    found = _SAID.fullmatch(said)
    what, path = (found["what"], (found["path"] or "").removeprefix(".")) if found else (said, "")
    if path == "" and _TYPE.fullmatch(what):
        return "a plan is names with values, such as `rollout: autumn`; see docs/rollouts.md", ""
    field = _field_of(path)
    problem = _unknown(what, path) or _missing(what) or _value(what, field, _at(tree, path))
    return problem, _written(path)


def _unknown(what: str, path: str) -> str:
    found = _UNKNOWN.fullmatch(what)
    if found is None:
        return ""
    part = _PARTS.get(re.split(r"[.\[]", path)[0], plan.Plan)
    known = [_written(name) for name in getattr(part, "__struct_fields__", ())]
    near = difflib.get_close_matches(found[1], known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"there is no field {_shown(found[1])}: {hint}"


def _missing(what: str) -> str:
    found = _MISSING.fullmatch(what)
    if found is None:
        return ""
    hint = _MEANT.get(found[1])
    return f"the field {found[1]!r} is missing" + (f"; {hint}" if hint else "")


def _value(what: str, field: str, value: Any) -> str:
    """Return what a value has to be, what it is, and what that means."""
    hint = _MEANT.get(field, "")
    if found := _BOUND.match(what):
        text = f"has to be {_COMPARED[found[1]]} {_measured(float(found[2]), field)}"
    elif found := _LENGTH.match(what):
        size = many(int(found[3]), "character" if found[1] == "str" else "item")
        text, hint = f"has to have {_COMPARED[found[2]]} {size}", ""
    elif found := _TYPE.match(what):
        kinds = [_TYPES.get(kind, kind) for kind in found[1].split(" | ") if kind != "null"]
        text = f"has to be {' or '.join(kinds)}"
        hint = "" if field in _LISTS_OF_IDS else hint
    else:
        return f"{_shown(value)} is not possible" + (f"; {hint}" if hint else "")
    here = "" if isinstance(value, dict | list) else f", not {_measured(value, field)}"
    return f"{text}{here}" + (f"; {hint}" if hint else "")


def _measured(value: Any, field: str) -> str:
    """Return a value as it is written: lengths of time with their unit."""
    if isinstance(value, str) or value is None:
        return _shown(value)
    if not field.endswith("_s"):
        return f"{value:g}" if isinstance(value, float) else _shown(value)
    day_s = 86_400
    return f"{value / day_s:g}d" if value >= day_s else f"{value:g}s"


def _field_of(path: str) -> str:
    """Return the last name of a path that is not a number."""
    names = [name for _, name in _STEP.findall(f".{path}") if name]
    return names[-1] if names else ""


def _at(tree: Any, path: str) -> Any:
    """Return the value at a path; an empty dictionary where there is none."""
    value = tree
    for index, name in _STEP.findall(f".{path}"):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            return {}
    return value


def _written(path: str) -> str:
    """Return a path, or name, as the file has it: `bake` for `bake_s`."""
    return path.removesuffix("[...]").removesuffix("_s")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
