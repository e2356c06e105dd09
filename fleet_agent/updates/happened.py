"""What can happen to an update on a cart, each as one value: what `lifecycle` reduces."""

from dataclasses import dataclass

from fleet_agent.updates.record import State
from fleet_protocol.rollouts import Desired, Permit


@dataclass(frozen=True, slots=True)
class Asked:
    """The cloud said which model to run; `running` is the manifest's sha256 of the one that does."""

    desired: Desired
    running: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The cloud said whether a rollout may go on."""

    permit: Permit


@dataclass(frozen=True, slots=True)
class Booted:
    """The agent started.

    Attributes:
        running: sha256 of the manifest of the model that opened.
        current: The same of the model that should have; None: no slot is filled.
        now_ms: Time of day.
        hung: What hung when the watchdog ended the run before; empty: nothing.
    """

    running: str
    current: str | None
    now_ms: int
    hung: str = ""


@dataclass(frozen=True, slots=True)
class Passed:
    """Time passed: `passed_ms` by the clock that never jumps, until the time of day `now_ms`."""

    passed_ms: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Reached:
    """A step on the way to a staged model begins, or (STAGED) all of them are done."""

    state: State


@dataclass(frozen=True, slots=True)
class Failed:
    """The way to a staged model is at its end: what failed in a word, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class GoesLive:
    """The staged model is about to be put live, unless the rules forbid."""

    now_ms: int
    basket_open: bool


@dataclass(frozen=True, slots=True)
class Proved:
    """The cart does well with what is live."""


@dataclass(frozen=True, slots=True)
class Disproved:
    """It does not: what failed in a word, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The model before serves again."""


Happened = Asked | Heard | Booted | Passed | Reached | Failed | GoesLive | Proved | Disproved | TakenBack
