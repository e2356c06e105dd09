"""How models are named in the signed list of targets.

A file of a model is the target `models/<digest>/<file>`. What people and rollouts want to know of the model
is with the target of its manifest.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from tuf.api.metadata import TargetFile

from fleet_control.errors import RegistryError
from fleet_control.registry.model import MANIFEST, ModelFolder, Sha256, Text
from fleet_control.rollouts.ports import PublishedModel

CUSTOM = "cartwright"


class _Custom(Struct, frozen=True, kw_only=True):
    """What is signed of a model beside its files."""

    name: Text
    version: Text
    manifest: Sha256
    published_ms: int


def target_path(digest: str, name: str) -> str:
    """Return the name of a model's file among the targets."""
    return f"models/{digest}/{name}"


def file_name(target: TargetFile) -> str:
    """Return where the file of a target lies: named by its content, as old and new stand side by side."""
    folder, _, name = target.path.rpartition("/")
    return f"targets/{folder}/{target.hashes['sha256']}.{name}"


def targets_of(model: ModelFolder, published_ms: int) -> tuple[TargetFile, ...]:
    """Return the targets of a model, the manifest's first."""
    digest = model.manifest.digest
    targets = [
        TargetFile(file.size_bytes, {"sha256": file.sha256}, target_path(digest, file.name))
        for file in model.files
    ]
    custom = _Custom(
        name=model.manifest.name,
        version=model.manifest.version,
        manifest=model.sha256,
        published_ms=published_ms,
    )
    _mark(targets[0], custom)
    return tuple(targets)


def of_model(targets: Mapping[str, TargetFile], digest: str) -> dict[str, TargetFile]:
    """Return the targets of one model, by the names in its folder."""
    start = target_path(digest, "")
    return {path[len(start) :]: target for path, target in targets.items() if path.startswith(start)}


def published_models(targets: Mapping[str, TargetFile]) -> tuple[PublishedModel, ...]:
    """Return all models of a list of targets, the newest first.

    Raises:
        RegistryError: what was signed of a model is not what this version writes.
    """
    digests = {path.split("/")[1] for path in targets if path.startswith("models/") and path.count("/") > 1}
    models = [published_model(targets, digest) for digest in digests]
    return tuple(sorted(models, key=lambda model: (-model.published_ms, model.digest)))


def published_model(targets: Mapping[str, TargetFile], digest: str) -> PublishedModel:
    """Return one model.

    Raises:
        RegistryError: as `published_models`.
    """
    own = of_model(targets, digest)
    custom = _custom(digest, own)
    size_bytes = sum(target.length for target in own.values())
    return PublishedModel(
        digest, custom.name, custom.version, custom.manifest, size_bytes, custom.published_ms
    )


def republish(targets: Mapping[str, TargetFile], digest: str, published_ms: int) -> None:
    """Give a model a new time of publication, its files as they are."""
    own = of_model(targets, digest)
    _mark(own[MANIFEST], msgspec.structs.replace(_custom(digest, own), published_ms=published_ms))


def _mark(manifest: TargetFile, custom: _Custom) -> None:
    manifest.unrecognized_fields["custom"] = {CUSTOM: msgspec.to_builtins(custom)}


def _custom(digest: str, targets: Mapping[str, TargetFile]) -> _Custom:
    try:
        custom: _Custom = msgspec.convert(targets[MANIFEST].custom[CUSTOM], _Custom)
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise RegistryError(f"the repository says nothing that we know of model {digest}: {error}") from error
    return custom
