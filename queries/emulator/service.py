"""The parts of the endpoint, put together: catalog, statements, jobs, uploads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from queries.emulator.catalog import Catalog
from queries.emulator.database import Database
from queries.emulator.inserts import RecentInserts
from queries.emulator.jobs import Jobs
from queries.emulator.statements import Statements
from queries.emulator.streams import Streams
from queries.emulator.uploads import Uploads

LOCATION = "US"  # where every dataset claims to be


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One endpoint: one project, one data directory."""

    project: str
    database: Database
    catalog: Catalog
    statements: Statements
    jobs: Jobs
    uploads: Uploads
    inserts: RecentInserts
    streams: Streams

    @classmethod
    def open(
        cls, directory: Path, project: str, *, memory_limit: str | None = None, threads: int | None = None
    ) -> Service:
        """Open a data directory.

        Raises:
            DataDirectoryError: Another process has it, or it cannot be read.
        """
        database = Database(directory, memory_limit, threads)
        catalog = Catalog(database, project)
        statements = Statements(catalog)
        jobs = Jobs(project, LOCATION, database.session)
        uploads = Uploads(directory / "uploads")
        return cls(
            project, database, catalog, statements, jobs, uploads, RecentInserts(), Streams(statements)
        )

    def close(self) -> None:
        """Stop the jobs and write the file."""
        self.jobs.close()
        self.uploads.close()
        self.database.close()
