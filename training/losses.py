"""How wrong the network is: penalty-reduced focal loss, overlap of boxes, cross-entropy at the centres."""

import torch
from torch import Tensor
from torch.nn import functional


def heat_loss(logits: Tensor, heat: Tensor, counted: Tensor) -> Tensor:
    """Return the focal loss of CenterNet (Law and Deng 2018, equation 1), per item.

    Args:
        logits: [N, C, H, W].
        heat: Wanted scores, 1 at centres.
        counted: [N, 1, H, W], 0 where the loss must not look.
    """
    score = torch.sigmoid(logits)
    centre = heat.ge(1.0).to(logits.dtype)
    hit = functional.logsigmoid(logits) * (1 - score) ** 2 * centre
    miss = functional.logsigmoid(-logits) * score**2 * (1 - heat) ** 4 * (1 - centre)
    return -((hit + miss) * counted).sum() / centre.sum().clamp(min=1.0)


def box_loss(boxes: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Return 1 - GIoU plus the distance of centres and sizes, weighted per cell (Rezatofighi et al. 2019)."""
    cost = (1.0 - _giou(boxes, wanted)) + 4.0 * (boxes - wanted).abs().sum(1)
    return (cost * weight[:, 0]).sum() / weight.sum().clamp(min=1.0)


def _giou(a: Tensor, b: Tensor) -> Tensor:
    a_low, a_high = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b_low, b_high = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(1)
    hull = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).clamp(min=1e-6).prod(1)
    union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - shared
    return shared / union.clamp(min=1e-6) - (hull - union) / hull


def class_loss(logits: Tensor, centre_class: Tensor) -> Tensor:
    """Return the cross-entropy over the classes at item centres; -1 marks cells without one."""
    at_centres = logits.permute(0, 2, 3, 1)[centre_class >= 0]
    if len(at_centres) == 0:
        return logits.sum() * 0.0
    return functional.cross_entropy(at_centres, centre_class[centre_class >= 0])
