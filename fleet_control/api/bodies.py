"""From the body of a request to a tree of plain values, or to a clear refusal."""

from typing import Any

import msgspec

from fleet_control.errors import RequestRefusedError
from fleet_control.rollouts.plan_text import MAX_PLAN_BYTES, check_values, tree_of

JSON_TYPES = frozenset({"application/json"})
YAML_TYPES = frozenset({"text/yaml", "application/yaml", "application/x-yaml", "text/x-yaml"})


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
        check_values(tree)
        return tree
    if kind in YAML_TYPES:
        return tree_of(body)
    raise RequestRefusedError(415, "media_type", "send a plan as application/json or text/yaml")


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RequestRefusedError(422, "malformed", f"not JSON: {error}") from error
