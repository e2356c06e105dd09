"""From a cart's settings to its activator and the engine it starts with."""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from fleet_agent.activation.activator import Activator
from fleet_agent.activation.base import BaseOpener
from fleet_agent.activation.outcomes import ActivationProgress, Fallback, OnCount, OnProgress, Opened
from fleet_agent.activation.signing import trusted_keys
from fleet_agent.activation.slots import SlotFile
from fleet_agent.activation.store import ModelStore
from fleet_agent.activation.trial import TrialSettings
from fleet_agent.activation.workshop import Workshop
from fleet_agent.config import CartConfig
from fleet_agent.durable import FolderLock
from fleet_agent.engines.backends import BackendChoice, choose_backend
from fleet_agent.engines.onnxruntime_backend import OnnxRuntimeBackend
from fleet_agent.errors import SignatureError, StoreError
from fleet_agent.plans.cache import PlanCache
from fleet_agent.ports import Clock

log = structlog.get_logger()

SHIPPED_KEYS = Path(__file__).parent.parent / "models" / "keys"
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Started:
    """What a cart starts with.

    Attributes:
        opened: The engine.
        activator: For updates; None where the store cannot be used, and the cart runs its base model.
    """

    opened: Opened
    activator: Activator | None


def start(
    config: CartConfig,
    base: Path,
    shipped: Path,
    *,
    clock: Clock,
    on_count: OnCount,
    on_progress: OnProgress | None = None,
    pinned: Callable[[], Collection[str]] = frozenset,
    proved_bad: str = "",
) -> Started:
    """Open the store and the engine; a store that cannot be used costs the updates, not the cart.

    Args:
        config: Settings.
        base: Folder of the configured or shipped model.
        shipped: Folder of the model that came with the agent: the last resort.
        clock: Time.
        on_count: Called with a counter's name for each thing that happened.
        on_progress: Told of each step of each activation.
        pinned: Returns models to keep besides those of the slots, by the sha256 of their manifests.
        proved_bad: Such a model that an update is about to take back: it is withdrawn before the boot.

    Raises:
        SignatureError: a trusted key is broken.
        EngineError: the named backend cannot be used.
        ModelError: not even the shipped model can be opened.
    """
    try:
        activator = open_store(
            config,
            base,
            shipped,
            clock=clock,
            on_count=on_count,
            on_progress=on_progress,
            pinned=pinned,
        )
    except StoreError as error:
        on_count("activation_fallback_store")
        log.warning("fallback_at_boot", what="store", why=str(error))
        return without_store(config, base, shipped, str(error), clock=clock, on_count=on_count)
    try:
        with suppress(StoreError):  # the model serves once more, and is taken back by the running cart
            activator.withdraw(proved_bad)
        return Started(activator.open_at_boot(), activator)
    except BaseException:
        activator.close()
        raise


def open_store(
    config: CartConfig,
    base: Path,
    shipped: Path,
    *,
    clock: Clock,
    on_count: OnCount,
    on_progress: OnProgress | None = None,
    pinned: Callable[[], Collection[str]] = frozenset,
) -> Activator:
    """Return the activator of a cart; see `start`.

    Raises:
        StoreError: the store's folder cannot be written, or another process uses it.
        SignatureError: a trusted key is broken.
        EngineError: the named backend cannot be used.
    """
    trusted = trusted_by(config)
    choice = _choose(config)
    folder = store_directory(config)
    try:
        lock = FolderLock(folder)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error
    try:
        return Activator(
            Workshop(
                lock=lock,
                slots=SlotFile(folder / "slots.json", on_count),
                store=ModelStore(folder / "models", trusted),
                plans=PlanCache(
                    _plan_directory(config),
                    capacity_bytes=config.model.plan_cache_mb * MEGABYTE,
                    clock=clock,
                    on_count=on_count,
                ),
                backend=choice.backend,
                reference=OnnxRuntimeBackend(threads=config.model.threads),
                base=base,
                shipped=shipped,
                base_is_configured=bool(config.model.directory),
                settings=_settings(config),
                clock=clock,
                on_count=on_count,
                on_progress=on_progress or _silent,
                pinned=pinned,
            )
        )
    except BaseException:
        lock.release()
        raise


def trusted_by(config: CartConfig) -> dict[str, bytes] | None:
    """Return the keys that may sign; None: signatures are not asked for."""
    if not config.model.require_signature:
        return None
    return trusted_keys(Path(config.model.trusted_keys) if config.model.trusted_keys else SHIPPED_KEYS)


def store_directory(config: CartConfig) -> Path:
    """Return where a cart keeps the models it activated."""
    if config.model.store_directory:
        return Path(config.model.store_directory)
    return Path(config.spool.path).parent / "models"


def _plan_directory(config: CartConfig) -> Path:
    if config.model.plan_directory:
        return Path(config.model.plan_directory)
    return Path(config.spool.path).parent / "plans"


def _choose(config: CartConfig) -> BackendChoice:
    choice = choose_backend(config.model)
    log.info("backend_chosen", backend=str(choice))
    return choice


def _settings(config: CartConfig) -> TrialSettings:
    model = config.model
    return TrialSettings(
        precision=model.precision,
        cameras=max(1, len(config.cameras)),
        workspace_mb=model.workspace_mb,
        optimization_level=model.optimization_level,
        build_timeout_s=model.build_timeout_s,
        latency_budget_ms=model.latency_budget_ms or None,
    )


def without_store(
    config: CartConfig, base: Path, shipped: Path, why: str, *, clock: Clock, on_count: OnCount
) -> Started:
    """Open the base model on ONNX Runtime, without looking at the store: in need, and in safe mode.

    Args:
        config: Settings.
        base: Folder of the configured or shipped model.
        shipped: Folder of the model that came with the agent: the last resort.
        why: One sentence.
        clock: Time.
        on_count: Called with a counter's name for each thing that happened.

    Raises:
        ModelError: not even the shipped model can be opened.
    """
    fallbacks = [Fallback("store", why)]

    def pass_over(what: str) -> None:
        fallbacks.append(Fallback("base", what))
        on_count("activation_fallback_base")
        log.warning("fallback_at_boot", what="base", why=what)

    try:
        trusted = trusted_by(config)
    except SignatureError as error:
        pass_over(str(error))
        base, trusted = shipped, None
    model = BaseOpener(
        base=base,
        shipped=shipped,
        trusted=trusted,
        reference=OnnxRuntimeBackend(threads=config.model.threads),
        cameras=max(1, len(config.cameras)),
        clock=clock,
    ).open(pass_over)
    opened = Opened(
        engine=model.engine,
        manifest=model.manifest,
        directory=model.directory,
        model=model.name,
        source="base",
        fallbacks=tuple(fallbacks),
        pending=None,
        interrupted=None,
    )
    return Started(opened, None)


def _silent(_: ActivationProgress) -> None:
    """Tell nobody."""
