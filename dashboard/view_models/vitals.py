"""The Store page's table of cart health: gauges and counters of the carts in words. Pure."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from dashboard.formats import join_words
from dashboard.view_models import cells

# What a counter means, the gravest first; a counter that is not here is no trouble by itself.
# {camera} becomes the cameras' names. The names are those of the cart's telemetry.
TROUBLES: dict[str, str] = {
    "events_lost": "events lost on the cart",
    "spool_damaged": "damaged spool set aside",
    "spool_failed": "disk refuses events",
    "engine_errors": "engine fails",
    "engine_not_finite": "engine answers no numbers",
    "decider_failed": "deciding failed",
    "vision_failed": "looking failed",
    "engine_close_failed": "old engine did not close",
    "watchdog_exits": "restarted by its watchdog",
    "watchdog_gave_up": "{camera} given up after hanging",
    "watchdog_replaced": "{camera} hung and was opened anew",
    "activation_refused_selftest": "new model refused by its parity check",
    "activation_refused_verified": "new model refused: not as signed",
    "activation_refused_building": "new model could not be built",
    "activation_fallback_current": "current model passed over",
    "activation_fallback_last_good": "last good model passed over",
    "activation_fallback_plan": "engine plan lost, on ONNX Runtime meanwhile",
    "activation_fallback_engine": "engine does not start, on ONNX Runtime meanwhile",
    "activation_fallback_store": "store of models not usable",
    "camera_lost": "{camera} lost",
    "frozen": "{camera} frozen",
    "black": "{camera} black",
    "dark": "{camera} dark",
    "overexposed": "{camera} overexposed",
    "blurred": "{camera} blurred",
    "resolution_changed": "{camera} changed resolution",
    "scale_lost": "scale lost",
    "scale_silent": "scale is silent",
    "scale_nan": "scale sends no numbers",
    "scale_jump": "scale jumps",
    "scale_drift": "scale drifts",
    "scale_garbage": "scale sends garbage",
    "scale_overload": "scale overloaded",
    "scale_reconnects": "scale was lost",
    "ack_refused": "broker refuses its confirmations",
    "publish_refused": "broker refuses its messages",
    "weights_damaged": "learned weights were damaged",
    "throttled": "processor throttled",
    "basket_unresolved": "basket does not weigh what it holds",
}
_FPS, _CAMERA_BAD = "fps/", "camera_bad/"
# Values of the gauge `camera_bad`: which of the troubles above lasts now.
_CONDITIONS = ("", "frozen", "black", "dark", "overexposed", "blurred", "camera_lost")


@dataclass(frozen=True, slots=True)
class VitalRow:
    """How one cart is.

    Attributes:
        cart_id: Its id.
        troubles: What was wrong, the gravest first, in words with how often; "now" is said of what lasts.
        degrade_level: 0 works in full, 3 least; None if it did not say.
        safe_mode: It has started again and again, and runs its shipped model only.
        temp_c: Hottest sensor, °C.
        slowest_camera: Name and frames per second of the slowest camera.
        memory_bytes: Of the agent's process.
        engine: What runs its model.
        as_of: End of its newest telemetry window; None when it sent none.
    """

    cart_id: str
    troubles: tuple[str, ...]
    degrade_level: int | None
    safe_mode: bool
    temp_c: float | None
    slowest_camera: tuple[str, float] | None
    memory_bytes: float | None
    engine: str
    as_of: datetime | None

    @property
    def verdict(self) -> str:
        """One word for the table: Silent, Trouble, Degraded or Fine."""
        if self.as_of is None:
            return "Silent"
        if self.troubles or self.safe_mode:
            return "Trouble"
        return "Degraded" if self.degrade_level else "Fine"


_ORDER = ("Trouble", "Degraded", "Silent", "Fine")


def build_vital_rows(
    carts: pd.DataFrame, vitals: pd.DataFrame, engines: pd.DataFrame
) -> tuple[VitalRow, ...]:
    """Build one row per cart, those in trouble first.

    Args:
        carts: All carts of the store: cart_id.
        vitals: cart_id, kind, name, camera, value, last_at.
        engines: cart_id, engine.
    """
    running = dict(zip(engines["cart_id"].astype(str), engines["engine"].map(cells.text), strict=True))
    said = {str(cart_id): group for cart_id, group in vitals.groupby("cart_id")}
    ids = sorted(carts["cart_id"].astype(str))
    rows = [_row(cart_id, said.get(cart_id, vitals.iloc[:0]), running.get(cart_id, "")) for cart_id in ids]
    return tuple(sorted(rows, key=lambda row: (_ORDER.index(row.verdict), -len(row.troubles), row.cart_id)))


def _row(cart_id: str, said: pd.DataFrame, engine: str) -> VitalRow:
    gauge = said[said["kind"] == "gauge"]
    gauges = {str(name): float(value) for name, value in zip(gauge["name"], gauge["value"], strict=True)}
    level = gauges.get("degrade_level")
    speeds = [(name.removeprefix(_FPS), fps) for name, fps in gauges.items() if name.startswith(_FPS)]
    return VitalRow(
        cart_id=cart_id,
        troubles=_troubles(said[said["kind"] == "counter"], _lasting(gauges)),
        degrade_level=None if level is None else int(level),
        safe_mode=gauges.get("safe_mode", 0.0) > 0,
        temp_c=gauges.get("temp_c"),
        slowest_camera=min(speeds, key=lambda speed: speed[1], default=None),
        memory_bytes=gauges.get("rss_bytes"),
        engine=engine,
        as_of=cells.time(said["last_at"].max()) if len(said) else None,
    )


def _lasting(gauges: dict[str, float]) -> set[tuple[str, str]]:
    """Return (trouble, camera) of every camera that is bad now."""
    bad = {
        name.removeprefix(_CAMERA_BAD): int(v) for name, v in gauges.items() if name.startswith(_CAMERA_BAD)
    }
    return {(_CONDITIONS[code], camera) for camera, code in bad.items() if 0 < code < len(_CONDITIONS)}


def _troubles(counters: pd.DataFrame, lasting: set[tuple[str, str]]) -> tuple[str, ...]:
    counted = {
        (str(row["name"]), str(row["camera"])): int(row["value"])
        for row in counters.to_dict("records")
        if row["name"] in TROUBLES and row["value"] > 0
    }
    # One that began before the window and lasts has no count in it.
    found = {**dict.fromkeys(lasting, 0), **counted}
    grave = list(TROUBLES)
    lines: dict[tuple[bool, int], list[tuple[str, int]]] = {}
    for (name, camera), n in sorted(found.items()):
        lines.setdefault(((name, camera) not in lasting, grave.index(name)), []).append((camera, n))
    return tuple(
        _in_words(TROUBLES[grave[rank]], parts) + ("" if over else " (now)")
        for (over, rank), parts in sorted(lines.items())
    )


def _in_words(sentence: str, parts: list[tuple[str, int]]) -> str:
    """Put one trouble into words, of all cameras that have it; the scale has no name of its own."""
    cameras = [camera for camera, _ in parts if camera]
    noun = f"{join_words(cameras)} {'camera' if len(cameras) == 1 else 'cameras'}" if cameras else "scale"
    n = max(n for _, n in parts)
    return sentence.format(camera=noun) + (f" \N{MULTIPLICATION SIGN} {n}" if n > 1 else "")
