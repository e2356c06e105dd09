"""Starts the builder of a plan as a child that is less important than the agent and dies with it.

Run as a file by a bare interpreter, which then becomes the builder: `guard.py PARENT COMMAND…`. It asks
Linux to kill it when the thread that started it ends (PR_SET_PDEATHSIG survives an exec), to take it
first when memory runs out, and to give it the processor after the agent.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
# The agent serves shoppers while this runs.
NICENESS = 10
# The kernel's killer takes the process of the highest score; 1000 is the highest.
OUT_OF_MEMORY_SCORE = "1000"


def main(arguments: list[str]) -> None:
    """Become the builder, or end at once if the agent is gone already."""
    parent, command = int(arguments[0]), arguments[1:]
    # Systems without prctl build as well; there a builder outlives a killed agent.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the agent is gone")
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OUT_OF_MEMORY_SCORE, encoding="ascii")
    os.nice(NICENESS)
    os.execvp(command[0], command)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
