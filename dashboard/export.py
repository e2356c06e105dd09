"""Tables as CSV with header lines that say what they are. Pure."""

from datetime import datetime

import pandas as pd

from dashboard.sources.protocol import Scope
from dashboard.timeframe import Window


def csv_with_header(frame: pd.DataFrame, title: str, window: Window, scope: Scope, now: datetime) -> bytes:
    """Return a table as CSV; lines before the column names begin with "# "."""
    head = [
        f"# cartwright: {title}",
        f"# window: {window.start.isoformat()} to {window.end.isoformat()} (UTC)",
        f"# filters: store={scope.store_id or 'all'} model={scope.model_digest or 'all'}",
        f"# generated-at: {now.isoformat(timespec='seconds')}",
    ]
    return ("\n".join(head) + "\n" + frame.map(_inert).to_csv(index=False)).encode()


def _inert(cell: object) -> object:
    """Keep a spreadsheet from running what a cart wrote: what looks like a formula gets an apostrophe."""
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{cell}"
    return cell
