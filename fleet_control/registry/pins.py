"""Models that must stay: those that carts would fall back to, and the baselines of open rollouts."""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from fleet_control.errors import RegistryError
from fleet_control.registry.storage import Storage

PINS = "pins.json"
LOCK = "pins"
# Pins are written in milliseconds. Longer keeps a rollout waiting for a disk that hangs.
LOCK_TIMEOUT_S = 10.0

Holder = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]


class _Pins(Struct, frozen=True, forbid_unknown_fields=True):
    """Which models each holder needs."""

    pins: dict[Holder, tuple[Digest, ...]] = {}


class Pins:
    """The pins of a repository. A holder is a rollout, or carts that run a model.

    Args:
        storage: Of the repository.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def pin(self, holder: str, digests: Iterable[str]) -> None:
        """Say which models a holder needs from now on, instead of those that it needed.

        Raises:
            RegistryError: these are no digests, or the pins cannot be written.
        """
        with self._storage.lock(LOCK, LOCK_TIMEOUT_S):
            pins = dict(self._read())
            pins[holder] = tuple(sorted(set(digests)))
            self._write({name: held for name, held in pins.items() if held})

    def pin_all(self, owner: str, wanted: Mapping[str, Collection[str]]) -> None:
        """Say which models all holders of an owner need from now on, instead of those that they needed.

        Args:
            owner: Who keeps these pins up to date. Its holders are listed as `<owner>: <holder>`.
            wanted: Digests by holder; a holder that is not named needs none any more.

        Raises:
            RegistryError: these are no digests, or the pins cannot be written.
        """
        with self._storage.lock(LOCK, LOCK_TIMEOUT_S):
            others = {
                holder: held
                for holder, held in self._read().items()
                if holder != owner and not holder.startswith(f"{owner}: ")
            }
            own = {f"{owner}: {holder}": tuple(sorted(set(held))) for holder, held in wanted.items() if held}
            self._write(others | own)

    def unpin(self, holder: str) -> None:
        """Say that a holder needs no model any more."""
        self.pin(holder, ())

    def holders(self, digest: str) -> tuple[str, ...]:
        """Return who needs a model.

        Raises:
            RegistryError: the pins cannot be read.
        """
        return tuple(sorted(holder for holder, digests in self._read().items() if digest in digests))

    def _read(self) -> dict[str, tuple[str, ...]]:
        content = self._storage.read(PINS)
        if content is None:
            return {}
        try:
            return msgspec.json.decode(content, type=_Pins).pins
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RegistryError(f"{PINS} cannot be read, so nothing may be retired: {error}") from error

    def _write(self, pins: dict[str, tuple[str, ...]]) -> None:
        try:
            checked = msgspec.convert({"pins": pins}, _Pins)
        except msgspec.ValidationError as error:
            raise RegistryError(f"cannot pin: {error}") from error
        self._storage.write(PINS, msgspec.json.format(msgspec.json.encode(checked)) + b"\n")
