"""Carts of a stage as one stacked bar with its numbers beside it: HTML, because a dozen of them are drawn."""

from collections.abc import Sequence
from html import escape

from dashboard.theme import Palette
from dashboard.view_models.rollout_detail import Share

_BAR_PX = 14


def share_bar(shares: Sequence[Share], colours: Palette) -> str:
    """Return the bar and its legend; numbers and words carry what colour and hatching repeat."""
    total = sum(share.n for share in shares)
    words = ", ".join(f"{share.n} {share.word}" for share in shares) or "no carts yet"
    fills = _fills(colours)
    parts = "".join(
        f'<div style="flex:{share.n} 1 0;min-width:3px;background:{fills[share.group]}"></div>'
        for share in shares
    )
    legend = "".join(
        f'<span style="white-space:nowrap"><span style="display:inline-block;width:9px;height:9px;'
        f"border-radius:2px;margin-right:5px;background:{fills[share.group]}"
        f'"></span><b>{share.n:,}</b> {escape(share.word)}</span>'
        for share in shares
    )
    empty = f"background:{colours.grid};" if not total else ""
    return (
        f'<div role="img" aria-label="{escape(words)}" style="display:flex;gap:2px;height:{_BAR_PX}px;'
        f'border-radius:4px;overflow:hidden;{empty}">{parts}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:2px 14px;margin-top:6px;font-size:0.86rem;'
        f'min-height:1.3rem;color:{colours.text}">{legend or "no carts yet"}</div>'
    )


def _fills(colours: Palette) -> dict[str, str]:
    blue, red, green, pink = colours.series[:4]

    def hatched(colour: str) -> str:
        return f"repeating-linear-gradient(45deg,{colour} 0 3px,{colours.surface} 3px 6px)"

    return {
        "done": green,
        "back": pink,
        "running": blue,
        "failed": hatched(red),
        "waiting": colours.grid,
        "offline": hatched(colours.muted),
        "excluded": colours.muted,
    }
