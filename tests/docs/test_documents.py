"""The documents are true: links lead somewhere, commands exist, packages are named."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    """No reader ends at a missing page or picture."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())

    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]

    assert missing == []


def test_every_make_target_in_the_documents_exists() -> None:
    """Commands are copied from the page."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE)
    }

    assert named <= targets


def test_the_packages_on_the_architecture_page_are_the_packages_of_the_import_rules() -> None:
    """One list of packages, in three places."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    table = re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)

    assert set(table) == set(rules["root_packages"])


def test_the_lock_files_name_no_host() -> None:
    """Where packages come from is the installer's business."""
    for lock in (ROOT / "requirements").glob("*.lock"):
        assert "://" not in lock.read_text()


def test_every_direct_dependency_is_locked() -> None:
    """What pyproject asks for, the lock pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = {
        re.split(r"[\[<>=;~! ]", requirement)[0].lower()
        for extra in ("agent", "cloud", "dashboard", "demo", "dev")
        for requirement in [*project["dependencies"], *extras[extra]]
    }
    pinned = set(
        re.findall(r"^([a-z0-9_.-]+)==", (ROOT / "requirements" / "dev.lock").read_text(), re.MULTILINE)
    )

    assert asked - {"cartwright"} <= pinned
