"""Single cells of an answer: null comes as None, NaN, NaT or NA, by the type of its column."""

from datetime import datetime

import pandas as pd


def missing(value: object) -> bool:
    """Tell whether a cell is null."""
    return value is None or bool(pd.isna(value))  # type: ignore[call-overload]  # any scalar will do


def text(value: object) -> str:
    """Return a cell as text; "" for null, whole numbers without decimals."""
    if missing(value):
        return ""
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def number(value: object) -> float | None:
    """Return a cell as a number."""
    return None if missing(value) else float(str(value))


def time(value: object) -> datetime | None:
    """Return a cell as a time."""
    return None if missing(value) else pd.Timestamp(str(value)).to_pydatetime()
