# SPDX-License-Identifier: MIT
"""Descriptors, standard streams and temporary files that are lacking."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.as_nobody import LAUNCHERS, as_nobody, needs_root
from support.fcgi_client import Client, connect, get_params, post_params, wait_until
from support.paths import EXAMPLES
from support.probe import probe_command
from support.process import Process
from support.share import sockets

KIB = 1024


def assert_serves(address: str, question: str) -> None:
    with Client(address) as client:
        assert client.ask(get_params(query=question)).body == f"{question}\n".encode()


@pytest.fixture
def probe(language: str, directory: Path) -> Iterator[tuple[Process, str]]:
    address = f"unix:{directory}/{language}-files.sock"
    with Process(probe_command(language, address, 2), directory / f"{language}.log") as app:
        yield app.wait_for_address(address), address


def cpu_seconds(app: Process) -> float:
    fields = Path(f"/proc/{app.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def take_descriptors(app: Process, spare: int) -> None:
    """Let the program open only so many more."""
    hard = resource.prlimit(app.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(app.pid, resource.RLIMIT_NOFILE, (app.descriptors() + spare, hard))


def give_descriptors(app: Process) -> None:
    hard = resource.prlimit(app.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(app.pid, resource.RLIMIT_NOFILE, (1024, hard))


def test_lack_of_descriptors_is_waited_out(probe: tuple[Process, str]):
    """No spinning, those inside are served, the others as soon as can be."""
    app, address = probe
    with ExitStack() as stack:
        inside = stack.enter_context(Client(address))
        assert inside.ask(get_params(query="before")).body == b"before\n"
        take_descriptors(app, 2)
        waiting = [stack.enter_context(Client(address)) for _ in range(20)]
        wait_until(lambda: "cannot accept a connection" in app.output(), what="the warning")
        before = cpu_seconds(app)
        time.sleep(1)
        assert cpu_seconds(app) - before < 0.1
        assert inside.ask(get_params(query="inside")).body == b"inside\n"
        give_descriptors(app)
        began = time.monotonic()
        for number, client in enumerate(waiting):
            assert client.ask(get_params(query=str(number))).body == f"{number}\n".encode()
        assert time.monotonic() - began < 20


def last_thread(app: Process) -> int:
    """One that the kernel prefers when a signal is sent to its number."""
    return max(int(task.name) for task in Path(f"/proc/{app.pid}/task").iterdir())


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_stopping_without_a_descriptor_frees_the_address(probe: tuple[Process, str], spare: int):
    """A client that comes while the last answer is awaited is turned away."""
    app, address = probe
    with Client(address) as client:
        assert client.ask(get_params()).status == 200
        before = sockets(app.pid)
        client.send(b"\1\1\0\1\0\10\0\0\0\1\1\0\0\0\0\0")  # The start of a request.
        assert_serves(address, "others")
        wait_until(lambda: sockets(app.pid) == before, what="the end of the other connection")
        take_descriptors(app, spare)
        os.kill(last_thread(app), signal.SIGTERM)
        path = Path(address.removeprefix("unix:"))
        wait_until(lambda: not path.exists() or not app.running(), what="removing the socket")
        assert app.running()
        assert not listens(path)


def listens(path: Path) -> bool:
    """Whether the kernel still has a listener of that name."""
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(row[-1] == str(path) and row[3] == "00010000" for row in rows)


@pytest.mark.parametrize("poll", [0, 1], ids=["epoll", "poll"])
def test_descriptors_above_1024(directory: Path, poll: int):
    """select(2) could not have them."""
    address = f"unix:{directory}/many-{poll}.sock"
    count = 1500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 200
    assert hard >= wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        command = probe_command("c", address, 2, f"poll={poll}")
        with Process(command, directory / "many.log") as app, ExitStack() as stack:
            app.wait_for_address(address)
            clients = [stack.enter_context(Client(address)) for _ in range(count)]
            for _ in range(2):
                for number, client in enumerate(clients):
                    answer = client.ask(get_params(query=str(number)))
                    assert answer.body == f"{number}\n".encode()
            assert max(int(fd.name) for fd in Path(f"/proc/{app.pid}/fd").iterdir()) > 1024
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def inherited(language: str) -> list[str]:
    """The probe, or in C hello, with the listener on descriptor 0."""
    return [str(EXAMPLES / "hello")] if language == "c" else probe_command(language, "fd:0")


def test_closed_output_is_no_place_for_sockets(language: str, directory: Path):
    """Web servers may start a program with descriptors 1 and 2 closed
    (specification 2). What it prints must not end up in a socket."""
    path = directory / f"{language}-closed.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        child = subprocess.Popen(
            ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *inherited(language)], stdin=listener
        )
    try:
        with Client(f"unix:{path}") as client:
            for _ in range(3):
                assert client.ask(get_params()).status == 200
            files = {fd: os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in range(3)}
        assert files[0] == "/dev/null"
        assert (files[1], files[2]) == ("/dev/null", "/dev/null")
    finally:
        child.terminate()
        assert child.wait(60) == 0


def test_closed_standard_streams_with_an_address(language: str, directory: Path):
    address = f"unix:{directory}/{language}-none.sock"
    command = probe_command(language, address)
    child = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    try:
        wait_until(lambda: is_open(address), 20, "listening")
        assert_serves(address, "closed")
        files = [os.readlink(f"/proc/{child.pid}/fd/{fd}") for fd in range(3)]
        assert files == ["/dev/null"] * 3
    finally:
        child.terminate()
        assert child.wait(60) == 0


def is_open(address: str) -> bool:
    try:
        connect(address).close()
    except OSError:
        return False
    return True


def test_a_full_disk_fails_only_that_body(directory: Path):
    """A file may grow to 512 KiB here; a longer body that is collected is
    refused, and the program lives."""
    address = f"unix:{directory}/full.sock"
    command = probe_command("c", address, 1, "collect=1")
    with Process(command, directory / "full.log") as app:
        app.wait_for_address(address)
        resource.prlimit(app.pid, resource.RLIMIT_FSIZE, (512 * KIB, 512 * KIB))
        for _ in range(2):
            with Client(address) as client:
                body = os.urandom(2048 * KIB)
                assert client.ask(post_params(len(body)), body).status in (500, 503)
            with Client(address) as client:
                body = os.urandom(600 * KIB)
                assert client.ask(post_params(len(body)), body).body == body
        assert app.running()


def program(language: str, address: str, temp_dir: str) -> list[str]:
    """A program that is told where temporary files go."""
    if language == "python":
        options = f"bind='{address}', temp_dir='{temp_dir}'"
        code = f"import fastcgi; fastcgi.serve(lambda request: None, {options})"
        return [sys.executable, "-c", code]
    code = (
        "local fcgi = require 'fcgi' local done, message = fcgi.serve { "
        f"bind = '{address}', temp_dir = '{temp_dir}', handler = print }} "
        "io.stderr:write(message, '\\n') os.exit(1)"
    )
    return ["lua5.4", "-e", code]


@pytest.mark.parametrize("language", ["python", "lua"])
@pytest.mark.parametrize("wrong", ["missing", "a file"])
def test_a_wrong_temporary_directory_is_told_at_the_start(
    language: str, wrong: str, directory: Path
):
    place = directory / "nowhere" if wrong == "missing" else Path(__file__)
    command = program(language, f"unix:{directory}/temp.sock", str(place))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    line = done.stderr.splitlines()[-1]
    assert str(place) in line
    assert ("No such file or directory" if wrong == "missing" else "Not a directory") in line


def test_a_wrong_tmpdir_is_a_warning(directory: Path):
    """Nobody named it to us, and it may never be needed."""
    address = f"unix:{directory}/tmpdir.sock"
    env = {"TMPDIR": str(directory / "nowhere")}
    with Process(probe_command("c", address), directory / "tmpdir.log", env=env) as app:
        app.wait_for_address(address)
        assert_serves(address, "all the same")
        assert f"{directory}/nowhere" in app.output()
        assert app.output().count("\n") == 1


@needs_root
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_temporary_files_are_those_of_the_user(launcher: str, directory: Path):
    """Where only root may write, nothing starts."""
    place = directory / f"{launcher}-nobody"
    directory.chmod(0o755)
    theirs, roots = place / "theirs", place / "roots"
    for folder in (place, theirs, roots):
        folder.mkdir()
    shutil.chown(theirs, "nobody")
    theirs.chmod(0o700)
    address, body = f"unix:{place}/app.sock", os.urandom(200 * KIB)

    def words(temp_dir: Path) -> list[str]:
        options = ["--body-memory", KIB, "--temp-dir", temp_dir]
        return as_nobody(launcher, place, address, *options)

    with Process(words(theirs), place / "log") as app:
        app.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(post_params(len(body)), body).status == 200
        theirs.chmod(0)
        with Client(address) as client:
            assert client.ask(post_params(len(body)), body).status in (500, 503)
    done = subprocess.run(words(roots), capture_output=True, text=True, timeout=300)
    assert done.returncode in (1, 3), done.stderr
    assert f'no long body can be kept in temp_dir "{roots}": Permission denied' in done.stderr
