"""Stories about the table of cart health."""

from datetime import UTC, datetime

import pandas as pd

from dashboard.components.columns import vital_table
from dashboard.view_models.vitals import build_vital_rows

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
COLUMNS = ["cart_id", "kind", "name", "camera", "value", "last_at"]


def said(*rows: tuple[str, str, str, str, float]) -> pd.DataFrame:
    """Return vitals as the warehouse answers them."""
    return pd.DataFrame([(*row, AT) for row in rows], columns=COLUMNS)


CARTS = pd.DataFrame({"cart_id": ["c1", "c2", "c3", "c4"]})
ENGINES = pd.DataFrame({"cart_id": ["c1", "c2"], "engine": ["onnxruntime 1.32 fp32 on cpu", None]})


def test_trouble_comes_first_and_in_words() -> None:
    """A cart with a frozen camera stands above one that saves power, a silent one, and one that is fine."""
    vitals = said(
        ("c1", "gauge", "temp_c", "", 48.5),
        ("c1", "gauge", "degrade_level", "", 0.0),
        ("c1", "counter", "frames", "front", 900.0),
        ("c2", "gauge", "degrade_level", "", 2.0),
        ("c4", "counter", "scale_garbage", "", 3.0),
        ("c4", "counter", "frozen", "left", 1.0),
        ("c4", "counter", "blurred", "front", 0.0),
    )
    rows = build_vital_rows(CARTS, vitals, ENGINES)
    assert [(r.cart_id, r.verdict) for r in rows] == [
        ("c4", "Trouble"),
        ("c2", "Degraded"),
        ("c3", "Silent"),
        ("c1", "Fine"),
    ]
    assert rows[0].troubles == ("left camera frozen", "scale sends garbage \N{MULTIPLICATION SIGN} 3")
    assert (rows[3].temp_c, rows[3].engine, rows[1].engine) == (48.5, "onnxruntime 1.32 fp32 on cpu", "")


def test_what_lasts_is_told_from_what_is_over() -> None:
    """A camera that is frozen now comes before graver troubles that have passed, and needs no count."""
    vitals = said(
        ("c1", "counter", "engine_errors", "", 2.0),
        ("c1", "gauge", "camera_bad/left", "", 1.0),
        ("c1", "gauge", "camera_bad/front", "", 0.0),
    )
    row = next(r for r in build_vital_rows(CARTS, vitals, ENGINES) if r.cart_id == "c1")
    assert row.troubles == ("left camera frozen (now)", "engine fails \N{MULTIPLICATION SIGN} 2")


def test_one_trouble_of_several_cameras_is_said_once() -> None:
    """A failing lamp darkens all cameras of a cart: one sentence, not three."""
    vitals = said(
        ("c1", "gauge", "camera_bad/left", "", 3.0),
        ("c1", "gauge", "camera_bad/front", "", 3.0),
        ("c1", "counter", "dark", "front", 2.0),
        ("c1", "counter", "watchdog_replaced", "", 1.0),
    )
    row = next(r for r in build_vital_rows(CARTS, vitals, ENGINES) if r.cart_id == "c1")
    assert row.troubles == (
        "front and left cameras dark \N{MULTIPLICATION SIGN} 2 (now)",
        "scale hung and was opened anew",
    )


def test_the_slowest_camera_is_named() -> None:
    """Of several cameras the table shows the one with the fewest frames a second."""
    vitals = said(("c1", "gauge", "fps/front", "", 14.9), ("c1", "gauge", "fps/left", "", 3.2))
    row = next(r for r in build_vital_rows(CARTS, vitals, ENGINES) if r.cart_id == "c1")
    assert row.slowest_camera == ("left", 3.2)
    assert vital_table((row,))["Slowest camera"].tolist() == ["left 3.2 fps"]


def test_a_cart_without_telemetry_is_silent_not_fine() -> None:
    """No news of an hour is not good news."""
    rows = build_vital_rows(CARTS, said(), ENGINES)
    table = vital_table(rows)
    assert set(table["Health"]) == {"○ Silent"}
    assert set(table["What it reports"]) == {"no telemetry in the last hour"}
    assert table["Hottest"].isna().all()


def test_safe_mode_is_trouble_even_without_a_fault() -> None:
    """A cart that restarted again and again says so until it is out of it."""
    rows = build_vital_rows(CARTS, said(("c1", "gauge", "safe_mode", "", 1.0)), ENGINES)
    assert (rows[0].cart_id, rows[0].verdict) == ("c1", "Trouble")
    assert vital_table(rows[:1])["What it reports"].tolist() == ["safe mode after restarts"]
