"""`cartwright demo rollout good|bad`: create a rollout in the running demo, start it, tell what happens."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from demo.carts.rush import Rush
from demo.data_dir import DataDir
from demo.errors import DemoError, SettingsError
from demo.rollout.client import ControlClient
from demo.rollout.plans import SHOWS, Show, plan_of
from demo.up.settings import DEFAULT_DATA_DIR
from fleet_control.plurals import many

# Between two looks at the log. Lower only asks more often.
LOOK_S = 2.0
# How long pairs of carts are compared: in a rush a cart sees some seven items a minute.
WINDOW_S = 360
# A rollout of the demo that has not ended after this long will not.
LONGEST_S = 3_600.0
ENDED = ("completed", "rolled_back", "aborted", "paused")
# Entries of single carts are told by the stage's numbers.
_QUIET = ("cart_reported", "cart_seen", "carts_told", "cart_unreachable", "cart_back")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a show; 0 when it ended as it should."""
    options = _parser().parse_args(argv)
    try:
        return Stage(options.data_dir, SHOWS[options.show], options.window_s).run(_say)
    except DemoError as error:
        sys.stderr.write(f"cartwright demo rollout: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cartwright demo",
        description="Shows in the running demo (`cartwright up` or `make demo`, in another terminal).",
    )
    shows = parser.add_subparsers(required=True, metavar="SHOW")
    text = "a rollout: v2 passes its stages by itself (good), v3-bad is stopped in its first (bad)"
    rollout = shows.add_parser("rollout", help=text, description=text)
    rollout.add_argument("show", choices=sorted(SHOWS))
    rollout.add_argument(
        "--data-dir", type=Path, default=DEFAULT_DATA_DIR, metavar="DIR", help="of the running demo"
    )
    rollout.add_argument(
        "--window-s",
        type=int,
        default=WINDOW_S,
        metavar="SECONDS",
        help="how long pairs of carts are compared (%(default)s)",
    )
    return parser


class Stage:
    """One show.

    Args:
        root: Data directory of the running demo.
        show: Which.
        window_s: How long pairs of carts are compared.

    Raises:
        SettingsError: no demo runs there.
    """

    def __init__(self, root: Path, show: Show, window_s: int) -> None:
        self._data = DataDir(root)
        self._show = show
        self._window_s = window_s
        running = _running(self._data)
        self._dashboard = running.get("dashboard")
        self._control = ControlClient(str(running["control"]), _token(self._data))

    def run(self, say: Callable[[str], None]) -> int:
        """Create, start and follow the rollout; returns the exit status."""
        plan = self._plan()
        rollout = plan["rollout"]
        self._control.post("/v1/rollouts", plan)
        self._control.post(
            f"/v1/rollouts/{rollout}/actions", {"action": "start", "reason": "a show of the demo"}
        )
        say(f"{rollout}: {self._show.title}")
        if self._dashboard:
            say(f"Watch it: {self._dashboard}/rollouts?rollout={rollout}")
        with Rush(self._data.rush).lasting(LONGEST_S):
            status = self._follow(rollout, say)
        self._tell_evidence(rollout, say)
        expected = status in self._show.ends
        say(f"{rollout} is {status}: {'as it should be' if expected else 'that was not expected'}.")
        if status == "paused":
            live = many(self._control.get(f"/v1/rollouts/{rollout}")["live"], "cart", "keeps", "keep")
            say(f"{live} {self._show.version} until somebody sends them back:")
            say(f'cartwright rollouts rollback {rollout} --reason "the show is over"')
        return 0 if expected else 1

    def _plan(self) -> dict[str, Any]:
        models = {model["version"]: model["digest"] for model in self._control.get("/v1/models")["models"]}
        if self._show.version not in models:
            raise SettingsError(f"the demo's repository holds no {self._show.version}: {', '.join(models)}.")
        running = {cart["model"] for cart in self._control.get("/v1/carts")["carts"] if cart["model"]}
        baselines = running - {models[self._show.version]}
        if len(baselines) != 1:
            said = ", ".join(sorted(running)) or "nothing"
            raise SettingsError(
                f"all carts must run one model other than {self._show.version} (now: {said}): "
                "roll back first, or begin with a new --data-dir."
            )
        made = self._control.get("/v1/rollouts", limit=200)["rollouts"]
        names = [rollout["id"] for rollout in made if rollout["id"].startswith(f"demo-{self._show.name}-")]
        return plan_of(
            self._show, models[self._show.version], baselines.pop(), len(names) + 1, self._window_s
        )

    def _follow(self, rollout: str, say: Callable[[str], None]) -> str:
        after, told, deadline_s = 0, "", time.monotonic() + LONGEST_S
        while time.monotonic() < deadline_s:
            page = self._control.get(f"/v1/rollouts/{rollout}/log", after=after, limit=200)
            for entry in page["entries"]:
                after = entry["number"]
                if entry["kind"] not in _QUIET:
                    say(f"{_clock(entry['at'])}  {entry['text']}")
            view = self._control.get(f"/v1/rollouts/{rollout}")
            if (line := _counts(view)) != told:
                told = line
                say(f"          {line}")
            if view["status"] in ENDED:
                return str(view["status"])
            time.sleep(LOOK_S)
        raise DemoError(f"{rollout} has not ended after {LONGEST_S / 60:.0f} minutes.")

    def _tell_evidence(self, rollout: str, say: Callable[[str], None]) -> None:
        for gate in self._control.get(f"/v1/rollouts/{rollout}/evidence")["gates"]:
            value = "" if gate["e_value"] is None else f"e = {gate['e_value']:.3g} of {gate['threshold']:.3g}"
            say(f"  {gate['gate']:<13} {gate['verdict'] or '-':<13} {value:<24} {gate['note']}".rstrip())


def _running(data: DataDir) -> dict[str, Any]:
    try:
        running = json.loads(data.run.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        running = {}
    if not isinstance(running, dict) or not running.get("control") or not running.get("all_up"):
        raise SettingsError(
            f"no demo is up in {data.root}: start `cartwright up` (or `make demo`) in another terminal and "
            "wait until everything is up, or name its folder with --data-dir."
        )
    return running


def _token(data: DataDir) -> str:
    try:
        return data.owner_token.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{data.owner_token} cannot be read: {error.strerror}.") from error


def _counts(view: dict[str, Any]) -> str:
    index = view["current_stage"]
    if index is None:
        return "trying the gates on the day before"
    stage = view["stages"][index]
    counts = ", ".join(f"{n} {name}" for name, n in stage["counts"].items() if n)
    return f"stage {stage['name']} {stage['status']}: {counts}"


def _clock(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone():%H:%M:%S}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
