"""How long the metadata of each role holds."""

from datetime import timedelta
from typing import Literal, get_args

from msgspec import Struct

from fleet_control.errors import RegistryError

Role = Literal["root", "targets", "snapshot", "timestamp"]
ROLES: tuple[Role, ...] = get_args(Role)
ONLINE_ROLES: tuple[Role, ...] = ("snapshot", "timestamp")

# Nobody knows what keys are worth after ten years.
MOST_DAYS = 3650


class RegistrySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many days metadata holds from its signing on; carts refuse what is older.

    Attributes:
        root_days: The root keys must be brought together at least this often. Lower: more often; higher: a
            stolen set of root keys, or a cart that is kept from newer ones, is believed for longer.
        targets_days: Models must be published, republished or retired at least this often with the targets
            keys. Lower: a team on holiday stops all updates; higher: a targets key that was rotated out is
            believed for longer by carts that are kept from the new root.
        snapshot_days: Renewed by `refresh`, by itself. Lower: updates stop sooner while nobody refreshes;
            higher: as with targets.
        timestamp_days: The same; this is how long somebody between cart and repository can hide what is new.
    """

    root_days: float = 365.0
    targets_days: float = 90.0
    snapshot_days: float = 7.0
    timestamp_days: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be, also where nothing is decoded."""
        for role in ROLES:
            days = getattr(self, f"{role}_days")
            if not 0 < days <= MOST_DAYS:
                raise RegistryError(
                    f"{role}_days is {days:g}, and must be more than 0 and at most {MOST_DAYS}"
                )

    def life(self, role: str) -> timedelta:
        """Return how long metadata of a role holds."""
        days: float = getattr(self, f"{role}_days")
        return timedelta(days=days)
