"""New keys for old ones: finished or not begun, so that carts never meet a half of it."""

import shutil
from pathlib import Path

import pytest

from fleet_control.errors import RegistryError
from fleet_control.registry.ceremony import KeyCount, initialise, rotate
from fleet_control.registry.client import RepositoryRegistry
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.passphrases import ONLINE_PASSPHRASE_ENV, Passphrases
from fleet_control.registry.settings import ROLES, RegistrySettings, Role
from fleet_control.registry.storage import FolderStorage
from tests.repositories import World


class Encrypted:
    """A repository whose keys have passphrases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = FolderStorage(folder / "repository")
        counts = dict.fromkeys(ROLES, KeyCount(1, 1))
        ring = self.ring(Passphrases(b"offline", b"online"))
        self.root = initialise(self.storage, ring, counts=counts, settings=RegistrySettings())

    def ring(self, passphrases: Passphrases) -> KeyRing:
        """Return its keys, as somebody has them who knows some passphrases."""
        return KeyRing([self.folder / "keys"], passphrases)

    def believed(self) -> bool:
        """Tell whether a new cart takes the metadata; an error says why not."""
        with RepositoryRegistry(self.storage.folder, self.root) as registry:
            return registry.models() == ()


class FullOnce(FolderStorage):
    """A disk that is full when the first snapshot is to be written."""

    full = True

    def write(self, name: str, content: bytes) -> None:
        """Write, or fail."""
        if "snapshot" in name and self.full:
            self.full = False
            raise RegistryError("no space left on device")
        super().write(name, content)


def tree(folder: Path) -> dict[Path, bytes]:
    """Return all files, but for locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("lock."))
    return {path: path.read_bytes() for path in files}


@pytest.fixture
def encrypted(tmp_path: Path) -> Encrypted:
    """A new repository with encrypted keys."""
    return Encrypted(tmp_path)


def test_keys_whose_passphrase_is_forgotten_are_replaced(encrypted: Encrypted) -> None:
    """Their files still lie there, and nobody needs to open them: carts go on, after one call."""
    ring = encrypted.ring(Passphrases(b"offline", b"new"))

    assert rotate(encrypted.storage, ring, ["snapshot", "timestamp"], lost=True) == 2

    assert encrypted.believed()


def test_a_replacement_that_was_interrupted_is_repeated(encrypted: Encrypted) -> None:
    """The disk was full after the new root; the second call does not open the forgotten files either."""
    ring, storage = encrypted.ring(Passphrases(b"offline", b"new")), FullOnce(encrypted.storage.folder)
    with pytest.raises(RegistryError, match="no space"):
        rotate(storage, ring, ["snapshot", "timestamp"], lost=True)

    assert rotate(storage, ring, ["snapshot", "timestamp"], lost=True) == 3

    assert encrypted.believed()
    assert len(list((encrypted.folder / "keys" / "snapshot").iterdir())) == 1


@pytest.mark.parametrize("roles", [["snapshot"], ["snapshot", "timestamp"], ["targets"]])
@pytest.mark.parametrize("lost", [True, False])
def test_a_passphrase_that_was_not_set_stops_a_rotation_before_it_begins(
    encrypted: Encrypted, roles: list[Role], *, lost: bool
) -> None:
    """No key in the clear lies beside encrypted ones, and no new root waits for signatures."""
    before = tree(encrypted.folder)

    with pytest.raises(RegistryError, match=f"encrypted.*{ONLINE_PASSPHRASE_ENV}"):
        rotate(encrypted.storage, encrypted.ring(Passphrases(b"offline")), roles, lost=lost)

    assert tree(encrypted.folder) == before


def test_keys_that_are_not_at_hand_are_named(world: World) -> None:
    """Somebody plugged in the wrong stick, and must know which are the right ones."""
    stick = world.folder / "stick"
    (stick / "root").mkdir(parents=True)
    right = sorted(path.stem for path in (world.folder / "keys" / "root").iterdir())
    (stick / "root" / f"{'0' * 64}.pem").write_text("of another repository")
    shutil.rmtree(world.folder / "keys" / "root")

    with pytest.raises(RegistryError) as told:
        rotate(world.storage, KeyRing([world.folder / "keys", stick]), ["root"], now=world.now)

    wanted, found = str(told.value).split("wanted: 1 of ")[1].split("; found in ")
    assert wanted == f"{right[0][:16]}…, {right[1][:16]}…"
    assert found == f"{world.folder / 'keys'}, {stick}: 0000000000000000…"


def test_new_keys_are_encrypted_if_the_old_ones_are(encrypted: Encrypted) -> None:
    """Whoever asks for them: a key ring draws none in the clear."""
    with pytest.raises(RegistryError, match="would not be"):
        encrypted.ring(Passphrases()).generate("snapshot", 1)

    assert len(list((encrypted.folder / "keys" / "snapshot").iterdir())) == 1


@pytest.mark.parametrize("missing", ["root", "snapshot"])
@pytest.mark.parametrize("lost", [True, False])
def test_a_rotation_without_the_keys_for_it_changes_nothing(
    world: World, missing: str, *, lost: bool
) -> None:
    """A stick was not plugged in: neither new keys nor signatures are left behind."""
    shutil.rmtree(world.folder / "keys" / missing)
    before = tree(world.folder)

    with pytest.raises(RegistryError, match=f"too few keys of {missing}"):
        rotate(world.storage, world.keys, ["targets"], lost=lost, now=world.now)

    assert tree(world.folder) == before
