"""Many carts on one machine, each with an MQTT connection of its own, as far as hearing permits goes.

A smallest client of MQTT 3.1.1 on asyncio: CONNECT, SUBSCRIBE, receive, acknowledge. Each process of carts
notes when the last of them heard a permit, and says so on its pipe.
"""

import asyncio
import multiprocessing as mp
import resource
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Self

from fleet_protocol.errors import ProtocolError
from fleet_protocol.rollouts import PERMIT_FILTER, Permit, decode_permit, is_permit_topic

CONNACK, PUBLISH, SUBACK = 0x20, 0x30, 0x90
# Connections that are being made at once: more overflow the broker's backlog.
AT_ONCE = 50


class Heard(NamedTuple):
    """All carts of a process have heard a permit.

    Attributes:
        rollout: Whose.
        generation: Which.
        last_s: When the last of them did; the clock is the same in all processes.
    """

    rollout: str
    generation: int
    last_s: float


class Cart(asyncio.Protocol):
    """One connection."""

    def __init__(self, crowd: "Crowd", store: str, cart: str) -> None:
        self._crowd = crowd
        self._store, self._cart = store, cart
        self._transport: Any = None
        self._waiting = b""
        self._newest: dict[str, int] = {}
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say who it is."""
        self._transport = transport
        # Clean session, no keep-alive.
        self._transport.write(packet(0x10, text("MQTT") + b"\x04\x02\x00\x00" + text(self._cart)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail loudly: a cart less would make the numbers better."""
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"{self._cart}: {exc}"))
        self._crowd.lost.set()

    def data_received(self, data: bytes) -> None:
        """Take whole packets off the stream."""
        self._waiting += data
        while (found := first_packet(self._waiting)) is not None:
            kind, body, rest = found
            self._waiting = rest
            self._take(kind, body)

    def _take(self, kind: int, body: bytes) -> None:
        if kind & 0xF0 == PUBLISH:
            self._hear(kind, body)
        elif kind == CONNACK:
            desired = f"fleet/v1/{self._store}/{self._cart}/desired"
            filters = b"".join(text(name) + b"\x01" for name in (desired, PERMIT_FILTER))
            self._transport.write(packet(0x82, b"\x00\x01" + filters))
        elif kind == SUBACK:
            self.ready.set_result(None)

    def _hear(self, kind: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2])
        topic = body[2:end].decode()
        if kind & 0x06:
            self._transport.write(b"\x40\x02" + body[end : end + 2])
            end += 2
        if not is_permit_topic(topic):
            return
        permit = self._crowd.permit(topic, body[end:])
        # A permit that is told twice is heard once.
        if permit is not None and permit.generation > self._newest.get(permit.rollout, -1):
            self._newest[permit.rollout] = permit.generation
            self._crowd.heard(permit)


class Crowd:
    """The carts of one process.

    Attributes:
        lost: A connection has ended.
    """

    def __init__(self, size: int, pipe: Connection) -> None:
        self._size = size
        self._pipe = pipe
        self._counts: Counter[tuple[str, int]] = Counter()
        self._decoded: dict[bytes, Permit | None] = {}
        self.lost = asyncio.Event()

    def permit(self, topic: str, payload: bytes) -> Permit | None:
        """Decode a permit; the same bytes only once."""
        if payload not in self._decoded:
            try:
                self._decoded[payload] = decode_permit(topic, payload)
            except ProtocolError:
                self._decoded[payload] = None
        return self._decoded[payload]

    def heard(self, permit: Permit) -> None:
        """Count a cart that heard it; say when all have."""
        key = (permit.rollout, permit.generation)
        self._counts[key] += 1
        if self._counts[key] == self._size:
            self._pipe.send(Heard(*key, time.perf_counter()))


def packet(kind: int, body: bytes) -> bytes:
    """Return a packet with its length, which is less than 16,384."""
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([kind]) + length + body


def text(value: str) -> bytes:
    """Return a text as MQTT writes it."""
    return len(value.encode()).to_bytes(2) + value.encode()


def first_packet(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return (kind, body, rest) of the first whole packet; None: it is not all there."""
    size, at = 0, 1
    while at < len(data):
        size |= (data[at] & 0x7F) << (7 * (at - 1))
        at += 1
        if data[at - 1] < 128:
            return (data[0], data[at : at + size], data[at + size :]) if len(data) >= at + size else None
    return None


def carts(host: str, port: int, names: list[tuple[str, str]], pipe: Connection) -> None:
    """Run carts (store, cart) until the process is ended; says `ready` when all have subscribed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(host, port, names, pipe))


async def _serve(host: str, port: int, names: list[tuple[str, str]], pipe: Connection) -> None:
    crowd = Crowd(len(names), pipe)
    loop = asyncio.get_running_loop()
    turns = asyncio.Semaphore(AT_ONCE)

    async def connect(store: str, cart: str) -> None:
        async with turns:
            _, protocol = await loop.create_connection(lambda: Cart(crowd, store, cart), host, port)
            await protocol.ready

    await asyncio.gather(*(connect(*name) for name in names))
    pipe.send("ready")
    await crowd.lost.wait()
    pipe.send("a cart lost its connection")


class Carts:
    """Carts in processes of their own; use as a context manager.

    Args:
        host: The broker's.
        port: The broker's.
        names: (store, cart).
        processes: How many.
    """

    def __init__(self, host: str, port: int, names: list[tuple[str, str]], processes: int) -> None:
        context = mp.get_context("spawn")
        self._pipes: list[Connection] = []
        self._children: list[Any] = []
        for first in range(processes):
            ours, theirs = context.Pipe()
            child = context.Process(
                target=carts, args=(host, port, names[first::processes], theirs), daemon=True
            )
            child.start()
            self._pipes.append(ours)
            self._children.append(child)

    def __enter__(self) -> Self:
        for pipe in self._pipes:
            said = self._next(pipe, 300.0)
            if said != "ready":
                raise RuntimeError(said)
        return self

    def __exit__(self, *_error: object) -> None:
        for child in self._children:
            child.terminate()
            child.join(10)

    def all_heard(self, rollout: str, generation: int, timeout_s: float) -> float:
        """Wait until every cart has heard a permit, this one or a newer; return when the last one did."""
        last_s = 0.0
        for pipe in self._pipes:
            while (said := self._next(pipe, timeout_s))[0] != rollout or said[1] < generation:
                pass  # an older one
            last_s = max(last_s, said.last_s)
        return last_s

    @staticmethod
    def _next(pipe: Connection, timeout_s: float) -> Any:
        if not pipe.poll(timeout_s):
            msg = f"carts heard nothing for {timeout_s:g} s"
            raise TimeoutError(msg)
        said = pipe.recv()
        if isinstance(said, str) and said != "ready":
            raise ConnectionError(said)
        return said
