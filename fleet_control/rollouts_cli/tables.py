"""Tables for terminals. Pure."""

import textwrap
from collections.abc import Collection, Sequence

WIDTH = 100
_GAP = "  "
# No column but those that take what is left is wider: an e-mail address must not push everything else out.
_WIDEST = 32


def clean(value: object) -> str:
    """Return a value in one line that moves no cursor: carts and people write what they like."""
    text = "-" if value is None or value == "" else str(value)
    return "".join(character if character.isprintable() else " " for character in text)


def cut(text: str, width: int) -> str:
    """Return a text that is no wider than told."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def wrapped(text: str) -> str:
    """Return a sentence in lines that are no wider than a terminal."""
    return textwrap.fill(clean(text), WIDTH, subsequent_indent="  ")


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    width: int | None = WIDTH,
    right: Collection[str] = (),
    flexible: int = 1,
) -> str:
    """Return rows under titles.

    Args:
        titles: Of the columns.
        rows: Values by column; None is a dash.
        width: Of the terminal; None: nothing is cut.
        right: Titles of columns of numbers.
        flexible: So many of the last columns share what is left of the width, and are cut to it.
    """
    cells = [[clean(value) for value in row] for row in rows]
    widths = [max(len(title), *(len(row[i]) for row in cells), 0) for i, title in enumerate(titles)]
    if width is not None:
        _squeeze(widths, titles, width, len(titles) - flexible)
    return "\n".join(
        _GAP.join(
            cut(cell, size).rjust(size) if title in right else cut(cell, size).ljust(size)
            for cell, size, title in zip(row, widths, titles, strict=True)
        ).rstrip()
        for row in [list(titles), *cells]
    )


def _squeeze(widths: list[int], titles: Sequence[str], width: int, fixed: int) -> None:
    """Narrow columns until they fit: those after the fixed ones, the widest first, none below its title."""
    widths[:fixed] = [min(size, _WIDEST) for size in widths[:fixed]]
    left = width - len(_GAP) * (len(widths) - 1)
    while sum(widths) > left:
        widest = max(range(fixed, len(widths)), key=lambda i: widths[i] - len(titles[i]))
        if widths[widest] <= len(titles[widest]):
            return
        widths[widest] -= 1


def time(iso: str | None) -> str:
    """Return a time of the API for people: to the second, UTC."""
    return "-" if not iso else f"{iso[:10]} {iso[11:19]}Z"
