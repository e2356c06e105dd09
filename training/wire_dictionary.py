"""Train the zstd dictionary of the wire contract from plausible messages.

`python -m training.wire_dictionary --seed 3 --out fleet_protocol/telemetry.dict` writes the shipped file
again. A changed dictionary needs a new id: ingest must tell old carts' frames from new ones.
"""

import argparse
import random
from pathlib import Path

import msgspec
import zstandard

from fleet_agent.basket.decision import Decision
from fleet_agent.quality import Quality
from fleet_agent.telemetry import Telemetry
from fleet_protocol.messages import EventColumns, Events, Window

DICTIONARY_ID = 20261123
# 8 kB holds every field name, usual histogram shapes and item ids; 16 kB gains 2 % more.
DICTIONARY_BYTES = 8192
SAMPLES = 4000
WINDOW_MS = 60_000
CAMERAS = ("front", "left", "right", "rear")
ENVELOPE = ("store", "cart", "boot", "seq", "fw", "model", "sim", "t0")
COUNTERS = ("drop_stale", "drop_decode", "drop_full", "reconnects")
# Median and spread (of the logarithm) of each stage's milliseconds on a small computer.
STAGES_MS = {
    "capture": (8.0, 0.2),
    "queue": (3.0, 0.7),
    "preprocess": (1.5, 0.2),
    "infer": (9.0, 0.2),
    "decode": (0.4, 0.25),
    "fuse": (0.35, 0.3),
    "camera_to_decision": (60.0, 0.4),
}


def plausible_window(rng: random.Random, cameras: int, frames: int, events: int) -> Window:
    """Return the window that a cart's own telemetry makes of random measurements.

    Args:
        rng: Decides every number.
        cameras: How many cameras the cart has.
        frames: Frames looked at by each camera.
        events: Item events in the window.
    """
    telemetry = Telemetry()
    for stage, (median_ms, spread) in STAGES_MS.items():
        median = median_ms * rng.lognormvariate(0, 0.3)
        for _ in range(events if stage in {"fuse", "camera_to_decision"} else frames):
            telemetry.time(stage, median * rng.lognormvariate(0, spread) / 1000)
    for camera in CAMERAS[:cameras]:
        _watch(telemetry, rng, camera, frames)
    for _ in range(events):
        telemetry.decision(_decision(rng))
    counts = telemetry.drain()
    start_ms = 1_795_000_000_000 + rng.randrange(10**9)
    store = f"s{rng.randrange(1, 500):03d}"
    return Window(
        store=store,
        cart=f"{store}-c{rng.randrange(1, 40):02d}",
        boot=f"{rng.getrandbits(64):016x}",
        seq=rng.randrange(10_000),
        fw="0.1.0",
        model=f"{rng.getrandbits(64):016x}",
        sim=rng.random() < 0.5,
        t0=start_ms,
        t1=start_ms + WINDOW_MS,
        hist=dict(counts.hist),
        sig=dict(counts.sig),
        cnt=dict(counts.cnt),
        gau=_gauges(rng),
    )


def _watch(telemetry: Telemetry, rng: random.Random, camera: str, frames: int) -> None:
    brightness, sharpness = rng.uniform(60, 180), rng.uniform(5, 11)
    telemetry.count("frames", frames, camera=camera)
    if rng.random() < 0.3:
        telemetry.count(rng.choice(COUNTERS), rng.randrange(1, 9), camera=camera)
    for _ in range(frames):
        telemetry.quality(camera, Quality(rng.gauss(brightness, 4), rng.gauss(sharpness, 0.4)))


def _decision(rng: random.Random) -> Decision:
    item = rng.randrange(20)
    posterior = min(1.0, rng.lognormvariate(-0.08, 0.1))
    return Decision(
        item_ix=item,
        quantity=1,
        direction="add",
        posterior=posterior,
        margin=posterior * 0.95,
        top=(),
        camera_confidence=(("front", posterior),),
        disagreeing=rng.choice((0, 0, 0, 1)),
        weight_residual_g=rng.gauss(0, 6),
        outcome="accepted",
    )


def _gauges(rng: random.Random) -> dict[str, float]:
    return {
        "spool_bytes": 4096.0 * rng.randrange(4, 90),
        "spool_messages": float(rng.randrange(30)),
        "cpu_percent": round(rng.uniform(2, 40), 1),
        "rss_bytes": 4096.0 * rng.randrange(20_000, 60_000),
        "temp_c": round(rng.uniform(35, 70), 1),
        "degrade_level": 0.0,
    }


def _plausible_events(rng: random.Random, item_ids: list[str]) -> Events:
    window = plausible_window(rng, 0, 0, 0)
    item, other = rng.sample(item_ids, 2)
    p = round(rng.random(), 3)
    return Events(
        **{
            name: getattr(window, name)
            for name in ("store", "cart", "boot", "seq", "fw", "model", "sim", "t0")
        },
        cols=EventColumns(
            id=[f"{window.boot}-{window.seq}"],
            ts=[0],
            type=["item"],
            session=[f"{rng.getrandbits(48):012x}"],
            item=[item],
            qty=[1],
            dir=[rng.choice(("add", "remove"))],
            p=[p],
            top=[[(item, p), (other, round(1 - p, 3))]],
            cam=[[(camera, round(rng.random(), 3)) for camera in CAMERAS[:3]]],
            dw=[round(rng.gauss(300, 200), 1)],
            res=[round(rng.gauss(0, 5), 1)],
            outcome=[rng.choice(("accepted", "asked"))],
            ref=[None],
            ref_ts=[None],
            prob=[None],
            ms=[round(rng.uniform(20, 200), 1)],
        ),
    )


def train(seed: int, item_ids: list[str]) -> bytes:
    """Return the dictionary's bytes."""
    rng = random.Random(seed)
    encoder = msgspec.json.Encoder()
    samples: list[bytes | bytearray | memoryview[int]] = []
    for _ in range(SAMPLES):
        window = plausible_window(rng, rng.choice((2, 3, 4)), rng.choice((20, 60, 300)), rng.randrange(6))
        samples += [encoder.encode(window), encoder.encode(_plausible_events(rng, item_ids))]
    trained = zstandard.train_dictionary(DICTIONARY_BYTES, samples, dict_id=DICTIONARY_ID, level=9)
    return trained.as_bytes()


def main() -> None:
    """Write the dictionary."""
    from training.scenes.catalogue import CATALOGUE  # noqa: PLC0415  # item ids are this catalogue's

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.write_bytes(train(arguments.seed, [item.item_id for item in CATALOGUE]))


if __name__ == "__main__":
    main()
