r"""The ASCII continuous output that most scale indicators speak, as a parser of bytes.

One reading a line, such as `ST,GS,+   1.234kg\r\n`: status (ST stable, US unstable, OL overload),
kind (GS gross, NT net), signed weight, unit (g, kg, lb, oz). Blanks may be anywhere; a header may be
missing. Source: A&D "format 1" and its many copies. Pure: bytes in, readings out; garbage is counted.
"""

import re
from dataclasses import dataclass

# A line longer than this is noise on the wire (wrong speed), not a reading; it bounds memory.
MAX_LINE_BYTES = 128

GRAMS_PER_UNIT = {"g": 1.0, "kg": 1000.0, "lb": 453.59237, "oz": 28.349523125}

_LINE = re.compile(
    r"\s*(?:(?P<status>ST|US|OL|QT)\s*,\s*)?(?:(?P<kind>GS|NT|G|N|TR)\s*,?\s*)?"
    r"(?P<sign>[+-])?\s*(?P<number>\d{1,7}(?:\.\d{0,6})?|\.\d{1,6})\s*(?P<unit>kg|g|lb|oz)\s*",
    re.IGNORECASE,
)
_OVERLOAD = re.compile(r"\s*OL\b.*|[\s+-]*-{4,}\s*|.*\bOVER\b.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """One reading.

    Attributes:
        grams: Signed weight; NaN when overloaded.
        stable: The indicator's opinion; None when the line does not say.
        overload: Beyond the range.
    """

    grams: float
    stable: bool | None
    overload: bool = False


def parse_line(text: str) -> Line | None:
    """Read one line; None when it is no reading."""
    if _OVERLOAD.fullmatch(text):
        return Line(float("nan"), stable=False, overload=True)
    match = _LINE.fullmatch(text)
    if match is None:
        return None
    grams = float(match["number"]) * GRAMS_PER_UNIT[match["unit"].lower()]
    status = (match["status"] or "").upper()
    stable = {"ST": True, "QT": True, "US": False}.get(status)
    return Line(-grams if match["sign"] == "-" else grams, stable)


class LineReader:
    """Cuts a stream of bytes into lines; survives any bytes.

    Attributes:
        garbage: Lines that were no reading since the last `drain`.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._discarding = False
        self.garbage = 0

    def feed(self, data: bytes) -> list[Line]:
        """Add bytes and return the readings that they complete."""
        *complete, self._rest = re.split(rb"[\r\n]+", self._rest + data)
        found: list[Line] = []
        for raw in complete:
            if self._discarding:
                self._discarding = False
                continue
            if not raw.strip():
                continue
            line = parse_line(raw.decode("ascii", "replace"))
            if line is None:
                self.garbage += 1
            else:
                found.append(line)
        if len(self._rest) > MAX_LINE_BYTES:
            self.garbage += 0 if self._discarding else 1
            self._rest, self._discarding = b"", True
        return found

    def drain(self) -> int:
        """Return the count of garbage and start again from zero."""
        garbage, self.garbage = self.garbage, 0
        return garbage
