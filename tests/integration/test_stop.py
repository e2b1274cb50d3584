# SPDX-License-Identifier: MIT
"""A stop is one, whatever handlers do: in a loop without end, in a call that
blocks, or in C code that the interpreter does not get back from."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, patient, wait_until
from support.told import (
    ALONE,
    AS_CGI,
    NAMES,
    SUPERVISED,
    SWIG,
    command,
    is_open,
    limits,
    program,
    running,
    started,
)

# What takes less than a second on a machine with nothing else to do; who waits for
# handlers instead, waits for LONG.
SECONDS = 20
LONG = "3600"

KINDS = {"loop": NAMES, "call": ["c", "python", "python-module", "lua", "run", *SWIG]}
KINDS["code"] = ["python", "python-workers", "lua", "lua-workers", *SWIG]
ALL = [(kind, name) for kind, names in KINDS.items() for name in names]


@contextlib.contextmanager
def hanging(
    directory: Path, name: str, kind: str = "loop", limit: str = LONG
) -> Iterator[subprocess.Popen]:
    """The program with a request in its handler."""
    address = f"unix:{directory}/{name}-{kind}.sock"
    mark = directory / "entered"
    mark.unlink(missing_ok=True)
    env = {**os.environ, **limits(limit), "MARK": str(mark)}
    words = command(name, address, limit)
    with (
        open(directory / "stderr", "wb") as output,
        started(words, address, env=env, stderr=output) as child,
        Client(address) as client,
    ):
        client.send_request(params=get_params(query=kind))
        wait_until(mark.exists, what="the handler")
        yield child


@contextlib.contextmanager
def hanging_cgi(directory: Path, name: str, limit: str = LONG) -> Iterator[subprocess.Popen]:
    """The same, started by a CGI server for that request."""
    mark = directory / "entered"
    mark.unlink(missing_ok=True)
    request = get_params(query="loop", GATEWAY_INTERFACE="CGI/1.1")
    env = {**os.environ, **limits(limit), **request, "MARK": str(mark)}
    with running(program(name), env=env, stdout=subprocess.PIPE) as child:
        wait_until(mark.exists, what="the handler")
        yield child


def ends(child: subprocess.Popen, number: signal.Signals) -> None:
    child.send_signal(number)
    child.wait(SECONDS)


@pytest.mark.parametrize(("kind", "name"), ALL)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal(directory: Path, number: signal.Signals, kind: str, name: str):
    with hanging(directory, name, kind) as child:
        child.send_signal(number)
        sees_the_stop(directory, name, kind)
        assert child.poll() is None
        ends(child, number)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_quit(directory: Path, kind: str, name: str):
    with hanging(directory, name, kind) as child:
        ends(child, signal.SIGQUIT)


@pytest.mark.parametrize("name", NAMES)
def test_the_graceful_timeout(directory: Path, name: str):
    with hanging(directory, name, limit="1") as child:
        child.send_signal(signal.SIGTERM)
        child.wait(patient(SECONDS))


@pytest.mark.parametrize("name", AS_CGI)
def test_a_second_signal_to_a_cgi_program(directory: Path, name: str):
    with hanging_cgi(directory, name) as child:
        child.send_signal(signal.SIGTERM)
        wait_until(lambda: not waits(child.pid, signal.SIGTERM), what="the stop")
        assert child.poll() is None
        ends(child, signal.SIGTERM)


@pytest.mark.parametrize("name", AS_CGI)
def test_quit_of_a_cgi_program(directory: Path, name: str):
    with hanging_cgi(directory, name) as child:
        ends(child, signal.SIGQUIT)


@pytest.mark.parametrize("name", AS_CGI)
def test_the_graceful_timeout_of_a_cgi_program(directory: Path, name: str):
    with hanging_cgi(directory, name, limit="1") as child:
        child.send_signal(signal.SIGTERM)
        child.wait(patient(SECONDS))


def waits(pid: int, number: int) -> bool:
    """Whether no thread has taken the signal yet: two that come together are one."""
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith(("SigPnd:", "ShdPnd:")) and int(line[7:], 16) >> (number - 1) & 1:
                return True
    return False


def sees_the_stop(directory: Path, name: str, kind: str) -> None:
    """The first of two signals is carried out."""
    assert (name in SUPERVISED) != (name in ALONE)

    def refuses() -> bool:
        return not is_open(f"unix:{directory}/{name}-{kind}.sock")

    def tells() -> bool:
        return "stopping" in (directory / "stderr").read_text()

    wait_until(refuses if name in ALONE else tells, what="the stop")
