"""Tables for terminals. Pure."""

import textwrap
from collections.abc import Sequence

WIDTH = 100
_GAP = "  "
# No column but the last is wider: an e-mail address must not push everything else out.
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
    titles: Sequence[str], rows: Sequence[Sequence[object]], *, width: int = WIDTH, right: str = ""
) -> str:
    """Return rows under titles; the last column takes what is left of the width, and is cut to it.

    Args:
        titles: Of the columns.
        rows: Values by column; None is a dash.
        width: Of the terminal.
        right: Titles of columns of numbers, separated by spaces.
    """
    cells = [[clean(value) for value in row] for row in rows]
    widths = [max(len(title), *(len(row[i]) for row in cells), 0) for i, title in enumerate(titles)]
    widths[:-1] = [min(size, _WIDEST) for size in widths[:-1]]
    left = width - sum(widths[:-1]) - len(_GAP) * (len(titles) - 1)
    widths[-1] = max(len(titles[-1]), min(widths[-1], left))
    numbers = [title in right.split() for title in titles]
    return "\n".join(
        _GAP.join(
            cut(cell, size).rjust(size) if number else cut(cell, size).ljust(size)
            for cell, size, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in [list(titles), *cells]
    )


def time(iso: str | None) -> str:
    """Return a time of the API for people: to the second, UTC."""
    return "-" if not iso else f"{iso[:10]} {iso[11:19]}Z"
