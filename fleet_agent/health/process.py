"""What surrounds a cart that is a process of its own: its manager, its memory of crashes, its end."""

from dataclasses import replace
from pathlib import Path

from fleet_agent.config import CartConfig
from fleet_agent.health.breaker import CrashBreaker
from fleet_agent.health.monitor import Surroundings, exit_process
from fleet_agent.health.systemd import supervisor, watchdog_period_s
from fleet_agent.ports import Clock


def process_surroundings(config: CartConfig, clock: Clock) -> Surroundings:
    """Count this start, and return what a cart's process hands to its agent.

    Call it before anything that may crash: a start that is not counted cannot be part of a loop. It never
    raises.
    """
    breaker = CrashBreaker.beside(Path(config.spool.path), config.health)
    return Surroundings(
        supervisor=supervisor(),
        breaker=breaker,
        started=breaker.started(clock.epoch_ms()),
        on_stuck=exit_process,
        watchdog_s=watchdog_period_s(),
    )


def safe_config(config: CartConfig) -> CartConfig:
    """Return the settings of a cart in safe mode: what can crash least.

    The shipped model in full precision on the processor, one thread, no look while nothing moves; nothing
    is built, activated or tried. Cameras, scale, spool and broker are as configured: without them there are
    no events.
    """
    model = replace(
        config.model,
        directory="",
        backend="onnxruntime",
        precision="fp32",
        provider="cpu",
        threads=1,
        idle_inference_fps=0.0,
    )
    return replace(config, model=model)
