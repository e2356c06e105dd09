"""How the supervisor learns that a component is ready: one probe per way of telling."""

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# Probes run in the supervisor's only thread, against this machine. Lower misses a busy
# component, higher delays everything else.
PROBE_TIMEOUT_S = 0.5
READY_WORD = "READY"


@dataclass(frozen=True, slots=True)
class Signs:
    """What a probe may look at.

    Attributes:
        said: What the component has written to stdout since it was started.
        exit_code: Its exit status, or None while it runs.
    """

    said: Path
    exit_code: int | None


class Probe(Protocol):
    """Tells whether a component is ready."""

    def look(self, signs: Signs) -> str | None:
        """Return a short remark (may be empty) once it is ready, else None."""
        ...


@dataclass(frozen=True, slots=True)
class ReadyLine:
    """Ready when it prints `READY <remark>` on a line of its own."""

    def look(self, signs: Signs) -> str | None:
        """Look for the line in what it has said."""
        for line in read_from(signs.said, 0).splitlines():
            if line == READY_WORD or line.startswith(READY_WORD + " "):
                return line[len(READY_WORD) :].strip()
        return None


@dataclass(frozen=True, slots=True)
class TcpOpen:
    """Ready when its port accepts a connection."""

    host: str
    port: int

    def look(self, signs: Signs) -> str | None:  # noqa: ARG002  # the port says it all
        """Try to connect."""
        try:
            with socket.create_connection((self.host, self.port), timeout=PROBE_TIMEOUT_S):
                return ""
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class HttpOk:
    """Ready when a GET answers 200."""

    host: str
    port: int
    path: str

    def look(self, signs: Signs) -> str | None:  # noqa: ARG002  # the answer says it all
        """Ask once."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", self.path)
            return "" if connection.getresponse().status == http.HTTPStatus.OK else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class CleanExit:
    """A one-shot: done when it has exited with 0; its last `DONE <remark>` line is the remark."""

    def look(self, signs: Signs) -> str | None:
        """Look at the exit status."""
        if signs.exit_code != 0:
            return None
        lines = read_from(signs.said, 0).splitlines()
        done = [line[len("DONE") :].strip() for line in lines if line.startswith("DONE")]
        return done[-1] if done else ""


# No component writes this much before it is ready; a runaway log must not fill our memory.
MAX_LOOK_BYTES = 1_000_000


def read_from(path: Path, offset_bytes: int) -> str:
    """Return a file's text from an offset; empty when there is none yet."""
    try:
        with path.open("rb") as file:
            file.seek(offset_bytes)
            return file.read(MAX_LOOK_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_line(path: Path) -> str:
    """Return the last line of a log that is not empty: a component's last words."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in read_from(path, max(0, size - 4_096)).splitlines()]
    said = [line for line in lines if line]
    return said[-1][:300] if said else ""
