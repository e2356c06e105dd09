"""What the last logit of DETR's queries is, where there is one more than classes.

No shape tells: DETR's last is "no object" under a softmax, RF-DETR's is spare under a sigmoid. Taken for the
other, a network sees nothing, or an item in every query. Its answers to empty pictures mostly tell.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fleet_agent.decoding.activations import softmax
from fleet_agent.manifest import DetrDecoder
from fleet_agent.model_check.findings import Finding, fail, ok, warn

Head = Literal["sigmoid", "softmax"]
HEADS: tuple[Head, ...] = get_args(Head)

HOW_TO_TELL = (
    "the loss in training tells: cross entropy is softmax (DETR, YOLOS), focal loss is sigmoid"
    " (RF-DETR, whose last logit is spare)"
)
SHOWN: Mapping[Head, str] = {
    "sigmoid": "on empty pictures every logit is low, the last no higher than the others: that is a sigmoid",
    "softmax": 'on empty pictures the last logit is high and far above the others: that is "no object"',
}


def head_of(empty: Sequence[NDArray[Any]]) -> Head | None:
    """Read from logits B x Q x (C + 1) on pictures without items what the last is; None: they do not tell.

    Under a softmax nearly all of each query's probability is "no object". Under a sigmoid nothing is sure,
    not even the spare logit, which never was right in training. A last logit that is low but still above the
    others is neither: a spare one may be so by chance, and a softmax knows no zero.
    """
    if not empty or any(not logits.size or not np.isfinite(logits).all() for logits in empty):
        return None
    nothing = [float(np.median(softmax(np.asarray(logits, np.float32))[..., -1])) for logits in empty]
    highest = [float(np.median(logits.max(axis=2))) for logits in empty]
    if min(nothing) >= 0.5 and max(highest) > 0.0:
        return "softmax"
    if max(nothing) < 0.5 and max(highest) < 0.0:
        return "sigmoid"
    return None


def check_last_logit(empty: Sequence[NDArray[Any]], spec: DetrDecoder) -> Finding:
    """Hold what a manifest with `background` says of the last logit against what it is on empty pictures."""
    said: Head = "softmax" if spec.exclusive else "sigmoid"
    shown = head_of(empty)
    if shown == said:
        return ok("activation", f"{said}: {SHOWN[shown]}")
    if shown is None:
        if spec.activation is not None:
            return ok("activation", f"{said}, as the manifest says; empty pictures do not tell")
        return warn(
            "activation",
            'background without activation is taken for a softmax with "no object", and empty pictures do not'
            " tell whether it is",
            f'set decoder.activation to "softmax" or "sigmoid": {HOW_TO_TELL}',
        )
    judge = fail if spec.activation is None else warn
    return judge(
        "activation",
        f"{said}, says the manifest; {SHOWN[shown]}",
        f'set decoder.activation to "{shown}", or check input.scale, mean and std; {HOW_TO_TELL}',
    )
