"""What a network answers: to noise, to grey, to the golden frames, alone and in a batch."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_agent.activation.golden import Golden, load_golden
from fleet_agent.activation.matching import match, sightings
from fleet_agent.decoding import decode
from fleet_agent.engines.describe import Network
from fleet_agent.engines.fitting import TensorFacts, check_outputs, wanted_outputs
from fleet_agent.errors import EngineError, GoldenError
from fleet_agent.letterbox import WHOLE
from fleet_agent.manifest import ModelManifest
from fleet_agent.model_check.answers import check_answers
from fleet_agent.model_check.declared import Shape
from fleet_agent.model_check.findings import Finding, fail, ok, warn
from fleet_agent.model_check.layout import Arrays, Guess, guess, shown
from fleet_agent.model_check.suggestion import described, remedy
from fleet_agent.perception import Tensor
from fleet_agent.preprocess import Preprocessor

BATCH = 4
# Larger differences between a frame alone and the same frame among others are no roundings.
BATCH_TOLERANCE = 1e-3
TIMED_RUNS = 5
GREY = 114
# Pictures without items.
EMPTY = ("grey", "black")


class Trials:
    """Runs a network on what shows whether it fits.

    Args:
        network: Opened.
        shape: Batch (None: free), height and width.
        manifest: None when it is not readable: the layout is guessed all the same.
        folder: Of the manifest, with the golden frames.
    """

    def __init__(self, network: Network, shape: Shape, manifest: ModelManifest | None, folder: Path) -> None:
        self._network = network
        self._batch, self._height, self._width = shape
        self._manifest = manifest
        self._folder = folder
        self._rows = self._batch or 1

    def run(self) -> Iterator[Finding]:
        """Try one thing after the other; stops where nothing more can be said."""
        try:
            answers = {name: self._network.run(batch) for name, batch in self._pictures().items()}
        except EngineError as error:
            yield fail("runs", str(error), "the network does not run on a picture of the size it declares")
            return
        yield from self._shapes(answers)
        noise = answers["noise"]
        manifest = self._manifest
        classes = None if manifest is None else len(manifest.classes)
        found = guess(noise, classes, (self._width, self._height), [answers[name] for name in EMPTY])
        if manifest is None:
            yield described(found)
            return
        unfit = self._unfit(noise, manifest, found)
        if unfit is not None:
            yield unfit
            return
        if found is not None and found.decoder is None:
            yield described(found)
            return
        yield ok("decoder", found.sentence if found else f"{manifest.decoder.__class__.__name__} reads them")
        yield from check_answers(answers, manifest, EMPTY)
        yield from self._decoded(answers, manifest)
        yield from self._batches(manifest)
        yield from self._golden(manifest)
        yield from self._time(manifest)

    def _pictures(self) -> dict[str, Tensor]:
        shape = (self._rows, 3, self._height, self._width)
        rng = np.random.default_rng(1)
        return {
            "noise": self._normalised(rng.integers(0, 256, shape).astype(np.float32)),
            "grey": self._normalised(np.full(shape, GREY, np.float32)),
            "black": self._normalised(np.zeros(shape, np.float32)),
        }

    def _normalised(self, pixels: Tensor) -> Tensor:
        if self._manifest is None:
            return np.asarray(pixels / 255.0, np.float32)
        spec = self._manifest.input
        mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (spec.mean, spec.std))
        return np.asarray((pixels * spec.scale - mean) / std, np.float32)

    def _shapes(self, answers: Mapping[str, Arrays]) -> Iterator[Finding]:
        shapes = {name: {out: array.shape for out, array in found.items()} for name, found in answers.items()}
        if shapes["noise"] != shapes["grey"] or shapes["noise"] != shapes["black"]:
            changing = sorted(
                out for out in shapes["noise"] if len({shapes[name][out] for name in shapes}) > 1
            )
            yield fail(
                "runs",
                f"the size of {', '.join(changing)} depends on the picture: {shapes['noise']} on noise,"
                f" {shapes['grey']} on grey",
                "export without NMS and with a fixed number of boxes",
            )
        else:
            sizes = ", ".join(f"{name!r} {shown(array)}" for name, array in answers["noise"].items())
            yield ok("runs", f"on noise, grey and black: {sizes}")

    def _unfit(self, outputs: Arrays, manifest: ModelManifest, found: Guess | None) -> Finding | None:
        facts = {name: TensorFacts(name, array.shape, array.dtype.name) for name, array in outputs.items()}
        try:
            check_outputs(manifest, facts, self._rows)
        except EngineError as error:
            listed = len(manifest.classes)
            kind = manifest.decoder.__class__.__struct_config__.tag
            seen = f"{found.sentence}; your manifest lists {listed} and decoder {kind}. " if found else ""
            return fail("decoder", f"{seen}{error}", remedy(manifest, found))
        return None

    def _decoded(self, answers: Mapping[str, Arrays], manifest: ModelManifest) -> Iterator[Finding]:
        counts = {
            name: len(decode(_single(found), manifest, [WHOLE])[0])
            for name, found in answers.items()
            if name in EMPTY
        }
        if any(counts.values()):
            seen = ", ".join(f"{count} in {name}" for name, count in counts.items())
            yield warn(
                "empty",
                f"detections where there is nothing: {seen}",
                "check input.scale, mean, std and color, and decoder.score_threshold",
            )
        else:
            yield ok("empty", "nothing is seen in grey and in black")

    def _batches(self, manifest: ModelManifest) -> Iterator[Finding]:
        if self._batch is not None:
            return
        rng = np.random.default_rng(2)
        pixels = rng.integers(0, 256, (BATCH, 3, self._height, self._width)).astype(np.float32)
        batch = self._normalised(pixels)
        try:
            together = self._network.run(batch)
            alone = self._network.run(batch[1:2])
        except EngineError as error:
            yield fail(
                "cameras",
                f"a batch of {BATCH} fails: {error}",
                "export with a batch that is free inside, too",
            )
            return
        unlike = [
            name
            for name in wanted_outputs(manifest)
            if (array := together[name]).shape != (BATCH, *alone[name].shape[1:])
            or not np.allclose(array[1], alone[name][0], atol=BATCH_TOLERANCE, rtol=BATCH_TOLERANCE)
        ]
        if unlike:
            yield fail(
                "cameras",
                f"{', '.join(unlike)} of a frame is another in a batch of {BATCH} than alone",
                "cameras share a batch: export in evaluation mode, and without mixing over the batch",
            )
        else:
            yield ok("cameras", f"a frame is seen in a batch of {BATCH} as it is alone")

    def _golden(self, manifest: ModelManifest) -> Iterator[Finding]:
        if not manifest.golden:
            yield warn(
                "golden",
                "no golden frames: nothing tells a broken engine from a good one before it goes live",
                "put pictures into golden/ and list what is in them (docs/bring_your_own_model.md)",
            )
            return
        try:
            golden = load_golden(self._folder, manifest)
            required, lost, extra = self._compare(golden, manifest)
        except (GoldenError, EngineError) as error:
            yield fail("golden", str(error), "the folder golden/ belongs beside the manifest")
            return
        text = (
            f"{required - lost} of {required} recorded detections found in {len(golden)} frames, {extra} more"
        )
        if lost + extra > manifest.artifacts["fp32"].parity.max_unmatched:
            yield fail("golden", text, "record them with this network, or check input and decoder")
        else:
            yield ok("golden", text)

    def _compare(self, golden: tuple[Golden, ...], manifest: ModelManifest) -> tuple[int, int, int]:
        rows = np.zeros((self._rows, 3, self._height, self._width), np.float32)
        preprocessor = Preprocessor(manifest.input, rows)
        limits = manifest.artifacts["fp32"].parity
        required = lost = extra = 0
        for frame in golden:
            letterboxes = preprocessor.fill([frame.pixels])
            [found] = decode(_read_outputs(self._network.run(rows)), manifest, letterboxes)
            matched = match(sightings(frame.expected), sightings(found), limits)
            required += matched.required
            lost += len(matched.lost)
            extra += len(matched.extra)
        return required, lost, extra

    def _time(self, manifest: ModelManifest) -> Iterator[Finding]:
        rows = self._batch or BATCH
        batch = np.zeros((rows, 3, self._height, self._width), np.float32)
        times_ms = []
        for _ in range(TIMED_RUNS):
            begun_s = time.perf_counter()
            self._network.run(batch)
            times_ms.append((time.perf_counter() - begun_s) * 1000.0)
        took = f"{median(times_ms):.1f} ms for {rows} frames on one thread of this machine's CPU"
        budget_ms = manifest.latency_budget_ms
        if budget_ms is not None and median(times_ms) > budget_ms:
            yield warn(
                "time", f"{took}; the manifest's budget is {budget_ms:g} ms", "measure on the cart itself"
            )
        else:
            yield ok("time", took)


def _read_outputs(outputs: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: np.asarray(array, np.float32) for name, array in outputs.items()}


def _single(outputs: Arrays) -> dict[str, Tensor]:
    return _read_outputs({name: array[:1] for name, array in outputs.items() if array.ndim > 0})
