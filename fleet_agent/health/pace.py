"""What each level of the degrade ladder means for looking.

The pictures of a network's input have a fixed size, and frames are kept at that size at all times
(`shrink`), so a smaller picture would cost accuracy and save nothing. What makes the input smaller is fewer
rows: looking through fewer cameras. What makes a cart cooler besides is looking less often, and keeping
fewer frames:

| level | while the weight moves | while nothing moves | cameras |
|---|---|---|---|
| 0 | as configured | as configured | all |
| 1 | half as often | as configured | all |
| 2 | half as often | no look at all | all |
| 3 | a third as often | no look at all | the best two; frames of the others are not kept |
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fleet_agent.health.camera import Condition

# Cameras of the highest level: with one, a hand in front of it hides the item.
FEWEST_CAMERAS = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a cart looks.

    Attributes:
        active_share: Of the configured inferences while the weight moves, 0..1.
        idle: Whether it looks while nothing moves.
        cameras: Names of those it looks through; None: all.
    """

    active_share: float = 1.0
    idle: bool = True
    cameras: frozenset[str] | None = None

    def keeps(self, camera: str) -> bool:
        """Whether a camera's frames are wanted at all."""
        return self.cameras is None or camera in self.cameras


@dataclass(frozen=True, slots=True)
class Standing:
    """What a camera is like, for choosing the best.

    Attributes:
        condition: Its condition.
        sharpness: Of its latest measured frame.
    """

    condition: Condition
    sharpness: float


def pace_of(level: int, cameras: Mapping[str, Standing], before: Pace = Pace()) -> Pace:
    """Return what a level of the ladder means for a cart with these cameras, and which pace before."""
    if level <= 0:
        return Pace()
    if level == 1:
        return Pace(active_share=0.5)
    if level == 2:
        return Pace(active_share=0.5, idle=False)
    return Pace(active_share=1 / 3, idle=False, cameras=best(cameras, chosen=before.cameras or frozenset()))


def best(
    cameras: Mapping[str, Standing], most: int = FEWEST_CAMERAS, chosen: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Return the names of the best cameras: sound before faulty, then the sharpest, then by name.

    Cameras that are chosen already stay unless others are sounder: sharpness differs a little in each look,
    and each change of cameras costs the frames of the one that comes in.
    """

    def place(name: str) -> tuple[int, bool, float, str]:
        return _rank(cameras[name]), name not in chosen, -cameras[name].sharpness, name

    return frozenset(sorted(cameras, key=place)[:most])


def _rank(standing: Standing) -> int:
    """0 for a sound camera, 1 for one that sees badly, 2 for one that shows nothing."""
    if standing.condition is Condition.OK:
        return 0
    return 1 if standing.condition.believable and standing.condition is not Condition.LOST else 2
