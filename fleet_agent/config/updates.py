"""Updates of the model: where they come from and when they may happen."""

from dataclasses import dataclass, field

from fleet_agent.config.kinds import Count, NotNegative, Positive, doc


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatesConfig:
    """Models that the cloud asks the cart to run."""

    enabled: bool = field(
        default=True, metadata=doc("Whether the cart does what the cloud asks; it needs a repository for it.")
    )
    repository: str = field(
        default="",
        metadata=doc("Address of the model repository, `https://...`; empty: there are no updates."),
    )
    root: str = field(
        default="",
        metadata=doc(
            "File of the repository's trusted `root.json`, brought to the cart by a way of its own."
        ),
    )
    bandwidth_kbit_s: NotNegative = field(
        default=0.0, metadata=doc("Most kilobits per second that fetching takes; 0: no limit.")
    )
    idle_s: NotNegative = field(
        default=300.0,
        metadata=doc(
            "Without a trip, a cart of which it is not sure that it is empty is changed after so long a rest."
        ),
    )
    probation_s: Positive = field(
        default=120.0, metadata=doc("How long a new model is watched before it is kept.")
    )
    probation_looks: Count = field(
        default=10, metadata=doc("How many inferences it must have answered by then.")
    )

    @property
    def wanted(self) -> bool:
        """Whether this cart is updated."""
        return self.enabled and bool(self.repository)
