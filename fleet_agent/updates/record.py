"""What a cart remembers of the update it was asked for: one small file that is replaced whole."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta, Struct

from fleet_agent.durable import make_folder, open_regular, write_file
from fleet_agent.errors import UpdateRecordError
from fleet_protocol.fields import Digest, EpochMs, RolloutId, Seq, Sha256
from fleet_protocol.rollouts import PermitState

log = structlog.get_logger()

State = Literal[
    "IDLE",
    "FETCHING",
    "VERIFIED",
    "BUILDING",
    "SELFTEST",
    "STAGED",
    "PROBATION",
    "COMMITTED",
    "ROLLED_BACK",
]
# The way to a model that may go live, in order.
WORKING: tuple[State, ...] = ("FETCHING", "VERIFIED", "BUILDING", "SELFTEST", "STAGED")
MAX_RECORD_BYTES = 65_536

Count = Annotated[int, Meta(ge=0)]


class Target(Struct, frozen=True, kw_only=True):
    """The model that the cart was asked for last: what it keeps of a `Desired`.

    Attributes:
        model: Digest as in telemetry.
        manifest: sha256 of its `manifest.json`.
        rollout: Whose permit it needs; None: it needs none.
        attempt: Which try, from 1.
        not_after: Not put live later than this; None: any time.
        timeout_s: How long the cart may take.
    """

    model: Digest
    manifest: Sha256
    rollout: RolloutId | None = None
    attempt: int = 1
    not_after: EpochMs | None = None
    timeout_s: int = 3_600

    @property
    def key(self) -> tuple[str | None, int, str]:
        """What makes it one try and not another."""
        return (self.rollout, self.attempt, self.manifest)


class PermitSeen(Struct, frozen=True, kw_only=True):
    """The newest permit that was heard of one rollout."""

    generation: Seq
    state: PermitState
    until: EpochMs


class Record(Struct, frozen=True, kw_only=True):
    """What the file holds.

    Attributes:
        schema: Of the file.
        generation: Highest of any `Desired`; -1: none was heard.
        permits: By rollout, the newest last.
        ended: By rollout, its highest attempt that came to an end here.
        bad: By sha256 of a manifest, the highest attempt in which the model proved bad here.
        baseline: sha256 of the manifest of the model that the cart was asked for without a rollout.
        state: Where it is.
        target: What it was asked for.
        step: Reports of this try so far.
        reason: Why it was rolled back.
        failing: Why the model that is live is being taken back; empty: it is not.
        spent_ms: Of the time it may take.
        saved_ms: Time of day up to which `spent_ms` counts.
        boots: Of this try, while it was under way.
        proving_boots: Of them, those while the new model was live.
    """

    schema: Literal[1] = 1
    generation: Annotated[int, Meta(ge=-1)] = -1
    permits: dict[RolloutId, PermitSeen] = msgspec.field(default_factory=dict)
    ended: dict[RolloutId, int] = msgspec.field(default_factory=dict)
    bad: dict[Sha256, int] = msgspec.field(default_factory=dict)
    baseline: Sha256 | None = None
    state: State = "IDLE"
    target: Target | None = None
    step: Count = 0
    reason: str = ""
    failing: str = ""
    spent_ms: Count = 0
    saved_ms: int = 0
    boots: Count = 0
    proving_boots: Count = 0

    @property
    def pins(self) -> frozenset[str]:
        """Models that must be kept besides those of the slots, by the sha256 of their manifests."""
        under_way = self.target is not None and self.state in (*WORKING, "PROBATION")
        names = (self.baseline, self.target.manifest if under_way and self.target else None)
        return frozenset(name for name in names if name)

    @property
    def proved_bad(self) -> str:
        """The model that is to be taken back; empty: none is."""
        return self.target.manifest if self.failing and self.target else ""


def _worth_writing(record: Record) -> Record:
    """Leave out what changes all the time and may be lost.

    A permit's end is told again after a start, and so are the ended permits of all rollouts that ever were.
    """
    ours = record.target.rollout if record.target else None
    permits = {
        name: msgspec.structs.replace(seen, until=0)
        for name, seen in record.permits.items()
        if name == ours or seen.state != "ended"
    }
    return msgspec.structs.replace(record, permits=permits, spent_ms=0, saved_ms=0)


class RecordFile:
    """The record on disk. One process owns it.

    A damaged file is forgotten: the cart runs what its slots say, and is told again what it should run.

    Args:
        path: The file.

    Attributes:
        damage: Why it could not be read; empty when it could or there was none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = ""
        self._record = self._load()

    @property
    def record(self) -> Record:
        """What holds now."""
        return self._record

    def save(self, record: Record) -> None:
        """Replace the file, if more has changed than what is told again after a start.

        Raises:
            UpdateRecordError: the disk refuses; what held before holds still.
        """
        if _worth_writing(record) != _worth_writing(self._record):
            try:
                make_folder(self._path.parent)
                write_file(self._path, msgspec.json.format(msgspec.json.encode(record)) + b"\n")
            except OSError as error:
                raise UpdateRecordError(f"{self._path}: {error.strerror or error}") from error
        self._record = record

    def _load(self) -> Record:
        try:
            with open_regular(self._path) as file:
                return msgspec.json.decode(file.read(MAX_RECORD_BYTES), type=Record)
        except FileNotFoundError:
            return Record()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.damage = f"{self._path}: {error}"
            log.warning("update_record_damaged", why=self.damage)
            return Record()
