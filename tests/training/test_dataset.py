"""Rendered sets and what the network should say about them."""

import numpy as np
import pytest

from training.dataset import PAD_GREY, as_input, as_input_box, held_out_views, render_set, varied_views
from training.scenes import CATALOGUE, SceneSampler
from training.settings import TrainSettings
from training.targets import make_targets


def test_a_set_is_decided_by_its_seed() -> None:
    """Two renderings of one seed are equal, another seed is another set."""
    one, same, other = (render_set(SceneSampler(), 6, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.images, same.images)
    assert np.array_equal(one.boxes, same.boxes)
    assert not np.array_equal(one.images, other.images)
    assert one.digest() == same.digest() != other.digest()


def test_held_out_cameras_stand_before_other_aisles() -> None:
    """No background of the measured scenes was seen in training."""
    trained = {view.aisle_seed for view in varied_views(np.random.default_rng(0))}
    assert trained.isdisjoint(view.aisle_seed for view in held_out_views())


def test_boxes_follow_the_letterbox() -> None:
    """The whole frame fills the middle three quarters of the input's height."""
    assert as_input_box((0.0, 0.0, 1.0, 1.0)) == pytest.approx((0.5, 0.5, 1.0, 0.75))
    assert as_input_box((0.0, 0.0, 0.5, 0.2)) == pytest.approx((0.25, 0.2, 0.5, 0.15))


def test_input_has_grey_bars() -> None:
    """Above and below the frame the network gets the agreed grey."""
    full = as_input(np.full((1, 120, 160, 3), 255, np.uint8))
    assert full.shape == (1, 3, 160, 160)
    assert full[0, :, :20] == pytest.approx(PAD_GREY / 255)
    assert full[0, :, 20:140] == pytest.approx(1.0)
    assert full[0, :, 140:] == pytest.approx(PAD_GREY / 255)


def test_targets_mark_the_middle_of_each_item() -> None:
    """Each well-visible item has exactly one cell of heat 1, in its class, with its box beside it."""
    scenes = render_set(SceneSampler(calm_share=0, empty_hand_share=0, second_hand_share=0), 20, 5)
    targets = make_targets(scenes, np.arange(20), len(CATALOGUE), 0.25)
    for row in range(20):
        shown = (scenes.classes[row] >= 0) & (scenes.visible[row] >= 0.25)
        assert (targets.heat[row] == 1).sum() == shown.sum()
        for place in np.flatnonzero(shown):
            item_class, box = scenes.classes[row, place], scenes.boxes[row, place]
            y, x = np.argwhere(targets.heat[row, item_class] == 1)[0]
            assert (x, y) == (int(box[0] * 20), int(box[1] * 20))
            assert targets.boxes[row, :, y, x] == pytest.approx(box)
            assert targets.centre_class[row, y, x] == item_class


def test_hardly_visible_items_are_neither_right_nor_wrong() -> None:
    """Where an item hides behind a hand, the heat map does not count."""
    scenes = render_set(SceneSampler(calm_share=0, empty_hand_share=0, second_hand_share=0), 1, 6)
    scenes.visible[:] = 0.1
    scenes.classes[0, 0], scenes.boxes[0, 0] = 4, (0.5, 0.5, 0.2, 0.2)
    targets = make_targets(scenes, np.arange(1), len(CATALOGUE), 0.25)
    assert targets.heat.sum() == 0
    assert targets.counted[0, 0, 10, 10] == 0
    assert targets.counted[0, 0, 0, 0] == 1


def test_settings_have_a_stable_digest() -> None:
    """Equal settings have equal digests, whoever runs them; any other choice has another one."""
    assert TrainSettings().digest() == TrainSettings().digest()
    assert TrainSettings(max_minutes=1, threads=9).digest() == TrainSettings().digest()
    assert TrainSettings(seed=8).digest() != TrainSettings().digest()
    assert TrainSettings(sampler=SceneSampler(max_smear=0.5)).digest() != TrainSettings().digest()
