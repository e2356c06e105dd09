"""How large a picture is, read from its header before anything is unfolded.

PNG: W3C, Portable Network Graphics, third edition, 11.2.1. JPEG: ITU-T T.81, annex B.
"""

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
# Start of frame: C0 to CF without the tables of Huffman (C4), the extension (C8) and arithmetic coding (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM and the restarts.
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
# Scans and the end come after the frame's header.
_TOO_LATE = frozenset({0xD9, 0xDA})


def picture_size(document: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels; None: it is neither JPEG nor PNG, or has no header."""
    if document.startswith(PNG):
        return _png(document)
    return _jpeg(document) if document.startswith(JPEG) else None


def _png(document: bytes) -> tuple[int, int] | None:
    if document[12:16] != b"IHDR" or len(document) < 24:
        return None
    return int.from_bytes(document[16:20], "big"), int.from_bytes(document[20:24], "big")


def _jpeg(document: bytes) -> tuple[int, int] | None:
    at = len(JPEG)
    while at + 9 <= len(document):
        if document[at] != 0xFF:
            return None
        marker = document[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in _FRAMES:
            return int.from_bytes(document[at + 7 : at + 9], "big"), int.from_bytes(
                document[at + 5 : at + 7], "big"
            )
        elif marker in _TOO_LATE:
            return None
        else:
            at += 2 + max(2, int.from_bytes(document[at + 2 : at + 4], "big"))
    return None
