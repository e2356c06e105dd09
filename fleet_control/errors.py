"""What can go wrong on the cloud side.

FleetControlError
├── AddressError             an address on the command line cannot be read
├── BrokerError
│   ├── BrokerUnreachableError
│   ├── BrokerRefusedError   it answered and said no
│   └── PublishTimeoutError
├── WarehouseError
│   ├── WarehouseUnreachableError
│   └── RowsRefusedError     it answered and will never take these rows
├── GateInputError           numbers that no gate can count, or a state that is not its own
└── ShutdownError            a wait was cut short because the service stops
"""


class FleetControlError(Exception):
    """Anything that this package raises on purpose."""


class AddressError(FleetControlError):
    """An address cannot be read."""

    def __init__(self, address: str, expected: str) -> None:
        super().__init__(f"cannot read the address {address!r}: expected {expected}")
        self.address = address


class BrokerError(FleetControlError):
    """The MQTT broker."""


class BrokerUnreachableError(BrokerError):
    """Nothing answers, or the connection broke."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"the MQTT broker at {address} cannot be reached: {why}")
        self.address = address


class BrokerRefusedError(BrokerError):
    """The broker answered and refused the connection or the subscription."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"the MQTT broker at {address} refused: {why}")
        self.address = address


class PublishTimeoutError(BrokerError):
    """Messages were not acknowledged by the broker in time."""

    def __init__(self, unacknowledged: int, timeout_s: float) -> None:
        super().__init__(f"{unacknowledged} messages were not acknowledged within {timeout_s:g} s")
        self.unacknowledged = unacknowledged
        self.timeout_s = timeout_s


class GateInputError(FleetControlError, ValueError):
    """A gate was given numbers that cannot be, or a stored state that is not its own."""

    def __init__(self, what: str, given: object, wanted: str) -> None:
        super().__init__(f"{what} is {given!r}: {wanted}")
        self.what = what
        self.given = given


class ShutdownError(FleetControlError):
    """The service is stopping; what was not durable stays unacknowledged."""
