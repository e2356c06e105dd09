"""What the second command under one idempotency key means: one rule for every kind of database."""

from fleet_control.errors import ActionRefusedError, ReusedKeyError
from fleet_control.rollouts.ports import CommandRecord


def check_repeat(before: CommandRecord, again: CommandRecord) -> None:
    """Pass if a command is the one that was written before under its key: it is done already.

    Raises:
        ReusedKeyError: it is another command.
        ActionRefusedError: it was refused before. To pass would say that it was carried out.
    """
    if before.fingerprint != again.fingerprint:
        raise ReusedKeyError(again.key)
    if before.outcome != again.outcome:
        raise ActionRefusedError(again.action.value, before.outcome)
