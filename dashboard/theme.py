"""Colours, dashes and markers of the charts, for light and dark. Pure.

Series colours are Okabe and Ito's, in two orders whose members have a contrast of at least 3:1 against
the theme's background (computed; WCAG 1.4.11). Colour is never the only carrier: every series has its
dash and marker too. Everything but charts is coloured by `.streamlit/config.toml`.
"""

from dataclasses import dataclass

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x")


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme.

    Attributes:
        series: In the order of use.
        band: Fill of an interval under the first series.
        text: Labels.
        muted: What is context and not the message: references, bars behind lines, other cameras.
        grid: Grid lines.
        gap: Fill of "no data".
        alarm: A budget line, an outlier.
        surface: Background, to set marks apart.
        sequential: From nothing to much, for heat maps.
    """

    series: tuple[str, ...]
    band: str
    text: str
    muted: str
    grid: str
    gap: str
    alarm: str
    surface: str
    sequential: tuple[str, ...]


LIGHT = Palette(
    series=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#1C2733"),
    band="rgba(0, 114, 178, 0.14)",
    text="#45525F",
    muted="#9AA6B2",
    grid="#E8ECF0",
    gap="rgba(91, 103, 115, 0.10)",
    alarm="#B3470A",
    surface="#FFFFFF",
    sequential=("#F4F8FB", "#C9DFEE", "#88B8D7", "#3B89BA", "#005A8D"),
)
DARK = Palette(
    series=("#56B4E9", "#E69F00", "#26C79A", "#CC79A7", "#F0E442"),
    band="rgba(86, 180, 233, 0.18)",
    text="#A9B5C1",
    muted="#66727E",
    grid="#222B34",
    gap="rgba(154, 166, 178, 0.12)",
    alarm="#F0A33A",
    surface="#10151B",
    sequential=("#18212A", "#1A4058", "#216C94", "#4A99C7", "#B9E2F8"),
)


def palette(theme_type: str | None) -> Palette:
    """Return the palette of a theme: "dark", or anything else for light."""
    return DARK if theme_type == "dark" else LIGHT


def series_style(place: int, colours: Palette) -> dict[str, str]:
    """Return colour, dash and symbol of the series at a place; colours repeat with another dash."""
    turn = place // len(colours.series)
    return {
        "color": colours.series[place % len(colours.series)],
        "dash": DASHES[(place + turn) % len(DASHES)],
        "symbol": SYMBOLS[(place + turn) % len(SYMBOLS)],
    }
