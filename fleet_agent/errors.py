"""Everything that can go wrong on a cart, by the part that says so.

    AgentError
    ├── ConfigError             the TOML file; carries the key's path
    ├── ModelError              the model's folder
    │   ├── ManifestError       manifest.json
    │   └── EngineError         loading or running the network
    ├── CameraError             carries the camera's name
    │   ├── CameraOpenError
    │   ├── CameraLostError     it was open and stopped delivering
    │   ├── EndOfStreamError    a file or folder is played to its end
    │   └── FrameDecodeError    one frame is unreadable; the next may be fine
    ├── ScaleError
    │   ├── ScaleOpenError
    │   └── ScaleLostError
    ├── SpoolError              the cart's database of unsent messages
    └── TransportError          the way to the broker

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


class EngineError(ModelError):
    """The network cannot be loaded or run."""


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


class SpoolError(AgentError):
    """The spool cannot be read or written."""


class TransportError(AgentError):
    """The broker cannot be reached or refuses."""
