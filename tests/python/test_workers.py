# SPDX-License-Identifier: MIT
"""Several processes: python -m fastcgi --workers, and fastcgi.serve(workers=)."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import fastcgi
import pytest
from support.fcgi_client import fetch, wait_until
from support.supervisor import children, processes, state

ROOT = ["--allow-root"] if os.geteuid() == 0 else []
APP = """
import os
def app(request):
    return 200, None, f"VERSION {os.getpid()}"
"""


class Asking:
    """Clients that ask all the time, each request on a connection of its own."""

    def __init__(self, address: str, clients: int = 4) -> None:
        self.address = address
        self.answers: Counter[str] = Counter()
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                response = fetch(self.address)
                self.answers[response.body.decode().split()[0]] += 1
                if response.status != 200:
                    self.failed.append(str(response.status))
            except Exception as error:
                self.failed.append(repr(error))

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


class Service:
    """The command with workers, and what it serves."""

    def __init__(self, command, directory, *options: str, **env: str) -> None:
        self.directory = directory
        self.write("one")
        self.address = f"unix:{directory}/x.sock"
        words = ["-m", "fastcgi", "app:app", "-b", self.address, *ROOT, *options]
        self.running = command(*words, **env)
        self.pid = self.running.process.pid

    def ready(self) -> Service:
        self.running.wait_for("ready after")
        return self

    def write(self, version: str) -> None:
        write(self.directory / "app.py", APP.replace("VERSION", version))

    def ask(self) -> str:
        return fetch(self.address).body.decode()

    def version(self) -> str:
        return self.ask().split()[0]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def workers(self) -> set[int]:
        return children(self.pid)


def write(path, text: str) -> None:
    """All of it at once, as editors do."""
    new = path.with_name("new")
    new.write_text(text)
    new.rename(path)


@pytest.fixture
def service(command, tmp_path):
    """service("--workers", "2", ...) -> Service."""
    return lambda *options, **env: Service(command, tmp_path, *options, **env)


def test_workers_share_the_work_and_stop_with_their_supervisor(service):
    running = service("--workers", "3").ready()
    workers = running.workers()
    assert len(workers) == 3
    pids: set[int] = set()

    def two_have_answered() -> bool:
        pids.update(int(running.ask().split()[1]) for _ in range(50))
        return len(pids) > 1

    wait_until(two_have_answered, 30, "answers of two workers")
    assert pids <= workers
    running.signal(signal.SIGTERM)
    status, log = running.running.finish()
    assert status == 0, log
    assert not any(state(pid) for pid in workers)
    assert not (running.directory / "x.sock").exists()


def test_hup_serves_the_new_code_and_loses_nothing(service):
    running = service("--workers", "2").ready()
    old = running.workers()
    with Asking(running.address) as asking:
        for version in ("two", "three", "four"):
            running.write(version)
            running.signal(signal.SIGHUP)
            wait_until(lambda wanted=version: running.version() == wanted, 20, version)
        wait_until(lambda: len(running.workers()) == 2, 20, "one generation")
    assert asking.failed == []
    assert set(asking.answers) == {"one", "two", "three", "four"}
    assert not old & running.workers()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [("1 / 0", "ZeroDivisionError"), ("def app(:", "SyntaxError"), ("", "has no attribute 'app'")],
)
def test_broken_new_code_leaves_the_old_serving(service, broken, reason):
    running = service("--workers", "2").ready()
    old = running.workers()
    with Asking(running.address) as asking:
        write(running.directory / "app.py", broken)
        running.signal(signal.SIGHUP)
        log = running.running.wait_for("goes on serving")
        assert reason in log
        wait_until(lambda: running.workers() == old, 20, "the old workers alone")
        time.sleep(0.1)
    assert asking.failed == []
    assert set(asking.answers) == {"one"}


def test_a_killed_worker_is_replaced(service):
    running = service("--workers", "2").ready()
    old = running.workers()
    os.kill(min(old), signal.SIGKILL)
    wait_until(lambda: len(running.workers() - {min(old)}) == 2, 5, "another worker")
    running.running.wait_for("killed by signal 9")
    assert running.version() == "one"


def test_max_requests_replaces_a_worker_and_loses_nothing(service):
    running = service("--workers", "2", "--max-requests", "50", "--max-requests-jitter", "10")
    running.ready()
    old = running.workers()
    with Asking(running.address) as asking:
        wait_until(lambda: not old & running.workers(), 30, "other workers")
    assert asking.failed == []
    assert sum(asking.answers.values()) > 100
    log = running.running.wait_for("as many requests as it may")
    assert "as many requests as it may, and is replaced" in log


def test_max_requests_without_a_supervisor_ends_the_process(service):
    running = service("--max-requests", "3", "--workers", "0")
    running.running.wait_for("pid")
    for _ in range(3):
        assert running.version() == "one"
    status, log = running.running.finish()
    assert (status, "as many requests as a process may serve" in log) == (0, True)


def test_an_application_that_does_not_start(command, tmp_path):
    write(tmp_path / "app.py", "import missing_module")
    running = command("-m", "fastcgi", "app:app", "-b", "unix:x", "--workers", "2", *ROOT)
    status, log = running.finish()
    assert status == 3
    assert "cannot start: worker" in log.splitlines()[-1]
    assert not (tmp_path / "x").exists()


def test_options_of_processes(service, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    write(
        inner / "app.py", "import os\nopen('made', 'w')\ndef app(r): return 200, None, os.getcwd()"
    )
    running = service(
        "--workers", "1", "--chdir", "inner", "--umask", "027", "--pid", str(tmp_path / "pid"),
        "--socket-mode", "600", "--max-worker-age", "1h", "--start-timeout", "20s",
    )  # fmt: skip
    running.ready()
    assert running.ask() == str(inner)
    assert (inner / "made").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "x.sock").stat().st_mode & 0o777 == 0o600
    wait_until(lambda: (tmp_path / "pid").read_text().strip() == str(running.pid), what="its pid")


INTERPRETER = os.path.realpath(sys.executable)


def is_for_all(path: str) -> bool:
    """Whether every user may execute it."""
    folders = pathlib.Path(path).parents
    return all(folder.stat().st_mode & 0o001 for folder in folders)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.skipif(not is_for_all(INTERPRETER), reason="only its owner may run this Python")
def test_user_and_root(command, tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.owner() == "root" and str(parent) != "/" and str(parent) != "/tmp":
            parent.chmod(0o755)
    write(tmp_path / "app.py", "import os\ndef app(r): return 200, None, str(os.getuid())")
    words = ["-m", "fastcgi", "app:app", "-b", f"unix:{tmp_path}/x.sock", "--workers", "1"]
    status, log = command(*words).finish()
    assert status == 1
    assert "would run as root" in log.splitlines()[-1]
    package = pathlib.Path(fastcgi.__file__).parent
    shutil.copytree(package, tmp_path / "lib" / "fastcgi")
    running = command(
        *words, "--user", "nobody", "--socket-mode", "666",
        interpreter=INTERPRETER, PYTHONPATH=str(tmp_path / "lib"),
    )  # fmt: skip
    running.wait_for("ready after")
    assert fetch(f"unix:{tmp_path}/x.sock").body == b"65534"


def test_usr2_runs_the_same_command_anew(service):
    running = service("--workers", "1").ready()
    before = running.workers()
    running.write("two")
    with Asking(running.address) as asking:
        running.signal(signal.SIGUSR2)
        status = running.running.process.wait(60)
    assert (status, asking.failed) == (0, [])
    assert running.version() == "two"
    (successor,) = [pid for pid in processes(running.address) if pid not in before and
                    children(pid)]  # fmt: skip
    os.kill(successor, signal.SIGTERM)
    wait_until(lambda: not processes(running.address), 20, "the end of all")


@pytest.mark.parametrize("engine", ["auto", "poll"])
def test_reload_watches_the_code(service, tmp_path, engine):
    extra = tmp_path / "settings.ini"
    extra.write_text("1")
    running = service(
        "--reload", "--reload-engine", engine, "--reload-extra-file", str(extra)
    ).ready()
    assert len(running.workers()) == 1, "--reload alone means one worker"
    time.sleep(0.3)
    running.write("two")
    wait_until(lambda: running.version() == "two", 20, "the new code")
    assert "app.py has changed" in running.running.wait_for("has changed")
    (tmp_path / "unused.txt").write_text("no code")
    wait_until(lambda: len(running.workers()) == 1, 20, "one generation")
    before = running.workers()
    time.sleep(0.2)
    extra.write_text("22")
    wait_until(lambda: running.workers() and not running.workers() & before, 20, "a reload")
    assert "settings.ini has changed" in running.running.wait_for("settings.ini")
    write(tmp_path / "app.py", "def app(:")
    running.running.wait_for("goes on serving")
    running.write("three")
    wait_until(lambda: running.version() == "three", 20, "the repaired code")


PROGRAM = """
import os, sys
import fastcgi
version = "one"
def make():
    return lambda request: (200, None, f"{version} {os.getpid()} {sys.flags.optimize}")
fastcgi.CALL
"""


@pytest.mark.parametrize("call", ["serve(make(), ADDRESS, OPTIONS)", "main(make(), OPTIONS)"])
def test_a_program_of_its_own(command, tmp_path, call):
    """Even an application without a name: each worker is the program anew."""
    address = f"unix:{tmp_path}/p.sock"
    options = f"workers=2, allow_root={bool(ROOT)}, umask=0o077"
    text = PROGRAM.replace("CALL", call.replace("OPTIONS", options))
    program = tmp_path / "program.py"
    program.write_text(text.replace("ADDRESS", repr(address)))
    running = command("-O", "program.py", *([address] if "main" in call else []))
    running.wait_for("2 workers are ready")
    answers = {fetch(address).body.decode() for _ in range(100)}
    assert {int(answer.split()[1]) for answer in answers} <= children(running.process.pid)
    assert {answer.split()[2] for answer in answers} == {"1"}, "the interpreter's options stay"
    write(program, program.read_text().replace('"one"', '"two"'))
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: fetch(address).body.startswith(b"two"), 20, "the new program")
    running.process.terminate()
    assert running.finish()[0] == 0


DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "processes.md"


def block(language: str, beginning: str) -> str:
    """The one block of docs/processes.md that begins so."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DOCS.read_text(), re.M | re.S)
    (found,) = [text for text in blocks if text.startswith(beginning)]
    return found


def test_the_program_of_the_docs(command, tmp_path):
    text = block("python", "import fastcgi")
    if ROOT:
        text = text.replace("workers=2", "workers=2, allow_root=True")
    (tmp_path / "hello.py").write_text(text)
    running = command("hello.py")
    running.wait_for("2 workers are ready")
    assert fetch(f"unix:{tmp_path}/hello.sock").body == b"Hello\n"
    running.process.terminate()
    assert running.finish()[0] == 0


def test_the_unit_of_the_docs(command, tmp_path):
    """Its command, with its file of options, below a NOTIFY_SOCKET."""
    (line,) = re.findall(r"^ExecStart=\S+ (.*)$", block("ini", "[Unit]\nDescription=Shop\n"), re.M)
    options = block("toml", "app = ")
    (tmp_path / "fastcgi.toml").write_text(options.replace("/run/shop/", f"{tmp_path}/"))
    (tmp_path / "shop.py").write_text("def app(r): return 200, None, b'shop'")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(60)
        words = line.replace("/srv/shop", str(tmp_path)).split()
        running = command(*words, *ROOT, NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert "READY=1" in notify.recv(4096).decode()
        assert fetch(f"unix:{tmp_path}/shop.sock").body == b"shop"
        running.process.send_signal(signal.SIGHUP)
        assert "RELOADING=1" in notify.recv(4096).decode()
        assert "READY=1" in notify.recv(4096).decode()
        running.process.terminate()
        assert "STOPPING=1" in notify.recv(4096).decode()
        assert running.finish()[0] == 0


def test_what_was_typed_cannot_be_executed_again(tmp_path):
    text = "import fastcgi\nfastcgi.serve(lambda r: None, 'unix:x', workers=2)\n"
    done = subprocess.run(
        [sys.executable, "-"], input=text, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "put it into a file, or name the application" in done.stderr.splitlines()[-1]


def test_a_supervisor_wants_the_main_thread_alone(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import fastcgi, threading, time\n"
        "threading.Thread(target=time.sleep, args=(1,), daemon=True).start()\n"
        "fastcgi.serve(lambda r: None, 'unix:x', workers=2)\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "workers need the main thread" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("workers", [0.5, -1, 5000, "many"])
def test_a_wrong_number_of_workers(workers):
    import fastcgi

    complaint = "must be an int from 0 to 4096, or 'auto'"
    with pytest.raises((TypeError, ValueError), match=complaint):
        fastcgi.serve(lambda request: None, "unix:x", workers=workers)


def test_no_worker_outlives_a_killed_supervisor(service):
    running = service("--workers", "2").ready()
    workers = running.workers()
    running.signal(signal.SIGKILL)
    running.running.process.wait(60)
    wait_until(lambda: not any(state(pid) for pid in workers), 20, "the workers' end")
    with contextlib.suppress(OSError):
        os.unlink(running.directory / "x.sock")
