"""The child process that builds a plan: JSON lines on stdout, the plan in the file it is told.

    python -m fleet_agent.engines.tensorrt.build --runtime tensorrt_rtx --onnx model.onnx --sha256 … \
        --input images --shape 4x3x160x160 --plan model.plan --compute-capability 8.6

It is a process of its own so that the engine that serves keeps its memory and its interpreter, and so that a
builder that hangs or crashes can be ended.
"""

import argparse
import json
import re
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet_agent.durable import write_file
from fleet_agent.engines.tensorrt.bindings import RUNTIME_NAMES, load_bindings
from fleet_agent.engines.tensorrt.building import Building, build_plan
from fleet_agent.engines.tensorrt.progress import Step
from fleet_agent.errors import EngineError, PlanBuildError

_SHAPE = re.compile(r"[1-9][0-9]{0,4}(x[1-9][0-9]{0,4}){3}")
_printing = threading.Lock()


def main(arguments: Sequence[str] | None = None) -> int:
    """Build; return the exit status: 0 built, 1 not, with the reason printed."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        plan = build_plan(load_bindings(options.runtime), _building(options), _progress)
        write_file(options.plan, plan)
    except PlanBuildError as error:
        return _failed(str(error), error.log)
    except EngineError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{options.plan}: {error.strerror}")
    _print({"built": len(plan), "seconds": round(time.monotonic() - started, 3)})
    return 0


def _building(options: argparse.Namespace) -> Building:
    return Building(
        onnx=options.onnx,
        sha256=options.sha256,
        input_name=options.input,
        shape=options.shape,
        workspace_mb=options.workspace_mb,
        optimization_level=options.optimization_level,
        compute_capability=options.compute_capability,
        timing_cache=options.timing_cache,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fleet_agent.engines.tensorrt.build", description=__doc__)
    parser.add_argument("--runtime", choices=RUNTIME_NAMES, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--shape", type=_shape, required=True)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--workspace-mb", type=int, default=512)
    parser.add_argument("--optimization-level", type=int, choices=range(6), default=3)
    parser.add_argument("--compute-capability", default="")
    parser.add_argument("--timing-cache", type=Path, default=None)
    return parser


def _shape(text: str) -> tuple[int, ...]:
    if not _SHAPE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 4x3x160x160")
    return tuple(int(size) for size in text.split("x"))


def _progress(step: Step) -> None:
    _print({"phase": step.phase, "step": step.step, "of": step.of})


def _failed(error: str, log: Sequence[str] = ()) -> int:
    _print({"error": error, "log": list(log)})
    return 1


def _print(line: dict[str, Any]) -> None:
    with _printing:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
