"""What other threads tell an updater, beside orders."""

from dataclasses import dataclass

from fleet_agent.updates.jobs import JobDone


@dataclass(frozen=True, slots=True)
class Offered:
    """What the deciding thread said to an offer.

    Attributes:
        forward: It was offered to go live; else to go back.
        used: It did.
        why: What failed; empty: nothing did, but it may not now.
    """

    forward: bool
    used: bool
    why: str


News = JobDone | Offered
