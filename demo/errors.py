"""Everything that can go wrong in the demo, each with the sentence a person reads.

DemoError
├── SettingsError        an option that makes no sense
├── DataDirInUseError    another `cartwright up` runs on the same data directory
├── OtherWorldError      the data directory belongs to a demo of another shape or seed
├── PortTakenError       a port that a component needs is taken
├── MissingToolError     a program or file that a component needs is not there
├── ComponentError       a component does not stay up
│   └── NotReadyError    a component started but did not become ready in time
└── HistoryError         the history did not become durable in time

`cartwright` prints the text of any of these to stderr and exits with 1.
"""

from dataclasses import dataclass
from pathlib import Path


class DemoError(Exception):
    """The demo cannot go on; the text is one clear sentence for the person who started it."""


class SettingsError(DemoError):
    """An option that makes no sense."""


class DataDirInUseError(DemoError):
    """Another `cartwright up` holds the data directory."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{data_dir} is in use by another `cartwright up` ({who}): stop that one first, "
            "or choose another --data-dir."
        )
        self.data_dir = data_dir
        self.pid = pid


class OtherWorldError(DemoError):
    """The data directory holds a demo that was started with other settings."""

    def __init__(self, data_dir: Path, differences: str) -> None:
        super().__init__(
            f"{data_dir} holds a demo with {differences}: start it with the same settings, "
            "or choose another --data-dir."
        )
        self.data_dir = data_dir
        self.differences = differences


@dataclass(frozen=True, slots=True)
class PortOwner:
    """The process that holds a port, as far as this user may know."""

    pid: int
    name: str


class PortTakenError(DemoError):
    """A port that a component needs is taken."""

    def __init__(self, component: str, port: int, option: str, owner: PortOwner | None) -> None:
        who = f"{owner.name} (process {owner.pid})" if owner else "another process"
        super().__init__(
            f"Port {port} for the {component} is taken by {who}: stop it, "
            f"or choose another port with {option} PORT (0 picks a free one)."
        )
        self.component = component
        self.port = port
        self.option = option
        self.owner = owner


class MissingToolError(DemoError):
    """A program or file that a component needs is not there."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} is missing: {remedy}.")
        self.what = what
        self.remedy = remedy


class ComponentError(DemoError):
    """A component does not stay up."""

    def __init__(self, component: str, why: str, log: Path, last_words: str = "") -> None:
        said = f' Its last words: "{last_words}".' if last_words else ""
        super().__init__(f"The {component} {why}.{said} Its log: {log}")
        self.component = component
        self.log = log
        self.last_words = last_words


class NotReadyError(ComponentError):
    """A component started but did not become ready in time."""

    def __init__(self, component: str, waited_s: float, log: Path, last_words: str = "") -> None:
        super().__init__(component, f"was not ready within {waited_s:.0f} s", log, last_words)
        self.waited_s = waited_s


class HistoryError(DemoError):
    """The history did not become durable in time."""
