"""From a trained network to the ONNX file a cart loads."""

import copy
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.network import CentreDetector, Deployed

# TensorRT 10.3 (JetPack 6) and every ONNX Runtime since 1.13 read this opset.
OPSET = 17


def export_onnx(detector: CentreDetector, path: Path, *, side: int = 160) -> None:
    """Write the network as ONNX, opset 17, with a free batch size.

    Args:
        detector: Trained network; left unchanged.
        path: File to write.
        side: Input width and height in pixels.
    """
    deployed = Deployed(folded(detector)).eval()
    example = torch.zeros(2, 3, side, side)
    with warnings.catch_warnings():
        # The tracing exporter is the one that writes opset 17; PyTorch only announces that it is the older
        # one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            deployed,
            (example,),
            str(path),
            input_names=["images"],
            output_names=["scores", "boxes"],
            dynamic_axes={name: {0: "batch"} for name in ("images", "scores", "boxes")},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(onnx.load(str(path)), full_check=True)


def folded(detector: CentreDetector) -> CentreDetector:
    """Return a copy in evaluation mode, every batch normalisation folded into the convolution before it."""
    plain: CentreDetector = copy.deepcopy(detector).eval()
    for module in plain.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for index in range(len(module) - 1):
            if isinstance(module[index], nn.Conv2d) and isinstance(module[index + 1], nn.BatchNorm2d):
                module[index] = fuse_conv_bn_eval(module[index], module[index + 1])
                module[index + 1] = nn.Identity()
    return plain
