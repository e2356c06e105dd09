"""What is published: a model's folder, checked against its own manifest, and the index of all models."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fleet_control.errors import RegistryError
from fleet_protocol.fields import Digest, Sha256

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
# Of the digest of a model's reference file, this much travels with every message.
DIGEST_CHARACTERS = 16
MAX_MANIFEST_BYTES = 4_000_000
MAX_SIGNATURE_BYTES = 65_536
# Protocol buffers end at 2 GB, so no ONNX file without external data is larger.
MAX_FILE_BYTES = 2_000_000_000
MAX_FILES = 1_000
FileName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99})?\Z")
]


class _File(Struct, frozen=True):
    file: FileName
    sha256: Sha256


class _Manifest(Struct, frozen=True):
    name: str
    version: str
    artifacts: dict[str, _File]
    golden: list[_File] = []


class IndexEntry(Struct, frozen=True, kw_only=True):
    """One model in the index of a repository.

    Attributes:
        digest: As in telemetry.
        name: Of its manifest.
        version: Of its manifest.
        manifest: sha256 of `manifest.json`.
        files: Names of its files, relative to its folder.
        size_bytes: Of all of them.
        published_ms: When, epoch milliseconds.
    """

    digest: Digest
    name: str
    version: str
    manifest: Sha256
    files: list[FileName]
    size_bytes: int
    published_ms: int


class Index(Struct, frozen=True):
    """All models of a repository, the newest last; itself a signed target."""

    models: list[IndexEntry]


def checked_model(folder: Path, now_ms: int) -> IndexEntry:
    """Return the entry of a model whose every file is what its manifest says.

    Raises:
        RegistryError: a file is missing, too large or another one, or the manifest is no manifest.
    """
    document = _read(folder / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        manifest = msgspec.json.decode(document, type=_Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"{folder / MANIFEST}: {error}") from error
    reference = manifest.artifacts.get("fp32")
    if reference is None:
        raise RegistryError(f"{folder / MANIFEST} has no fp32 artifact")
    golden = [_File(f"golden/{frame.file}", frame.sha256) for frame in manifest.golden]
    listed = {one.file: one.sha256 for one in (*manifest.artifacts.values(), *golden)}
    if len(listed) > MAX_FILES:
        raise RegistryError(f"{folder / MANIFEST} lists {len(listed)} files; {MAX_FILES} are the most")
    size_bytes = sum(_checked_size(folder, name, digest) for name, digest in listed.items())
    files = [MANIFEST, *sorted(listed)]
    if (folder / SIGNATURE).is_file():
        size_bytes += len(_read(folder / SIGNATURE, MAX_SIGNATURE_BYTES))
        files.insert(1, SIGNATURE)
    return IndexEntry(
        digest=reference.sha256[:DIGEST_CHARACTERS],
        name=manifest.name,
        version=manifest.version,
        manifest=hashlib.sha256(document).hexdigest(),
        files=files,
        size_bytes=size_bytes + len(document),
        published_ms=now_ms,
    )


def _checked_size(folder: Path, name: str, digest: str) -> int:
    path = folder / name
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise RegistryError(f"{path} has {size_bytes} bytes; {MAX_FILE_BYTES} are the most")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror or error}") from error
    if found != digest:
        raise RegistryError(f"{path} is not the file of the manifest: its sha256 is {found}")
    return size_bytes


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror or error}") from error
    if len(content) > most_bytes:
        raise RegistryError(f"{path} has more than {most_bytes} bytes")
    return content


def decode_index(document: bytes) -> Index:
    """Return the index of a document.

    Raises:
        RegistryError: it is none.
    """
    try:
        return msgspec.json.decode(document, type=Index)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(f"the index of models cannot be read: {error}") from error


def encode_index(index: Index) -> bytes:
    """Return the document of an index."""
    plain: Any = msgspec.json.format(msgspec.json.encode(index))
    return bytes(plain)
