"""How the demo's own processes log: key=value lines to stderr, which the supervisor puts into a file."""

import logging
import sys

import structlog


def log_to_stderr() -> None:
    """Set up logging for a process of the demo."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
