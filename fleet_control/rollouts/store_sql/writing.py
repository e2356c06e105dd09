"""What one change writes, in one transaction that its caller has begun."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from fleet_control.errors import FencedError, StaleVersionError
from fleet_control.rollouts import store_codec as codec
from fleet_control.rollouts.events import encode_event
from fleet_control.rollouts.idempotency import check_repeat
from fleet_control.rollouts.ports import Change, CommandRecord, Lease
from fleet_control.rollouts.rollout import CartRecord, Notice, TellCart, TellPermit
from fleet_control.rollouts.store_sql import tables

# Of PostgreSQL's advisory lock under which log entries get their positions: a reader that has seen a position
# has seen all before it.
_LOG_LOCK = 0x0CA27


# Permits before everything else; then people, who are told at once; then carts.
_RANKS: dict[type, int] = {TellPermit: 0, Notice: 1, TellCart: 2}


def write(connection: Connection, change: Change, clock_ms: Callable[[], int]) -> None:
    """Write everything of a change, in the order in which it is refused most cheaply.

    A command that was written before, with the same outcome, is done: nothing is written, nothing is raised.

    Raises:
        ReusedKeyError: the command's key was used for another command.
        ActionRefusedError: the command was refused before.
        FencedError: the lease is no longer held.
        StaleVersionError: the head is not at the expected version.
        CartsCollideError: a claimed cart is in another rollout.
    """
    if change.command is not None and (before := write_command(connection, change.command)) is not None:
        check_repeat(before, change.command)
        return
    if change.lease is not None:
        _check_lease(connection, change.lease, clock_ms())
    _write_head(connection, change)
    _write_carts(connection, change)
    _write_gates(connection, change)
    _write_outbox(connection, change)
    _write_log(connection, change)


def write_command(connection: Connection, command: CommandRecord) -> CommandRecord | None:
    """Write a command, or return the one that is there under its key."""
    columns: dict[str, Any] = msgspec.to_builtins(command)
    made = _insert(connection, tables.commands).values(**columns)
    new = made.on_conflict_do_nothing(index_elements=["key"]).returning(tables.commands.c.key)
    if connection.execute(new).first() is not None:
        return None
    query = select(tables.commands).where(tables.commands.c.key == command.key)
    return codec.decode_command({**connection.execute(query).mappings().one()})


def is_anothers(connection: Connection, name: str, owner: str, now_ms: int) -> bool:
    """Whether somebody else holds a lease now."""
    table = tables.leases
    theirs = (table.c.name == name, table.c.owner != owner, table.c.until_ms > now_ms)
    return connection.execute(select(table.c.name).where(*theirs)).first() is not None


def take_lease(connection: Connection, name: str, owner: str, now_ms: int, until_ms: int) -> int | None:
    """Take or renew a lease in one statement; returns its token, None if somebody else holds it."""
    table = tables.leases
    free, mine = table.c.until_ms <= now_ms, table.c.owner == owner
    made = _insert(connection, table).values(name=name, owner=owner, token=1, until_ms=until_ms)
    taken = made.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "owner": owner,
            "token": case((free, table.c.token + 1), else_=table.c.token),
            "until_ms": until_ms,
        },
        where=mine | free,
    )
    token: int | None = connection.execute(taken.returning(table.c.token)).scalar()
    return token


def taken(connection: Connection, names: Sequence[str], but: str) -> dict[str, str]:
    """Return which of some carts are in a rollout that has not ended."""
    table = tables.carts
    query = select(table.c.cart, table.c.rollout_id).where(
        table.c.cart.in_(names), table.c.active.is_(True), table.c.rollout_id != but
    )
    return {row.cart: row.rollout_id for row in connection.execute(query)}


def _check_lease(connection: Connection, lease: Lease, now_ms: int) -> None:
    table = tables.leases
    query = select(table.c.token).where(
        table.c.name == lease.name,
        table.c.owner == lease.owner,
        table.c.token == lease.token,
        table.c.until_ms > now_ms,
    )
    # Shared: until this transaction ends nobody else takes the lease.
    if connection.execute(query.with_for_update(read=True)).first() is None:
        raise FencedError(lease.name, lease.token)


def _write_head(connection: Connection, change: Change) -> None:
    rollout, table = change.rollout, tables.rollouts
    values = {
        "version": rollout.version,
        "status": rollout.status.value,
        "final": rollout.status.final,
        "head": codec.encode(rollout),
    }
    if change.expected_version == 0:
        made = _insert(connection, table).values(
            rollout_id=rollout.rollout_id, created_ms=rollout.created_ms, **values
        )
        change_head = made.on_conflict_do_nothing(index_elements=["rollout_id"])
    else:
        same = (table.c.rollout_id == rollout.rollout_id, table.c.version == change.expected_version)
        change_head = update(table).where(*same).values(**values)
    if connection.execute(change_head.returning(table.c.version)).first() is None:
        query = select(table.c.version).where(table.c.rollout_id == rollout.rollout_id)
        found = connection.execute(query).scalar() or 0
        raise StaleVersionError(rollout.rollout_id, change.expected_version, found)


def _write_carts(connection: Connection, change: Change) -> None:
    rollout_id, table = change.rollout.rollout_id, tables.carts
    if change.carts:
        made = _insert(connection, table)
        new = made.excluded
        upsert = made.on_conflict_do_update(
            index_elements=["rollout_id", "cart"],
            set_={"store": new.store, "status": new.status, "active": new.active, "record": new.record},
        )
        # In the same order everywhere: of two rollouts that claim the same carts at once, one waits for the
        # other and is told; in other orders they would wait for each other.
        rows = [_cart_row(change, cart) for cart in sorted(change.carts, key=lambda cart: cart.cart)]
        try:
            connection.execute(upsert, rows)
        except IntegrityError as error:
            raise CartsCollideError(rows) from error
    if change.releases:
        held = (table.c.rollout_id == rollout_id, table.c.active.is_(True))
        connection.execute(update(table).where(*held).values(active=False))


class CartsCollideError(Exception):
    """A claimed cart is active elsewhere; the transaction is lost, and the names are looked up after it."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__("a cart is in another rollout")
        self.names = [str(row["cart"]) for row in rows]


def _cart_row(change: Change, cart: CartRecord) -> dict[str, Any]:
    return {
        "rollout_id": change.rollout.rollout_id,
        "cart": cart.cart,
        "store": cart.store,
        "status": cart.status.value,
        "active": not change.releases and cart.holds,
        "record": codec.encode(cart),
    }


def _write_gates(connection: Connection, change: Change) -> None:
    if not change.gates:
        return
    made = _insert(connection, tables.gates)
    upsert = made.on_conflict_do_update(
        index_elements=["rollout_id", "gate"], set_={"state": made.excluded.state}
    )
    rollout_id = change.rollout.rollout_id
    rows = [
        {"rollout_id": rollout_id, "gate": gate, "state": codec.encode(state)}
        for gate, state in change.gates.items()
    ]
    connection.execute(upsert, rows)


def _write_outbox(connection: Connection, change: Change) -> None:
    rollout = change.rollout
    rows = [
        {
            "rollout_id": rollout.rollout_id,
            "rank": _RANKS[type(effect)],
            "kind": codec.kind_of(effect),
            "effect": codec.encode(effect),
            "manifest": rollout.manifests.get(effect.model, "") if isinstance(effect, TellCart) else "",
            "at_ms": change.at_ms,
        }
        for effect in change.effects
    ]
    if rows:
        connection.execute(insert(tables.outbox), rows)


def keep_orders(connection: Connection, ids: Sequence[int]) -> None:
    """Keep the newest order of each cart among entries of the outbox that were told."""
    table = tables.outbox
    query = select(table).where(table.c.id.in_(ids), table.c.kind == codec.CART_ORDER)
    newest = {}
    for row in connection.execute(query.order_by(table.c.id)).mappings():
        cart = codec.decode_cart_order(row["effect"])
        newest[f"{cart.store}/{cart.cart}"] = row
    if not newest:
        return
    made = _insert(connection, tables.orders)
    columns = ("id", "rollout_id", "effect", "manifest", "at_ms")
    upsert = made.on_conflict_do_update(
        index_elements=["cart"],
        set_={name: made.excluded[name] for name in columns},
        where=tables.orders.c.id < made.excluded.id,
    )
    rows = [{"cart": cart, **{name: row[name] for name in columns}} for cart, row in newest.items()]
    connection.execute(upsert, rows)


def _write_log(connection: Connection, change: Change) -> None:
    """Write entries last: positions are in the order in which transactions end."""
    if not change.events:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOG_LOCK)))
    rows = [
        {
            "rollout_id": change.rollout.rollout_id,
            "number": number,
            "at_ms": event.at_ms,
            "entry": encode_event(event),
        }
        for number, event in enumerate(change.events, change.expected_version + 1)
    ]
    connection.execute(insert(tables.log), rows)


def _insert(connection: Connection, table: Table) -> Any:
    """Return an insert that can be told what to do on a conflict."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
