# SPDX-License-Identifier: MIT
"""Starts and deployments as people have them: releases behind a link, small
limits, variables of another process."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.fcgi_client import fetch, wait_until
from support.paths import BUILD, EXAMPLES
from support.process import Process
from support.supervisor import children
from support.tool import fcgi

TOOL = BUILD / "tools" / "fcgi"
FCGI_LUA = BUILD / "lua" / "bin" / "fcgi-lua"

PYTHON = """
with open("{seen}", "a") as seen:
    print("{name}", file=seen)
def app(request):
    return 200, {{}}, b"{name}"
"""
LUA = """
local seen <close> = io.open("{seen}", "a")
seen:write("{name}\\n")
return function() return 200, {{}}, "{name}" end
"""


def releases(directory: Path) -> Path:
    """Two of them, and the link to the first."""
    for name in ("one", "two"):
        (directory / name).mkdir()
        (directory / name / "release").write_text(name)
    link = directory / "current"
    link.symlink_to("one")
    return link


def switch(link: Path) -> None:
    fresh = link.with_name("fresh")
    fresh.symlink_to("two")
    fresh.rename(link)


def started_in_a_release(directory: Path, kind: str) -> tuple[list, dict]:
    """Words and variables; each worker writes its release into the file "seen"."""
    seen, link = directory / "seen", directory / "current"
    for name in ("one", "two"):
        (directory / name / "app.py").write_text(PYTHON.format(name=name, seen=seen))
        (directory / name / "app.lua").write_text(LUA.format(name=name, seen=seen))
    options = ["--allow-root", "--pid", directory / "pid", "--bind", f"unix:{directory}/s"]
    workers = [*options, "--workers", "1"]
    shell = f"cat release >> {seen}; echo >> {seen}; exec {EXAMPLES / 'hello'}"
    words = {
        "run": [TOOL, "run", *options, "--", "sh", "-c", shell],
        "python": [sys.executable, "-m", "fastcgi", "app:app", *workers],
        "lua": [FCGI_LUA, "app.lua", *workers],
        "lua-absolute": [FCGI_LUA, link / "app.lua", *workers],
    }
    return words[kind], {"PWD": str(link)}


@pytest.mark.parametrize("kind", ["run", "python", "lua", "lua-absolute"])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_release_behind_a_link(directory: Path, number: signal.Signals, kind: str):
    directory = directory / f"{number.name}-{kind}"
    directory.mkdir()
    link, seen, pid_file = releases(directory), directory / "seen", directory / "pid"
    command, env = started_in_a_release(directory, kind)
    with Process(command, directory / "log", cwd=link, env=env) as process:
        wait_until(pid_file.exists, 30, "the pid file")
        wait_until(lambda: "ready after" in process.output(), 30, "readiness")
        assert seen.read_text().split() == ["one"]
        switch(link)
        first = process.pid
        os.kill(first, number)
        wait_until(lambda: seen.read_text().split() == ["one", "two"], 30, process.output())
        if kind != "run":
            wait_until(lambda: fetch(f"unix:{directory}/s").body == b"two", 30, "its answers")
        if number == signal.SIGUSR2:
            wait_until(lambda: pid_file.read_text() not in ("", f"{first}\n"), 30, "a successor")
            os.kill(int(pid_file.read_text()), signal.SIGTERM)
            wait_until(lambda: not (directory / "s").exists(), 30, "the socket's removal")


def words_of(kind: str, folder: Path, *options: object, first: str = "true") -> list:
    """What starts the workers: each runs the line of sh, and then serves what is in the folder."""
    (folder / "app.py").write_text(
        f"import subprocess\nsubprocess.run(['sh', '-c', {first!r}])\n"
        "def app(request):\n    return 200, {}, b'hello'\n"
    )
    (folder / "app.lua").write_text(
        f"os.execute [=[{first}]=]\nreturn function() return 200, {{}}, 'hello' end\n"
    )
    return {
        "run": [TOOL, "run", *options, "--", "sh", "-c", f"{first}; exec {EXAMPLES / 'hello'}"],
        "python": [sys.executable, "-m", "fastcgi", "app:app", *options],
        "lua": [FCGI_LUA, "app.lua", *options],
    }[kind]


@pytest.fixture(params=["run", "python", "lua"])
def launcher(request: pytest.FixtureRequest) -> str:
    return request.param


def test_relative_socket_below_another_directory(directory: Path, launcher: str):
    """Also the supervisor that has taken over removes it."""
    directory = directory / f"relative-{launcher}"
    (directory / "below").mkdir(parents=True)
    pid_file = directory / "pid"
    options = ["--allow-root", "--pid", pid_file, "--chdir", "below"]
    options += ["--bind", "unix:app.sock", "--workers", "1"]
    command = words_of(launcher, directory / "below", *options)
    with Process(command, directory / "log", cwd=directory) as process:
        path = directory / "below" / "app.sock"
        process.wait_for_address(f"unix:{path}")
        wait_until(lambda: pid_file.exists() and pid_file.read_text(), 30, "the pid file")
        first = pid_file.read_text()
        os.kill(process.pid, signal.SIGUSR2)
        wait_until(lambda: pid_file.read_text() not in ("", first), 30, "a successor")
        assert path.is_socket()
        assert fetch(f"unix:{path}").status == 200
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        wait_until(lambda: not path.exists(), 30, "the socket's removal")


def test_ready_worker_killed_during_the_first_start(directory: Path, launcher: str):
    """The other one is not ready before its file is there."""
    directory = directory / f"first-{launcher}"
    directory.mkdir()
    gate, turns = directory / "gate", directory / "turns"
    turns.mkdir()
    first = f"mkdir {turns}/first 2>/dev/null || while [ ! -e {gate} ]; do sleep 0.1; done"
    address = f"unix:{directory}/first.sock"
    options = ["--allow-root", "--bind", address, "--workers", "2", "--log-level", "debug"]
    command = words_of(launcher, directory, *options, first=first)
    with Process(command, directory / "log", cwd=directory) as process:
        wait_until(lambda: "is ready after" in process.output(), 30, "one worker")
        (line,) = [text for text in process.output().splitlines() if "is ready after" in text]
        os.kill(int(line.split("worker ")[1].split()[0]), signal.SIGKILL)
        wait_until(lambda: "starting another" in process.output(), 30, "a replacement")
        gate.touch()
        wait_until(lambda: "workers are ready after" in process.output(), 30, "both")
        assert "cannot start" not in process.output()
        assert fetch(address).status == 200


def test_few_descriptors_are_said(directory: Path, launcher: str):
    options = ["--allow-root", "--bind", "unix:none.sock", "--workers", "1"]
    command = words_of(launcher, directory, *options)
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *command],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
    )
    name = {"run": "fcgi", "python": "fastcgi", "lua": "fcgi-lua"}[launcher]
    assert done.returncode == 1
    assert done.stderr == (
        f"{name}: the limit of open files is 64, and a supervisor needs 144; raise it "
        "(ulimit -n, LimitNOFILE=)\n"
    )
    assert not (directory / "none.sock").exists()


def test_listeners_of_another_process_are_named():
    environment = {**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    done = subprocess.run(
        [str(EXAMPLES / "hello")],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert 'LISTEN_PID="1" names another process' in done.stderr


def test_as_many_workers_as_processors(directory: Path, launcher: str):
    address = f"unix:{directory}/auto-{launcher}.sock"
    command = words_of(launcher, directory, "--allow-root", "--bind", address, "--workers", "auto")
    with Process(command, directory / f"auto-{launcher}.log", cwd=directory) as process:
        ready = r"workers? (is|are) ready after"
        wait_until(lambda: re.search(ready, process.output()), what=process.output())
        assert 1 <= len(children(process.pid)) <= len(os.sched_getaffinity(0))
        assert fetch(address).status == 200


def test_many_is_no_number_of_workers():
    assert fcgi("run", "--workers", "many", "--", "x").returncode == 2
