"""The states of rollouts, stages, carts and verdicts, and what people may ask for."""

from enum import StrEnum


class RolloutStatus(StrEnum):
    """Where a rollout is. The last three are final: nothing leaves them."""

    DRAFT = "draft"  # waits for an approval
    READY = "ready"  # may be started
    RUNNING = "running"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"  # carts are being sent back to the baseline
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        """Whether nothing leaves it."""
        return self in (RolloutStatus.COMPLETED, RolloutStatus.ROLLED_BACK, RolloutStatus.ABORTED)


class StageStatus(StrEnum):
    """Where a stage is."""

    WAITING = "waiting"
    INSTALLING = "installing"  # its carts are being told, and work
    BAKING = "baking"  # enough carts run the model; gates watch
    HOLDING = "holding"  # a person must decide: an approval, no data, or nothing proved in time
    PASSED = "passed"
    FAILED = "failed"  # a gate, or too many carts that failed, paused the rollout in it
    STOPPED = "stopped"  # the rollout went back or was aborted before it passed
    SKIPPED = "skipped"  # a tail stage that nobody joined


class CartStatus(StrEnum):
    """Where one cart of a rollout is, as the cloud knows it."""

    POOL = "pool"  # of the target, in no stage yet: a control cart
    WAITING = "waiting"  # of a stage that has begun, not told yet
    TOLD = "told"
    WORKING = "working"  # it reported a step
    PROVING = "proving"  # it says that it is done; its telemetry has to show that
    DONE = "done"
    FAILED = "failed"  # rolled back by itself or out of time, and out of tries
    REGRESSED = "regressed"  # was done, and runs another model now
    UNREACHABLE = "unreachable"  # offline for too long: out of the denominator, openly
    EXCLUDED = "excluded"  # retired or moved: out of the denominator, openly
    REVERTING = "reverting"  # told to go back to the baseline
    REVERTED = "reverted"
    REVERT_FAILED = "revert_failed"

    @property
    def in_flight(self) -> bool:
        """Whether a step of the cart is awaited."""
        return self in _IN_FLIGHT

    @property
    def counted(self) -> bool:
        """Whether it is in the denominator of its stage."""
        return self not in (CartStatus.UNREACHABLE, CartStatus.EXCLUDED, CartStatus.POOL)


_IN_FLIGHT = (CartStatus.TOLD, CartStatus.WORKING, CartStatus.PROVING, CartStatus.REVERTING)


class DeviceState(StrEnum):
    """What a cart says of an update, on the wire."""

    IDLE = "IDLE"
    FETCHING = "FETCHING"
    VERIFIED = "VERIFIED"
    BUILDING = "BUILDING"
    SELFTEST = "SELFTEST"
    STAGED = "STAGED"
    PROBATION = "PROBATION"
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105  # a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"
    SHADOW = "shadow"  # it would have failed, and only watches


class Action(StrEnum):
    """What people may ask of a rollout."""

    CREATE = "create"
    APPROVE = "approve"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    ROLL_BACK = "roll_back"
    ABORT_KEEP = "abort_keep"
    ABORT_REVERT = "abort_revert"
    RETRY = "retry"
    PROMOTE = "promote"


class Role(StrEnum):
    """What somebody may do; each may what those before may."""

    VIEWER = "viewer"
    ON_CALL = "on_call"
    OWNER = "rollout_owner"
