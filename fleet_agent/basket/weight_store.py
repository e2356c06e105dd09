"""Learned weights on disk: a small JSON file beside the spool, whole or as it was before.

A file that is damaged, too large or of another version is put aside as nothing: the cart starts from the
catalogue, and the next weighing writes a good one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from fleet_agent.basket.weight_table import MEMORY, Weighings
from fleet_agent.durable import write_file
from fleet_agent.errors import WeightStoreError

# A weighing is about 100 bytes, a catalogue at most 4096 items.
MAX_BYTES = 1_000_000

Grams = Annotated[float, Meta(gt=-1e7, lt=1e7)]


class _Row(Struct, frozen=True, forbid_unknown_fields=True):
    n: Annotated[int, Meta(ge=1, le=MEMORY)]
    mean_g: Grams
    squares: Annotated[float, Meta(ge=0, lt=1e14)]
    catalogue_g: Grams


class _Document(Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    items: dict[str, _Row]


class WeightStore:
    """One cart's file of learned weights.

    Args:
        path: Of the file; its folder is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Weighings]:
        """Return what was learned, nothing when there is no file yet.

        Raises:
            WeightStoreError: the file cannot be read, or is damaged.
        """
        try:
            with self._path.open("rb") as file:
                document = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise WeightStoreError(f"{self._path}: {error.strerror or error}") from error
        if len(document) > MAX_BYTES:
            raise WeightStoreError(f"{self._path}: more than {MAX_BYTES} bytes")
        try:
            rows = msgspec.json.decode(document, type=_Document).items
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WeightStoreError(f"{self._path}: {error}") from error
        return {
            item_id: Weighings(row.n, row.mean_g, row.squares, row.catalogue_g)
            for item_id, row in rows.items()
        }

    def save(self, weighings: Mapping[str, Weighings]) -> None:
        """Write what was learned, whole or not at all.

        Raises:
            WeightStoreError: the disk is full or broken.
        """
        items = {
            item_id: _Row(one.n, one.mean_g, one.squares, one.catalogue_g)
            for item_id, one in weighings.items()
        }
        try:
            write_file(self._path, msgspec.json.encode(_Document(1, items)))
        except OSError as error:
            raise WeightStoreError(f"{self._path}: {error.strerror or error}") from error
