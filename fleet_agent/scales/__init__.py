"""Where weight comes from: a serial port, a script; and what a configuration asks for."""

from pathlib import Path

from fleet_agent.config import ScaleConfig
from fleet_agent.ports import Clock, ScaleSource
from fleet_agent.scales.script import ScriptedScale, load_script
from fleet_agent.scales.serial_port import SerialScale

__all__ = ["ScriptedScale", "SerialScale", "load_script", "make_scale"]


def make_scale(config: ScaleConfig, clock: Clock) -> ScaleSource | None:
    """Return the scale that the settings name, not opened yet; None for a cart without one.

    Raises:
        ScaleOpenError: a script cannot be read.
    """
    if config.kind == "serial":
        return SerialScale(config.port, config.baud, clock)
    if config.kind == "script":
        return ScriptedScale(load_script(Path(config.script)), clock, loop=config.loop)
    return None
