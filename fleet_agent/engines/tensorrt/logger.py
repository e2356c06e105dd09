"""TensorRT's own log: it explains failures only there, its functions return None or False."""

import functools
import threading
from collections import deque
from typing import Any

from fleet_agent.engines.tensorrt.bindings import Bindings

# Lines kept; a failed parse writes about ten, a failed build some tens.
KEPT_LINES = 200
# Lines that an error carries: enough for cause and consequence, little enough for telemetry.
SHOWN_LINES = 12
# Of one line; some hold a whole layer's description.
LINE_CHARACTERS = 400


class RuntimeLog:
    """The last lines of a runtime; any of its threads may write."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._written = 0

    def write(self, severity: str, text: str) -> None:
        """Keep a line."""
        line = f"{severity}: {' '.join(text.split())}"[:LINE_CHARACTERS]
        with self._lock:
            self._lines.append(line)
            self._written += 1

    def mark(self) -> int:
        """Return the place from which `since` shows what came."""
        with self._lock:
            return self._written

    def since(self, mark: int) -> tuple[str, ...]:
        """Return the lines written since a mark, the last of them."""
        with self._lock:
            count = min(self._written - mark, SHOWN_LINES, len(self._lines))
            return tuple(self._lines)[len(self._lines) - count :]


@functools.cache
def runtime_log(bindings: Bindings) -> tuple[RuntimeLog, Any]:
    """Return a runtime's log and the logger that fills it.

    There is one for the whole process: TensorRT keeps the first logger that it is given for its global
    messages, so that a second one would miss some.
    """
    base = bindings.trt.ILogger
    log = RuntimeLog()

    class Logger(base):  # type: ignore[misc,valid-type]
        """Passes on what is worth a person's time; called by TensorRT's threads, so it must not raise."""

        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            """Keep warnings and worse."""
            if int(severity) <= int(base.WARNING):
                log.write(str(severity).rsplit(".", 1)[-1].lower(), text)

    return log, Logger()
