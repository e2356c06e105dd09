"""Bytes of load jobs on their way in: multipart in one request, resumable in several."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from queries.emulator.errors import InvalidError, NotFoundError

MAX_UPLOAD_BYTES = 1024 * 1024 * 1024  # higher: one client can fill the disk; lower: big files do not load
IDLE_S = 3600.0  # an upload nobody continues is dropped after this


@dataclasses.dataclass(slots=True)
class Upload:
    """One resumable upload.

    Attributes:
        path: File with what has come.
        body: The job resource.
        size: Bytes so far.
        touched: Monotonic time of the last request.
    """

    path: Path
    body: dict[str, Any]
    size: int = 0
    touched: float = 0.0


class Uploads:
    """The uploads under way.

    Args:
        directory: Folder for their bytes; emptied at start.
    """

    def __init__(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._open: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def begin(self, body: dict[str, Any]) -> str:
        """Start an upload; give its id."""
        now = time.monotonic()
        with self._lock:
            for key, upload in list(self._open.items()):
                if now - upload.touched > IDLE_S:
                    upload.path.unlink(missing_ok=True)
                    del self._open[key]
            key = uuid.uuid4().hex
            path = self._directory / key
            path.touch()
            self._open[key] = Upload(path, body, 0, now)
        return key

    def add(self, key: str, data: bytes, content_range: str) -> tuple[Upload, bool]:
        """Take one chunk; tell whether it was the last.

        Raises:
            NotFoundError: No such upload.
            InvalidError: The chunk does not continue what has come, or it grows too large.
        """
        with self._lock:
            upload = self._open.get(key)
            if upload is None:
                raise NotFoundError("Not found: Upload")
            first, total = _range(content_range, upload.size, len(data))
            if data and first > upload.size:
                raise InvalidError("The chunk does not continue the upload")
            fresh = data[upload.size - first :] if data else b""
            if upload.size + len(fresh) > MAX_UPLOAD_BYTES:
                raise InvalidError(f"Upload is larger than {MAX_UPLOAD_BYTES} bytes")
            with upload.path.open("ab") as handle:
                handle.write(fresh)
            upload.size += len(fresh)
            upload.touched = time.monotonic()
            done = total is not None and upload.size >= total
            if done:
                del self._open[key]
            return upload, done

    def store(self, data: bytes) -> Path:
        """Keep the bytes of a multipart upload."""
        path = self._directory / uuid.uuid4().hex
        path.write_bytes(data)
        return path

    def close(self) -> None:
        """Drop everything."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _range(text: str, have: int, length: int) -> tuple[int, int | None]:
    """Read "bytes 0-99/100", "bytes 0-99/*" or "bytes */100"; give the first byte and the total, if known."""
    if not text:
        return have, have + length
    found = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", text.strip())
    if found is None:
        raise InvalidError(f"Invalid Content-Range: {text}")
    first = int(found.group(1)) if found.group(1) else have
    return first, None if found.group(3) == "*" else int(found.group(3))


def split_multipart(data: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
    """Split a multipart/related body into the job resource and the bytes.

    Raises:
        InvalidError: It is malformed.
    """
    found = re.search(r"boundary=\"?([^\";,]+)\"?", content_type)
    if found is None:
        raise InvalidError("multipart upload without a boundary")
    mark = b"--" + found.group(1).encode()
    parts = data.split(mark)[1:]
    if len(parts) < 3:
        raise InvalidError("multipart upload needs two parts")
    try:
        resource = json.loads(_content(parts[0]))
    except ValueError as error:
        raise InvalidError("the first part of a multipart upload is not JSON") from error
    start = data.index(mark, data.index(mark) + len(mark)) + len(mark)
    end = data.rindex(mark)
    return resource, _content(data[start:end])


def _content(part: bytes) -> bytes:
    _, _, content = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
    return content.removesuffix(b"\r\n")
