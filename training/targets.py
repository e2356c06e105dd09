"""What the network should say about a frame: a heat map per class, a box per centre. NumPy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.dataset import INPUT_SIDE, STRIDE, SceneSet

CELLS = INPUT_SIDE // STRIDE
# Width of a centre's bump relative to its box: wider forgives a peak that is off by a cell.
_BUMP = 0.16


@dataclass(frozen=True, slots=True)
class Targets:
    """Wanted output of a batch.

    Attributes:
        heat: float32 (n, c, 20, 20), 1 at item centres, falling off around them.
        counted: float32 (n, 1, 20, 20), 0 where nothing is known (barely visible items), else 1.
        boxes: float32 (n, 4, 20, 20), wanted box of the cells near a centre.
        box_weight: float32 (n, 1, 20, 20), how much a cell's box counts.
        centre_class: int64 (n, 20, 20), class at centres, -1 elsewhere.
    """

    heat: NDArray[np.float32]
    counted: NDArray[np.float32]
    boxes: NDArray[np.float32]
    box_weight: NDArray[np.float32]
    centre_class: NDArray[np.int64]


def make_targets(scenes: SceneSet, rows: NDArray[np.int64], class_count: int, min_visible: float) -> Targets:
    """Return the targets of some frames of a set."""
    n = len(rows)
    out = Targets(
        np.zeros((n, class_count, CELLS, CELLS), np.float32),
        np.ones((n, 1, CELLS, CELLS), np.float32),
        np.zeros((n, 4, CELLS, CELLS), np.float32),
        np.zeros((n, 1, CELLS, CELLS), np.float32),
        np.full((n, CELLS, CELLS), -1, np.int64),
    )
    for index, row in enumerate(rows):
        for place in np.flatnonzero(scenes.classes[row] >= 0):
            box = scenes.boxes[row, place]
            if scenes.visible[row, place] < min_visible:
                _forget(out, index, box)
            else:
                _mark(out, index, int(scenes.classes[row, place]), box)
    return out


def _cells_of(box: NDArray[np.float32]) -> tuple[slice, slice]:
    x0, x1 = (box[0] - box[2] / 2) * CELLS, (box[0] + box[2] / 2) * CELLS
    y0, y1 = (box[1] - box[3] / 2) * CELLS, (box[1] + box[3] / 2) * CELLS
    return slice(max(0, int(y0)), int(np.ceil(y1))), slice(max(0, int(x0)), int(np.ceil(x1)))


def _forget(out: Targets, index: int, box: NDArray[np.float32]) -> None:
    out.counted[index, 0][_cells_of(box)] = 0.0


def _mark(out: Targets, index: int, item_class: int, box: NDArray[np.float32]) -> None:
    column = int(np.clip(box[0] * CELLS, 0, CELLS - 1))
    row = int(np.clip(box[1] * CELLS, 0, CELLS - 1))
    ys, xs = np.mgrid[0:CELLS, 0:CELLS]
    sd_x, sd_y = max(0.55, _BUMP * box[2] * CELLS), max(0.55, _BUMP * box[3] * CELLS)
    bump = np.exp(-((xs - column) ** 2) / (2 * sd_x**2) - (ys - row) ** 2 / (2 * sd_y**2)).astype(np.float32)
    np.maximum(out.heat[index, item_class], bump, out=out.heat[index, item_class])
    near = bump >= 0.3
    near &= (np.abs(xs - column) <= 1) & (np.abs(ys - row) <= 1)
    stronger = near & (bump > out.box_weight[index, 0])
    out.boxes[index][:, stronger] = box[:, None]
    out.box_weight[index, 0][stronger] = bump[stronger]
    out.centre_class[index, row, column] = item_class
    out.counted[index, 0, row, column] = 1.0
