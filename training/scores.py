"""The table of scores that goes into a manifest: on which scenes, in which light, for which item."""

import os
import platform
import time
from typing import Any

from training import measure
from training.dataset import as_input, empty_set
from training.held_out import HeldOut
from training.measure import Events, Network

CAMERAS = (1, 2, 3, 4)


def events_of(network: Network, held_out: HeldOut) -> dict[str, Events]:
    """Run the network on all events that scores are computed on."""
    return {name: measure.show(network, views) for name, views in held_out.events.items()}


def scores_of(network: Network, held_out: HeldOut, temperature: float) -> dict[str, Any]:
    """Measure a model thoroughly.

    Args:
        network: In FP32.
        held_out: Scenes.
        temperature: Fitted on other scenes.
    """
    shown = events_of(network, held_out)
    scores: dict[str, Any] = {
        "held_out_frames": len(held_out.all_lights),
        "held_out_events": len(held_out.for_temperature),
        "map50": measure.map50(network, held_out.all_lights),
        "map50_dim": measure.map50(network, held_out.dim),
        "false_alarm_rate": measure.false_alarm_rate(network, held_out.calm),
        "ece_ordinary_uncalibrated": measure.view_calibration(shown["ordinary"], 1.0),
        "commonest_mistakes": measure.confusions(shown["ordinary"]),
        "recall_by_item": {name: measure.recall_by_item(events) for name, events in shown.items()},
    }
    for name, events in shown.items():
        for cameras in CAMERAS:
            scores[f"top1_{name}_{cameras}_cameras"] = measure.top1(events, cameras, temperature)
        scores[f"ece_{name}"] = measure.view_calibration(events, temperature)
    return rounded(scores)


def short_scores_of(network: Network, held_out: HeldOut, temperature: float) -> dict[str, Any]:
    """Measure what decides whether a precision may stand for another."""
    shown = events_of(network, held_out)
    return rounded(
        {
            "map50": measure.map50(network, held_out.all_lights),
            "map50_dim": measure.map50(network, held_out.dim),
            "false_alarm_rate": measure.false_alarm_rate(network, held_out.calm),
            **{f"top1_{name}_1_cameras": measure.top1(shown[name], 1, temperature) for name in shown},
            "ece_ordinary": measure.view_calibration(shown["ordinary"], temperature),
        }
    )


def rounded(scores: dict[str, Any]) -> dict[str, Any]:
    """Round every number of a table to four digits: more of them are noise."""

    def shorter(value: Any) -> Any:
        if isinstance(value, dict):
            return rounded(value)
        return round(value, 4) if isinstance(value, float) else value

    return {key: shorter(value) for key, value in scores.items()}


def speed_of(network: Network, calls: int = 60) -> dict[str, Any]:
    """Measure the CPU time of one frame, in batches of one and of four (a cart's cameras)."""
    out: dict[str, Any] = {"processor": platform.machine(), "cores": os.cpu_count()}
    for batch in (1, 4):
        inputs = as_input(empty_set(batch).images)
        for _ in range(5):
            network.run(inputs)
        start_s = time.process_time()
        for _ in range(calls):
            network.run(inputs)
        spent_ms = 1000 * (time.process_time() - start_s) / calls / batch
        out[f"cpu_ms_per_frame_batch_{batch}"] = round(spent_ms, 2)
    return out
