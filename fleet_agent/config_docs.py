"""The settings of a cart as a document: `docs/configuration.md` is this module's output.

`python -m fleet_agent.config_docs` prints it; a test holds the file against it.
"""

import sys
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Meta

from fleet_agent.config import CartConfig

_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as documented.

    Attributes:
        key: Its name in its table.
        kind: Type and range, for people.
        default: As written in TOML; None when the setting must be given.
        doc: What it does.
    """

    key: str
    kind: str
    default: str | None
    doc: str


@dataclass(frozen=True, slots=True)
class Table:
    """One TOML table.

    Attributes:
        heading: As in the file: `[mqtt]`, `[[cameras]]`; empty for the top.
        doc: What it is about.
        settings: In the order of the dataclass.
    """

    heading: str
    doc: str
    settings: tuple[Setting, ...]


def tables(kind: type = CartConfig, heading: str = "") -> list[Table]:
    """List every table of the file with its settings."""
    hints = get_type_hints(kind, include_extras=True)
    own: list[Setting] = []
    parts: list[Table] = []
    for entry in fields(kind):
        hint = hints[entry.name]
        if isinstance(hint, type) and is_dataclass(hint):
            parts += tables(hint, f"[{entry.name}]")
        elif get_origin(hint) is tuple:
            parts += tables(get_args(hint)[0], f"[[{entry.name}]]")
        else:
            default = _default(entry)
            own.append(Setting(entry.name, _kind(hint), default, entry.metadata["doc"]))
    return [Table(heading, (kind.__doc__ or "").strip(), tuple(own)), *parts]


def _default(entry: Field[Any]) -> str | None:
    if entry.default_factory is not MISSING:
        return _toml(entry.default_factory())
    return None if entry.default is MISSING else _toml(entry.default)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _kind(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        base, *constraints = get_args(hint)
        if get_origin(base) is dict:
            return f"table of at most {constraints[0].max_length} texts"
        return _kind(base) + "".join(_range(c) for c in constraints if isinstance(c, Meta))
    if get_origin(hint) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(hint))
    return _NAMES[hint]


def _range(meta: Meta) -> str:
    bounds = [
        f"{sign} {value}"
        for sign, value in ((">", meta.gt), ("≥", meta.ge), ("<", meta.lt), ("≤", meta.le))
        if value is not None
    ]
    if meta.max_length is not None:
        bounds.append(f"at most {meta.max_length} characters")
    if meta.pattern is not None:
        bounds.append("an identifier")
    return f", {', '.join(bounds)}" if bounds else ""


_HEAD = """\
# Configuration of a cart

One TOML file is all a cart is told; an example is
[`deploy/cart/cart.example.toml`](../deploy/cart/cart.example.toml). Units are in the names: `_s` seconds,
`_ms` milliseconds, `_g` grams, `_fps` per second, `_bytes` bytes. A key that is not listed here, a wrong
type or a number out of range stops the agent with the key's path.
`cartwright-agent check --config cart.toml` tries everything the file names and says what is wrong; it may run
beside the cart, which it does not disturb at the broker.

Passwords are never in this file: it names the environment variable or the file that holds them.

<!-- Made from fleet_agent/config/ by `python -m fleet_agent.config_docs > docs/configuration.md` -->
"""


def render() -> str:
    """Return the whole document."""
    return _HEAD + "".join(_render(table) for table in tables())


def _render(table: Table) -> str:
    title = f"`{table.heading}`" if table.heading else "At the top"
    lines = [
        f"\n## {title}",
        "",
        table.doc,
        "",
        "| setting | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for setting in table.settings:
        default = "must be given" if setting.default is None else f"`{setting.default}`"
        lines.append(f"| `{setting.key}` | {setting.kind} | {default} | {setting.doc} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the document."""
    sys.stdout.write(render())


if __name__ == "__main__":
    main()
