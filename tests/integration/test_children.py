# SPDX-License-Identifier: MIT
"""Processes that handlers make: forks that come back, hang or exit, and
programs that are started, in C, Python and Lua, alone and below a supervisor."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, connect, fetch, wait_until
from support.paths import BUILD
from support.process import Process
from support.supervisor import children, state

APPS = Path(__file__).resolve().parent / "apps"
BUILT = BUILD / "tests" / "integration"
LUA = {"LUA_CPATH": f"{BUILT}/?.so;" + os.environ.get("LUA_CPATH", ";")}
ROOT = ["--allow-root"] if os.getuid() == 0 else []

Start = Callable[..., tuple[Process, str]]


def command(language: str, address: str, threads: int, supervised: bool) -> list[str]:
    bind = ["--bind", address]
    workers = ["--workers", "1", *ROOT] if supervised else []
    if language == "c":
        program = [str(BUILT / "children"), "-" if supervised else address, str(threads)]
        run = [str(BUILD / "tools" / "fcgi"), "run", *bind, *workers, "--"]
        return [*run, *program] if supervised else program
    more = [*bind, "--threads", str(threads), *workers]
    if language == "python":
        return [sys.executable, "-m", "fastcgi", "children:app", "--chdir", str(APPS), *more]
    return [str(BUILD / "lua" / "bin" / "fcgi-lua"), str(APPS / "children.lua"), *more]


@pytest.fixture
def start(language: str, tmp_path: Path) -> Iterator[Start]:
    """start(threads=1, supervised=False) -> the application and its address."""
    running: list[Process] = []

    def begin(threads: int = 1, supervised: bool = False, **env: str) -> tuple[Process, str]:
        address = f"unix:{tmp_path}/{len(running)}.sock"
        words = command(language, address, threads, supervised)
        one = Process(words, tmp_path / f"{len(running)}.log", env={**LUA, **env})
        running.append(one)
        return one.wait_for_address(address), address

    yield begin
    for one in running:
        if one.running():
            one.stop()


def threads_of(pid: int) -> str:
    """What each thread of a process and of its children waits for, as the kernel says."""
    lines = []
    for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
        text = {name: (task / name).read_text() for name in ("comm", "wchan", "syscall")}
        lines.append(f"{pid}/{task.name} {text['comm'].strip()}: {text['wchan']} {text['syscall']}")
        lines += [threads_of(int(one)) for one in (task / "children").read_text().split()]
    return "\n".join(lines)


def number(answer: bytes, word: str = "pid") -> int:
    found, value = answer.split()
    assert found.decode() == word
    return int(value)


@pytest.fixture
def hanging() -> Iterator[list[int]]:
    """Children that the test leaves behind."""
    left: list[int] = []
    yield left
    for pid in left:
        if state(pid) not in ("", "Z"):
            os.kill(pid, signal.SIGKILL)


# A callback in C does not raise, and the program in Lua ends with 1 or 2.
STATUS = {"return": {0}, "exit": {7}, "_exit": {7}, "raise": {0, 1, 2}, "use": {0}}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
def test_forks_change_nothing_of_the_parents(start, threads, supervised):
    app, address = start(threads, supervised)
    server = number(fetch(address).body)
    with Client(address, 60) as kept, Client(address, 60) as other:
        other.request(uri="/")
        for turn, (way, status) in enumerate(list(STATUS.items()) * 2, 1):
            try:
                answer = kept.request(uri=f"/child/{way}", request_id=turn)
            except TimeoutError:
                pytest.fail(f"{way}, turn {turn}:\n{threads_of(app.pid)}\n{app.output()}")
            assert answer.status == 200
            assert number(answer.body, "status") in status, way
            assert number(other.request(uri="/", request_id=turn).body) == server
    assert app.stop() == 0, app.output()


@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
def test_a_child_waits_for_no_thread_that_it_lacks(start, tmp_path, supervised):
    """The others are inside pthread_cond_wait(3) when it is forked, if they wait at all."""
    late = {"LD_PRELOAD": str(BUILT / "late.so"), "LATE_UNTIL": str(tmp_path / "late")}
    app, address = start(3, supervised, **late)
    with Client(address, 60) as client:
        for turn, (way, status) in enumerate(list(STATUS.items()) * 3, 1):
            try:
                answer = client.request(uri=f"/child/{way}", request_id=turn)
            except TimeoutError:
                pytest.fail(f"{way}, turn {turn}:\n{threads_of(app.pid)}\n{app.output()}")
            assert number(answer.body, "status") in status, way
    (tmp_path / "late").touch()
    assert app.stop() == 0, app.output()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_child_is_forked_while_the_slow_log_asks(start, threads):
    """Whoever asks what the handler does keeps its lock, and the child cannot wait."""
    late = {"LD_PRELOAD": str(BUILT / "late.so"), "LATE_KEEPS": "1"}
    app, address = start(threads, FASTCGI_SLOW_LOG="0.1", **late)
    with Client(address, 60) as client:
        for turn, way in enumerate(["return", "raise"], 1):
            try:
                answer = client.request(uri=f"/child/{way}", request_id=turn, DELAY="0.3")
            except TimeoutError:
                pytest.fail(f"{way}, turn {turn}:\n{threads_of(app.pid)}\n{app.output()}")
            assert number(answer.body, "status") in STATUS[way], way
    assert app.stop() == 0, app.output()
    assert app.output().count("slow request") == 2, app.output()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_child_that_stays_holds_nobody_up(start, hanging, threads):
    app, address = start(threads)
    with Client(address, 60) as client:
        client.send_request(uri="/child/hang", keep=False)
        answer = client.collect()
        hanging.append(number(answer.body))
        assert client.socket.recv(1) == b"", "the end of the connection"
    with Client(address, 60) as client:
        client.request(uri="/")
    assert app.stop() == 0, app.output()
    assert state(hanging[0]) in ("S", "R")
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(address)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT"])
@pytest.mark.parametrize("threads", [1, 3])
def test_signals_are_the_childs_own(start, hanging, threads, name):
    app, address = start(threads)
    hanging.append(number(fetch(address, uri="/child/hang").body))

    def ended() -> bool:
        """One that comes while Python is still forking is lost there."""
        if state(hanging[0]) not in ("", "Z"):
            os.kill(hanging[0], getattr(signal, name))
        return state(hanging[0]) in ("", "Z")

    wait_until(ended, 20, f"its end by {name}")
    assert number(fetch(address).body) == app.pid
    assert app.stop() == 0, app.output()


REPORT = "ls -l /proc/$$/fd; grep ^Sig /proc/self/status; env"
LIBRARYS = 3 << 31  # Signals 32 and 33, with which glibc's popen does as it likes.
OURS = ("LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "FASTCGI_HANDOVER", "FASTCGI_SUPERVISOR")
OURS += ("FASTCGI_SCOREBOARD", "FASTCGI_UPGRADE", "FASTCGI_BASE_DIR", "FASTCGI_FILE_OPTIONS")
OURS += ("FASTCGI_SHARE=",)


def report(address: str) -> tuple[dict[int, str], dict[str, int], dict[str, str]]:
    return read_report(fetch(address, uri="/", COMMAND=REPORT).body.decode())


def read_report(text: str) -> tuple[dict[int, str], dict[str, int], dict[str, str]]:
    """Descriptors, signal masks and environment of a program that is started."""
    lines = text.splitlines()
    links = (line.split(" -> ") for line in lines if " -> " in line)
    files = {name.split()[-1]: target for name, target in links}
    masks = dict(line.split(":\t") for line in lines if line.startswith("Sig"))
    named = dict(line.split("=", 1) for line in lines if "=" in line and " -> " not in line)
    return (
        {int(fd): target for fd, target in files.items()},
        {name: int(mask, 16) for name, mask in masks.items() if name != "SigQ"},
        named,
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
def test_programs_that_are_started_inherit_nothing(start, threads, supervised):
    app, address = start(threads, supervised, FASTCGI_OF_THE_USER="stays")
    for _ in range(2 * threads):
        files, masks, named = report(address)
        assert files[0] == "/dev/null"
        assert set(files) == {0, 1, 2}, files
        assert masks["SigBlk"] == 0
        assert masks["SigIgn"] & ~LIBRARYS == 0
        assert not [name for name in named if f"{name}=".startswith(OURS)]
        assert named["FASTCGI_OF_THE_USER"] == "stays"
    assert app.stop() == 0, app.output()


def test_a_job_outlives_its_worker_and_the_service(start, hanging):
    app, address = start(supervised=True)
    job = "sleep 1000 >/dev/null 2>&1 & echo pid $!"
    hanging.append(number(fetch(address, uri="/", COMMAND=job).body))
    worker = number(fetch(address).body)
    os.kill(app.pid, signal.SIGHUP)
    wait_until(lambda: state(worker) == "", 60, "the end of the worker")
    assert number(fetch(address).body) != worker
    assert state(hanging[0]) == "S"
    assert app.stop() == 0, app.output()
    assert state(hanging[0]) == "S"
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connect(address)


@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
def test_no_dead_child_stays(start, supervised):
    app, address = start(supervised=supervised)
    server = number(fetch(address).body)
    for _ in range(5):
        fetch(address, uri="/child/exit")
        fetch(address, uri="/", COMMAND="true & true")

    def left() -> set[int]:
        found = [children(pid) | children(pid, zombies=True) for pid in (app.pid, server)]
        return set.union(*found) - {server}

    wait_until(lambda: not left(), 20, "none left")
    assert app.stop() == 0, app.output()
