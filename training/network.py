"""The detector: a small fully convolutional network that marks the middle of each item.

After CenterNet (Zhou et al. 2019, "Objects as Points").

Input 160 x 160, stride 8: a 20 x 20 map of class scores and a 20 x 20 map of boxes. Plain 3 x 3 convolutions
with few channels: on a CPU they run faster than depthwise-separable ones of the same accuracy, whose memory
traffic dominates.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

# How far from its cell's middle a box centre may lie, in cells; neighbours of the peak must reach it too.
CENTRE_REACH_CELLS = 2.0


def conv_block(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Return convolution, batch normalisation and ReLU; export folds the first two into one."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):  # type: ignore[misc]
    """Two 3 x 3 convolutions around a shortcut, narrower in the middle."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.narrow = conv_block(channels, middle, kernel=1)
        self.spread = nn.Sequential(
            nn.Conv2d(middle, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus what the two convolutions add to it."""
        return functional.relu(x + self.spread(self.narrow(x)))


class CentreDetector(nn.Module):  # type: ignore[misc]
    """Scores and boxes per cell.

    Args:
        classes: Number of items.
        width: Half the channels at stride 4; deeper layers have multiples of it. Cost grows with its square.
    """

    def __init__(self, classes: int, width: int = 12) -> None:
        super().__init__()
        w = width
        # One wide first step to stride 4: maps at stride 2 would take half of all time and teach little.
        self.stem = nn.Sequential(
            nn.Conv2d(3, 2 * w, 6, 4, 1, bias=False),
            nn.BatchNorm2d(2 * w),
            nn.ReLU(inplace=True),
            Residual(2 * w, w),
            conv_block(2 * w, 4 * w, stride=2),
        )
        self.local = nn.Sequential(Residual(4 * w, 2 * w), Residual(4 * w, 2 * w))
        self.wide = nn.Sequential(
            conv_block(4 * w, 6 * w, stride=2), Residual(6 * w, 3 * w), Residual(6 * w, 3 * w)
        )
        self.back = conv_block(6 * w, 4 * w, kernel=1)
        self.merge = conv_block(4 * w, 4 * w)
        self.scores = nn.Conv2d(4 * w, classes, 1)
        self.boxes = nn.Conv2d(4 * w, 4, 1)
        self._start_modest()

    def _start_modest(self) -> None:
        """Start with 1 % score everywhere, so that the many empty cells do not swamp the first steps."""
        nn.init.constant_(self.scores.bias, -4.6)
        nn.init.normal_(self.scores.weight, std=0.01)
        nn.init.normal_(self.boxes.weight, std=0.01)
        nn.init.constant_(self.boxes.bias, 0.0)
        with torch.no_grad():
            self.boxes.bias[2:] = -1.1

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [N, C, 20, 20] and boxes [N, 4, 20, 20] (cx, cy, w, h as fractions of the input)."""
        near = self.local(self.stem(images))
        far = functional.interpolate(self.back(self.wide(near)), scale_factor=2.0, mode="nearest")
        features = self.merge(near + far)
        return self.scores(features), as_boxes(self.boxes(features))


def as_boxes(raw: Tensor) -> Tensor:
    """Turn raw box outputs into (cx, cy, w, h) as fractions of the input."""
    rows, columns = raw.shape[2], raw.shape[3]
    x = (torch.arange(columns, dtype=raw.dtype, device=raw.device) + 0.5).view(1, 1, 1, columns)
    y = (torch.arange(rows, dtype=raw.dtype, device=raw.device) + 0.5).view(1, 1, rows, 1)
    offset = torch.tanh(raw[:, :2]) * CENTRE_REACH_CELLS
    centre_x = (x + offset[:, :1]) / columns
    centre_y = (y + offset[:, 1:]) / rows
    return torch.cat([centre_x, centre_y, torch.sigmoid(raw[:, 2:])], dim=1)


class Deployed(nn.Module):  # type: ignore[misc]
    """The network as the cart runs it: scores after sigmoid, everything but local peaks set to zero.

    A peak is a cell whose best class beats the best class of its eight neighbours. All class scores of a peak
    are kept, so that the cart can tell "surely a cola, classic or zero" from "no idea".
    """

    def __init__(self, detector: CentreDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores [N, C, 20, 20] and boxes [N, 4, 20, 20]."""
        logits, boxes = self.detector(images)
        scores = torch.sigmoid(logits)
        best = scores.amax(dim=1, keepdim=True)
        highest = functional.max_pool2d(best, 3, stride=1, padding=1)
        return scores * (best >= highest).to(scores.dtype), boxes
