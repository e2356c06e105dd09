"""Kills what a supervisor leaves behind when it is itself killed with SIGKILL.

It reads lines `+PGID` and `-PGID` from the supervisor through a pipe. When the pipe closes, the
supervisor is gone, whatever the reason: every process group still on the list gets SIGTERM, and
SIGKILL three seconds later. Portable where Linux's PR_SET_PDEATHSIG is not, and it reaches
grandchildren too.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

from demo.up.processes import signal_group

# Lower cuts the carts' farewell, higher leaves ports taken for a restart.
GRACE_S = 3.0


class Watchman:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-m", "demo.up.watchman"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, pgid: int) -> None:
        """Put a process group on the list."""
        self._say(f"+{pgid}\n")

    def forget(self, pgid: int) -> None:
        """Take a process group off the list: it has ended."""
        self._say(f"-{pgid}\n")

    def _say(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is None or self._process.poll() is not None:
            return
        try:
            pipe.write(line.encode())
            pipe.flush()
        except BrokenPipeError:
            return

    def dismiss(self) -> None:
        """Close the pipe and wait for the end; kills whatever is still on the list."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=GRACE_S + 5)


def groups_left(lines: Iterable[str]) -> list[int]:
    """Return the groups that were put on the list and not taken off it."""
    left: dict[int, None] = {}
    for line in lines:
        pgid = int(line[1:])
        if line.startswith("+"):
            left[pgid] = None
        else:
            left.pop(pgid, None)
    return list(left)


def _alive(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end_groups(pgids: list[int], grace_s: float) -> None:
    """Ask groups to end, newest first, and kill those that do not within the grace."""
    for pgid in reversed(pgids):
        signal_group(pgid, signal.SIGTERM)
    deadline_s = time.monotonic() + grace_s
    while any(_alive(pgid) for pgid in pgids) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    for pgid in pgids:
        signal_group(pgid, signal.SIGKILL)


def main() -> None:
    """Read the list until the supervisor is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_groups(groups_left(sys.stdin), GRACE_S)


if __name__ == "__main__":
    main()
