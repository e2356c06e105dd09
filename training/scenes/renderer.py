"""One rim camera's picture of a scene, with the truth about what is in it."""

from dataclasses import dataclass

import cv2
import numpy as np

from training.scenes import backdrop, optics
from training.scenes.hand import FINGERS_PALM, PALM, hand_sprite
from training.scenes.region import Region, corners_of
from training.scenes.sprites import Sprite, item_sprite
from training.scenes.state import CameraView, Gesture, SceneState, arm_vector, hand_position, hand_speed
from training.scenes.surfaces import Floats, Image


@dataclass(frozen=True, slots=True)
class TruthBox:
    """Where an item really is.

    Attributes:
        item_id: Which item.
        box: x0, y0, x1, y1 as fractions of the frame, cut at its edges.
        visible: 0..1, share of the item that is inside the frame and not behind fingers.
    """

    item_id: str
    box: tuple[float, float, float, float]
    visible: float


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """A picture and the truth about it; pixels are uint8 (height, width, 3) BGR."""

    pixels: Image
    boxes: tuple[TruthBox, ...]


class SceneRenderer:
    """Draws what one camera sees.

    The picture depends only on the state and on the random generator handed in. An instance keeps a few drawn
    backgrounds, so use one per camera; it is not thread-safe.

    Args:
        view: Where the camera sits.
        width: Frame width in pixels; the height is three quarters of it.
        backgrounds_kept: Drawn pictures of aisle and basket to keep (230 kB each); more only helps who jumps
            between places, as training does.
    """

    def __init__(self, view: CameraView, *, width: int = 320, backgrounds_kept: int = 4) -> None:
        self.view = view
        self._backgrounds_kept = backgrounds_kept
        self.width, self.height = width, width * 3 // 4
        self._scale = width / backdrop.FRAME_WIDTH
        self._standing: dict[tuple[tuple[str, ...], int], Image] = {}

    def render(self, state: SceneState, rng: np.random.Generator) -> Image:
        """Return one frame, uint8 (height, width, 3) BGR.

        Raises:
            KeyError: The state names an item that is not in the catalogue.
        """
        return self.render_labelled(state, rng).pixels

    def render_labelled(self, state: SceneState, rng: np.random.Generator) -> LabelledFrame:
        """Return one frame and the boxes of the items that hands carry in it.

        Raises:
            KeyError: The state names an item that is not in the catalogue.
        """
        picture = self._background(state).copy()
        boxes = [box for gesture in state.gestures for box in self._draw_gesture(picture, gesture, state)]
        self._draw_near_rim(picture)
        picture = optics.expose(picture, state.light, state.sensor)
        picture = optics.smear(picture, state.lens)
        gain = optics.gain_of(state.light, state.sensor)
        optics.add_noise(picture, optics.NOISE_SD * state.sensor.noise * gain, rng)
        return LabelledFrame(picture, tuple(boxes))

    def _background(self, state: SceneState) -> Image:
        key = (
            state.basket[-backdrop.BASKET_SHOWN :],
            int(state.aisle * backdrop.PANORAMA_WIDTH) % backdrop.PANORAMA_WIDTH,
        )
        if key not in self._standing:
            if len(self._standing) >= self._backgrounds_kept:
                self._standing.pop(next(iter(self._standing)))
            drawn = backdrop.standing_picture(self.view, *key)
            self._standing[key] = cv2.resize(drawn, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return self._standing[key]

    def _draw_near_rim(self, picture: Image) -> None:
        colour, cover = backdrop.near_rim(self.width, self.height)
        strip = picture[-len(colour) :]
        strip[:] = cv2.blendLinear(strip, colour, 1.0 - cover, cover)

    def _draw_gesture(self, picture: Image, gesture: Gesture, state: SceneState) -> list[TruthBox]:
        arm = arm_vector(self.view, gesture)
        centre = hand_position(self.view, gesture) * self._scale
        sprite = self._carried(gesture)
        pose, outline = self._item_pose(gesture, sprite, centre)
        palm = self._palm(gesture, arm, centre, outline)
        hand, zoom, turn = (
            hand_sprite(gesture.skin, gesture.sleeve),
            self._hand_scale(gesture),
            arm_turn_deg(arm),
        )
        arm_pose = _placed(turn, zoom, PALM, palm)
        finger_pose = _placed(turn, zoom, FINGERS_PALM, palm)
        near = self._region((hand.fingers, finger_pose), *([] if sprite is None else [(sprite.pixels, pose)]))
        area = self._region((hand.behind, arm_pose)).joined(near)
        if area.empty:
            return []
        layer = area.warp(hand.behind, arm_pose)
        boxes: list[TruthBox] = []
        if not near.empty:
            fingers = near.warp(hand.fingers, finger_pose)
            if sprite is not None and outline is not None:
                item = near.warp(sprite.pixels, pose)
                boxes = self._truth(
                    str(gesture.item_id), outline, cv2.subtract(item[..., 3], fingers[..., 3]), near
                )
                _over(near.of(layer, area), item)
            _over(near.of(layer, area), fingers)
        travel = hand_speed(self.view, gesture) * (state.sensor.exposure_s * self._scale)
        _blend(picture, layer, area, optics.motion_kernel(travel))
        return boxes

    def _region(self, *placed: tuple[Image, Floats]) -> Region:
        frame = Region(0, 0, self.width, self.height)
        return frame.cut_to([corners_of(sprite, matrix) for sprite, matrix in placed])

    def _carried(self, gesture: Gesture) -> Sprite | None:
        if not gesture.carries_item or gesture.item_id is None:
            return None
        return item_sprite(gesture.item_id, gesture.yaw_deg + self.view.yaw_deg, gesture.pitch_deg)

    def _item_pose(
        self, gesture: Gesture, sprite: Sprite | None, centre: Floats
    ) -> tuple[Floats, Floats | None]:
        if sprite is None:
            return np.zeros((2, 3), np.float32), None
        zoom = self.view.zoom * gesture.nearness * self._scale
        half_width, half_height = sprite.half_size
        matrix = _placed(gesture.roll_deg, zoom, (half_width - 0.5, half_height - 0.5), centre)
        outline = sprite.outline @ matrix[:, :2].T + centre
        return matrix, np.asarray(outline, np.float32)

    def _hand_scale(self, gesture: Gesture) -> float:
        return float(self.view.zoom * gesture.nearness**0.5 * self._scale)

    def _palm(self, gesture: Gesture, arm: Floats, centre: Floats, outline: Floats | None) -> Floats:
        """Return the palm: at the edge of the item that faces the arm, further over it with a firmer grip."""
        if outline is None:
            return centre
        reach = float(((outline - centre) @ -arm).max())
        back = reach * (1.0 - 0.62 * gesture.grip) - 4.0 * self._scale
        return np.asarray(centre - arm * back, np.float32)

    def _truth(self, item_id: str, outline: Floats, shown: Image, near: Region) -> list[TruthBox]:
        limit = np.asarray([self.width, self.height], np.float32)
        low, high = np.clip(outline.min(axis=0), 0, limit), np.clip(outline.max(axis=0) + 1, 0, limit)
        if (high - low).min() < 3.0:
            return []
        # The near rim hides what is behind it.
        rim = self.height - round(backdrop.NEAR_RIM * 0.6 * self._scale)
        area = cv2.countNonZero(shown[: max(0, rim - near.top)])
        (left, top), (right, bottom) = (low / limit).tolist(), (high / limit).tolist()
        visible = min(1.0, area / max(cv2.contourArea(outline), 1.0))
        return [TruthBox(item_id, (left, top, right, bottom), visible)]


def arm_turn_deg(arm: Floats) -> float:
    """Return the counter-clockwise turn that makes a straight-down sprite point along ``arm``."""
    return float(np.degrees(np.arctan2(arm[0], arm[1])))


def _placed(turn_deg: float, zoom: float, anchor: tuple[float, float], at: Floats) -> Floats:
    matrix = cv2.getRotationMatrix2D((float(anchor[0]), float(anchor[1])), turn_deg, zoom)
    matrix[:, 2] += np.asarray(at, np.float64) - np.asarray(anchor)
    return np.asarray(matrix, np.float32)


def _over(layer: Image, upper: Image) -> None:
    """Put a premultiplied layer over another one of the same size, in place."""
    inverse = cv2.bitwise_not(upper[..., 3])
    layer[:] = cv2.add(cv2.multiply(layer, cv2.merge([inverse] * 4), scale=1 / 255), upper)


def _blend(picture: Image, layer: Image, area: Region, kernel: Floats | None) -> None:
    """Put a premultiplied layer over a part of the picture, blurred along its movement, in place."""
    if kernel is not None:
        pad = kernel.shape[0] // 2
        grown = Region(
            max(0, area.left - pad),
            max(0, area.top - pad),
            min(picture.shape[1], area.right + pad),
            min(picture.shape[0], area.bottom + pad),
        )
        borders = (
            area.top - grown.top,
            grown.bottom - area.bottom,
            area.left - grown.left,
            grown.right - area.right,
        )
        layer = cv2.copyMakeBorder(layer, *borders, borderType=cv2.BORDER_CONSTANT, value=0)
        layer = cv2.filter2D(layer, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        area = grown
    below = picture[area.top : area.bottom, area.left : area.right]
    opened = cv2.merge([cv2.bitwise_not(layer[..., 3])] * 3)
    below[:] = cv2.add(cv2.multiply(below, opened, scale=1 / 255), cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR))
