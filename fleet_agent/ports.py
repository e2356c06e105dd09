"""The outside systems of a cart, each as one narrow Protocol.

A program that hosts agents may bring its own: the demo brings cameras that render and scales that
are moved by simulated shoppers. Real ones are in `cameras`, `scales` and `transport_mqtt`; doubles
are beside them.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fleet_agent.perception import Frame


class Clock(Protocol):
    """Two clocks: one that never jumps, and the time of day as the cart believes it.

    Every wait of a cart goes through an event or a condition that its clock made, and every thread that
    waits so was made by it. So a clock may be one whose hours pass in seconds: `clock_simulated`.
    """

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never jumps."""

    def epoch_ms(self) -> int:
        """Return milliseconds since 1970, UTC."""

    def event(self) -> threading.Event:
        """Return a new event; its waits are timed by this clock."""

    def condition(self) -> threading.Condition:
        """Return a new condition; its waits are timed by this clock."""

    def thread(self, target: Callable[[], object], name: str) -> threading.Thread:
        """Return a thread that is still to be started; from then on this clock knows of it."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never jumps."""
        return time.monotonic()

    def epoch_ms(self) -> int:
        """Return milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    def event(self) -> threading.Event:
        """Return a plain event."""
        return threading.Event()

    def condition(self) -> threading.Condition:
        """Return a plain condition."""
        return threading.Condition()

    def thread(self, target: Callable[[], object], name: str) -> threading.Thread:
        """Return a plain thread, which ends with the process."""
        return threading.Thread(target=target, name=name, daemon=True)


class CameraSource(Protocol):
    """Where frames of one camera come from. Only its capture thread calls it."""

    @property
    def name(self) -> str:
        """Name of the camera: 1 to 32 of a-z 0-9 _ -, a letter or digit first."""

    def open(self) -> None:
        """Open or re-open the camera.

        Raises:
            CameraError: it cannot be opened.
        """

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame.

        The source sets the pace: it blocks until a frame is there. The frame's pixels belong to
        the caller and are never written again.

        Args:
            timeout_s: Longest wait; an idle camera that gives a frame every 2 s returns None often.

        Returns:
            The frame, or None when the time is over.

        Raises:
            FrameDecodeError: this frame is unreadable; read again.
            EndOfStreamError: there will be no more frames.
            CameraLostError: close and open again.
        """

    def close(self) -> None:
        """Give the device back; calling twice is harmless."""


@dataclass(frozen=True, slots=True)
class ScaleReading:
    """One reading of the load cell.

    Attributes:
        grams: Total weight on the scale; NaN when overloaded.
        at_s: When it was read, on the process's monotonic clock.
        stable: The scale's own opinion; None when it has none.
        overload: The scale is beyond its range; grams mean nothing.
        garbage_before: Unreadable lines since the reading before this one.
    """

    grams: float
    at_s: float
    stable: bool | None = None
    overload: bool = False
    garbage_before: int = 0


class ScaleSource(Protocol):
    """Where weight comes from. Only the scale's thread calls it.

    Readings may come at a varying rate; 10 per second while something moves is plenty, and one
    every two seconds keeps an idle cart cheap.
    """

    def open(self) -> None:
        """Open or re-open the scale.

        Raises:
            ScaleError: it cannot be opened.
        """

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Wait for the next reading; None when the time is over.

        Raises:
            ScaleLostError: close and open again.
            ScaleGarbageError: only garbage came; read on.
        """

    def close(self) -> None:
        """Give the device back; calling twice is harmless."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One payload for the broker.

    Attributes:
        topic: Where to.
        payload: Encoded bytes.
        retain: The broker keeps it for later subscribers.
    """

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """What one connection to the broker needs before it is made.

    Attributes:
        will: Published by the broker when the connection breaks; carries this session's number.
        subscribe: Topic of the watermarks: without it nothing would ever be confirmed.
        orders: Topics of what the cloud asks for: a cart that may not hear them works, and is not updated.
    """

    will: Outgoing
    subscribe: str
    orders: tuple[str, ...] = ()


class Outbox(Protocol):
    """What a transport sends and to whom it hands what it receives. Called from its thread only.

    Per connection: `plan_connection`, then what waits at the broker, then `on_connected`.
    """

    def plan_connection(self) -> ConnectionPlan:
        """Count one more session and return its will. Called before every connect."""

    def on_connected(self) -> Outgoing:
        """Forget what was in flight, and return the birth message of this session."""

    def take(self, now_s: float) -> list[Outgoing]:
        """Return what is to be sent now: events first, bounded by what is already in flight."""

    def next_due_s(self, now_s: float) -> float:
        """Return how long a transport may sleep before something in flight is due again."""

    def on_received(self, topic: str, payload: bytes) -> None:
        """Handle a payload of a subscribed topic: delete what a watermark covers, hand on an order."""

    def on_refused(self, what: str, why: str) -> None:
        """Count what the broker does not let us do: `ack_refused`, `orders_refused` or `publish_refused`."""

    def farewell(self) -> Outgoing:
        """Return the message of a clean stop."""


class Transport(Protocol):
    """The way to the broker: keeps connected by itself and sends what the outbox gives."""

    def start(self, outbox: Outbox) -> None:
        """Begin to connect; returns at once."""

    def wake(self) -> None:
        """Say that the outbox has something new. Any thread; never blocks."""

    def renew(self) -> None:
        """Connect again, so that a new birth tells who the cart is by now. Any thread; never blocks."""

    def stop(self, timeout_s: float) -> None:
        """Send what the outbox gives now, say farewell, and end the thread."""

    @property
    def connected(self) -> bool:
        """Whether a broker has accepted us and has not gone since."""
