"""`RolloutStore` over SQLAlchemy: reading, the outbox, leases. What `commit` writes is in `writing`."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, delete, func, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from fleet_control.errors import CartsTakenError, StoreError, UnknownRolloutError
from fleet_control.rollouts import store_codec as codec
from fleet_control.rollouts.events import decode_event
from fleet_control.rollouts.ports import Change, CommandRecord, Lease, LoggedEvent, OutboxEntry
from fleet_control.rollouts.rollout import CartRecord, Rollout
from fleet_control.rollouts.states import CartStatus
from fleet_control.rollouts.store_sql import tables, writing
from fleet_control.rollouts.store_sql.engines import POLL_S

# Names in one query. SQLite takes 32,766 at most.
NAMES = 10_000
# An engine that held SQLite's only lock for longer than this leaves it free for as long: some tries of who
# waits for it. Lower, and pauses can wait for seconds beside a busy engine; higher slows the engine.
ROOM_S = 4 * POLL_S


class SqlRolloutStore:
    """Implements `RolloutStore`; made by `open_store`.

    Args:
        engine: The database, with its tables.
        now_ms: The time, epoch milliseconds: of leases on SQLite.
    """

    def __init__(self, engine: Engine, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._room_until_s = 0.0

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def commit(self, change: Change) -> None:
        """Write a step, or nothing of it; see `RolloutStore`.

        On SQLite all writes queue behind each other, on PostgreSQL those of one rollout: who writes much
        splits it into many changes.
        """
        drives = change.lease is not None and self._engine.dialect.name == "sqlite"
        if drives:
            time.sleep(max(0.0, self._room_until_s - time.monotonic()))
        try:
            held_s = self._write(change)
        except writing.CartsCollideError as error:
            taken = self.taken(error.names, but=change.rollout.rollout_id)
            if not taken:
                raise StoreError("carts were in another rollout until just now: try again") from error
            raise CartsTakenError(taken) from error
        if drives and held_s > ROOM_S:
            self._room_until_s = time.monotonic() + ROOM_S

    def _write(self, change: Change) -> float:
        """Write a change; returns for how long it held its locks."""
        with self._writes() as connection:
            begun_s = time.monotonic()
            writing.write(connection, change, lambda: self._clock_ms(connection))
        return time.monotonic() - begun_s

    def record_refusal(self, command: CommandRecord) -> None:
        """Write down a command that was refused; one whose key is known changes nothing."""
        with self._writes() as connection:
            writing.write_command(connection, command)

    def command(self, key: str) -> CommandRecord | None:
        """Return the command of an idempotency key."""
        query = select(tables.commands).where(tables.commands.c.key == key)
        with self._reads() as connection:
            row = connection.execute(query).mappings().first()
            return None if row is None else codec.decode_command({**row})

    def head(self, rollout_id: str) -> Rollout:
        """Return a head.

        Raises:
            UnknownRolloutError: there is none.
        """
        query = select(tables.rollouts.c.head).where(tables.rollouts.c.rollout_id == rollout_id)
        with self._reads() as connection:
            found = connection.execute(query).scalar()
            if found is None:
                raise UnknownRolloutError(rollout_id)
            return codec.decode_rollout(found)

    def heads(self, *, open_only: bool = False, limit: int = 1_000) -> tuple[Rollout, ...]:
        """Return heads, the newest first."""
        table = tables.rollouts
        query = select(table.c.head).order_by(table.c.created_ms.desc(), table.c.rollout_id.desc())
        if open_only:
            query = query.where(table.c.final.is_(False))
        with self._reads() as connection:
            return tuple(codec.decode_rollout(head) for (head,) in connection.execute(query.limit(limit)))

    def carts(self, rollout_id: str) -> dict[str, CartRecord]:
        """Return all records of a rollout."""
        query = select(tables.carts.c.record).where(tables.carts.c.rollout_id == rollout_id)
        with self._reads() as connection:
            found = (codec.decode_record(text) for (text,) in connection.execute(query))
            return {record.cart: record for record in found}

    def cart_page(
        self,
        rollout_id: str,
        *,
        statuses: Sequence[CartStatus] = (),
        store: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[CartRecord, ...]:
        """Return records in the order of cart ids."""
        table = tables.carts
        query = select(table.c.record).where(table.c.rollout_id == rollout_id, table.c.cart > after)
        if statuses:
            query = query.where(table.c.status.in_([status.value for status in statuses]))
        if store is not None:
            query = query.where(table.c.store == store)
        with self._reads() as connection:
            rows = connection.execute(query.order_by(table.c.cart).limit(limit))
            return tuple(codec.decode_record(text) for (text,) in rows)

    def taken(self, carts: Iterable[str], *, but: str = "") -> dict[str, str]:
        """Return which of these carts are in a rollout that has not ended."""
        names = iter(carts)
        with self._reads() as connection:
            found: dict[str, str] = {}
            while chunk := list(islice(names, NAMES)):
                found.update(writing.taken(connection, chunk, but))
            return found

    def log(self, rollout_id: str, *, after: int = 0, limit: int = 1_000) -> tuple[LoggedEvent, ...]:
        """Return entries in order."""
        table = tables.log
        query = (
            select(table.c.number, table.c.entry)
            .where(table.c.rollout_id == rollout_id, table.c.number > after)
            .order_by(table.c.number)
            .limit(limit)
        )
        with self._reads() as connection:
            rows = connection.execute(query)
            return tuple(LoggedEvent(rollout_id, number, decode_event(entry)) for number, entry in rows)

    def log_all(self, *, after: int = 0, limit: int = 1_000) -> tuple[tuple[int, LoggedEvent], ...]:
        """Return entries of all rollouts in the order in which they were written."""
        table = tables.log
        query = (
            select(table.c.position, table.c.rollout_id, table.c.number, table.c.entry)
            .where(table.c.position > after)
            .order_by(table.c.position)
            .limit(limit)
        )
        with self._reads() as connection:
            rows = connection.execute(query)
            return tuple((row[0], LoggedEvent(row[1], row[2], decode_event(row[3]))) for row in rows)

    def audit(self, *, rollout_id: str | None = None, limit: int = 200) -> tuple[CommandRecord, ...]:
        """Return commands, the newest first."""
        table = tables.commands
        query = select(table).order_by(table.c.position.desc()).limit(limit)
        if rollout_id is not None:
            query = query.where(table.c.rollout_id == rollout_id)
        with self._reads() as connection:
            return tuple(codec.decode_command({**row}) for row in connection.execute(query).mappings())

    def gates(self, rollout_id: str) -> dict[str, dict[str, Any]]:
        """Return the states of gates."""
        table = tables.gates
        query = select(table.c.gate, table.c.state).where(table.c.rollout_id == rollout_id)
        with self._reads() as connection:
            return {gate: codec.decode_object(state) for gate, state in connection.execute(query)}

    def outbox(self, *, limit: int = 500) -> tuple[OutboxEntry, ...]:
        """Return what waits to be told, permits first."""
        table = tables.outbox
        query = select(table).order_by(table.c.rank, table.c.id).limit(limit)
        with self._reads() as connection:
            return tuple(
                OutboxEntry(
                    row.id, row.rollout_id, codec.decode_effect(row.kind, row.effect), row.manifest, row.at_ms
                )
                for row in connection.execute(query)
            )

    def told(self, ids: Sequence[int]) -> None:
        """Note that entries of the outbox were told: they are deleted, and their numbers never come again."""
        with self._writes() as connection:
            rest = iter(ids)
            while chunk := list(islice(rest, NAMES)):
                writing.keep_orders(connection, chunk)
                connection.execute(delete(tables.outbox).where(tables.outbox.c.id.in_(chunk)))

    def orders(self) -> tuple[OutboxEntry, ...]:
        """Return the newest order that each cart was told."""
        with self._reads() as connection:
            return tuple(
                OutboxEntry(
                    row.id, row.rollout_id, codec.decode_cart_order(row.effect), row.manifest, row.at_ms
                )
                for row in connection.execute(select(tables.orders))
            )

    def acquire(self, name: str, owner: str, ttl_s: float) -> Lease | None:
        """Take or renew a lease; a new holder gets a higher token. Who waits for it holds up no writer."""
        with self._reads() as connection:
            if writing.is_anothers(connection, name, owner, self._clock_ms(connection)):
                return None
        with self._writes() as connection:
            now_ms = self._clock_ms(connection)
            token = writing.take_lease(connection, name, owner, now_ms, now_ms + int(ttl_s * 1000))
        return None if token is None else Lease(name, owner, token)

    def release(self, lease: Lease) -> None:
        """Give a lease back."""
        table = tables.leases
        mine = (table.c.name == lease.name, table.c.owner == lease.owner, table.c.token == lease.token)
        with self._writes() as connection:
            connection.execute(update(table).where(*mine).values(until_ms=0))

    def _clock_ms(self, connection: Connection) -> int:
        """Return the time of leases: one clock for all controllers."""
        if connection.dialect.name != "postgresql":
            return self._now_ms()
        seconds = connection.execute(select(func.extract("epoch", text("clock_timestamp()")))).scalar_one()
        return int(seconds * 1000)

    @contextmanager
    def _writes(self) -> Iterator[Connection]:
        with _our_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reads(self) -> Iterator[Connection]:
        with _our_errors(), self._engine.connect() as connection:
            yield connection.execution_options(reads=True)


def reason(error: SQLAlchemyError) -> str:
    """Return what a driver said, on one line and without statements or their values."""
    origin = getattr(error, "orig", None) or error
    return (str(origin).strip().splitlines() or [type(origin).__name__])[0]


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"the database of rollouts: {reason(error)}") from error
    except msgspec.DecodeError as error:
        raise StoreError(f"the database of rollouts holds what is not ours: {error}") from error
