"""Everything that can go wrong on a cart, by the part that says so.

    AgentError
    ├── ConfigError             the TOML file; carries the key's path
    ├── ModelError              the model's folder
    │   ├── ManifestError       manifest.json
    │   ├── SignatureError      manifest.sig: nobody we trust signed the manifest
    │   ├── GoldenError         the golden frames of the parity gate
    │   ├── StoreError          the cart's own folder of models and plans
    │   ├── ActivationError     a model was refused; carries stage, reason and parity report
    │   └── EngineError         loading or running the network
    │       ├── PlanBuildError  no plan was built; carries the runtime's own lines
    │       ├── PlanLoadError   a plan that cannot be used here; carries the runtime's own lines
    │       ├── InferenceError  the network did not run; carries the runtime's own lines
    │       ├── DeviceError     CUDA refused; carries the call and CUDA's name of the error
    │       └── EngineBusyError two threads at one engine
    ├── CameraError             carries the camera's name
    │   ├── CameraOpenError
    │   ├── CameraLostError     it was open and stopped delivering
    │   ├── EndOfStreamError    a file or folder is played to its end
    │   └── FrameDecodeError    one frame is unreadable; the next may be fine
    ├── ScaleError
    │   ├── ScaleOpenError
    │   ├── ScaleLostError
    │   └── ScaleGarbageError   it talks nonsense; the next line may be a reading
    ├── SpoolError              the cart's database of unsent messages
    ├── WeightStoreError        the cart's file of learned weights
    ├── EndpointError           /live, /ready, /metrics: cannot listen; carries host and port
    ├── UpdateError             a model that the cloud asks for does not come
    │   ├── RepositoryUnreachableError  the same may work later
    │   ├── RepositoryRefusedError      not signed, too old, too large, or not what was asked for
    │   └── FetchStoppedError           stopped from outside
    └── TransportError          the way to the broker
        └── AccessRefusedError  the account may not hear or say what a cart must

No message holds a password: addresses are shown without their credentials.
"""


class AgentError(Exception):
    """Any error of the cart agent."""


class ConfigError(AgentError):
    """A setting is unknown, missing, of the wrong type or out of range.

    Attributes:
        key: Path of the setting, as in `cameras[0].fps`; empty for the file as a whole.
    """

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}" if key else why)
        self.key = key


class ModelError(AgentError):
    """The model's folder cannot be used."""


class ManifestError(ModelError):
    """`manifest.json` is missing, malformed, or does not describe the model beside it."""


class SignatureError(ModelError):
    """The manifest is not signed by a key that this cart trusts, or its signature is wrong."""


class GoldenError(ModelError):
    """A golden frame is missing, is not the manifest's, or cannot be decoded."""


class StoreError(ModelError):
    """The cart's folder of models, plans and slots cannot be read or written."""


class ActivationError(ModelError):
    """A model was not activated; the one that served before still serves.

    Attributes:
        stage: Where it failed: `verified`, `building`, `selftest` or `active`.
        why: One sentence.
        report: What the parity gate measured (`fleet_agent.activation.parity.ParityReport`); None where it
            did not come that far.
    """

    def __init__(self, stage: str, why: str, report: object | None = None) -> None:
        super().__init__(f"not activated ({stage}): {why}")
        self.stage = stage
        self.why = why
        self.report = report


class EngineError(ModelError):
    """The network cannot be loaded or run."""


class PlanBuildError(EngineError):
    """No plan was built.

    Attributes:
        cause: `failed`, `timeout`, `cancelled`, `start` or `no_plan`, for counters.
        log: The runtime's own lines, the last of them.
    """

    def __init__(self, cause: str, why: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.cause = cause
        self.log = log


class PlanLoadError(EngineError):
    """A plan cannot be used: corrupt, of another machine or runtime, or not the manifest's network.

    Attributes:
        log: The runtime's own lines, the last of them.
    """

    def __init__(self, why: str, log: tuple[str, ...] = ()) -> None:
        super().__init__("; ".join((why, *log)))
        self.log = log


class InferenceError(EngineError):
    """The runtime refused to run the network.

    Attributes:
        log: The runtime's own lines, the last of them.
    """

    def __init__(self, why: str, log: tuple[str, ...] = ()) -> None:
        super().__init__("; ".join((why, *log)))
        self.log = log


class DeviceError(EngineError):
    """CUDA refused a call.

    Attributes:
        call: The function.
        code: CUDA's name of the error, such as `cudaErrorNoDevice`.
    """

    def __init__(self, call: str, code: str, text: str) -> None:
        super().__init__(f"{call}: {code} ({text})")
        self.call = call
        self.code = code


class EngineBusyError(EngineError):
    """A second thread used an engine while the first was still in it.

    Attributes:
        owner: Name of the thread that is in it.
    """

    def __init__(self, owner: str) -> None:
        super().__init__(f"one thread owns an engine, and {owner!r} is in it")
        self.owner = owner


class CameraError(AgentError):
    """A camera does not deliver.

    Attributes:
        camera: Name of the camera.
    """

    def __init__(self, camera: str, why: str) -> None:
        super().__init__(f"camera {camera!r}: {why}")
        self.camera = camera


class CameraOpenError(CameraError):
    """The camera cannot be opened."""


class CameraLostError(CameraError):
    """The camera was open and stopped delivering."""


class EndOfStreamError(CameraError):
    """A file or folder was played to its end; there will be no more frames."""


class FrameDecodeError(CameraError):
    """One frame cannot be decoded; the next may be fine."""


class ScaleError(AgentError):
    """The scale does not deliver."""


class ScaleOpenError(ScaleError):
    """The scale cannot be opened."""


class ScaleLostError(ScaleError):
    """The scale was open and stopped delivering."""


class ScaleGarbageError(ScaleError):
    """Lines came that are no readings: a wrong speed or protocol; the port stays open.

    Attributes:
        lines: How many.
    """

    def __init__(self, port: str, lines: int) -> None:
        super().__init__(f"{port}: {lines} lines are no readings")
        self.lines = lines


class SpoolError(AgentError):
    """The spool cannot be read or written."""


class WeightStoreError(AgentError):
    """The file of learned weights cannot be read or written, or is damaged."""


class EndpointError(AgentError):
    """The address of `/live`, `/ready` and `/metrics` cannot be listened on.

    Attributes:
        host: The address.
        port: Its port.
    """

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {why}")
        self.host = host
        self.port = port


class UpdateError(AgentError):
    """A model that the cloud asks for does not come."""


class RepositoryUnreachableError(UpdateError):
    """The repository does not answer, or breaks off: the same may work later."""


class RepositoryRefusedError(UpdateError):
    """What the repository serves is not signed, too old, too large or not what was asked for."""


class FetchStoppedError(UpdateError):
    """Fetching was stopped from outside; what was downloaded stays for the next time."""


class TransportError(AgentError):
    """The broker cannot be reached or refuses."""


class AccessRefusedError(TransportError):
    """The broker does not let the cart hear or say what it must: the account or the access list is wrong."""
