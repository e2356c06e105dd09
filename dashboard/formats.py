"""Numbers and times as people read them. Pure."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dashboard.wilson import Rate

# What is unknown is never drawn as zero.
UNKNOWN = "\N{EN DASH}"


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share as a percentage: 0.9642 -> "96.4 %"."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def interval(rate: Rate) -> str:
    """Write the bounds of a rate: "95.9 to 96.8 %"."""
    return UNKNOWN if rate.share is None else f"{100 * rate.low:.1f} to {100 * rate.high:.1f} %"


def count(n: float | None) -> str:
    """Write a count with thousands separated: 12345 -> "12,345"."""
    return UNKNOWN if n is None else f"{round(n):,}"


def milliseconds(value_ms: float | None) -> str:
    """Write a duration with about three digits: 0.123, 4.56, 45.6, 456, 4,560."""
    if value_ms is None:
        return UNKNOWN
    digits = 0 if value_ms >= 100 else 1 if value_ms >= 10 else 2
    return f"{value_ms:,.{digits}f} ms"


def points(delta: float | None) -> str | None:
    """Write a difference of shares in percentage points: "+0.3 pp"; None when unknown."""
    return None if delta is None else f"{_signed(100 * delta, 1)} pp"


def relative(delta: float | None) -> str | None:
    """Write a relative change: "+12 %"; None when unknown."""
    return None if delta is None else f"{_signed(100 * delta, 0)} %"


def _signed(value: float, digits: int) -> str:
    # Streamlit knows a negative change by its hyphen: a typographic minus would be drawn green, upwards.
    text = f"{abs(value):,.{digits}f}"
    if not float(text.replace(",", "")):
        return f"±{text}"
    return f"{'+' if value > 0 else '-'}{text}"


def ago(age: timedelta) -> str:
    """Write an age: "12 s ago", "7 min ago", "3 h ago", "2 d ago"."""
    seconds = max(0, round(age.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (size == 60 and seconds >= 100):
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def clock(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """Write a time in the viewer's zone: the day too when it is not today."""
    local = at.astimezone(zone)
    pattern = "%H:%M:%S" if local.date() == now.astimezone(zone).date() else "%d %b %H:%M"
    return local.strftime(pattern)


def short_version(digest: str) -> str:
    """Shorten a model digest; the empty one means that no model was loaded."""
    return digest[:8] or "none"


def join_words(words: list[str], most: int = 3) -> str:
    """Write a list: "a, b and c", "a, b, c and 4 more"."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
