"""Nothing outlives a supervisor that is killed with SIGKILL."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from demo.up.watchman import groups_left
from tests.demo.children import gone, pids_in, wait_until

SUPERVISOR = """
import sys, time
from pathlib import Path
from demo.up.supervisor import Supervisor
from demo.up.watchman import Watchman
from tests.demo.children import LOYAL, PARENT, STUBBORN, service

s = Supervisor(
    [service("a"), service("b", STUBBORN), service("c", PARENT)],
    logs=Path(sys.argv[1]), orphanage=Watchman(), on_change=lambda change: None,
)
while not s.all_up:
    s.step()
    time.sleep(0.02)
print(*(slot.pid for slot in s.slots.values()), flush=True)
time.sleep(600)
"""


def test_kill_9_of_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    """Children, one that ignores SIGTERM, and a grandchild: all end when the supervisor is killed."""
    argv = (sys.executable, "-c", SUPERVISOR, str(tmp_path))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout
        pids = [int(word) for word in supervisor.stdout.readline().split()]
        pids += pids_in(tmp_path / "c.out")
        assert len(pids) == 4
        assert not any(gone(pid) for pid in pids)
        os.kill(supervisor.pid, signal.SIGKILL)
    wait_until(lambda: all(gone(pid) for pid in pids), "the end of all processes")


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9))))
def test_the_list_holds_what_was_put_on_and_not_taken_off(steps: list[tuple[bool, int]]) -> None:
    """Whatever the order of the lines, the list is that of a set."""
    left: set[int] = set()
    for added, pgid in steps:
        left = left | {pgid} if added else left - {pgid}
    lines = [f"{'+' if added else '-'}{pgid}\n" for added, pgid in steps]
    assert set(groups_left(lines)) == left
