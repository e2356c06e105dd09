"""A scale indicator at a serial port."""

from collections import deque

import serial

from fleet_agent.errors import ScaleGarbageError, ScaleLostError, ScaleOpenError
from fleet_agent.ports import Clock, ScaleReading
from fleet_agent.scales.ascii_protocol import Line, LineReader

# Most bytes taken at once: a minute of a chatty indicator.
READ_BYTES = 4096


class SerialScale:
    """Reads ASCII continuous output (see `ascii_protocol`).

    Args:
        port: Device, such as /dev/ttyUSB0.
        baud: Bits per second; 8 data bits, no parity, one stop bit.
        clock: Time.
    """

    def __init__(self, port: str, baud: int, clock: Clock) -> None:
        self._port = port
        self._baud = baud
        self._clock = clock
        self._serial: serial.Serial | None = None
        self._reader = LineReader()
        self._waiting: deque[Line] = deque()

    def open(self) -> None:
        """Open the port.

        Raises:
            ScaleOpenError: it is not there, not permitted, or in use.
        """
        try:
            self._serial = serial.Serial(self._port, self._baud, exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise ScaleOpenError(f"{self._port}: {error}") from error
        self._reader = LineReader()
        self._waiting.clear()

    def read(self, timeout_s: float) -> ScaleReading | None:
        """Wait for the next reading.

        Raises:
            ScaleLostError: the port is gone.
            ScaleGarbageError: lines came, and none was a reading.
        """
        if not self._waiting:
            self._waiting.extend(self._reader.feed(self._receive(timeout_s)))
        if not self._waiting:
            if self._reader.garbage:
                raise ScaleGarbageError(self._port, self._reader.drain())
            return None
        line = self._waiting.popleft()
        return ScaleReading(
            grams=line.grams,
            at_s=self._clock.monotonic_s(),
            stable=line.stable,
            overload=line.overload,
            garbage_before=self._reader.drain(),
        )

    def _receive(self, timeout_s: float) -> bytes:
        if self._serial is None:
            raise ScaleLostError(f"{self._port}: not open")
        try:
            self._serial.timeout = timeout_s
            # The first byte is waited for; what came with it is taken without waiting.
            first: bytes = self._serial.read(1)
            if not first:
                return b""
            return first + bytes(self._serial.read(min(self._serial.in_waiting, READ_BYTES)))
        except (OSError, TypeError, ValueError) as error:  # pyserial lets TypeError out when unplugged
            raise ScaleLostError(f"{self._port}: {error}") from error

    def close(self) -> None:
        """Close the port."""
        if self._serial is not None:
            self._serial.close()
            self._serial = None
