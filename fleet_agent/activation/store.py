"""The models a cart keeps on its own disk, each in a folder named after its manifest.

    models/<sha256 of manifest.json>/manifest.json, manifest.sig, *.onnx, golden/*

A folder gets its name when all its files are on the disk and are those of the manifest. Files that the
manifest does not list are not copied. One process owns the store.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fleet_agent import durable
from fleet_agent.activation import golden
from fleet_agent.activation.signing import (
    MANIFEST_NAME,
    MAX_SIGNATURE_BYTES,
    SIGNATURE_NAME,
    verify_offer,
)
from fleet_agent.errors import GoldenError, ManifestError, ModelError, StoreError
from fleet_agent.manifest import MAX_MANIFEST_BYTES, ModelManifest, parse_manifest

# Protocol buffers end at 2 GB, so no ONNX file without external data is larger.
MAX_ARTIFACT_BYTES = 2_000_000_000
# Of the golden frames and artifacts that a manifest lists; more is no model of ours.
MAX_FILES = golden.MAX_GOLDEN_FRAMES + 8


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of which every byte was checked.

    Attributes:
        directory: Its folder.
        manifest: Of it.
        name: sha256 of the manifest.
        signed_by: Id of the key; empty where no signature is asked for.
    """

    directory: Path
    manifest: ModelManifest
    name: str
    signed_by: str


@dataclass(frozen=True, slots=True)
class Offer:
    """The two small files of a model that is offered: read once, so nobody changes them in between.

    Attributes:
        directory: Where it lies.
        document: `manifest.json`.
        signature: `manifest.sig`; empty if there is none.
    """

    directory: Path
    document: bytes
    signature: bytes

    @property
    def name(self) -> str:
        """sha256 of the manifest."""
        return hashlib.sha256(self.document).hexdigest()


def read_offer(directory: Path) -> Offer:
    """Read the manifest and the signature of a model.

    Raises:
        ManifestError: there is no manifest, or it is too large.
    """
    document = _read(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES)
    try:
        signature = _read(directory / SIGNATURE_NAME, MAX_SIGNATURE_BYTES)
    except ManifestError:
        signature = b""
    return Offer(directory, document, signature)


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with durable.open_regular(path) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror or error}") from error
    if len(content) > most_bytes:
        raise ManifestError(f"{path} has more than {most_bytes} bytes")
    return content


class ModelStore:
    """The folder `models`.

    Args:
        folder: Made if it is not there; the caller holds its lock.
        trusted: Keys that may sign, by id; None: signatures are not asked for.

    Attributes:
        trusted: Those keys.
        leftovers: How many half-written models a killed process left.

    Raises:
        StoreError: the folder cannot be made or swept.
    """

    def __init__(self, folder: Path, trusted: Mapping[str, bytes] | None) -> None:
        self._folder = folder
        self.trusted = trusted
        try:
            durable.make_folder(folder)
            self.leftovers = durable.sweep(folder)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror or error}") from error

    def directory(self, name: str) -> Path:
        """Return where a model lies, or would."""
        return self._folder / name

    def admit(self, offer: Offer) -> StoredModel:
        """Check a model and keep a copy of it.

        Raises:
            SignatureError: nobody we trust signed it.
            ManifestError: the manifest is malformed.
            ModelError: a file is missing or not the manifest's.
            StoreError: the disk is full or broken.
        """
        signed_by = self._verify(offer.document, offer.signature)
        manifest = parse_manifest(offer.document, str(offer.directory / MANIFEST_NAME))
        kept = self._folder / offer.name
        if kept.is_dir():
            damage = _damage(kept, manifest)
            if not damage:
                self._renew(offer, kept)
                return StoredModel(kept, manifest, offer.name, signed_by)
            if offer.directory == kept:
                raise ModelError(damage)
        self._copy(offer, manifest, kept)
        return StoredModel(kept, manifest, offer.name, signed_by)

    def open(self, name: str) -> StoredModel:
        """Return a model that was admitted before, after checking it again.

        Raises:
            ModelError: it is not there, was damaged, or its key is no longer trusted.
        """
        directory = self._folder / name
        offer = read_offer(directory)
        if offer.name != name:
            raise ModelError(f"{directory / MANIFEST_NAME} was damaged: its sha256 is {offer.name}")
        signed_by = self._verify(offer.document, offer.signature)
        manifest = parse_manifest(offer.document, str(directory / MANIFEST_NAME))
        if damage := _damage(directory, manifest):
            raise ModelError(damage)
        return StoredModel(directory, manifest, name, signed_by)

    def clean(self, keep: Collection[str]) -> None:
        """Delete all models but some."""
        with suppress(OSError):
            for path in sorted(self._folder.iterdir()):
                if path.name not in keep:
                    durable.remove(path)

    def _verify(self, document: bytes, signature: bytes) -> str:
        if self.trusted is None:
            return ""
        return verify_offer(document, signature, self.trusted)

    def _renew(self, offer: Offer, kept: Path) -> None:
        """Give a kept model the small files it is offered with: it may have been signed anew."""
        small = ((MANIFEST_NAME, offer.document), (SIGNATURE_NAME, offer.signature))
        try:
            with suppress(ManifestError):
                if read_offer(kept) == replace(offer, directory=kept):
                    return
            for name, content in small:
                durable.write_file(kept / name, content)
        except OSError as error:
            raise StoreError(f"{kept}: {error.strerror or error}") from error

    def _copy(self, offer: Offer, manifest: ModelManifest, kept: Path) -> None:
        temporary = durable.incomplete(kept)
        try:
            (temporary / golden.FOLDER).mkdir(parents=True)
            for name, sha256, most_bytes in _files(manifest):
                if not (offer.directory / name).is_file():
                    raise ModelError(f"{offer.directory / name} is missing")
                written = durable.copy_file(offer.directory / name, temporary / name, most_bytes)
                if written != sha256:
                    raise ModelError(_not_the_manifests(offer.directory / name, written))
            durable.write_file(temporary / SIGNATURE_NAME, offer.signature)
            durable.write_file(temporary / MANIFEST_NAME, offer.document)
            durable.sync_folder(temporary / golden.FOLDER)
            durable.remove(kept)
            durable.publish_folder(temporary, kept)
        except OSError as error:
            raise StoreError(f"{error.filename or kept}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                durable.remove(temporary)


def _files(manifest: ModelManifest) -> Iterator[tuple[str, str, int]]:
    """Name, sha256 and largest size of each file that the manifest lists."""
    if len(manifest.golden) + len(manifest.artifacts) > MAX_FILES:
        raise GoldenError(f"the manifest lists more than {MAX_FILES} files")
    listed = [
        *((entry.file, entry.sha256, MAX_ARTIFACT_BYTES) for entry in manifest.artifacts.values()),
        *((f"{golden.FOLDER}/{f.file}", f.sha256, golden.MAX_GOLDEN_BYTES) for f in manifest.golden),
    ]
    digests: dict[str, str] = {}
    for name, sha256, _ in listed:
        if name in {MANIFEST_NAME, SIGNATURE_NAME} or digests.setdefault(name, sha256) != sha256:
            raise ManifestError(f"the manifest lists {name} twice, or it is no name for a file of a model")
    yield from dict.fromkeys(listed)


def _damage(directory: Path, manifest: ModelManifest) -> str:
    """Say which file of a model is missing or damaged; empty: none."""
    for name, sha256, _ in _files(manifest):
        try:
            digest = durable.file_sha256(directory / name)
        except OSError as error:
            return f"{directory / name}: {error.strerror or error}"
        if digest != sha256:
            return _not_the_manifests(directory / name, digest)
    return ""


def _not_the_manifests(path: Path, digest: str) -> str:
    return f"{path} is not the manifest's file: its sha256 is {digest}"
