"""The schema of a plan, for OpenAPI: made from the plan's own types, so that it cannot lag behind them."""

from typing import Any

import msgspec

from fleet_control.rollouts.plan import Plan


def _ecma(value: Any) -> Any:
    """Return a schema whose patterns end as JSON Schema wants them to."""
    if isinstance(value, dict):
        return {
            key: inner.replace(r"\Z", "$") if key == "pattern" else _ecma(inner)
            for key, inner in value.items()
        }
    return [_ecma(inner) for inner in value] if isinstance(value, list | tuple) else value


_made, _components = msgspec.json.schema_components([Plan], ref_template="#/components/schemas/{name}")
# Schemas that the plan's own refers to.
PLAN_COMPONENTS: dict[str, Any] = _ecma(_components)
PLAN_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A plan. Durations may be written `bake: 2h` for `bake_s: 7200`.",
        "content": {
            "application/json": {"schema": _made[0]},
            "text/yaml": {"schema": {"type": "string"}},
        },
    }
}
