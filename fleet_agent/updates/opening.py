"""From a cart's settings to its updater."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleet_agent.activation.activator import Activator
from fleet_agent.activation.opening import store_directory
from fleet_agent.activation.outcomes import Opened
from fleet_agent.activation.parity import budget_for
from fleet_agent.config import CartConfig, UpdatesConfig
from fleet_agent.ports import Clock
from fleet_agent.telemetry import Telemetry
from fleet_agent.updates.mailbox import Mailbox, Orders
from fleet_agent.updates.news import News
from fleet_agent.updates.ports import ModelRepository, RunningCart
from fleet_agent.updates.record import RecordFile
from fleet_agent.updates.terms import UpdateTerms
from fleet_agent.updates.updater import Updater

# Given the settings and a folder for what it must remember, opens the way to the repository.
OpenRepository = Callable[[UpdatesConfig, Path], ModelRepository]


@dataclass(frozen=True, slots=True)
class UpdateDesk:
    """What there is of a cart's updates before the cart itself.

    Attributes:
        file: Where the update is: what must be kept, and what must not be opened again.
        folder: Of the file and of downloads.
        mailbox: Of the updater.
        orders: The cart's ear.
    """

    file: RecordFile
    folder: Path
    mailbox: Mailbox[News]
    orders: Orders[News]


def open_desk(config: CartConfig, clock: Clock, telemetry: Telemetry) -> UpdateDesk:
    """Read where the update is; call it before the model is opened."""
    folder = store_directory(config) / "updates"
    mailbox: Mailbox[News] = Mailbox(clock)
    orders = Orders(config.store, config.cart, mailbox, telemetry.count)
    return UpdateDesk(RecordFile(folder / "update.json"), folder, mailbox, orders)


def make_updater(
    desk: UpdateDesk,
    config: CartConfig,
    *,
    cart: RunningCart,
    activator: Activator,
    opened: Opened,
    repository: ModelRepository,
    clock: Clock,
    telemetry: Telemetry,
    hung: str = "",
) -> Updater:
    """Return the updater of a cart that has been made.

    Args:
        desk: Of `open_desk`.
        config: Settings.
        cart: The agent; it was made with the desk's orders.
        activator: Of its models; it was opened with the pins of the desk's record.
        opened: What the agent starts with.
        repository: Where models come from; the updater closes it.
        clock: Time.
        telemetry: Counts.
        hung: What hung when the watchdog ended the run before; empty: nothing.
    """
    cameras, override_ms = max(1, len(config.cameras)), config.model.latency_budget_ms or None
    updates = config.updates
    terms = UpdateTerms(
        idle_s=updates.idle_s,
        probation_s=updates.probation_s,
        probation_looks=updates.probation_looks,
        budget_ms=lambda manifest: budget_for(manifest, cameras, override_ms),
    )
    return Updater(
        terms,
        cart=cart,
        activator=activator,
        repository=repository,
        file=desk.file,
        folder=desk.folder,
        opened=opened,
        mailbox=desk.mailbox,
        clock=clock,
        telemetry=telemetry,
        hung=hung,
    )
