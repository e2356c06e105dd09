"""The states of an update on a cart: a pure reducer over a small record.

    IDLE -> FETCHING -> VERIFIED -> BUILDING -> SELFTEST -> STAGED -> PROBATION -> COMMITTED | ROLLED_BACK

The record is written before the step that it names is taken, and every step is told once (`Record.step`
counts them). What may be done is in `rules`; here is what things that happen mean:

- A `Desired` is new if its generation is higher than any before. A new one for the same try (rollout,
  attempt and model) renews its window and its time, and has the end of an ended one told again. Any other
  replaces what was under way.
- A model that runs already is committed at once; without a rollout the cart is idle then.
- A try that came to an end is never begun again, nor is a model that proved bad here unless a higher attempt
  asks for it. More than `MAX_BOOTS` starts within one try end it.
- Of permits the highest generation holds; of one generation the stricter, and the later end. So order and
  repetition do not matter. `ended` forgets what is not live yet. The broker keeps the permits of all rollouts
  that ever were: of too many, those that allow nothing any more are forgotten first, and never our own.
- The time that a cart may take runs from the first reading, over starts, by the clock that never jumps while
  the cart runs and by the time of day while it does not. A pause is not the cart's time.
- In probation a start counts as a crash; more than `MAX_PROVING_BOOTS`, a start that passed over the model
  or one after a hang, and it is taken back. Whether the switch came about before the power went is what the
  slots say.
- Nothing undoes a commit: no report, no permit, no time-out.
"""

from typing import TypeVar

from msgspec.structs import replace

from fleet_agent.updates.happened import (
    Asked,
    Booted,
    Disproved,
    Failed,
    GoesLive,
    Happened,
    Heard,
    Passed,
    Proved,
    Reached,
    TakenBack,
)
from fleet_agent.updates.record import WORKING, PermitSeen, Record, State, Target
from fleet_agent.updates.rules import may_go_live, permit_state
from fleet_protocol.rollouts import Permit

# Starts within one try before it counts as a loop. Each writes up to four of the 28 steps of an attempt that
# `activation.slots` allows. Lower, and a cart that is switched off every night during a long pause gives up;
# higher, and one that the update crashes does so for longer.
MAX_BOOTS = 6
# Starts while the new model is live and not proved. Lower, and a flat battery passes for a bad model; higher,
# and a model that crashes the cart does so more often.
MAX_PROVING_BOOTS = 2
# A cart that was off for longer has a wrong clock: the longest time-out of the contract is 30 days.
MOST_OFF_MS = 31 * 86_400_000
# Rollouts and models that are remembered. Lower, and what was forgotten may be begun again; higher only
# makes the file larger.
MOST_REMEMBERED = 64
# Ends that say nothing about the model: it may be tried again by the same attempt of another rollout.
BLAMELESS = ("timeout", "repository", "verified", "active", "over", "bad")
STRICTNESS = {"running": 0, "paused": 1, "ended": 2}

K = TypeVar("K")
V = TypeVar("V")


def reduce(record: Record, happened: Happened) -> Record:  # noqa: C901, PLR0911  # one line per kind
    """Return what holds after something happened; see above."""
    match happened:
        case Asked():
            return _asked(record, happened)
        case Heard():
            return _heard(record, happened.permit)
        case Booted():
            return _booted(_off(record, happened.now_ms), happened)
        case Passed():
            return _passed(record, happened)
        case Reached():
            forward = record.state in WORKING and happened.state in WORKING
            return _step(record, happened.state) if forward and happened.state != record.state else record
        case Failed():
            return _roll_back(record, happened.what, happened.why) if record.state in WORKING else record
        case GoesLive():
            allowed = may_go_live(record, happened.now_ms, basket_open=happened.basket_open)
            return replace(_step(record, "PROBATION"), proving_boots=0) if allowed else record
        case Proved():
            proving = record.state == "PROBATION" and not record.failing
            return _end(_step(record, "COMMITTED")) if proving else record
        case Disproved():
            return _disprove(record, happened.what, happened.why)
        case TakenBack():
            return _taken_back(record)


def _step(record: Record, state: State, reason: str = "") -> Record:
    return replace(record, state=state, reason=reason, step=record.step + 1)


def _again(record: Record) -> Record:
    """Have the present state told once more."""
    return replace(record, step=record.step + 1)


def _end(record: Record) -> Record:
    """Note that the try is over."""
    target = record.target
    if target is None or target.rollout is None:
        return record
    attempt = max(target.attempt, record.ended.get(target.rollout, 0))
    return replace(record, ended=_with(record.ended, target.rollout, attempt))


def _roll_back(record: Record, what: str, why: str) -> Record:
    record = _end(replace(_step(record, "ROLLED_BACK", f"{what}: {why}"), failing=""))
    target = record.target
    if target is None or what in BLAMELESS:
        return record
    attempt = max(target.attempt, record.bad.get(target.manifest, 0))
    return replace(record, bad=_with(record.bad, target.manifest, attempt))


def _disprove(record: Record, what: str, why: str) -> Record:
    if record.state != "PROBATION" or record.failing:
        return record
    return replace(record, failing=f"{what}: {why}")


def _taken_back(record: Record) -> Record:
    if record.state != "PROBATION" or not record.failing:
        return record
    what, _, why = record.failing.partition(": ")
    return _roll_back(record, what, why)


def _asked(record: Record, asked: Asked) -> Record:
    desired = asked.desired
    # While a model is being taken back nothing else begins; the cart is asked again afterwards.
    if desired.generation <= record.generation or record.failing:
        return record
    baseline = desired.manifest if desired.rollout is None else record.baseline
    record = replace(record, generation=desired.generation, baseline=baseline)
    target = Target(
        model=desired.model,
        manifest=desired.manifest,
        rollout=desired.rollout,
        attempt=desired.attempt,
        not_after=desired.not_after,
        timeout_s=desired.timeout_s,
    )
    before = record.target
    same = before is not None and before.key == target.key
    if same:
        record = replace(record, target=target)
        if record.state in (*WORKING, "PROBATION"):
            return record
        if target.rollout is not None:
            return _again(record)
    proves_it = record.state == "PROBATION" and before is not None and before.manifest == target.manifest
    step = record.step if same else 0
    record = replace(record, target=target, reason="", step=step, spent_ms=0, boots=0, proving_boots=0)
    return _step(record, "PROBATION") if proves_it else _begin(record, target, asked.running)


def _begin(record: Record, target: Target, running: str) -> Record:
    if target.manifest == running:
        return _end(_step(record, "IDLE" if target.rollout is None else "COMMITTED"))
    if target.rollout is not None and target.attempt <= record.ended.get(target.rollout, 0):
        return _roll_back(record, "over", "this try came to its end before")
    if target.attempt <= record.bad.get(target.manifest, 0):
        return _roll_back(record, "bad", "the model was taken back here before, and no higher attempt asks")
    if permit_state(record) == "ended":
        return _end(_step(record, "IDLE"))
    return _step(record, "FETCHING")


def _heard(record: Record, permit: Permit) -> Record:
    seen = record.permits.get(permit.rollout)
    new = PermitSeen(generation=permit.generation, state=permit.state, until=permit.until)
    newest = new if seen is None else max(seen, new, key=_rank)
    if newest == seen:
        return record
    permits = {k: v for k, v in record.permits.items() if k != permit.rollout} | {permit.rollout: newest}
    record = _few_permits(replace(record, permits=permits))
    ours = record.target is not None and record.target.rollout == permit.rollout
    if ours and newest.state == "ended" and record.state in WORKING:
        return _end(_step(record, "IDLE"))
    return record


def _few_permits(record: Record) -> Record:
    """Forget a permit if there are too many: an ended or expired one before any other, then the oldest."""
    if len(record.permits) <= MOST_REMEMBERED:
        return record
    ours = record.target.rollout if record.target else None

    def counts(rollout: str) -> bool:
        seen = record.permits[rollout]
        return seen.state != "ended" and seen.until > record.saved_ms

    first = min((rollout for rollout in record.permits if rollout != ours), key=counts)
    return replace(record, permits={k: v for k, v in record.permits.items() if k != first})


def _rank(seen: PermitSeen) -> tuple[int, int, int]:
    return (seen.generation, STRICTNESS[seen.state], seen.until)


def _passed(record: Record, passed: Passed) -> Record:
    record = replace(record, saved_ms=passed.now_ms)
    return _spend(record, passed.passed_ms)


def _off(record: Record, now_ms: int) -> Record:
    """Count the time since the record was written, unless the clock must have been wrong.

    Not in probation: a cart that is switched off over night did nothing that speaks against its model.
    """
    off_ms = now_ms - record.saved_ms
    record = replace(record, saved_ms=now_ms)
    counts = 0 < off_ms <= MOST_OFF_MS and record.state != "PROBATION"
    return _spend(record, off_ms) if counts else record


def _spend(record: Record, ms: int) -> Record:
    target = record.target
    if target is None or record.state not in (*WORKING, "PROBATION") or permit_state(record) == "paused":
        return record
    record = replace(record, spent_ms=record.spent_ms + max(0, ms))
    if record.spent_ms < target.timeout_s * 1000:
        return record
    why = f"it took longer than {target.timeout_s} s, and was {record.state}"
    if record.state == "PROBATION":
        return _disprove(record, "timeout", why)
    return _roll_back(record, "timeout", why)


def _booted(record: Record, booted: Booted) -> Record:
    target = record.target
    if target is None:
        return record
    if record.state not in (*WORKING, "PROBATION"):
        return _again(record)
    if record.state == "PROBATION":
        return _booted_live(record, target, booted)
    return _booted_on_the_way(record, target, booted)


def _booted_on_the_way(record: Record, target: Target, booted: Booted) -> Record:
    record = replace(record, boots=record.boots + 1)
    if booted.running == target.manifest:
        return _end(_step(record, "COMMITTED"))
    if record.boots > MAX_BOOTS:
        return _roll_back(record, "loop", f"{record.boots} starts without an end")
    # What was built or staged was in memory; files that are whole are found again.
    return _step(record, "FETCHING")


def _booted_live(record: Record, target: Target, booted: Booted) -> Record:
    runs, switched = booted.running == target.manifest, booted.current == target.manifest
    if not runs and not switched:
        # The power went before the slots were written, or after the model was taken back.
        return _taken_back(record) if record.failing else _booted_on_the_way(record, target, booted)
    record = replace(_again(record), boots=record.boots + 1, proving_boots=record.proving_boots + 1)
    if not runs:
        return _disprove(record, "boot", "the start passed over it")
    if booted.hung:
        return _disprove(record, "stuck", f"{booted.hung} hung")
    if record.proving_boots > MAX_PROVING_BOOTS:
        return _disprove(record, "crashes", f"{record.proving_boots} starts before it was proved")
    return record


def _with(entries: dict[K, V], key: K, value: V) -> dict[K, V]:
    """Return the entries with one more, the newest last; the oldest is forgotten when there are too many."""
    entries = {k: v for k, v in entries.items() if k != key} | {key: value}
    if len(entries) > MOST_REMEMBERED:
        del entries[next(iter(entries))]
    return entries
