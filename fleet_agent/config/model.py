"""The network: where it lies, what runs it, how often."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from fleet_agent.config.kinds import Count, NotNegative, Positive, doc

Level = Annotated[int, Meta(ge=0, le=5)]
Index = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The perception model, what runs it and when it runs."""

    directory: str = field(
        default="", metadata=doc("Folder with `model.onnx` and `manifest.json`; empty: the model shipped.")
    )
    backend: Literal["auto", "tensorrt", "tensorrt_rtx", "onnxruntime"] = field(
        default="auto",
        metadata=doc(
            "What runs the network. `auto`: TensorRT where it is installed and a GPU answers, then TensorRT"
            " for RTX likewise, then ONNX Runtime. One that is named and cannot be used stops the agent."
        ),
    )
    precision: Literal["fp32", "fp16", "int8"] = field(
        default="fp32", metadata=doc("Which of the model's ONNX files is run.")
    )
    provider: Literal["cpu", "cuda", "tensorrt"] = field(
        default="cpu",
        metadata=doc("What ONNX Runtime computes on. One that is named and cannot be used stops the agent."),
    )
    device: Index = field(default=0, metadata=doc("Which GPU, counted from 0."))
    threads: Count = field(
        default=1, metadata=doc("Threads of one inference on the CPU. More is faster and hotter.")
    )
    store_directory: str = field(
        default="",
        metadata=doc(
            "Folder in which the cart keeps the models that it activated; empty: `models` beside the spool."
        ),
    )
    trusted_keys: str = field(
        default="",
        metadata=doc("Folder of public keys, `*.pub`, that may sign models; empty: those shipped."),
    )
    require_signature: bool = field(
        default=True,
        metadata=doc(
            "Whether a model without a signature of a trusted key is refused. Off only for your own."
        ),
    )
    latency_budget_ms: NotNegative = field(
        default=0.0,
        metadata=doc("Longest median time of one batch of four frames; 0: what the model's manifest says."),
    )
    plan_directory: str = field(
        default="",
        metadata=doc("Folder of built TensorRT plans; empty: `plans` beside the spool. Safe to delete."),
    )
    plan_cache_mb: Count = field(
        default=512,
        metadata=doc("Most megabytes of plans kept; the current and the last good one are never deleted."),
    )
    build_timeout_s: Positive = field(
        default=3600.0,
        metadata=doc("Longest time a plan may take to build; minutes are usual on a Jetson."),
    )
    workspace_mb: Count = field(
        default=512,
        metadata=doc(
            "Most megabytes TensorRT may use beside the weights. Less builds next to a running engine;"
            " more lets it try faster kernels."
        ),
    )
    optimization_level: Level = field(
        default=3, metadata=doc("How long TensorRT searches for fast kernels: 0 least, 5 most.")
    )
    cuda_graph: bool = field(
        default=True, metadata=doc("Record the inference once and replay it: less work for the CPU.")
    )
    idle_inference_fps: NotNegative = field(
        default=0.2, metadata=doc("Inferences per second while nothing moves; 0 turns them off.")
    )
    active_inference_fps: Positive = field(
        default=6.0, metadata=doc("Most inferences per second while the weight moves.")
    )
