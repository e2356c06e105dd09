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
├── PlanError                a rollout plan that cannot be carried out
├── RolloutError
│   ├── UnknownRolloutError
│   ├── ActionRefusedError   the state of the rollout, or the actor's role, forbids it
│   ├── CartsTakenError      carts are in another rollout that has not ended
│   ├── StaleVersionError    somebody else changed the rollout meanwhile: read again
│   ├── FencedError          the lease was lost: another controller works
│   ├── ReusedKeyError       an idempotency key came back with another command
│   └── StoreError           the database does not answer
├── ControlApiError          the control API, as it serves
│   ├── NotSignedInError     no token, an unknown one or one that has expired
│   ├── PersonRefusedError   a token may not speak for people, or not for this one
│   ├── RequestRefusedError  a request that cannot be understood
│   ├── TokensFileError      the file of tokens cannot be used
│   ├── TokenOutputError     a new token cannot be written down
│   └── ListenError          the address cannot be listened on
├── ControlCallError         the control API, as its clients meet it
│   ├── ControlSettingError  no token, or an address that a token must not be sent to
│   │   └── ControlAddressError  what was given is no address
│   ├── ControlAwayError     it does not answer
│   └── ControlRefusedError  it answered and said no
├── WebhookError             the address or the secret of a webhook cannot be used
├── RegistryError            the model repository
├── GateInputError           numbers that no gate can count, or a state that is not its own
└── ShutdownError            a wait was cut short because the service stops
"""

from fleet_control.plurals import many


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


class WarehouseError(FleetControlError):
    """The warehouse refused a question or rows."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why


class WarehouseUnreachableError(WarehouseError):
    """The warehouse does not answer, or not in time."""


class RowsRefusedError(WarehouseError):
    """It answered and will never take these rows."""


class PlanError(FleetControlError):
    """A rollout plan is wrong, or does not fit the fleet.

    Attributes:
        name: Of the plan, or its file.
        why: What is wrong.
        field: Where, as in `stages[0].percent`; empty if it is the plan as a whole.
    """

    def __init__(self, name: str, why: str, field: str = "") -> None:
        super().__init__(": ".join(filter(None, (name, field, why))))
        self.name = name
        self.why = why
        self.field = field


class RolloutError(FleetControlError):
    """A rollout, or the database that holds it."""


class UnknownRolloutError(RolloutError):
    """There is no rollout of that id."""

    def __init__(self, rollout_id: str) -> None:
        super().__init__(f"there is no rollout {rollout_id!r}")
        self.rollout_id = rollout_id


class ActionRefusedError(RolloutError):
    """The state of the rollout, or the actor's role, forbids an action."""

    def __init__(self, action: str, why: str, *, forbidden: bool = False) -> None:
        super().__init__(f"{action} is refused: {why}")
        self.action = action
        self.why = why
        self.forbidden = forbidden


class CartsTakenError(RolloutError):
    """Carts are in another rollout that has not ended."""

    def __init__(self, taken: dict[str, str]) -> None:
        first = ", ".join(f"{cart} ({rollout})" for cart, rollout in sorted(taken.items())[:10])
        more = f" and {len(taken) - 10} more" if len(taken) > 10 else ""
        carts = many(len(taken), "cart", "is", "are")
        super().__init__(f"{carts} in a rollout that has not ended: {first}{more}")
        self.taken = taken


class StaleVersionError(RolloutError):
    """Somebody else changed the rollout since it was read."""

    def __init__(self, rollout_id: str, expected: int, found: int) -> None:
        super().__init__(f"{rollout_id} is at version {found}, not {expected}: read it again")
        self.expected = expected
        self.found = found


class FencedError(RolloutError):
    """The lease was lost; another controller may be at work."""

    def __init__(self, name: str, token: int) -> None:
        super().__init__(f"lease {name!r} with token {token} is no longer held")
        self.token = token


class ReusedKeyError(RolloutError):
    """An idempotency key came back with another command."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used for another command")
        self.key = key


class StoreError(RolloutError):
    """The database of rollouts does not answer, or is not ours."""


class ControlApiError(FleetControlError):
    """The control API, as it serves."""


class NotSignedInError(ControlApiError):
    """No token, an unknown one or one that has expired."""

    def __init__(self, why: str) -> None:
        super().__init__(f"not signed in: {why}")
        self.why = why


class PersonRefusedError(ControlApiError):
    """A token may not speak for people, or what it sent names nobody."""


class RequestRefusedError(ControlApiError):
    """A request cannot be understood."""

    def __init__(self, status: int, code: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.code = code


class TokensFileError(ControlApiError):
    """The file of tokens cannot be used."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the tokens file {path}: {why}")
        self.path = path


class TokenOutputError(ControlApiError):
    """A new token cannot be written down."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"the token cannot be written into {path}: {why}")
        self.path = path


class ListenError(ControlApiError):
    """The API cannot listen on an address."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"cannot listen on {address}: {why}")
        self.address = address


class ControlCallError(FleetControlError):
    """The control API, as its clients meet it."""


class ControlSettingError(ControlCallError):
    """Where the API is, or with which token to call it, is missing or not safe."""


class ControlAddressError(ControlSettingError):
    """What was given as the API's address is none."""


class ControlAwayError(ControlCallError):
    """The control API does not answer."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"the control API at {address} does not answer: {why}")
        self.address = address


class ControlRefusedError(ControlCallError):
    """The control API answered and said no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class WebhookError(FleetControlError):
    """The address or the secret of a webhook cannot be used."""


class RegistryError(FleetControlError):
    """The model repository cannot be written, or a model cannot be published."""


class GateInputError(FleetControlError, ValueError):
    """A gate was given numbers that cannot be, or a stored state that is not its own."""

    def __init__(self, what: str, given: object, wanted: str) -> None:
        super().__init__(f"{what} is {given!r}: {wanted}")
        self.what = what
        self.given = given


class ShutdownError(FleetControlError):
    """The service is stopping; what was not durable stays unacknowledged."""
