# SPDX-License-Identifier: MIT
"""What goes wrong at the start is one clear line and a non-zero exit."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.echo import echo_command
from support.fcgi_client import Client, get_params
from support.paths import BUILD
from support.process import Process

PYTHON = [sys.executable, "-m", "fastcgi"]
LUA = [str(BUILD / "lua" / "bin" / "fcgi-lua")]


def failure(command: list[str], cwd: Path) -> str:
    """The one line on stderr of a command that must fail."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    lines = done.stderr.strip().splitlines()
    assert done.returncode != 0, f"it succeeds: {done.stdout}"
    assert done.returncode > 0, f"it is killed by a signal: {done.stderr}"
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    return lines[0]


@pytest.fixture
def app(directory: Path) -> Path:
    """A directory with a working application in each language, and broken ones."""
    (directory / "good.py").write_text("def app(request):\n    return 200, {}, b'hi'\n")
    (directory / "broken.py").write_text("import not_there_at_all\n")
    (directory / "good.lua").write_text("return function(req) return 200, {}, 'hi' end\n")
    (directory / "broken.lua").write_text("this is no Lua\n")
    (directory / "empty.lua").write_text("return 42\n")
    return directory


@pytest.fixture(params=["python", "lua"])
def good(request: pytest.FixtureRequest) -> list[str]:
    return [*PYTHON, "good:app"] if request.param == "python" else [*LUA, "good.lua"]


def test_wrong_option(app: Path, good: list[str]):
    assert "--bogus" in failure([*good, "--bind", f"unix:{app}/x.sock", "--bogus"], app)


@pytest.mark.parametrize("threads", ["0", "-1", "many"])
def test_wrong_number_of_threads(app: Path, good: list[str], threads: str):
    assert "threads" in failure([*good, "--bind", f"unix:{app}/x.sock", "--threads", threads], app)


@pytest.mark.parametrize("address", ["unix:", "nonsense", "127.0.0.1:70000", "fd:999"])
def test_wrong_address(app: Path, good: list[str], address: str):
    assert address in failure([*good, "--bind", address], app)


def test_directory_of_the_socket_is_missing(app: Path, good: list[str]):
    assert f"{app}/none/x.sock" in failure([*good, "--bind", f"unix:{app}/none/x.sock"], app)


def test_no_listener_inherited(app: Path, good: list[str]):
    assert "no listener inherited: give an address" in failure(good, app)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_address_in_use(app: Path, good: list[str], kind: str):
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind(f"{app}/used.sock" if kind == "unix" else ("127.0.0.1", 0))
        listener.listen()
        address = (
            f"unix:{app}/used.sock" if kind == "unix" else f"127.0.0.1:{listener.getsockname()[1]}"
        )
        assert address in failure([*good, "--bind", address], app)
        if kind == "unix":
            assert (app / "used.sock").exists(), "a live socket was removed"
            os.unlink(app / "used.sock")


@pytest.mark.parametrize("language", ["c", "python", "lua"])
def test_stale_socket_is_replaced(directory: Path, language: str):
    """A process that was killed leaves its socket; the next one takes its place."""
    address = f"unix:{directory}/stale-{language}.sock"
    command = echo_command(language, address, threads=1)
    with Process(command, directory / "killed.log") as killed:
        killed.wait_for_address(address)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
    assert Path(address.removeprefix("unix:")).exists()
    with Process(command, directory / "next.log") as following:
        following.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(get_params()).status == 200


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ([*PYTHON, "no_such_module:app"], "no_such_module"),
        ([*PYTHON, "good:no_such_name"], "no_such_name"),
        ([*LUA, "no_such_file.lua"], "no_such_file.lua"),
        ([*LUA, "broken.lua"], "broken.lua"),
        ([*LUA, "empty.lua"], "empty.lua"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
def test_application_that_does_not_load(app: Path, command: list[str], word: str):
    assert word in failure([*command, "--bind", f"unix:{app}/x.sock"], app)


def test_python_application_that_raises(app: Path):
    """Its own traceback comes before the line."""
    command = [*PYTHON, "broken:app", "--bind", f"unix:{app}/x.sock"]
    done = subprocess.run(command, cwd=app, capture_output=True, text=True, timeout=60)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert [line for line in lines if line.startswith("fastcgi: ")] == lines[-1:]
    assert "not_there_at_all" in lines[-1]
    assert any("broken.py" in line for line in lines[:-1])


def test_c_example_says_what_is_wrong(directory: Path):
    for address in (f"unix:{directory}/none/x.sock", "nonsense"):
        assert address in failure([echo_command("c", address, 1)[0], address], directory)
