"""The document of the control API is true."""

import re
from pathlib import Path
from typing import Any

from fleet_control.api import failures
from fleet_control.api.webhook import sign
from tests.fleet_control.api.desk import Desk
from tests.fleet_control.api.test_acting import LEAST, ROLES

TEXT = (Path(__file__).parents[3] / "docs" / "control_api.md").read_text(encoding="utf-8")


def test_every_path_is_documented_and_every_documented_one_exists(desk: Desk) -> None:
    """Nobody looks for a path that is not there."""
    schema = desk.get("/openapi.json", None)
    served = {
        (method.upper(), path)
        for path, methods in schema["paths"].items()
        for method in methods
        if path.startswith("/v1/")
    }

    assert set(re.findall(r"^\| `(GET|POST) (/v1/[^?`]*)", TEXT, re.MULTILINE)) == served


def test_the_table_of_roles_is_what_the_roles_may() -> None:
    """Who reads it knows whom to call."""
    for action, least in LEAST.items():
        row = next(line for line in TEXT.splitlines() if line.startswith("| ") and f"`{action}`" in line)
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:]

        assert cells == ["yes" if ROLES.index(role) >= ROLES.index(least) else "" for role in ROLES]


def test_every_code_of_an_error_is_documented() -> None:
    """The codes in the source are those in the table."""
    source = Path(failures.__file__).read_text(encoding="utf-8")

    for code in re.findall(r'Failure\(\s*\d+, "([a-z_]+)"', source):
        assert f"`{code}`" in TEXT


def test_the_check_of_a_signature_works_as_it_stands() -> None:
    """Receivers copy it."""
    names: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1], names)  # type: ignore[index]  # noqa: S102
    body, secret = b'{"id": "x"}', "0123456789abcdef"
    headers = {"X-Cartwright-Timestamp": "1000", "X-Cartwright-Signature": sign(secret, "1000", body)}

    assert names["is_ours"](secret, headers, body, 1_010.0)
    assert not names["is_ours"](secret, headers, body, 2_000.0)
    assert not names["is_ours"](secret, headers, body + b" ", 1_010.0)
    assert not names["is_ours"]("another secret!!", headers, body, 1_010.0)
    later = {**headers, "X-Cartwright-Timestamp": "1010"}
    assert not names["is_ours"](secret, later, body, 1_010.0)
