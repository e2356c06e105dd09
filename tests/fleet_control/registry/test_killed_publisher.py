"""A publisher that is killed at any moment leaves a repository that serves, and that can be published to."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from fleet_control.registry.ceremony import KeyCount, initialise
from fleet_control.registry.client import RepositoryRegistry
from fleet_control.registry.keys import KeyRing
from fleet_control.registry.model import ModelFolder, read_model
from fleet_control.registry.publisher import Publisher
from fleet_control.registry.settings import ROLES, RegistrySettings
from fleet_control.registry.storage import FolderStorage
from tests.repositories import write_model

ROOT = Path(__file__).parents[3]
KILLS = {"publish": 10, "retire": 6, "rotate": 10, "refresh": 2, "pin": 2}


class Publishers:
    """The process that forks publishers."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fleet_control.registry.killed_publisher", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def work(self, do: str, *, seed: int = 0, at: int = 0) -> dict[str, Any]:
        """Let one publisher work, and die at a file operation."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, "seed": seed, "at": at}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["exit"] == 0
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)


class Models:
    """Models that are written one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seed = 0

    def write(self) -> ModelFolder:
        """Write another one."""
        self.seed += 1
        return read_model(write_model(self._folder / f"model-{self.seed}", self.seed, artifact_bytes=5_000))


@pytest.mark.end_to_end
def test_killed_at_any_file_operation(tmp_path: Path) -> None:
    """Killed 30 times while it publishes, retires, rotates, refreshes or pins: carts find what is named."""
    storage, keys = FolderStorage(tmp_path / "repository"), KeyRing([tmp_path / "keys"])
    models = Models(tmp_path)
    counts = dict.fromkeys(ROLES, KeyCount(1, 1))
    root = initialise(storage, keys, counts=counts, settings=RegistrySettings())
    publisher = Publisher(storage, keys)
    publisher.publish(models.write())
    draw, killed = random.Random(20_261_128), 0
    with Publishers(tmp_path) as publishers, RepositoryRegistry(storage.folder, root) as old_cart:
        for do, kills in KILLS.items():
            publisher.publish(models.write())
            models.write()
            operations = publishers.work(do, seed=models.seed)["operations"]
            for at in sorted(draw.sample(range(1, operations + 1), kills)):
                model = models.write()
                killed += publishers.work(do, seed=models.seed, at=at)["signal"] == signal.SIGKILL
                with RepositoryRegistry(storage.folder, root) as new_cart:
                    assert all_fetchable(old_cart)
                    assert all_fetchable(new_cart)
                published = publisher.publish(model)
                assert published in old_cart.models()
                while len(publisher.models()) > 3 and do != "pin":
                    publisher.retire(publisher.models()[-1].digest)
    assert killed == sum(KILLS.values())


def all_fetchable(cart: RepositoryRegistry) -> bool:
    """Tell whether a cart gets models, and every one that is named."""
    models = cart.models()
    return bool(models) and all(cart.fetchable(model.digest) for model in models)
