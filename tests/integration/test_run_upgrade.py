# SPDX-License-Identifier: MIT
"""`fcgi run`: a new supervisor takes the listeners of the old one."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, wait_until
from support.paths import BUILD, EXAMPLES
from support.reload import front, worker_command
from support.supervisor import Supervisor, children, copy_for_all, processes, state


def stop(pid: int) -> None:
    """It is nobody's child here."""
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: state(pid) in ("", "Z"), 10, "its end")


@pytest.mark.parametrize("kind", ["nginx kept", "nginx closed", "haproxy shared"])
def test_upgrade_under_load_refuses_nobody(directory: Path, kind: str):
    with Supervisor(directory, worker_command("python"), name="upgrade") as supervisor:
        supervisor.ready()
        with front(kind, directory, supervisor.address) as load:
            for _ in range(3):
                time.sleep(0.2)
                pid = supervisor.upgrade()
            result = load.finish()
        assert result.failed == 0, result
        assert result.requests > 300
        assert supervisor.wait() == 0
        assert (directory / "upgrade.sock").exists()
        stop(pid)
        assert not (directory / "upgrade.sock").exists()
        assert not supervisor.pid_file.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_upgrade_after_privileges_were_dropped(directory: Path):
    """The new one has no right to the directory: it inherits what it needs."""
    tool, hello = copy_for_all(directory, BUILD / "tools" / "fcgi", EXAMPLES / "hello")
    options = ["--user", "nobody"]
    with Supervisor(directory, [hello], *options, name="dropped", program=tool) as supervisor:
        supervisor.ready()
        pid = supervisor.upgrade()
        assert Path(f"/proc/{pid}/environ").stat().st_uid == 0, (
            "others of its user cannot look inside"
        )
        for worker in children(pid):
            assert Path(f"/proc/{worker}/environ").stat().st_uid == 65534
        with Client(supervisor.address) as client:
            assert client.ask(get_params()).body == b"Hello\n"
        stop(pid)
        assert supervisor.pid_file.read_text() == ""


def test_failed_upgrade_leaves_the_old_one_serving(directory: Path):
    program = directory / "hello"
    shutil.copy2(EXAMPLES / "hello", program)
    with Supervisor(directory, [program], name="failed") as supervisor:
        supervisor.ready()
        workers = supervisor.workers()
        program.unlink()
        program.write_text("#!/bin/sh\nexit 5\n")
        program.chmod(0o755)
        os.kill(supervisor.pid, signal.SIGUSR2)
        supervisor.wait_for_line(
            r"the new supervisor, pid \d+, exited with status 3 before it was ready"
        )
        assert supervisor.workers() == workers
        assert supervisor.serving_pid() == supervisor.pid
        assert (directory / "failed.sock").exists()
        with Client(supervisor.address) as client:
            assert client.ask(get_params()).body == b"Hello\n"
        os.kill(supervisor.pid, signal.SIGTERM)
        assert supervisor.wait() == 0
        assert not (directory / "failed.sock").exists()


def test_stop_ends_a_new_supervisor_that_is_being_started(directory: Path):
    slow = directory / "slow"
    slow.write_text(f"#!/bin/sh\nsleep 0.5\nexec {EXAMPLES}/hello\n")
    slow.chmod(0o755)
    with Supervisor(directory, [slow], name="half") as supervisor:
        supervisor.ready()
        os.kill(supervisor.pid, signal.SIGUSR2)
        supervisor.wait_for_line("a new supervisor starts")
        family = children(supervisor.pid)
        os.kill(supervisor.pid, signal.SIGTERM)
        assert supervisor.wait(60) == 0
        wait_until(lambda: all(state(pid) in ("", "Z") for pid in family), 5, "all to end")
    assert processes(str(slow)) == []


def test_storm_of_reloads_and_upgrades_leaves_one_generation(directory: Path):
    program = directory / "storm-hello"
    shutil.copy2(EXAMPLES / "hello", program)
    with Supervisor(directory, [program], name="storm2") as supervisor:
        supervisor.ready()
        for i in range(60):
            pid = supervisor.serving_pid()
            if pid:
                os.kill(pid, signal.SIGUSR2 if i % 3 == 0 else signal.SIGHUP)
            time.sleep(0.02)

        def quiet() -> bool:
            pid = supervisor.serving_pid()
            workers = children(pid)
            time.sleep(0.5)
            found = set(processes(str(program)))
            return len(workers) == 2 and found == workers | {pid}

        wait_until(quiet, 30, "one generation to be left")
        assert supervisor.serving_pid() != supervisor.pid
        with Client(supervisor.address) as client:
            assert client.ask(get_params()).body == b"Hello\n"
        stop(supervisor.serving_pid())


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("nonsense", "it must be PID:LISTENERS:OWNED:PIDFILE"),
        ("$$:1:0:0", "what stands where the listeners should be is none"),
        ("$$:99:0:0", "its numbers are none that a supervisor writes"),
    ],
)
def test_a_variable_that_is_wrong_takes_nothing(directory: Path, value: str, complaint: str):
    """What has the numbers of listeners and carriers stays what it is."""
    name = f"wrong-{sum(value.encode())}"
    notes = directory / f"{name}.txt"
    notes.write_text("mine\n")
    script = f'exec 3<>{notes} 4<>{notes} 5<>{notes}; FASTCGI_UPGRADE="{value}" exec "$@"'
    program = directory / f"{name}.sh"
    program.write_text(f'#!/bin/sh\nset -- {BUILD}/tools/fcgi "$@"\n{script}\n')
    program.chmod(0o755)
    with Supervisor(directory, [EXAMPLES / "hello"], name=name, program=program) as supervisor:
        supervisor.wait_for_line(f"FASTCGI_UPGRADE=.* is ignored: {complaint}")
        supervisor.ready()
        for number in (3, 4, 5):
            assert Path(f"/proc/{supervisor.pid}/fd/{number}").samefile(notes)
        with Client(supervisor.address) as client:
            assert client.ask(get_params()).body == b"Hello\n"
    assert notes.read_text() == "mine\n"
