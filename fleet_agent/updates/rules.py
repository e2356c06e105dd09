"""What a cart may do now, and what is to be done next: pure functions of its record and the time.

- A permit holds while it says `running` and its end has not come by the cart's clock. A rollout of which no
  permit was heard has none. What was asked for without a rollout needs none.
- A model goes live only when it is staged, permitted, before the end of the maintenance window, and while no
  basket is open.
- A permit that does not hold stops fetching, which goes on later from where it was, and begins no build. A
  build or a test that is under way may come to its end; its model stays staged.
- What is live is proved or taken back whatever permits say: that is the cart's own affair.
"""

from typing import Literal

from fleet_agent.updates.record import Record
from fleet_protocol.rollouts import PermitState

Work = Literal["nothing", "wait", "fetch", "prepare", "switch", "prove", "take_back"]


def permit_state(record: Record) -> PermitState | None:
    """Return what the permit of the rollout says; None: nothing was heard of one, or none is needed."""
    rollout = record.target.rollout if record.target else None
    seen = record.permits.get(rollout) if rollout else None
    return seen.state if seen else None


def permitted(record: Record, now_ms: int) -> bool:
    """Tell whether the cart may go on with what it was asked for."""
    if record.target is None:
        return False
    if record.target.rollout is None:
        return True
    seen = record.permits.get(record.target.rollout)
    return seen is not None and seen.state == "running" and seen.until > now_ms


def may_go_live(record: Record, now_ms: int, *, basket_open: bool) -> bool:
    """Tell whether the staged model may be put live now."""
    return due(record, now_ms) == "switch" and not basket_open


def due(record: Record, now_ms: int) -> Work:
    """Return what is to be done next."""
    target = record.target
    if target is None or record.state in ("IDLE", "COMMITTED", "ROLLED_BACK"):
        return "nothing"
    if record.state == "PROBATION":
        return "take_back" if record.failing else "prove"
    if not permitted(record, now_ms):
        return "wait"
    if record.state == "FETCHING":
        return "fetch"
    if record.state != "STAGED":
        return "prepare"
    return "wait" if target.not_after is not None and now_ms >= target.not_after else "switch"
