"""`python -m tests.fleet_control.slow_ingest BROKER WAREHOUSE`: an ingest that dawdles where a kill hurts.

It prints `GAP rows` when rows are durable and their ledger entries are not sent yet, and `GAP ledger` when
the ledger is durable and nothing is acknowledged yet, and then waits a while.
"""

import sys
import time

import pyarrow as pa

from fleet_control.cli import log_to_stderr
from fleet_control.ingest.addresses import parse_broker
from fleet_control.ingest.batch import BatchLimits
from fleet_control.ingest.service import IngestService, IngestSettings
from queries.writer import Appender, AppendTicket

GAP_S = 0.3


class SlowTicket:
    """Says that rows are durable only a while after they are."""

    def __init__(self, ticket: AppendTicket, gap: str) -> None:
        self._ticket = ticket
        self._gap = gap

    def wait(self, timeout_s: float) -> bool:
        """Wait, then dawdle."""
        durable = self._ticket.wait(timeout_s)
        if durable:
            say(f"GAP {self._gap}")
            time.sleep(GAP_S)
        return durable


class SlowAppender:
    """Widens the two gaps."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    def append(self, table: str, rows: pa.Table) -> SlowTicket:
        """Pass on."""
        gap = "ledger" if table == "ingest_ledger" else "rows"
        return SlowTicket(self._appender.append(table, rows), gap)

    def close(self) -> None:
        """Pass on."""
        self._appender.close()


def say(line: str) -> None:
    """Tell the parent."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run until killed."""
    log_to_stderr()
    settings = IngestSettings(
        broker=parse_broker(sys.argv[1]),
        warehouse=sys.argv[2],
        http_port=0,
        rollup_interval_s=None,
        batch=BatchLimits(rows=400, wait_s=0.05, most_rows=400),
    )
    IngestService(settings, SlowAppender).run(lambda address: say(f"READY {address}"))


if __name__ == "__main__":
    main()
