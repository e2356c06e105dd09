"""Stories about whether a network is its manifest's: every shape is right, or refused in words."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.engines.fitting import (
    TensorFacts,
    check_cameras,
    check_frames,
    check_input,
    check_outputs,
    wanted_outputs,
)
from fleet_agent.errors import EngineError
from fleet_agent.manifest import Decoder, ModelManifest
from tests.fleet_agent.engines.graphs import CENTER, DETR, YOLO
from tests.fleet_agent.worlds import manifest

ROWS = 4
SIZES = st.one_of(st.none(), st.sampled_from([0, 1, 3, 4, 7, 8, 32, 64]))
SHAPES = st.lists(SIZES, max_size=5).map(tuple)
# What each decoder of three classes reads, for a picture of 32 x 32.
RIGHT: list[tuple[Decoder, dict[str, tuple[int, ...]]]] = [
    (CENTER, {"scores": (ROWS, 3, 8, 8), "boxes": (ROWS, 4, 8, 8)}),
    (YOLO, {"output0": (ROWS, 7, 64)}),
    (msgspec.structs.replace(YOLO, channels_first=False), {"output0": (ROWS, 64, 7)}),
    (msgspec.structs.replace(YOLO, objectness=True), {"output0": (ROWS, 8, 64)}),
    (DETR, {"logits": (ROWS, 32, 3), "pred_boxes": (ROWS, 32, 4)}),
    (msgspec.structs.replace(DETR, background=True), {"logits": (ROWS, 32, 4), "pred_boxes": (ROWS, 32, 4)}),
]


def described(decoder: Decoder) -> ModelManifest:
    """Return a manifest of three classes with a decoder."""
    return msgspec.structs.replace(manifest(), decoder=decoder)


def facts(shapes: dict[str, tuple[Any, ...]]) -> dict[str, TensorFacts]:
    """Return outputs of some shapes."""
    return {name: TensorFacts(name, shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(("decoder", "shapes"), RIGHT)
def test_what_the_manifest_describes_is_taken(decoder: Decoder, shapes: dict[str, tuple[int, ...]]) -> None:
    """Every layout, also with dimensions that the network leaves free."""
    model = described(decoder)
    check_outputs(model, facts(shapes), ROWS)
    check_outputs(model, facts({name: (None,) * len(shape) for name, shape in shapes.items()}), ROWS)
    assert set(wanted_outputs(model)) == set(shapes)


@pytest.mark.parametrize(("decoder", "shapes"), RIGHT)
@given(wrong=SHAPES)
def test_any_other_shape_is_refused_in_words(
    decoder: Decoder, shapes: dict[str, tuple[int, ...]], wrong: tuple[int | None, ...]
) -> None:
    """No shape that a file may claim is a crash; one with a wrong size never passes."""
    model = described(decoder)
    name = next(iter(shapes))
    right = shapes[name]
    # The number of anchors or queries is the network's own: DETR's other output repeats it.
    free = {1} if decoder in (DETR, RIGHT[5][0]) else {2} if name == "output0" else set()
    if decoder is RIGHT[2][0]:
        free = {1}
    clashes = len(wrong) != len(right) or any(
        size not in (None, wanted)
        for axis, (size, wanted) in enumerate(zip(wrong, right, strict=True))
        if axis not in free or name == "logits"
    )
    attempt: Callable[[], None] = lambda: check_outputs(model, facts({**shapes, name: wrong}), ROWS)  # noqa: E731
    if clashes:
        with pytest.raises(EngineError, match="the model's output"):
            attempt()
    else:
        attempt()


@given(shape=SHAPES, dtype=st.sampled_from(["float32", "float16", "int64"]))
def test_any_input_is_taken_or_refused(shape: tuple[int | None, ...], dtype: str) -> None:
    """One float32 picture of three channels for each row; anything else is told."""
    fits = len(shape) == 4 and all(
        size in (None, want) for size, want in zip(shape[1:], (3, 32, 32), strict=True)
    )
    tensor = TensorFacts("images", shape, dtype)
    if fits and dtype == "float32":
        assert check_input(manifest(), [tensor]) == shape[0]
    else:
        with pytest.raises(EngineError, match="the model"):
            check_input(manifest(), [tensor])


def test_outputs_turned_round_are_told_how_to_be_read() -> None:
    """The commonest mistake with YOLO exports has a remedy in the error."""
    with pytest.raises(EngineError, match=r"'output0' \(4 x 64 x 7 float32\).*channels_first to false"):
        check_outputs(described(YOLO), facts({"output0": (ROWS, 64, 7)}), ROWS)


@pytest.mark.parametrize("cameras", [1, 4])
def test_a_free_batch_takes_any_number_of_cameras(cameras: int) -> None:
    """A fixed one takes its own."""
    check_cameras(None, cameras)
    check_cameras(cameras, cameras)
    with pytest.raises(EngineError, match="fixed batch of 9"):
        check_cameras(9, cameras)


@pytest.mark.parametrize("frames", [-1, 0, 5])
def test_frames_fit_the_rows(frames: int) -> None:
    """From one to as many as there are cameras."""
    check_frames(1, 4)
    check_frames(4, 4)
    with pytest.raises(EngineError, match="do not fit"):
        check_frames(frames, 4)
