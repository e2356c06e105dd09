"""Stories about the child that builds a plan: real processes that work, fail, hang, shout and are killed."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fleet_agent.engines.contract import PlanRequest
from fleet_agent.errors import PlanBuildError
from fleet_agent.plans.builder import Built, build_plan
from fleet_agent.plans.child import BuildProgress
from fleet_agent.ports import SystemClock
from tests.fleet_agent.activation.copying import COPY, CopyingBackend
from tests.fleet_agent.plans.plan_requests import request_of
from tests.fleet_agent.worlds import SteppedClock, wait_for

SAY = "import json, sys; say = lambda **line: print(json.dumps(line), flush=True)\n"


def build(folder: Path, script: str, *, timeout_s: float = 60.0) -> tuple[Built, list[BuildProgress]]:
    """Build with a child of that script."""
    heard: list[BuildProgress] = []
    built = build_plan(
        CopyingBackend(script),
        request_of(folder),
        clock=SystemClock(),
        timeout_s=timeout_s,
        on_progress=heard.append,
    )
    return built, heard


def failure(folder: Path, script: str) -> PlanBuildError:
    """Return why no plan is built."""
    with pytest.raises(PlanBuildError) as caught:
        build(folder, script)
    return caught.value


def test_progress_is_passed_on_and_the_plan_is_there(tmp_path: Path) -> None:
    """Each line of progress arrives in order."""
    built, heard = build(tmp_path, COPY)
    assert heard == [BuildProgress("copying", step, 4) for step in range(4)]
    assert built == Built(tmp_path / "new.plan", 7, 0.5)
    assert built.plan.read_bytes() == b"network"


def test_a_child_that_says_why_it_failed_is_quoted(tmp_path: Path) -> None:
    """Its error and the runtime's lines are in ours."""
    error = failure(tmp_path, SAY + "say(error='bad graph', log=['line 1', 'line 2']); sys.exit(1)")
    assert error.cause == "failed"
    assert "bad graph" in str(error)
    assert error.log == ("line 1", "line 2")


def test_a_child_that_dies_without_a_word_leaves_its_stderr(tmp_path: Path) -> None:
    """The end of what it printed is the log."""
    error = failure(tmp_path, "import sys; sys.stderr.write('x' * 100_000 + '\\nlast words\\n'); sys.exit(3)")
    assert "with status 3: last words" in str(error)
    assert sum(map(len, error.log)) <= 8192


def test_a_child_that_is_killed_for_its_memory_is_told_so(tmp_path: Path) -> None:
    """The signal is named."""
    error = failure(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert "by signal 9 (memory?)" in str(error)


@pytest.mark.parametrize("script", ["", SAY + "say(built=7, seconds=1)", "import sys; sys.exit(0)"])
def test_a_child_that_claims_a_plan_and_has_none_is_not_believed(tmp_path: Path, script: str) -> None:
    """The file counts, not the word."""
    assert failure(tmp_path, script).cause == "no_plan"


@pytest.mark.parametrize(
    "noise",
    [
        "print('x' * 3_000_000, flush=True)",
        "print('{\"phase\": ' * 1000, flush=True)",
        "sys.stdout.buffer.write(bytes(range(256)) * 100 + b'\\n'); sys.stdout.flush()",
        "sys.stderr.write('y' * 3_000_000); sys.stderr.flush()",
        "[print(json.dumps({'phase': 3}), flush=True) for _ in range(1000)]",
    ],
)
def test_noise_does_not_hide_the_plan(tmp_path: Path, noise: str) -> None:
    """Lines of megabytes, bytes that are no text, a full stderr: the build goes on."""
    built, heard = build(tmp_path, f"import json, sys\n{noise}\n{COPY}")
    assert built.size_bytes == 7
    assert len(heard) == 4


def test_a_child_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """The time-out is by the clock given; nothing of the group is left."""
    clock = SteppedClock()
    pids: list[int] = []
    script = SAY + (
        "import subprocess, os, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "say(phase='pid', step=os.getpid(), of=child.pid)\n"
        "time.sleep(600)"
    )

    def heard(progress: BuildProgress) -> None:
        pids.extend((progress.step, progress.of))
        clock.now_s += 11.0

    with pytest.raises(PlanBuildError, match="not built in 10 s") as caught:
        build_plan(
            CopyingBackend(script), request_of(tmp_path), clock=clock, timeout_s=10.0, on_progress=heard
        )
    assert caught.value.cause == "timeout"
    assert len(pids) == 2
    wait_for(lambda: not any(map(_runs, pids)))


def test_a_build_is_cancelled_from_another_thread(tmp_path: Path) -> None:
    """The child is gone when the call returns."""
    cancelled = threading.Event()
    pids: list[int] = []

    def heard(progress: BuildProgress) -> None:
        pids.append(progress.step)
        threading.Thread(target=cancelled.set).start()

    script = SAY + "import os, time; say(phase='pid', step=os.getpid()); time.sleep(600)"
    with pytest.raises(PlanBuildError) as caught:
        build_plan(
            CopyingBackend(script),
            request_of(tmp_path),
            clock=SystemClock(),
            timeout_s=60.0,
            on_progress=heard,
            cancelled=cancelled,
        )
    assert caught.value.cause == "cancelled"
    assert not _runs(pids[0])


def test_a_listener_that_fails_leaves_no_child_behind(tmp_path: Path) -> None:
    """An error in the caller's own code ends the build."""
    pids: list[int] = []

    def heard(progress: BuildProgress) -> None:
        pids.append(progress.step)
        raise RuntimeError("a bug of the caller")

    script = SAY + "import os, time; say(phase='pid', step=os.getpid()); time.sleep(600)"
    with pytest.raises(RuntimeError, match="a bug of the caller"):
        build_plan(
            CopyingBackend(script),
            request_of(tmp_path),
            clock=SystemClock(),
            timeout_s=60.0,
            on_progress=heard,
        )
    assert not _runs(pids[0])


def test_a_backend_that_needs_no_plan_builds_none(tmp_path: Path) -> None:
    """Asking for one is an error, not an empty file."""

    class Planless(CopyingBackend):
        """Needs none."""

        def build_command(self, request: PlanRequest) -> None:
            """Return None."""
            del request

    with pytest.raises(PlanBuildError) as caught:
        build_plan(Planless(), request_of(tmp_path), clock=SystemClock(), timeout_s=1.0)
    assert caught.value.cause == "start"


AGENT = """
import sys
from pathlib import Path
from fleet_agent.plans.builder import build_plan
from fleet_agent.ports import SystemClock
from tests.fleet_agent.activation.copying import CopyingBackend
from tests.fleet_agent.plans.plan_requests import request_of
script = '''
import os, time
print('{"phase": "pid", "step": %d}' % os.getpid(), flush=True)
time.sleep(600)
'''
build_plan(CopyingBackend(script), request_of(Path(sys.argv[1])), clock=SystemClock(), timeout_s=600.0,
           on_progress=lambda progress: print(progress.step, flush=True))
"""


def test_a_killed_agent_takes_its_builder_along(tmp_path: Path) -> None:
    """After SIGKILL of the agent no builder goes on writing, or holding the GPU."""
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", AGENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as agent:
        assert agent.stdout is not None
        builder = int(agent.stdout.readline())
        assert _runs(builder)
        agent.send_signal(signal.SIGKILL)
    wait_for(lambda: not _runs(builder))


def test_a_builder_is_less_important_than_the_agent(tmp_path: Path) -> None:
    """It yields the processor, and is the first to go when memory runs out."""
    script = SAY + (
        "import os; say(phase='nice', step=os.nice(0), of=int(open('/proc/self/oom_score_adj').read()))\n"
        + COPY
    )
    _, heard = build(tmp_path, script)
    assert heard[0] == BuildProgress("nice", min(19, os.nice(0) + 10), 1000)


def _runs(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_builder_works_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies about where the agent was started is no part of a model."""
    (tmp_path / "w.bin").write_bytes(b"weights of somebody")
    monkeypatch.chdir(tmp_path)
    script = "import os, sys; open(sys.argv[2], 'w').write(f'here: {os.listdir()}')\n" + SAY
    built, _ = build(tmp_path, script + "say(built=1, seconds=0)")
    assert built.plan.read_text() == "here: []"
