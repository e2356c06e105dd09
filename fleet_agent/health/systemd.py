"""Telling the service manager that the cart is ready and alive.

The protocol is one datagram of `NAME=value` lines to the socket in `NOTIFY_SOCKET`. Source: sd_notify(3)
and sd_watchdog_enabled(3).
"""

import os
import socket
from collections.abc import Mapping
from typing import Protocol

# A status line is for people; the manager cuts longer ones.
MAX_STATUS = 200


class Supervisor(Protocol):
    """Who watches the process from outside."""

    def ready(self) -> None:
        """Say that the cart works."""

    def alive(self, status: str) -> None:
        """Say that nothing is stuck, and how the cart is."""

    def stopping(self) -> None:
        """Say that the end is intended."""


class NoSupervisor:
    """Nobody watches: an agent among many in one process, or one started by hand."""

    def ready(self) -> None:
        """Nobody hears it."""

    def alive(self, status: str) -> None:
        """Nobody hears it."""

    def stopping(self) -> None:
        """Nobody hears it."""


class Systemd:
    """The service manager that started this process.

    Args:
        address: Its socket: a path, or `@` and an abstract name.
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """Say that the cart works."""
        self._send("READY=1")

    def alive(self, status: str) -> None:
        """Feed the manager's watchdog."""
        self._send(f"WATCHDOG=1\nSTATUS={' '.join(status.split())[:MAX_STATUS]}")

    def stopping(self) -> None:
        """Say that the end is intended."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as once:
                # A manager that does not read must not hang the watchdog's own thread.
                once.settimeout(0.0)
                once.sendto(text.encode(), self._address)
        except OSError:  # a manager that is gone or busy: the next message is a second away
            return


def supervisor(environment: Mapping[str, str] = os.environ) -> Supervisor:
    """Return the manager that the environment names, or nobody."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or len(address) < 2:
        return NoSupervisor()
    return Systemd(address)


def watchdog_period_s(environment: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Return how often the manager wants to hear from this process; None when it does not watch."""
    meant_for = environment.get("WATCHDOG_PID", "")
    if meant_for and meant_for != str(os.getpid() if pid is None else pid):
        return None
    try:
        micros = int(environment.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return micros / 1e6 if micros > 0 else None
