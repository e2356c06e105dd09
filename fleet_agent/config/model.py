"""The network: where it lies, what runs it, how often."""

from dataclasses import dataclass, field

from fleet_agent.config.kinds import Count, NotNegative, Positive, doc


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The perception model and when it runs."""

    directory: str = field(
        default="", metadata=doc("Folder with `model.onnx` and `manifest.json`; empty: the model shipped.")
    )
    threads: Count = field(default=1, metadata=doc("Threads of one inference. More is faster and hotter."))
    idle_inference_fps: NotNegative = field(
        default=0.2, metadata=doc("Inferences per second while nothing moves; 0 turns them off.")
    )
    active_inference_fps: Positive = field(
        default=6.0, metadata=doc("Most inferences per second while the weight moves.")
    )
