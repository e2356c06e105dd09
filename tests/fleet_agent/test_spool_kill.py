"""A cart that is killed at any moment loses at most what was not yet written."""

import random
import subprocess
import sys
import time
from pathlib import Path

from fleet_protocol.messages import Events, decode_message
from tests.fleet_agent.worlds import OWNER, open_spool

# Appends item events for ever and prints each id once `append` has returned.
WRITER = """
import sys
from pathlib import Path
from fleet_agent.config import SpoolConfig
from fleet_agent.spool import Spool
from fleet_protocol.messages import EventColumns, Events

store, cart = sys.argv[2].split("/")
spool = Spool(Path(sys.argv[1]), SpoolConfig(), owner=sys.argv[2])
number = 0
while True:
    name = f"{spool.boot_id}-{number}"
    columns = EventColumns(id=[name], ts=[0], type=["item"])
    spool.append("evt", lambda seq: Events(
        store=store, cart=cart, boot=spool.boot_id, seq=seq, fw="t", t0=1, cols=columns))
    print(name, flush=True)
    number += 1
"""
KILLS = 12


def test_kill_nine_at_random_points_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """What the killed process reported as written is in the spool, once, and numbers have no hole."""
    rng = random.Random(4)
    path = tmp_path / "spool.db"
    promised: set[str] = set()
    for _ in range(KILLS):
        promised |= _write_until_killed(path, rng.uniform(0.0, 0.06))
    spool = open_spool(path)
    assert spool.moved_aside is None
    stored = spool.pending("evt", gaps=False, after_row=0, limit=1_000_000)
    ids = []
    for entry in stored:
        message = decode_message(f"fleet/v1/{OWNER}/evt", entry.payload).message
        assert isinstance(message, Events)
        assert (message.boot, message.seq) == (entry.boot, entry.seq)
        ids += message.cols.id
    assert promised <= set(ids)
    assert len(ids) == len(set(ids))
    # At most one per kill was written and not yet reported.
    assert len(ids) - len(promised) <= KILLS
    for total in spool.totals():
        if total.channel == "evt" and total.messages:
            seqs = sorted(entry.seq for entry in stored if entry.boot == total.boot)
            assert seqs == list(range(total.item_events))
    spool.close()


def _write_until_killed(path: Path, after_s: float) -> set[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), OWNER], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after_s)  # the random point
    process.kill()
    rest = process.stdout.read()
    process.wait(20)
    process.stdout.close()
    # A line cut off by the kill has no end and was not promised.
    return {line.strip() for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")}
