"""The commands as a person types them."""

from pathlib import Path

from demo.cli import main


class Commands:
    """The command line, on one repository."""

    def __init__(self, folder: Path) -> None:
        self.repository, self.keys = folder / "repository", folder / "keys"

    def run(self, action: str, *arguments: object) -> int:
        """Run one."""
        where = ("--repository", self.repository) if action != "init" else (self.repository,)
        return main([str(part) for part in ("models", action, *arguments, *where, "--keys", self.keys)])

    @property
    def root(self) -> bytes:
        """What carts trust."""
        return (self.keys / "trusted-root.json").read_bytes()
