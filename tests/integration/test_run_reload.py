# SPDX-License-Identifier: MIT
"""`fcgi run`: new workers in the place of old ones, and no request lost."""

import os
import re
import shutil
import signal
import time
from operator import gt
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.paths import EXAMPLES
from support.reload import FRONTS, under_load, worker_command
from support.supervisor import Supervisor, processes, state

RELOADS = 5
GENERATION = r"generation (\d+) is ready"


@pytest.mark.parametrize("kind", FRONTS)
@pytest.mark.parametrize("language", ["c", "python", "lua"])
def test_reload_under_load_loses_nothing(directory: Path, kind: str, language: str):
    with under_load(kind, directory, worker_command(language)) as stage:
        first = stage.supervisor.workers()
        for _ in range(RELOADS):
            time.sleep(0.1)
            stage.supervisor.reload()
        time.sleep(0.1)
        result = stage.load.finish()
        assert result.failed == 0, result
        assert min(result.get, result.post) > 10 * RELOADS
        stage.supervisor.wait_for_workers(lambda now: len(now) == 2 and not now & first)


@pytest.mark.parametrize(
    ("language", "kind"),
    [("python", "nginx kept"), ("lua", "nginx kept"), ("python", "haproxy shared")],
)
def test_nobody_waits_for_ever_after_a_reload(directory: Path, kind: str, language: str):
    """Each client gets answers from the new workers without another reload,
    which would free a connection that got stuck in the one before."""
    with under_load(kind, directory, worker_command(language), clients=6) as stage:
        for _ in range(2 * RELOADS):
            stage.supervisor.reload()
            stage.supervisor.wait_for_workers(lambda now: len(now) == 2)
            before = stage.load.right()
            wait_until(
                lambda old=before: all(map(gt, stage.load.right(), old)),
                60,
                f"an answer for each client, {stage.load.right()} after {before}",
            )
        result = stage.load.finish()
        assert result.failed == 0, result


@pytest.mark.parametrize("kind", ["nginx kept", "haproxy shared"])
def test_broken_new_version_leaves_the_old_one_serving(directory: Path, kind: str):
    """The command that workers execute is replaced by one that fails."""
    program = directory / "program"
    broken = {
        "exited with status 9 before it was ready": "#!/bin/sh\nexit 9\n",
        "Exec format error": "\0",
        "Permission denied": None,
    }
    shutil.copy2(EXAMPLES / "echo", program)
    with under_load(kind, directory, [program]) as stage:
        old = stage.supervisor.workers()
        for number, (reason, text) in enumerate(broken.items(), 1):
            program.unlink()
            program.write_text(text or "")
            program.chmod(0o755 if text else 0o644)
            os.kill(stage.supervisor.pid, signal.SIGHUP)
            stage.supervisor.wait_for_line(
                "reload failed: .*; generation 1 goes on serving", number
            )
            assert reason in stage.supervisor.output()
            wait_until(lambda: stage.supervisor.workers() == old, 5, "only the old ones to be left")
        program.unlink()
        shutil.copy2(EXAMPLES / "echo", program)
        stage.supervisor.reload()
        stage.supervisor.wait_for_workers(lambda now: len(now) == 2 and not now & old)
        result = stage.load.finish()
        assert result.failed == 0, result
        assert result.requests > 100


def settle(supervisor: Supervisor) -> None:
    """Wait for one generation of two, all ready."""

    def quiet() -> bool:
        workers = supervisor.workers()
        time.sleep(0.3)
        return len(workers) == 2 and workers == supervisor.workers()

    wait_until(quiet, 30, "one generation to be left")


def test_reload_during_reload(directory: Path):
    """A slow start is overtaken; the last generation wins."""
    slow = directory / "slow"
    gate = directory / "gate"
    gate.touch()
    wait = f"until [ -e {gate} ]; do sleep 0.05; done"
    slow.write_text(f"#!/bin/sh\n{wait}\nexec {EXAMPLES}/echo\n")
    slow.chmod(0o755)
    with under_load("nginx kept", directory, [slow]) as stage:
        gate.unlink()
        for number in range(2, 6):
            os.kill(stage.supervisor.pid, signal.SIGHUP)
            stage.supervisor.wait_for_line(f"reload: generation {number} starts")
        gate.touch()
        stage.supervisor.wait_for_line(GENERATION)
        settle(stage.supervisor)
        text = stage.supervisor.output()
        assert re.findall(GENERATION, text) == ["5"]
        assert text.count("stops before it was ready") == 3
        result = stage.load.finish()
        assert result.failed == 0, result


def test_a_hundred_quick_reloads_leave_one_generation_and_nothing_else(directory: Path):
    program = directory / "quick-echo"
    shutil.copy2(EXAMPLES / "echo", program)
    with under_load("nginx kept", directory, [program]) as stage:
        supervisor = stage.supervisor
        supervisor.reload()
        settle(supervisor)
        files = supervisor.descriptors()
        workers = supervisor.workers()
        for _ in range(100):
            os.kill(supervisor.pid, signal.SIGHUP)
            time.sleep(0.01)

        def is_alone() -> bool:
            now = supervisor.workers()
            return len(now) == 2 and set(processes(str(program))) - {supervisor.pid} == now

        settle(supervisor)  # The last of them may be heard after that.
        wait_until(is_alone, 60, "one generation and nothing else")
        assert not workers & supervisor.workers()
        assert supervisor.descriptors() == files
        result = stage.load.finish()
        assert result.failed == 0, result


def test_kills_cost_only_what_was_in_flight_and_leak_nothing(directory: Path):
    """Each kill may cost the requests that the worker had, two or three of 16
    clients at most when there are eight workers; GET is asked anew by nginx."""
    kills = 10
    options = ["--workers", "4"]
    with under_load("nginx closed", directory, worker_command("c"), *options) as stage:
        supervisor = stage.supervisor
        time.sleep(1.1)
        files = supervisor.descriptors()
        for _ in range(kills):
            before = supervisor.workers()
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda old=before: len(supervisor.workers() - old) == 1, 10, "another")
            time.sleep(1.05)
        assert supervisor.descriptors() == files
        result = stage.load.finish()
        assert result.failed <= 16 * kills // 4, result


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGTERM, signal.SIGTERM]])
def test_stop_during_reload(directory: Path, signals: list[int]):
    slow = directory / "slow-to-start"
    slow.write_text(f"#!/bin/sh\nsleep 0.4\nexec {EXAMPLES}/echo\n")
    slow.chmod(0o755)
    with Supervisor(directory, [slow], name="stop") as supervisor:
        supervisor.ready()
        os.kill(supervisor.pid, signal.SIGHUP)
        supervisor.wait_for_line("reload: generation 2 starts")
        workers = supervisor.workers()
        for number in signals:
            os.kill(supervisor.pid, number)
            time.sleep(0.05)
        assert supervisor.wait(60) == 0
        assert all(state(pid) in ("", "Z") for pid in workers)


def test_storm_of_all_signals_leaves_one_generation(directory: Path):
    program = directory / "storm-echo"
    shutil.copy2(EXAMPLES / "echo", program)
    with Supervisor(directory, [program], name="storm") as supervisor:
        supervisor.ready()
        numbers = [signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU]
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            for number in numbers:
                os.kill(supervisor.pid, number)
            time.sleep(0.001)
        count = len(supervisor.workers())
        while count != 2:  # TTIN and TTOU that came together may have become one.
            os.kill(supervisor.pid, signal.SIGTTIN if count < 2 else signal.SIGTTOU)
            time.sleep(0.5)
            count = len(supervisor.workers())
        settle(supervisor)
        assert set(processes(str(program))) - {supervisor.pid} == supervisor.workers()
        os.kill(supervisor.pid, signal.SIGTERM)
        assert supervisor.wait(60) == 0
