"""The model card: what the model is, how good it is, where it fails; written from the manifest alone.

``python -m training.model_card fleet_agent/models/v*`` writes the cards again.
"""

import argparse
from pathlib import Path
from typing import Any

from fleet_agent.manifest import CenterDecoder, ModelManifest, load_manifest
from training.errors import OtherDecoderError

_CONDITIONS = {
    "ordinary": "ordinary light (0.6 to 1.3)",
    "half_lit": "half-lit (0.40 to 0.60)",
    "dim": "dim light (0.22 to 0.40)",
    "smeared": "smeared lens (0.65), ordinary light",
}


CARD_NAME = "MODEL_CARD.md"


def write_card(folder: Path) -> None:
    """Write the card of a model's folder.

    Raises:
        ManifestError: Its manifest cannot be read.
    """
    (folder / CARD_NAME).write_text(card_text(load_manifest(folder)), encoding="utf-8")


def card_text(manifest: ModelManifest) -> str:
    """Return the card as Markdown.

    Args:
        manifest: With the fields of ``training`` and ``scores`` that ``training.publish`` writes.

    Raises:
        OtherDecoderError: Its decoder is not the one of this package's models.
    """
    if not isinstance(manifest.decoder, CenterDecoder):
        raise OtherDecoderError(type(manifest.decoder).__name__)
    parts = [
        _what(manifest),
        _interface(manifest, manifest.decoder),
        _scores(manifest),
        _precisions(manifest),
        _limits(manifest, manifest.decoder),
        _items(manifest),
    ]
    return "\n".join(parts)


def _what(manifest: ModelManifest) -> str:
    facts = manifest.training
    start = facts["starts_from"] or "random weights"
    warning = f"{facts['warning']}\n\n" if facts["warning"] else ""
    return f"""# {manifest.name} {manifest.version}

{warning}{facts["purpose"]}

A small detector that finds and names {len(manifest.classes)} groceries in a shopper's hand, seen by a camera
on the rim of a shopping cart. **It was trained and measured on rendered scenes only** (`training/scenes`): it
shows that the system works, it does not recognise real groceries.

- Network: fully convolutional, one score map and one box map (after CenterNet, Zhou et al. 2019); ONNX
  opset 17 with a free batch, in three precisions.
- Made by `python -m training.make_models --seed N --runs DIR --out fleet_agent/models`, where N is 7 for the
  shipped models; each version gets a seed of its own from it ({facts["seed"]} here). PyTorch
  {facts["torch"]}, one core. The same seed gives the same weights on the same machine and library versions;
  elsewhere rounding differs.
- Training: {facts["scenes"]} rendered frames, {facts["epochs"]} epochs, started from {start}.
  SHA-256 of the rendered training set: `{facts["scenes_sha256"]}`.
  Digest of all settings, which the manifest lists: `{facts["settings_digest"][:16]}`.
- {_own_validation(manifest.scores["own_validation"], facts)}
- SHA-256 of `{manifest.artifacts["fp32"].file}`, the model's identity: `{manifest.sha256}`
"""


def _own_validation(own: dict[str, Any], facts: dict[str, Any]) -> str:
    low, high = own["light_level"]
    text = (
        f"Its own validation, {own['frames']} scenes drawn like its training's (light {low} to {high}),\n"
        f"  other seed and aisles: mAP50 {own['map50']:.3f}"
    )
    start = facts["starts_from"]
    return f"{text}; {start} has {own[f'map50_of_{start}']:.3f} on the same." if start else f"{text}."


def _interface(manifest: ModelManifest, decoder: CenterDecoder) -> str:
    spec, count = manifest.input, len(manifest.classes)
    cells = spec.width // decoder.stride
    return f"""## Input and output

- `{spec.name}`: float32 [N, 3, {spec.height}, {spec.width}], {spec.color}, pixel / 255. Frames keep their
  shape; the rest is filled with grey {spec.pad}.
- `{decoder.scores}`: float32 [N, {count}, {cells}, {cells}], 0..1. Zero everywhere except at peaks:
  cells whose best class beats that of the eight neighbours. **A peak is one item**; it keeps the scores of
  all classes, so a reader takes the best class per cell, not every class above the threshold.
- `{decoder.boxes}`: float32 [N, 4, {cells}, {cells}]: cx, cy, w, h as fractions of the input.
- A detection is a peak of at least {decoder.score_threshold}. Which item it is, given that it is one: softmax
  over the classes of logit(score) / {manifest.temperature} (the manifest's `temperature`).
"""


def _scores(manifest: ModelManifest) -> str:
    scores = manifest.scores
    rows = "\n".join(_condition_row(scores, name) for name in _CONDITIONS)
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


def _condition_row(scores: dict[str, Any], name: str) -> str:
    shares = " | ".join(f"{100 * scores[f'top1_{name}_{cameras}_cameras']:.1f}" for cameras in (1, 2, 3, 4))
    return f"| {_CONDITIONS[name]} | {shares} | {scores[f'ece_{name}']:.3f} |"


def _precisions(manifest: ModelManifest) -> str:
    rows = "\n".join(_precision_row(manifest, name) for name in manifest.artifacts)
    parity = "\n".join(_parity_row(manifest, name) for name in manifest.artifacts)
    eight, cpu = manifest.training["int8"], manifest.training["speed"]["fp32"]
    return f"""## Three precisions

FP16 and INT8 compute the trunk in that precision and the heads in float; INT8 keeps the first convolution in
float too (`training/precision.py` says why). INT8 is symmetric Q/DQ; its ranges were found on
{eight["frames"]} training-like frames by the method nearest to FP32 ({eight["method"]}). CPU time is
ONNX Runtime's, one thread, on a machine of {cpu["cores"]} {cpu["processor"]} cores: it says what the cart's
fallback costs, nothing about a GPU.

| precision | file | mAP50 | dim | top-1, 1 camera | dim | false alarms | calibration error | CPU ms a frame |
|---|---|---|---|---|---|---|---|---|
{rows}

Golden frames are {len(manifest.golden)} pictures that every engine must see alike before it goes live.
Measured against FP32 with ONNX Runtime, and the limits that follow:

| precision | detections | lost | invented | worst score difference | allowed | unmatched | least overlap |
|---|---|---|---|---|---|---|---|
{parity}
"""


def _precision_row(manifest: ModelManifest, name: Any) -> str:
    scores = manifest.scores["by_precision"][name]
    speed_ms = manifest.training["speed"][name]["cpu_ms_per_frame_batch_4"]
    return (
        f"| {name} | `{manifest.artifacts[name].file}` | {scores['map50']:.3f} | {scores['map50_dim']:.3f} "
        f"| {100 * scores['top1_ordinary_1_cameras']:.1f} % | {100 * scores['top1_dim_1_cameras']:.1f} % "
        f"| {scores['false_alarm_rate']:.1%} | {scores['ece_ordinary']:.3f} | {speed_ms} |"
    )


def _parity_row(manifest: ModelManifest, name: Any) -> str:
    seen, limits = manifest.scores["golden_parity"][name], manifest.artifacts[name].parity
    return (
        f"| {name} | {seen['required']} | {seen['lost']} | {seen['invented']} "
        f"| {seen['worst_score_difference']:.3f} | {limits.max_score_difference:g} | {limits.max_unmatched} "
        f"| {limits.least_overlap:g} |"
    )


def _limits(manifest: ModelManifest, decoder: CenterDecoder) -> str:
    return f"""## Where it fails

- Items that look alike from one side (the backs of the two tins, the sides of the two milks, caps and dark
  glass of the two colas): other cameras or a barcode must decide; the weight cannot, they weigh the same.
- Dim light and a smeared lens cost accuracy, see the tables; one temperature serves all lights.
- It answers with one of its {len(manifest.classes)} items even for something it has never seen: there is no
  "unknown" class.
- Two items whose centres are less than about {2 * decoder.stride} input pixels apart are found as
  one.
"""


def _items(manifest: ModelManifest) -> str:
    recall = manifest.scores["recall_by_item"]
    weight = manifest.weight_separability
    alike = weight["look_alikes"]
    rows = "\n".join(
        f"| {number} | `{item.item_id}` | {item.name} | {item.barcode} "
        f"| {item.weight_g:g} ± {item.weight_sd_g:g} "
        f"| {len(alike[item.item_id])} | {_shares(recall, item.item_id)} |"
        for number, item in enumerate(manifest.classes)
    )
    return f"""## Items

Recall: found and rightly named, % of single cameras' views. Look-alikes: other items that weigh like it, one
piece like up to {weight["max_quantity"]} of the other or the other way round, on a scale of
± {weight["scale_sd_g"]:g} g; one piece each, weight alone separates
{weight["separable_share"]:.0%} of all pairs.

| class | item | name | barcode | weight in g | look-alikes | recall: ordinary | half-lit | dim | smeared |
|---|---|---|---|---|---|---|---|---|---|
{rows}
"""


def _shares(recall: dict[str, dict[str, float]], item_id: str) -> str:
    return " | ".join(
        f"{100 * recall[name][item_id]:.0f}" if item_id in recall[name] else "-" for name in _CONDITIONS
    )


def main(argv: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.model_card", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of models")
    for folder in parser.parse_args(argv).folders:
        write_card(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
