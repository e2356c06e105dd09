"""What every model of this package looks like from outside: input, outputs, classes."""

from fleet_agent.letterbox import Letterbox
from fleet_agent.manifest import CenterDecoder, InputSpec, ItemClass
from training.dataset import BAR, FRAME_HEIGHT, INPUT_SIDE, PAD_GREY, STRIDE
from training.scenes import CATALOGUE

# Least score of a detection on the cart. Lower lets hands pass as items, higher misses items half covered by
# fingers.
SCORE_THRESHOLD = 0.3
# Scenes hold two items at most; more room than this only keeps doubtful peaks.
MAX_DETECTIONS = 8
MODEL_NAME = "cartwright-grocery"

INPUT = InputSpec(
    name="images",
    width=INPUT_SIDE,
    height=INPUT_SIDE,
    layout="NCHW",
    color="RGB",
    scale=1 / 255,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    letterbox=True,
    pad=PAD_GREY,
)
DECODER = CenterDecoder(score_threshold=SCORE_THRESHOLD, max_detections=MAX_DETECTIONS, stride=STRIDE)
CLASSES = tuple(
    ItemClass(
        item_id=item.item_id,
        name=item.name,
        category=item.category,
        barcode=item.barcode,
        weight_g=item.weight_g,
        weight_sd_g=item.weight_sd_g,
    )
    for item in CATALOGUE
)
# Where a 4:3 frame lies in the square input.
LETTERBOX = Letterbox(0.0, BAR / INPUT_SIDE, 1.0, FRAME_HEIGHT / INPUT_SIDE)
