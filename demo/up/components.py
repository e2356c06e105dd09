"""What a component is: how to start it, how to tell that it is ready, what must be up before it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from demo.up.readiness import Probe

# A component that needs longer to start than this hangs. Lower fails honest starts on a busy
# laptop (importing the BigQuery client from a cold disk takes seconds); higher only delays the news.
READY_TIMEOUT_S = 60.0
# Longest wait for a clean end before SIGKILL. Lower cuts the carts' farewell and the warehouse's
# last checkpoint; higher makes a hung component hold Ctrl-C.
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Component:
    """One process of the demo.

    Attributes:
        name: Short and unique: in the output, in the log's file name, in `run.json`.
        argv: The command; never goes through a shell.
        address: Where people and programs reach it; empty when nobody does.
        ready: Tells when it is ready, or done when it is a one-shot.
        after: Names of components that must be ready before this one starts.
        one_shot: It does its work and exits with 0; anything else stays until stopped.
        note: What it is, in a few words.
        env: Added to the environment.
        cwd: Where it runs; None is the supervisor's own directory.
        ready_timeout_s: How long readiness may take.
        stop_timeout_s: How long a clean end may take.
    """

    name: str
    argv: tuple[str, ...]
    ready: Probe
    address: str = ""
    after: tuple[str, ...] = ()
    one_shot: bool = False
    note: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    ready_timeout_s: float = READY_TIMEOUT_S
    stop_timeout_s: float = STOP_TIMEOUT_S
