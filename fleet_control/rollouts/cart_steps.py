"""What happens to one cart of a rollout: pure functions of its record.

The rules:

- a report counts if it belongs to the present try and its step is higher than all before: what comes late,
  twice, or of another try changes nothing;
- nobody is done because they said so. A cart that said COMMITTED is done when telemetry windows in a row
  carry the model's digest and hold inferences; one whose report was lost, when many do;
- a cart that is done and runs something else is REGRESSED, and done again when it runs the model again;
- a try that failed leaves the cart WAITING while it may have another, FAILED when not;
- FAILED, EXCLUDED, REVERTED and REVERT_FAILED are left by a person's action only: late words change nothing
  but what the cart is known to run;
- an unreachable cart goes on where it was when it is back, with a fresh time-out.
"""

from dataclasses import replace

from fleet_control.rollouts.events import CartExcluded, CartReported, CartSeen
from fleet_control.rollouts.rollout import CartRecord, Standing
from fleet_control.rollouts.states import CartStatus, DeviceState

# Windows in a row that prove a model which the cart says it has committed. Lower, and one window of a cart
# that falls back at once is a success; higher, and every stage waits for so many windows.
PROOF_WINDOWS = 2
# The same where the cart's word was lost. It must outlast the cart's probation.
PROOF_WINDOWS_UNTOLD = 10
# A cart that was told to go back is back when one window says so.
REVERT_WINDOWS = 1

_AT_WORK = (CartStatus.TOLD, CartStatus.WORKING, CartStatus.PROVING)
_CAN_BE_LOST = (*_AT_WORK, CartStatus.WAITING, CartStatus.REVERTING)
_CAN_BE_RETRIED = (CartStatus.FAILED, CartStatus.REGRESSED)


def moved(record: CartRecord, status: CartStatus, at_ms: int, why: str = "") -> CartRecord:
    """Return the record in another status."""
    return replace(record, status=status, changed_ms=at_ms, why=why)


def told(record: CartRecord, at_ms: int) -> CartRecord | None:
    """Return it after it was told to install the model; None: it does not wait for that."""
    if record.status is not CartStatus.WAITING:
        return None
    begun = replace(record, attempt=record.attempt + 1, step=-1, device=None, told_ms=at_ms)
    return moved(begun, CartStatus.TOLD, at_ms)


def reported(record: CartRecord, event: CartReported) -> CartRecord | None:
    """Return it after a report; None: the report changes nothing."""
    if record.attempt == 0 or event.attempt != record.attempt or event.step <= record.step:
        return None
    heard = replace(record, step=event.step, device=event.state, running=event.running or record.running)
    if record.status is CartStatus.UNREACHABLE:
        heard = _back(heard, event.at_ms)
    if heard.status is CartStatus.DONE and event.state is DeviceState.ROLLED_BACK:
        return moved(heard, CartStatus.REGRESSED, event.at_ms, event.why)
    return _worked(heard, event) if heard.status in _AT_WORK else heard


def _worked(heard: CartRecord, event: CartReported) -> CartRecord:
    match event.state:
        case DeviceState.COMMITTED:
            return moved(heard, CartStatus.PROVING, event.at_ms)
        case DeviceState.ROLLED_BACK:
            return failed_try(heard, event.at_ms, event.why or "rolled back by itself")
        case DeviceState.IDLE:
            return heard
        case _:
            # A cart that said COMMITTED and now takes a step again has to prove itself anew.
            return moved(heard, CartStatus.WORKING, event.at_ms)


def failed_try(record: CartRecord, at_ms: int, why: str) -> CartRecord:
    """Return it after a try that failed."""
    again = record.attempt < record.allowed
    return moved(record, CartStatus.WAITING if again else CartStatus.FAILED, at_ms, why)


def timed_out(record: CartRecord, at_ms: int) -> CartRecord | None:
    """Return it after its time is over; None: it is not at work."""
    if record.status is CartStatus.REVERTING:
        return moved(record, CartStatus.REVERT_FAILED, at_ms, "did not go back in time")
    if record.status in _AT_WORK:
        return failed_try(record, at_ms, "not ready in time")
    return None


def seen(record: CartRecord, event: CartSeen, model: str, baseline: str) -> CartRecord | None:
    """Return it after telemetry showed what it runs; None: nothing new."""
    known = replace(record, running=event.running)
    proven = event.running == model and event.inferences > 0
    match record.status:
        case CartStatus.PROVING | CartStatus.REGRESSED if proven and event.windows >= PROOF_WINDOWS:
            return moved(known, CartStatus.DONE, event.at_ms)
        case CartStatus.TOLD | CartStatus.WORKING if proven and event.windows >= PROOF_WINDOWS_UNTOLD:
            return moved(known, CartStatus.DONE, event.at_ms)
        case CartStatus.DONE if event.running != model:
            return moved(known, CartStatus.REGRESSED, event.at_ms, f"runs {event.running}")
        case CartStatus.REVERTING if event.running == baseline and event.windows >= REVERT_WINDOWS:
            return moved(known, CartStatus.REVERTED, event.at_ms)
        case _:
            return known if known != record else None


def unreachable(record: CartRecord, at_ms: int) -> CartRecord | None:
    """Return it after it was offline for too long; None: that does not matter for it."""
    if record.status not in _CAN_BE_LOST:
        return None
    return moved(replace(record, before=record.status), CartStatus.UNREACHABLE, at_ms, "offline for too long")


def back(record: CartRecord, at_ms: int) -> CartRecord | None:
    """Return it after it is online again; None: it was not unreachable."""
    return _back(record, at_ms) if record.status is CartStatus.UNREACHABLE else None


def _back(record: CartRecord, at_ms: int) -> CartRecord:
    status = record.before or CartStatus.WAITING
    again = moved(replace(record, before=None), status, at_ms)
    return again if record.told_ms is None else replace(again, told_ms=at_ms)


def excluded(record: CartRecord, event: CartExcluded) -> CartRecord | None:
    """Return it after it left the target; None: it had left before."""
    if record.status is CartStatus.EXCLUDED:
        return None
    # A rollback has to find it where it is.
    found = replace(record, store=event.store or record.store)
    return moved(found, CartStatus.EXCLUDED, event.at_ms, event.reason)


def retried(record: CartRecord, at_ms: int, retries: int) -> CartRecord | None:
    """Return it with another round of tries; None: it did not fail."""
    if record.status not in _CAN_BE_RETRIED or record.attempt == 0:
        return None
    return moved(replace(record, allowed=record.attempt + 1 + retries), CartStatus.WAITING, at_ms)


def needs_recall(record: CartRecord) -> bool:
    """Whether it may run the model, now or later, and was not told to go back."""
    left = (CartStatus.POOL, CartStatus.REVERTING, CartStatus.REVERTED)
    lost_on_its_way_back = record.status is CartStatus.UNREACHABLE and record.before is CartStatus.REVERTING
    settled = record.status in (*left, CartStatus.REVERT_FAILED) or lost_on_its_way_back
    return record.attempt > 0 and not settled


def is_under_way(record: CartRecord) -> bool:
    """Whether it was told to take the model and is not done: its order must not outlive the rollout."""
    lost = record.status is CartStatus.UNREACHABLE
    status = record.before if lost else record.status
    return record.attempt > 0 and status in (CartStatus.WAITING, CartStatus.TOLD, CartStatus.WORKING)


def standing(record: CartRecord, model: str) -> Standing:
    """Return what it adds to the counts of its rollout."""
    live, recall, way = record.running == model, needs_recall(record), is_under_way(record)
    return Standing(
        live=live,
        on_trial=live and record.status in (CartStatus.TOLD, CartStatus.WORKING),
        to_recall=recall,
        lost=recall and record.status is CartStatus.UNREACHABLE,
        under_way=way,
        under_way_live=way and live,
    )


def recalled_again(record: CartRecord, at_ms: int) -> CartRecord | None:
    """Return it after it was told once more to go back; None: it did not fail to."""
    return recalled(record, at_ms) if record.status is CartStatus.REVERT_FAILED else None


def recalled(record: CartRecord, at_ms: int) -> CartRecord | None:
    """Return it after it was told to go back; None: there is nothing to go back from."""
    again = record.status is CartStatus.REVERT_FAILED
    if not again and not needs_recall(record):
        return None
    sent = replace(record, told_ms=at_ms, step=-1)
    if record.status is CartStatus.UNREACHABLE:
        # Its retained message waits for it; it stays out of the denominator until it is back.
        return replace(sent, before=CartStatus.REVERTING)
    return moved(sent, CartStatus.REVERTING, at_ms)
