"""`world.json`: which world lives in a data directory, and since when. A second start continues it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from demo.data_dir import DataDir, write_atomically
from demo.errors import OtherWorldError, SettingsError
from demo.world.settings import WorldSettings

VERSION = 1
# Names in the file, and the options people know.
_TITLES = {
    "seed": "seed",
    "stores": "stores",
    "carts_per_store": "carts per store",
    "history_days": "days of history",
    "warehouse": "warehouse",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the person asked for; None where nothing was said."""

    seed: int | None = None
    stores: int | None = None
    carts_per_store: int | None = None
    history_days: int | None = None
    warehouse: str | None = None


DEFAULTS = Wishes(seed=7, stores=4, carts_per_store=6, history_days=28, warehouse="")


@dataclass(frozen=True, slots=True)
class WorldRecord:
    """What a data directory holds.

    Attributes:
        settings: Seed and shape.
        warehouse: Where its history went; empty for the embedded one.
        starts: How often it was started, this time included; live shoppers differ each time.
    """

    settings: WorldSettings
    warehouse: str
    starts: int


def load_record(data_dir: DataDir) -> WorldRecord | None:
    """Return what the data directory holds; None when it is new.

    Raises:
        SettingsError: the file is damaged.
    """
    try:
        document = json.loads(data_dir.world.read_text(encoding="utf-8"))
        settings = WorldSettings(**document["settings"])
        return WorldRecord(settings, str(document["warehouse"]), int(document["starts"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{data_dir.world} cannot be read ({error}): remove {data_dir.root} or choose another --data-dir."
        ) from error


def start_record(data_dir: DataDir, wishes: Wishes, now_ms: Callable[[], int]) -> WorldRecord:
    """Return the world to run, new or continued, and count this start.

    Raises:
        OtherWorldError: the directory holds a world that differs from what was asked for.
        SettingsError: a value is out of range, or the file is damaged.
    """
    known = load_record(data_dir)
    record = _new(wishes, now_ms) if known is None else _continued(data_dir, known, wishes)
    write_atomically(
        data_dir.world,
        {
            "version": VERSION,
            "settings": asdict(record.settings),
            "warehouse": record.warehouse,
            "starts": record.starts,
        },
    )
    return record


def _new(wishes: Wishes, now_ms: Callable[[], int]) -> WorldRecord:
    asked: dict[str, Any] = {
        name: default if (value := getattr(wishes, name)) is None else value
        for name, default in asdict(DEFAULTS).items()
    }
    warehouse = str(asked.pop("warehouse"))
    # To the whole minute: the carts' first window begins where the last one of history ended.
    epoch_ms = now_ms() // 60_000 * 60_000
    return WorldRecord(WorldSettings(**asked, epoch_ms=epoch_ms), warehouse, 1)


def _continued(data_dir: DataDir, known: WorldRecord, wishes: Wishes) -> WorldRecord:
    held = {**asdict(known.settings), "warehouse": known.warehouse}
    different = [
        f"{held[name] or 'embedded'} {title}" if isinstance(held[name], int) else f"another {title}"
        for name, title in _TITLES.items()
        if (wish := getattr(wishes, name)) is not None and wish != held[name]
    ]
    if different:
        raise OtherWorldError(data_dir.root, ", ".join(different))
    return replace(known, starts=known.starts + 1)


def require_record(path: Path) -> WorldRecord:
    """Return the world of a directory that `cartwright up` has prepared.

    Raises:
        SettingsError: it has not.
    """
    record = load_record(DataDir(path))
    if record is None:
        raise SettingsError(f"{path} holds no world yet: it is made by `cartwright up`.")
    return record
