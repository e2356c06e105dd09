"""Where a cart's log lines go: key=value to stderr, and never an exception into the cart."""

import sys
from contextlib import suppress
from typing import Any

import structlog


class StderrLogger:
    """Writes to whatever stderr is now; a stderr that is gone loses lines, not the cart."""

    def msg(self, message: str) -> None:
        """Write one line."""
        with suppress(OSError, ValueError):  # a broken pipe; a closed file
            print(message, file=sys.stderr, flush=True)  # noqa: T201  # this is what a log is

    log = debug = info = warn = warning = error = err = critical = fatal = failure = exception = msg


def log_to_stderr() -> None:
    """Send the log lines of this process to stderr."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=_make,
    )


def _make(*_: Any) -> StderrLogger:
    return StderrLogger()
