"""What opens encrypted keys: from the environment or from files, never from the command line."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet_control.errors import RegistryError
from fleet_control.registry.bounded import read_bounded
from fleet_control.registry.key_files import MAX_KEY_BYTES
from fleet_control.registry.settings import ONLINE_ROLES, Role

# The environment variables of passphrases; with `_FILE` behind, each names a file instead.
PASSPHRASE_ENV, ONLINE_PASSPHRASE_ENV = "CARTWRIGHT_KEYS_PASSPHRASE", "CARTWRIGHT_ONLINE_KEYS_PASSPHRASE"
# As OpenSSL has it.
MAX_PASSPHRASE_BYTES = 1_023


def passphrase_env(role: Role) -> str:
    """Return which variable holds the passphrase of a role's keys."""
    return ONLINE_PASSPHRASE_ENV if role in ONLINE_ROLES else PASSPHRASE_ENV


@dataclass(frozen=True, slots=True)
class Passphrases:
    """What opens encrypted keys; None: keys are not encrypted.

    Attributes:
        offline: Of root and targets keys.
        online: Of snapshot and timestamp keys.

    Raises:
        RegistryError: one is longer than OpenSSL takes.
    """

    offline: bytes | None = None
    online: bytes | None = None

    def __post_init__(self) -> None:
        if any(len(one or b"") > MAX_PASSPHRASE_BYTES for one in (self.offline, self.online)):
            raise RegistryError(f"a passphrase has more than {MAX_PASSPHRASE_BYTES} bytes")

    def __repr__(self) -> str:
        return "Passphrases(...)"

    def of(self, role: Role) -> bytes | None:
        """Return that of a role's keys."""
        return self.online if role in ONLINE_ROLES else self.offline


def read_passphrases(environment: Mapping[str, str]) -> Passphrases:
    """Take passphrases from the environment or from the files that it names.

    Raises:
        RegistryError: a file cannot be read, or a passphrase is empty or too long.
    """
    return Passphrases(
        _passphrase(environment, PASSPHRASE_ENV), _passphrase(environment, ONLINE_PASSPHRASE_ENV)
    )


def _passphrase(environment: Mapping[str, str], variable: str) -> bytes | None:
    content: bytes | None = None
    if variable in environment:
        content = os.fsencode(environment[variable])
    elif path := environment.get(f"{variable}_FILE"):
        content = read_bounded(Path(path), MAX_KEY_BYTES).strip(b"\r\n")
    if content == b"":
        raise RegistryError(f"the passphrase of {variable} is empty")
    return content
