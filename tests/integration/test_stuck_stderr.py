# SPDX-License-Identifier: MIT
"""Standard error that nobody reads, that is closed, or that is another user's
holds up neither requests nor signals, in any language."""

import contextlib
import fcntl
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.as_nobody import LAUNCHERS, as_nobody, needs_root
from support.fcgi_client import Client, connect, get_params, wait_until
from support.supervisor import children
from support.told import NAMES, SUPERVISED, command, started

FAILURES = 150  # Each a traceback or a line: more than a small pipe holds.


class Unread:
    """A pipe that is full, and that nobody reads."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        mine = os.open(f"/proc/self/fd/{self.writer}", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(mine, b".\n")
        os.close(mine)

    def is_blocking(self) -> bool:
        """Whether the description that others write through is as it was."""
        return not fcntl.fcntl(self.writer, fcntl.F_GETFL) & os.O_NONBLOCK

    def read(self, seconds: float, what: bytes) -> bytes:
        """Read until it has come."""
        os.set_blocking(self.reader, False)
        got, end = b"", time.monotonic() + seconds
        while what not in got:
            assert time.monotonic() < end, f"{what!r} is not in {got!r}"
            try:
                got += os.read(self.reader, 65536)
            except BlockingIOError:
                time.sleep(0.01)
        return got

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def unread() -> Iterator[Unread]:
    pipe = Unread()
    yield pipe
    pipe.close()


def ask(address: str, query: str = "") -> int:
    with Client(address, timeout=60) as client:
        return client.ask(get_params(query=query)).status


def break_protocol(address: str) -> None:
    """What is no FastCGI is a line of the log."""
    with contextlib.suppress(OSError), connect(address, timeout=60) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        peer.recv(100)


def ends(child: subprocess.Popen, seconds: float = 20) -> int:
    child.send_signal(signal.SIGTERM)
    return child.wait(seconds)


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_nobody_reads(name: str, directory: Path, unread: Unread):
    """Requests are answered, and the stop is one, before and after that."""
    address = f"unix:{directory}/{name}.sock"
    with started(command(name, address), address, stderr=unread.writer) as child:
        for _ in range(FAILURES):
            break_protocol(address)
            ask(address, "fail")
        assert ask(address) == 200
        assert unread.is_blocking()
        assert ends(child) == 0


def reload(child: subprocess.Popen) -> None:
    first = children(child.pid)
    child.send_signal(signal.SIGHUP)
    wait_until(lambda: not children(child.pid) & first, 40, "a reload")


@pytest.mark.parametrize("supervised", SUPERVISED)
def test_the_supervisor_goes_on(supervised: str, directory: Path, unread: Unread):
    address = f"unix:{directory}/{supervised}-super.sock"
    words = command(supervised, address)
    with started(words, address, stderr=unread.writer) as child:
        wait_until(lambda: len(children(child.pid)) == 2, 40, "two workers")
        assert ask(address) == 200
        reload(child)
        reload(child)
        victim = min(children(child.pid))
        os.kill(victim, signal.SIGKILL)
        wait_until(
            lambda: victim not in (now := children(child.pid)) and len(now) == 2, 40, "another"
        )
        assert ask(address) == 200
        assert ends(child) == 0


def test_lines_come_when_it_is_read_again(directory: Path, unread: Unread):
    """Those that the queue held, and how many it did not."""
    address = f"unix:{directory}/again.sock"
    words = command("python", address)
    with started(words, address, stderr=unread.writer) as child:
        for _ in range(600):
            ask(address, "fail")
        assert b"RuntimeError: xxx" in unread.read(20, b"lines are lost")
        ask(address, "fail")
        unread.read(20, b"RuntimeError: xxx")
        assert ends(child) == 0


SHELL = 'exec "$@" <&- >&- 2>&-'


def is_socket(pid: int, fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(f"/proc/{pid}/fd/{fd}").st_mode)
    except FileNotFoundError:
        return False


def test_closed_descriptors(name: str, directory: Path):
    """No socket becomes one of them, and gets what is printed."""
    address = f"unix:{directory}/{name}-closed.sock"
    words = ["sh", "-c", SHELL, "sh", *command(name, address)]
    with started(words, address) as child:
        for _ in range(5):
            break_protocol(address)
            ask(address, "fail")
            assert ask(address) == 200
        found = {child.pid, *children(child.pid)}
        for pid in found:
            assert not is_socket(pid, 1), f"descriptor 1 of {pid} is a socket"
            assert not is_socket(pid, 2), f"descriptor 2 of {pid} is a socket"
        assert not is_socket(child.pid, 0)
        assert ends(child) == 0


# --- Logs that are descriptors, as another user ------------------------------


@contextlib.contextmanager
def standard(kind: str, directory: Path) -> Iterator[tuple[int, object]]:
    """A descriptor for a child's output, and what reads the lines on it."""
    if kind == "file":
        path = directory / f"output-{time.monotonic_ns()}"
        with open(path, "ab") as output:
            yield output.fileno(), path.read_bytes
        return
    # systemd connects a unix stream socket to the journal.
    ends = os.pipe() if kind == "pipe" else [s.detach() for s in reversed(socket.socketpair())]
    got = bytearray()

    def read() -> bytes:
        os.set_blocking(ends[0], False)
        with contextlib.suppress(BlockingIOError):
            got.extend(os.read(ends[0], 65536))
        return bytes(got)

    yield ends[1], read
    for end in ends:
        os.close(end)


@pytest.fixture(scope="module")
def open_directory(directory: Path) -> Path:
    directory.chmod(0o755)
    place = directory / "open"
    place.mkdir()
    place.chmod(0o755)
    return place


@needs_root
@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
@pytest.mark.parametrize("where", ["/dev/stderr", "/dev/stdout", "-", "/proc/self/fd/2"])
def test_logs_of_another_user(
    launcher: str, kind: str, where: str, directory: Path, open_directory: Path
):
    """They are opened by root and written by whom it has become."""
    address = f"unix:{open_directory}/{launcher}-{kind}{where.replace('/', '-')}.sock"
    words = as_nobody(launcher, open_directory, address)
    env = {**os.environ, "FASTCGI_ACCESS_LOGFILE": where, "FASTCGI_ERROR_LOGFILE": where}
    with (
        standard(kind, directory) as (output, read),
        started(words, address, stdout=output, stderr=output, env=env) as child,
    ):
        break_protocol(address)
        assert ask(address) == 200
        wait_until(lambda: b'"GET ' in read(), 20, "a line of the access log")
        wait_until(lambda: b"warning: " in read(), 20, "a line of the error log")
        assert ends(child) == 0
