"""The model card: what the model is, how good it is, where it fails; written from the manifest alone."""

from fleet_agent.perception import ModelManifest

_CONDITIONS = {
    "ordinary": "ordinary light (0.6 to 1.3)",
    "dim": "dim light (0.22 to 0.40)",
    "smeared": "smeared lens (0.65)",
}


def card_text(manifest: ModelManifest, *, size_bytes: int) -> str:
    """Return the card as Markdown.

    Args:
        manifest: With the fields of ``training`` and ``scores`` that ``training.evaluate`` writes.
        size_bytes: Size of the ONNX file.
    """
    parts = [
        _what(manifest, size_bytes),
        _interface(manifest),
        _scores(manifest),
        _limits(manifest),
        _items(manifest),
    ]
    return "\n".join(parts)


def _what(manifest: ModelManifest, size_bytes: int) -> str:
    facts, speed = manifest.training, manifest.training["speed"]
    options = f"--seed {facts['seed']} --scenes {facts['scenes']} --epochs {facts['epochs']}"
    return f"""# {manifest.name} {manifest.version}

A small detector that finds and names {len(manifest.classes)} groceries in a shopper's hand, seen by a camera
on the rim of a shopping cart. **It was trained and measured on rendered scenes only** (`training/scenes`): it
shows that the system works, it does not recognise real groceries.

- Network: fully convolutional, one score map and one box map at stride {manifest.decoder.stride} (after
  CenterNet, Zhou et al. 2019); ONNX opset 17, {size_bytes / 1e6:.2f} MB, FP32.
- Training: `python -m training.train {options} --out DIR`, PyTorch {facts["torch"]} on a CPU.
  Digest of all settings: `{facts["settings_digest"][:16]}`. The same seed gives the same model on the same
  machine and library versions; elsewhere rounding differs.
- Measured: `python -m training.evaluate --run DIR --publish fleet_agent/models/{manifest.version}`.
- CPU time with ONNX Runtime, one thread, on a {speed["processor"]} machine with {speed["cores"]} cores:
  {speed["cpu_ms_per_frame_batch_1"]} ms per frame alone, {speed["cpu_ms_per_frame_batch_3"]} ms in a batch of
  three.
- SHA-256 of `model.onnx`: `{manifest.sha256}`
"""


def _interface(manifest: ModelManifest) -> str:
    spec, decoder, count = manifest.input, manifest.decoder, len(manifest.classes)
    cells = spec.width // decoder.stride
    return f"""## Input and output

- `{spec.name}`: float32 [N, 3, {spec.height}, {spec.width}], {spec.color}, pixel / 255. Frames keep their
  shape; the rest is filled with grey {spec.pad}.
- `{manifest.outputs.heatmap}`: float32 [N, {count}, {cells}, {cells}], 0..1. Zero everywhere except at peaks:
  cells whose best class beats that of the eight neighbours. **A peak is one item**; it keeps the scores of
  all classes, so a reader takes the best class per cell, not every class above the threshold.
- `{manifest.outputs.boxes}`: float32 [N, 4, {cells}, {cells}]: cx, cy, w, h as fractions of the input.
- A detection is a peak of at least {decoder.score_threshold}. Which item it is, given that it is one: softmax
  over the classes of logit(score) / {manifest.temperature} (the manifest's `temperature`).
"""


def _scores(manifest: ModelManifest) -> str:
    scores = manifest.scores
    rows = "\n".join(_condition_row(manifest, name) for name in _CONDITIONS)
    mistakes = ", ".join(scores["commonest_mistakes"]) or "none"
    return f"""## Scores on held-out scenes

Other seeds and aisles than in training: {scores["held_out_frames"]} random frames, and per condition
{scores["held_out_events"]} events of one item, each seen by four cameras at one moment. Several cameras are
combined as if they were independent, without the weight.

| what | value |
|---|---|
| mAP at overlap 0.5, light 0.22 to 1.3, a quarter of the lenses smeared | {scores["map50"]:.3f} |
| the same in dim light only (0.22 to 0.40) | {scores["map50_dim"]:.3f} |
| frames without an item in which one is found (calm, or an empty hand) | {scores["false_alarm_rate"]:.2%} |
| calibration error before fitting the temperature | {scores["ece_ordinary_uncalibrated"]:.3f} |

| right item, % of events | 1 camera | 2 | 3 | 4 | calibration error |
|---|---|---|---|---|---|
{rows}

Commonest mistakes of a single camera in ordinary light: {mistakes}.
"""


def _condition_row(manifest: ModelManifest, name: str) -> str:
    scores = manifest.scores
    shares = " | ".join(f"{100 * scores[f'top1_{name}_{cameras}_cameras']:.1f}" for cameras in (1, 2, 3, 4))
    return f"| {_CONDITIONS[name]} | {shares} | {scores[f'ece_{name}']:.3f} |"


def _limits(manifest: ModelManifest) -> str:
    return f"""## Where it fails

- Items that look alike from one side (the backs of the two tins, the sides of the two milks, caps and dark
  glass of the two colas): other cameras or a barcode must decide; the weight cannot, they weigh the same.
- Dim light and a smeared lens cost accuracy, see the table; one temperature serves all lights.
- It answers with one of its {len(manifest.classes)} items even for something it has never seen: there is no
  "unknown" class.
- Two items whose centres are less than about {2 * manifest.decoder.stride} input pixels apart are found as
  one.
"""


def _items(manifest: ModelManifest) -> str:
    rows = "\n".join(
        f"| {number} | `{item.item_id}` | {item.name} | {item.barcode} "
        f"| {item.weight_g:g} ± {item.weight_sd_g:g} |"
        for number, item in enumerate(manifest.classes)
    )
    return f"""## Items

| class | item | name | barcode | weight in g |
|---|---|---|---|---|
{rows}
"""
