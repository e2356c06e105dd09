"""Which nodes of a network ONNX Runtime gave to the processor, though a GPU was asked for.

ONNX Runtime leaves nodes on the CPU for two reasons: its provider does not know the operator, or it reckons
that sums over shapes and constants are not worth the way to the GPU and back. The second is right, and in
nearly every exported network; its switch `session.disable_cpu_ep_fallback` refuses both alike. So the
placement is read after loading, and only work that should be on the GPU is refused.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fleet_agent.errors import EngineError

# What makes an inference slow. On the CPU, one of these alone moves a picture there and back. An operator
# that is missing here runs there with a note only; one too many refuses a network that would be fast.
HEAVY = frozenset(
    {
        "Attention",
        "AveragePool",
        "BatchNormalization",
        "Conv",
        "ConvInteger",
        "ConvTranspose",
        "DeformConv",
        "Einsum",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "GRU",
        "Gemm",
        "GridSample",
        "GroupNormalization",
        "InstanceNormalization",
        "LSTM",
        "LayerNormalization",
        "MatMul",
        "MatMulInteger",
        "MaxPool",
        "MultiHeadAttention",
        "QAttention",
        "QLinearConv",
        "QLinearMatMul",
        "Resize",
        "Softmax",
        "Upsample",
    }
)
# Asks ONNX Runtime to remember who got what; since 1.24.
RECORDING = ("session.record_ep_graph_assignment_info", "1")
# Operators named in a note or an error; the rest is counted.
NAMED = 4


@dataclass(frozen=True, slots=True)
class Placement:
    """How a network is spread.

    Attributes:
        nodes: Of the whole network, as it was when they were handed out.
        on_cpu: Operators that the CPU got, and how many nodes of each.
    """

    nodes: int
    on_cpu: tuple[tuple[str, int], ...]

    @property
    def note(self) -> str:
        """For people; empty where the CPU got nothing."""
        if not self.on_cpu:
            return ""
        strayed = sum(count for _, count in self.on_cpu)
        return f"{strayed} of {self.nodes} nodes on the processor: {_listed(self.on_cpu)}"

    def check(self, provider: str) -> None:
        """Check that no heavy work is on the processor.

        Args:
            provider: ONNX Runtime's name of what should run it.

        Raises:
            EngineError: some is; names the operators.
        """
        heavy = [(operator, count) for operator, count in self.on_cpu if operator in HEAVY]
        if heavy:
            raise EngineError(
                f"{provider} does not run all of the network: {_listed(heavy)} of {self.nodes} nodes"
                " would run on the processor"
            )


def placement_of(session: Any) -> Placement:
    """Read from a session that was opened with `RECORDING` who got which node."""
    parts = session.get_provider_graph_assignment_info()
    nodes = [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]
    on_cpu = Counter(operator for provider, operator in nodes if provider.startswith("CPU"))
    return Placement(len(nodes), tuple(sorted(on_cpu.items())))


def _listed(operators: Iterable[tuple[str, int]]) -> str:
    """Return `5 Cast, 2 Gather`, most first."""
    ranked = sorted(operators, key=lambda entry: (-entry[1], entry[0]))
    named = ", ".join(f"{count} {operator}" for operator, count in ranked[:NAMED])
    others = sum(count for _, count in ranked[NAMED:])
    return f"{named}, {others} others" if others else named
