"""From the body of a request to a tree of plain values, or to a clear refusal."""

from typing import Any

import msgspec
import yaml

from fleet_control.errors import PlanError, RequestRefusedError
from fleet_control.rollouts.plan_text import MAX_PLAN_BYTES

JSON_TYPES = frozenset({"application/json"})
YAML_TYPES = frozenset({"text/yaml", "application/yaml", "application/x-yaml", "text/x-yaml"})
# A plan has six levels. Deeper ones are an attack on those who walk through it.
MAX_DEPTH = 32
# libyaml reads a plan of full size in a fraction of a second; Python alone takes seconds.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def plan_tree(content_type: str | None, body: bytes) -> Any:
    """Return the plain values of a plan's document.

    Args:
        content_type: As the request says; None: it says nothing.
        body: The document.

    Raises:
        RequestRefusedError: neither JSON nor YAML, or not what it says to be.
        PlanError: it holds what no plan may hold.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if len(body) > MAX_PLAN_BYTES:
        raise RequestRefusedError(413, "too_large", f"a plan has at most {MAX_PLAN_BYTES:,} bytes")
    if kind in JSON_TYPES:
        tree = _json(body)
    elif kind in YAML_TYPES:
        tree = _yaml(body)
    else:
        raise RequestRefusedError(415, "media_type", "send a plan as application/json or text/yaml")
    _check(tree)
    return tree


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RequestRefusedError(422, "malformed", f"not JSON: {error}") from error


def _yaml(body: bytes) -> Any:
    try:
        _check_events(body)
        return yaml.load(body, Loader=_Loader)  # noqa: S506  # a safe loader, in C where there is one
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise PlanError("plan", f"not YAML: {' '.join(str(error).split())}") from error


def _check_events(body: bytes) -> None:
    """Refuse aliases before anything is built: a few lines of them stand for gigabytes."""
    depth = 0
    for event in yaml.parse(body, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise PlanError("plan", f"no aliases, please: *{event.anchor}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise PlanError("plan", f"more than {MAX_DEPTH} levels")


def _check(tree: Any) -> None:
    """Refuse depth, and NUL characters, which no database takes."""
    waiting = [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise PlanError("plan", f"more than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
            raise PlanError("plan", "a text holds a NUL character or half of a surrogate pair")
