"""What `cartwright up` prints: one aligned line per component, and the address to open."""

from dataclasses import dataclass
from typing import TextIO

from demo.up.supervisor import Change, State
from demo.world.record import WorldRecord

NAME_WIDTH = 11
STATE_WIDTH = 10
ADDRESS_WIDTH = 31


@dataclass(frozen=True, slots=True)
class Board:
    """Prints to a stream; a terminal that has gone away is no reason to stop."""

    out: TextIO

    def say(self, line: str = "") -> None:
        """Print a line at once."""
        try:
            self.out.write(line + "\n")
            self.out.flush()
        except (BrokenPipeError, ValueError, OSError):
            return

    def greet(self, record: WorldRecord, root: str) -> None:
        """Say what is about to start."""
        world = record.settings
        shape = f"{_count(world.stores, 'store')} x {_count(world.carts_per_store, 'cart')}, all simulated"
        then = "a new world" if record.starts == 1 else f"start number {record.starts} on the same data"
        self.say(f"cartwright up: {shape}; seed {world.seed}; {then} in {root}")
        self.say()

    def change(self, change: Change) -> None:
        """Print the news of a component; that it begins to start is none."""
        if change.state is State.STARTING:
            return
        component = change.component
        took = f"({change.took_s:.1f} s)" if change.took_s is not None else ""
        # An address that the component repeats is shown once.
        remark = "" if component.address and component.address in change.remark else change.remark
        note = "" if change.state is State.STOPPED else component.note
        words = ", ".join(word for word in (note, remark) if word)
        address = component.address or "-"
        self.say(
            f"  {component.name:<{NAME_WIDTH}} {change.state:<{STATE_WIDTH}} "
            f"{address:<{ADDRESS_WIDTH}} {words} {took}".rstrip()
        )

    def all_up(self, dashboard: str | None, took_s: float) -> None:
        """Say where to look."""
        self.say()
        if dashboard:
            self.say(f"Dashboard: {dashboard}   (everything up after {took_s:.0f} s; Ctrl-C stops it)")
        else:
            self.say(f"Everything is up after {took_s:.0f} s, without the dashboard; Ctrl-C stops it.")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
