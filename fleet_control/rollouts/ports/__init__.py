"""What the rollout engine needs of the world, one Protocol per outside system."""

from fleet_control.rollouts.ports.database import (
    Change,
    CommandRecord,
    Lease,
    LoggedEvent,
    OutboxEntry,
    RolloutStore,
)
from fleet_control.rollouts.ports.evidence import Proof, Proofs, PublishedModel, Registry
from fleet_control.rollouts.ports.fleet import CartReport, CartSighting, Fleet
from fleet_control.rollouts.ports.people import Choice, Command, Control, GateReading, Preview, StagePreview

__all__ = [
    "CartReport",
    "CartSighting",
    "Change",
    "Choice",
    "Command",
    "CommandRecord",
    "Control",
    "Fleet",
    "GateReading",
    "Lease",
    "LoggedEvent",
    "OutboxEntry",
    "Preview",
    "Proof",
    "Proofs",
    "PublishedModel",
    "Registry",
    "RolloutStore",
    "StagePreview",
]
