"""Forks publishers that are killed at a file operation; one order a line, one answer a line.

An order: {"do": what, "seed": n, "at": which file operation; 0: none}.
The answer: {"signal": n, "exit": n, "operations": n}.
"""

import json
import os
import signal
import sys
from pathlib import Path

from fleet_control.registry.ceremony import rotate
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.model import read_model
from fleet_control.registry.pins import Pins
from fleet_control.registry.publisher import Publisher
from fleet_control.registry.storage import FolderStorage

EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "fcntl.flock"})


def die_at(count: int) -> list[int]:
    """Die by SIGKILL at a file operation; returns how many there were so far."""
    seen = [0]

    def hook(event: str, _: object) -> None:
        if event in EVENTS:
            seen[0] += 1
            if seen[0] == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def work(folder: Path, order: dict[str, object]) -> None:
    """Do what was ordered."""
    storage, keys = FolderStorage(folder / "repository"), KeyRing([folder / "keys"])
    publisher = Publisher(storage, keys)
    if order["do"] == "publish":
        publisher.publish(read_model(folder / f"model-{order['seed']}"))
    elif order["do"] == "retire":
        publisher.retire(publisher.models()[-1].digest)
    elif order["do"] == "rotate":
        rotate(storage, keys, ["root", "targets", "snapshot", "timestamp"])
    elif order["do"] == "pin":
        Pins(storage).pin("fleet", [publisher.models()[0].digest])
    else:
        publisher.refresh(force=True)


def main() -> None:
    """Serve orders until standard input ends."""
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        order = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            seen = die_at(order["at"])
            work(folder, order)
            os.write(writer, str(seen[0]).encode())
            os._exit(0)
        os.close(writer)
        counted = os.read(reader, 20)
        os.close(reader)
        _, status = os.waitpid(child, 0)
        answer = {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}
        answer |= {"exit": os.WEXITSTATUS(status), "operations": int(counted or 0)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
