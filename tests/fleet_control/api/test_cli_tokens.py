"""Stories about tokens at the command line: made once, kept in files that nobody else reads."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fleet_control.rollouts_cli.settings import connection
from fleet_control.service import cli as control_cli
from tests.fleet_control.api.desk import Desk
from tests.fleet_control.api.terminal import run


def made(desk: Desk, *more: str) -> int:
    """Make a token for a service, as whoever runs the API would; returns the exit status."""
    return control_cli.main(
        ["token", "create", "ci", "--role", "on_call", "--tokens", str(desk.tokens_file), *more]
    )


@pytest.mark.end_to_end
def test_a_token_is_made_and_used(own_desk: Desk, tmp_path: Path) -> None:
    """The token goes into a file, and from there to the API; standard output has nothing else."""
    made = run(own_desk, "token", "create", "ci", "--role", "on_call", "--tokens", str(own_desk.tokens_file))
    token = tmp_path / "token"
    token.write_text(made.stdout)
    token.chmod(0o600)

    used = run(own_desk, "list", "--token-file", str(token), who="viewer")
    again = run(own_desk, "token", "create", "ci", "--role", "viewer", "--tokens", str(own_desk.tokens_file))

    assert (made.returncode, used.returncode, again.returncode) == (0, 0, 1)
    assert made.stdout.startswith("cwt_")
    assert used.stderr == ""
    assert "there is a token named 'ci' already" in again.stderr
    assert (
        run(
            own_desk, "token", "create", "x", "--role", "viewer", "--tokens", "t", "--expires", "9y"
        ).returncode
        == 2
    )


@pytest.mark.end_to_end
def test_a_token_is_written_into_a_file_of_its_owner_and_warned_about_when_others_may_read_it(
    own_desk: Desk, tmp_path: Path
) -> None:
    """Nothing is printed, nothing has to be redirected, whatever the umask is."""
    out = tmp_path / "ci.token"
    making = subprocess.run(
        [sys.executable, "-m", "demo.cli", "control", "token", "create", "ci", "--role", "on_call",
         "--tokens", str(own_desk.tokens_file), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        umask=0,
    )  # fmt: skip

    mine = run(own_desk, "list", "--token-file", str(out), who="viewer")
    out.chmod(0o644)
    everybodys = run(own_desk, "list", "--token-file", str(out), who="viewer")

    assert making.stdout == ""
    assert out.read_text().startswith("cwt_")
    assert out.read_text().strip() not in making.stderr
    assert (mine.returncode, mine.stderr) == (0, "")
    assert everybodys.returncode == 0
    assert everybodys.stderr == f"warning: others on this machine may read the token file: chmod 600 {out}\n"


def test_no_file_is_overwritten_and_no_token_made_that_nobody_knows(
    own_desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What lies there may be the token of another service."""
    out = tmp_path / "ci.token"
    out.write_text("something else")
    before = own_desk.tokens_file.read_text()

    assert made(own_desk, "--out", str(out)) == 1

    assert "it is there already; name a new file" in capsys.readouterr().err
    assert out.read_text() == "something else"
    assert made(own_desk, "--out", str(tmp_path / "none" / "ci.token")) == 1
    assert "No such file or directory" in capsys.readouterr().err
    assert own_desk.tokens_file.read_text() == before
    assert made(own_desk, "--out", str(tmp_path / "new.token")) == 0


def test_a_token_that_could_not_be_made_leaves_no_file(
    own_desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next try meets nothing that is in its way."""
    first, second = tmp_path / "first", tmp_path / "second"

    assert (made(own_desk, "--out", str(first)), made(own_desk, "--out", str(second))) == (0, 1)

    assert "there is a token named 'ci' already" in capsys.readouterr().err
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert not second.exists()


def test_a_token_that_comes_through_a_pipe_is_nobodys_file() -> None:
    """`--token-file <(pass show control)` is not told to change its mode."""
    said: list[str] = []
    reading, writing = os.pipe()
    os.write(writing, b"cwt_x\n")
    os.close(writing)

    got = connection({}, url=None, token_file=Path(f"/dev/fd/{reading}"), warn=said.append)
    os.close(reading)

    assert (got.token, said) == ("cwt_x", [])
