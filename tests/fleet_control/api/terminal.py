"""The command line as people run it: as a process against a real server, some of it on a real terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from fleet_control.rollouts_cli.client import ControlClient
from fleet_control.rollouts_cli.settings import Connection
from tests.fleet_control.api.desk import Desk
from tests.fleet_control.rollouts.worlds import MODEL

PLAN = f"""
rollout: autumn
model: {MODEL}
title: Herbst
stages:
  - {{name: canary, percent: 25, bake: 2h}}
  - {{name: all, percent: 100}}
"""


def environment(desk: Desk, who: str) -> dict[str, str]:
    """Return what a process gets: the address, and the token where nobody else reads it."""
    mine = {
        name: value for name, value in os.environ.items() if not name.startswith(("CARTWRIGHT", "COLUMNS"))
    }
    return {**mine, "CARTWRIGHT_CONTROL": desk.server.url, "CARTWRIGHT_CONTROL_TOKEN": desk.tokens[who]}


def run(desk: Desk, *argv: str, who: str = "rollout_owner", **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command as a process."""
    return subprocess.run(
        [sys.executable, "-m", "demo.cli", "rollouts", *argv],
        env=environment(desk, who),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


def client(desk: Desk, who: str = "rollout_owner") -> ControlClient:
    """Return a caller in this process."""
    return ControlClient(Connection(desk.server.url, desk.tokens[who]))


def typed_in(desk: Desk, typed: str, *argv: str, who: str = "rollout_owner") -> tuple[int, str, str]:
    """Run the command where somebody types; returns its status, its answer and what it said beside it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "demo.cli", "rollouts", *argv],
        env=environment(desk, who),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.write(ours, typed.encode())
        answer, said = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return process.returncode, answer, said


def shown(desk: Desk, *argv: str, who: str = "rollout_owner") -> str:
    """Run the command on a terminal; returns what stands there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "demo.cli", "rollouts", *argv],
        env=environment(desk, who),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        text = b""
        while block := _read(ours):
            text += block
        assert process.wait(60) == 0
    os.close(ours)
    return text.decode().replace("\r\n", "\n")


def _read(handle: int) -> bytes:
    """Return what comes next; nothing when the other side has closed the terminal."""
    try:
        return os.read(handle, 65_536)
    except OSError:
        return b""


def certificate(folder: Path) -> Path:
    """Make a certificate for this machine that nobody has signed; returns the file with its key."""
    made = folder / "tls.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(made), "-out", str(folder / "certificate.pem")],
        check=True,
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    made.write_text(made.read_text() + (folder / "certificate.pem").read_text())
    return made
