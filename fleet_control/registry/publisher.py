"""Publishing: files first, then the metadata that names them, the timestamp last.

So a cart that reads at any moment finds all that is named. A publisher may be killed between any two steps:
what it wrote and nothing names is swept by the next.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from tuf.api.metadata import TargetFile

from fleet_control.errors import RegistryError
from fleet_control.registry import catalogue, pins
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.model import ModelFolder
from fleet_control.registry.settings import ONLINE_ROLES, ROLES
from fleet_control.registry.signed import SignedMetadata, utc_now
from fleet_control.registry.storage import Storage
from fleet_control.rollouts.ports import PublishedModel

LOCK = "publish"
# Copying a large model into the repository takes this long. Longer only keeps a second publisher waiting.
LOCK_TIMEOUT_S = 60.0
# A cart that has read the timestamp reads snapshot and targets seconds later. Fewer versions could break that
# in a storm of publishing; more only fill the folder.
KEPT_VERSIONS = 16
# What is renewed has less than this share of its life left. Higher: more versions; lower: less time to notice
# that nothing renews any more.
RENEWED_SHARE = 0.5
_VERSIONED = re.compile(r"metadata/([0-9]+)\.(snapshot|targets)\.json")
# As publishers name files. Whatever else somebody put below targets is left alone.
_PUBLISHED = re.compile(r"targets/models/[0-9a-f]{16}/(?:.+/)?[0-9a-f]{64}\.[^/]+")


@dataclass(frozen=True, slots=True)
class Expiry:
    """Until when the metadata of a role holds.

    Attributes:
        role: Whose.
        version: Of it.
        expires: When carts begin to refuse it.
    """

    role: str
    version: int
    expires: datetime


class Publisher:
    """Adds models to a repository and takes them away.

    Args:
        storage: Of the repository.
        keys: At hand: targets, snapshot and timestamp; for `refresh` the last two.
        now: The time of day, with its zone.
    """

    def __init__(self, storage: Storage, keys: KeyRing, now: Callable[[], datetime] = utc_now) -> None:
        self._storage = storage
        self._keys = keys
        self._now = now

    def publish(self, model: ModelFolder) -> PublishedModel:
        """Publish a model; one that is there already gets new metadata, and files where they changed.

        Raises:
            RegistryError: another manifest has this digest, the root has expired, keys are missing, or files
                cannot be written.
        """
        digest = model.manifest.digest
        with self._believed() as repository:
            md = repository.open("targets")
            self._same_manifest(md.signed.targets, model)
            targets = catalogue.targets_of(model, self._now_ms())
            for name in catalogue.of_model(md.signed.targets, digest):
                del md.signed.targets[catalogue.target_path(digest, name)]
            md.signed.targets.update({target.path: target for target in targets})
            # The list may be too long: before a file is copied for it.
            content = repository.sealed("targets", md)
            for file, target in zip(model.files, targets, strict=True):
                name = catalogue.file_name(target)
                if self._storage.sha256(name) != file.sha256:
                    self._storage.copy_in(model.directory / file.name, name, file.sha256)
            repository.put("targets", md, content)
            self._go_live(repository)
            return catalogue.published_model(repository.targets().targets, digest)

    def republish(self, digest: str) -> PublishedModel:
        """Publish new metadata for a model as it is: how a rollback names an older model.

        Raises:
            RegistryError: it is not there or damaged, the root has expired, or keys are missing.
        """
        with self._believed() as repository:
            with repository.edit_targets() as signed:
                self._whole(self._of_model(signed.targets, digest))
                catalogue.republish(signed.targets, digest, self._now_ms())
            self._go_live(repository)
            return catalogue.published_model(repository.targets().targets, digest)

    def retire(self, digest: str) -> None:
        """Take a model away.

        Raises:
            RegistryError: it is not there, it is pinned, or the root has expired.
        """
        # Pins last: who pins should not wait until another publisher is done.
        with self._believed() as repository, self._storage.lock(pins.LOCK, pins.LOCK_TIMEOUT_S):
            if holders := pins.Pins(self._storage).holders(digest):
                raise RegistryError(f"model {digest} is needed by {', '.join(holders)}")
            with repository.edit_targets() as signed:
                for name in self._of_model(signed.targets, digest):
                    del signed.targets[catalogue.target_path(digest, name)]
            self._go_live(repository)

    def refresh(self, *, force: bool = False) -> tuple[Expiry, ...]:
        """Renew the snapshot and the timestamp where less than half of their life is left.

        Args:
            force: Renew them in any case.

        Returns:
            Until when each role's metadata holds now; root and targets are renewed by people only.

        Raises:
            RegistryError: keys are missing, or the repository cannot be written.
        """
        with self._repository() as repository:
            settings = self._keys.settings()
            now = self._now()
            due = {
                role: force
                or repository.open(role).signed.expires - now < RENEWED_SHARE * settings.life(role)
                for role in ONLINE_ROLES
            }
            if any(due.values()):
                repository.require(*(ONLINE_ROLES if due["snapshot"] else ("timestamp",)))
                if due["snapshot"]:
                    repository.do_snapshot(force=True)
                repository.do_timestamp(force=True)
                self._prune(repository)
            return _expiries(repository)

    def models(self) -> tuple[PublishedModel, ...]:
        """Return what is published, the newest first."""
        with self._repository() as repository:
            return catalogue.published_models(repository.targets().targets)

    def expiries(self) -> tuple[Expiry, ...]:
        """Return until when each role's metadata holds."""
        with self._repository() as repository:
            return _expiries(repository)

    @contextmanager
    def _repository(self) -> Iterator[SignedMetadata]:
        with self._storage.lock(LOCK, LOCK_TIMEOUT_S):
            repository = SignedMetadata(self._storage, self._keys, self._now)
            repository.load()
            yield repository

    @contextmanager
    def _believed(self) -> Iterator[SignedMetadata]:
        """Open the repository to change it, if that can be finished and carts believe its root."""
        with self._repository() as repository:
            root = repository.root()
            if root.is_expired(self._now()):
                raise RegistryError(
                    f"the root expired at {root.expires:%Y-%m-%d %H:%M} UTC, and carts would take nothing: "
                    "`cartwright models renew-root` first"
                )
            repository.require("targets", *ONLINE_ROLES)
            yield repository

    def _go_live(self, repository: SignedMetadata) -> None:
        """Lead carts to the new targets metadata and sweep what nothing names."""
        repository.do_snapshot()
        repository.do_timestamp()
        self._prune(repository)
        named = {catalogue.file_name(target) for target in repository.targets().targets.values()}
        for name in self._storage.names("targets"):
            if name not in named and _PUBLISHED.fullmatch(name):
                self._storage.remove(name)

    def _prune(self, repository: SignedMetadata) -> None:
        newest = {role: repository.open(role).signed.version for role in ("snapshot", "targets")}
        for name in self._storage.names("metadata"):
            found = _VERSIONED.fullmatch(name)
            if found and int(found[1]) <= newest[found[2]] - KEPT_VERSIONS:
                self._storage.remove(name)

    def _same_manifest(self, targets: Mapping[str, TargetFile], model: ModelFolder) -> None:
        digest = model.manifest.digest
        for known in catalogue.published_models(targets):
            if known.digest == digest and known.manifest != model.sha256:
                raise RegistryError(
                    f"model {digest} is published with another manifest, {known.manifest[:16]}…; telemetry "
                    "could not tell the two apart: retire that one first"
                )

    def _of_model(self, targets: Mapping[str, TargetFile], digest: str) -> dict[str, TargetFile]:
        found = catalogue.of_model(targets, digest)
        if not found:
            raise RegistryError(f"there is no model {digest}")
        return found

    def _whole(self, targets: Mapping[str, TargetFile]) -> None:
        for target in targets.values():
            name = catalogue.file_name(target)
            if self._storage.sha256(name) != target.hashes["sha256"]:
                raise RegistryError(f"{name} is damaged or gone: publish the model from its folder")

    def _now_ms(self) -> int:
        return round(self._now().timestamp() * 1000)


def _expiries(repository: SignedMetadata) -> tuple[Expiry, ...]:
    signed = [(role, repository.open(role).signed) for role in ROLES]
    return tuple(Expiry(role, of.version, of.expires) for role, of in signed)
