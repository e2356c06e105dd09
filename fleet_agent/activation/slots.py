"""Which models a cart runs: the current one and the last good one, and what is being tried.

A small file that is replaced whole. Transitions are functions of values: what a boot, a crash, an
activation and a success mean is decided here and nowhere else. The rules:

- the last good slot is only ever filled by a model that served as current and did not crash;
- a step is written down before it is taken, so a step that kills the process is known afterwards;
- too many writes without an end are a loop, and the attempt is over (Mender stops at 28 likewise).
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta, Struct
from msgspec.structs import replace

from fleet_agent.durable import open_regular, sweep, write_file
from fleet_agent.errors import StoreError
from fleet_agent.manifest import Precision, Sha256

log = structlog.get_logger()

Stage = Literal["verified", "building", "selftest", "active"]
SlotName = Literal["current", "last_good"]
SLOT_NAMES: tuple[SlotName, ...] = ("current", "last_good")

# An activation writes 4 times. Lower and a cart that loses power twice during one gives up; higher and
# a model that kills the agent does so for longer.
MAX_ATTEMPT_WRITES = 28
# After this long what ended in a loop, in crashes or in a refusal may be tried again: it may have been the
# cart's battery. Lower and a bad model is tried at every boot; higher and a cart runs on its second best for
# longer.
LOOP_REST_MS = 24 * 3600 * 1000
# Boots in a row that ended before the model answered. Lower and a flat battery passes for a bad model;
# higher and a bad model keeps a cart blind for longer.
MAX_FAILURES = 3
MAX_STATE_BYTES = 16_384

Count = Annotated[int, Meta(ge=0)]


class Slot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model that may serve.

    Attributes:
        model: sha256 of its manifest: covers the ONNX files and golden frames too.
        precision: Of the artifact that runs.
        backend: For which it was activated.
        plan: Key of its plan; None where the backend needs none.
        activated_at_ms: When, by the cart's time of day.
        failures: Boots in a row that ended before it answered.
        failed_at_ms: When it was last begun while it counted failures, by the cart's time of day.
        served: It answered at a boot, or a running cart took it over.
    """

    model: Sha256
    precision: Precision
    backend: str
    plan: Sha256 | None
    activated_at_ms: int
    failures: Count = 0
    failed_at_ms: int = 0
    served: bool = False

    @property
    def crashes(self) -> bool:
        """Whether it is passed over because it ended too many boots."""
        return self.failures >= MAX_FAILURES

    @property
    def good(self) -> bool:
        """Whether it may be the last good one."""
        return self.served and not self.crashes


class Attempt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An activation that has begun and not ended.

    Attributes:
        model: sha256 of the manifest.
        stage: The step that was begun last.
        plan: Key of the plan it makes, once that is known.
        writes: Of this file for this model since an attempt last came to an end.
        at_ms: When the step was begun, by the cart's time of day.
    """

    model: Sha256
    stage: Stage
    plan: Sha256 | None = None
    writes: Count = 0
    at_ms: int = 0


class Refusal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configured model that was refused.

    Attributes:
        model: sha256 of its manifest.
        at_ms: When, by the cart's time of day.
    """

    model: Sha256
    at_ms: int


class Slots(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds.

    Attributes:
        schema: Of the file.
        current: Serves.
        last_good: Served before and was good.
        attempt: What was begun; None: nothing is open.
        base: sha256 of the manifest of the configured model that was last tried: a folder that the cart's
            owner changes is tried once.
        refused: The configured model, if it was refused when it was last tried: it rests.
    """

    schema: Literal[1] = 1
    current: Slot | None = None
    last_good: Slot | None = None
    attempt: Attempt | None = None
    base: Sha256 | None = None
    refused: Refusal | None = None

    @property
    def models(self) -> frozenset[str]:
        """Models that must be kept."""
        return frozenset(slot.model for slot in (self.current, self.last_good) if slot)

    @property
    def plans(self) -> frozenset[str]:
        """Plans that must be kept, that of the open attempt included."""
        named = (self.current, self.last_good, self.attempt)
        return frozenset(entry.plan for entry in named if entry and entry.plan)


def begin(slots: Slots, model: str, stage: Stage, *, plan: str | None = None, now_ms: int) -> Slots:
    """Write down the step that is about to be taken."""
    before = slots.attempt
    if before is None or before.model != model or _rested(before.at_ms, now_ms):
        before = Attempt(model=model, stage=stage)
    # The later of both times: a clock that starts in 1970 and is set later on must not end the rest.
    attempt = replace(
        before, stage=stage, plan=plan, writes=before.writes + 1, at_ms=max(before.at_ms, now_ms)
    )
    return replace(slots, attempt=attempt)


def loops(slots: Slots, model: str, now_ms: int) -> bool:
    """Whether this model was begun so often without an end that it must not be begun again for now."""
    attempt = slots.attempt
    if attempt is None or attempt.model != model or _rested(attempt.at_ms, now_ms):
        return False
    return attempt.writes >= MAX_ATTEMPT_WRITES


def _rested(at_ms: int, now_ms: int) -> bool:
    return now_ms - at_ms >= LOOP_REST_MS


def end(slots: Slots) -> Slots:
    """Close the attempt: it was refused, and nothing else changes."""
    return replace(slots, attempt=None)


def tried_base(slots: Slots, model: str) -> Slots:
    """Write down that the configured model is being tried: it is offered at boot when it changes."""
    return replace(slots, base=model)


def refuse_base(slots: Slots, model: str, now_ms: int) -> Slots:
    """Write down that the configured model was refused."""
    return replace(slots, refused=Refusal(model=model, at_ms=now_ms))


def base_rests(slots: Slots, model: str, now_ms: int) -> bool:
    """Whether the configured model was refused so lately that a boot leaves it alone."""
    refused = slots.refused
    return refused is not None and refused.model == model and not _rested(refused.at_ms, now_ms)


def crashed_and_rested(slots: Slots, now_ms: int) -> str | None:
    """Return the current model if it crashed and may be tried again in the background; None: nothing."""
    current = slots.current
    if current is None or not current.crashes or not _rested(current.failed_at_ms, now_ms):
        return None
    return current.model


def tried_crashed(slots: Slots, model: str, now_ms: int) -> Slots:
    """Write down that a current model that crashed is being tried: after this it rests again."""
    current = slots.current
    if current is None or current.model != model or not current.crashes:
        return slots
    return replace(slots, current=replace(current, failed_at_ms=max(current.failed_at_ms, now_ms)))


def promote(slots: Slots, slot: Slot) -> Slots:
    """Put a model that passed the gate into the current slot and close the attempt.

    The last good one is then the one that was current, or the older one if that was the same model,
    crashes or never served; a model is never its own last good one.
    """
    others = [entry for entry in (slots.current, slots.last_good) if entry and entry.good]
    good = [entry for entry in others if not _same(entry, slot)]
    slot = replace(slot, served=len(good) < len(others))
    return replace(slots, current=slot, last_good=good[0] if good else None, attempt=None)


def withdraw(slots: Slots, model: str) -> Slots:
    """Take a model that proved bad after it went live out of its slot: the last good one is current again."""
    if slots.current is None or slots.current.model != model:
        return slots
    return replace(slots, current=slots.last_good, last_good=None, attempt=None)


def _same(first: Slot, second: Slot) -> bool:
    return (first.model, first.precision) == (second.model, second.precision)


def count_failure(slots: Slots, name: SlotName, now_ms: int) -> Slots:
    """Write down that a slot is about to be opened: if the process ends now, this stays."""
    slot: Slot | None = getattr(slots, name)
    if slot is None:
        return slots
    return replace(
        slots,
        **{name: replace(slot, failures=slot.failures + 1, failed_at_ms=max(slot.failed_at_ms, now_ms))},
    )


def answered(slots: Slots, name: SlotName) -> Slots:
    """Write down that the model of a slot serves: its failures are forgotten."""
    slot: Slot | None = getattr(slots, name)
    if slot is None:
        return slots
    return replace(slots, **{name: replace(slot, failures=0, failed_at_ms=0, served=True)})


class SlotFile:
    """The slots on disk, twice: a file that a broken disk has damaged is replaced by its copy.

    One process owns it.

    Args:
        path: The file; its folder exists.
        on_count: Called with a counter's name when the disk refuses what can be done without.

    Attributes:
        damage: Why the file could not be read at the start; empty when it could or there was none.
    """

    def __init__(self, path: Path, on_count: Callable[[str], None]) -> None:
        self._count = on_count
        self._path = path
        self._copy = path.with_suffix(".copy")
        self.damage = ""
        with suppress(OSError):
            sweep(path.parent)
        self._slots = self._load(self._path) or self._load(self._copy) or Slots()

    @property
    def slots(self) -> Slots:
        """What the file holds."""
        return self._slots

    def save(self, slots: Slots) -> None:
        """Replace the file; nothing is written when nothing changed.

        Raises:
            StoreError: the disk is full or broken, and the next boot would read the old state.
        """
        if slots == self._slots:
            return
        document = msgspec.json.format(msgspec.json.encode(slots)) + b"\n"
        try:
            write_file(self._path, document)
        except OSError as error:
            # The disk may have failed after the file got its name: what a boot would read counts.
            if not _holds(self._path, document):
                raise StoreError(f"{self._path}: {error.strerror or error}") from error
            self._complain(self._path, error)
        self._slots = slots
        try:
            write_file(self._copy, document)
        except OSError as error:
            self._complain(self._copy, error)

    def _complain(self, path: Path, error: OSError) -> None:
        self._count("slots_write_failed")
        log.warning("slots_write_failed", path=str(path), why=error.strerror or str(error))

    def _load(self, path: Path) -> Slots | None:
        try:
            with open_regular(path) as file:
                document = file.read(MAX_STATE_BYTES)
            return msgspec.json.decode(document, type=Slots)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.damage = self.damage or f"{path}: {error}"
            return None


def _holds(path: Path, document: bytes) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(MAX_STATE_BYTES + 1) == document
    except OSError:
        return False
