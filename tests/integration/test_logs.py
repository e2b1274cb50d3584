# SPDX-License-Identifier: MIT
"""Access log and error log of every language: what is in them, and that no disk
and no reader of theirs is ever waited for."""

import fcntl
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, nginx_params, wait_for_server, wait_until
from support.paths import BUILD, EXAMPLES
from support.probe import APPS, probe_command
from support.process import Process
from support.site import serve_behind_nginx
from support.supervisor import Supervisor, children, state
from support.tool import fcgi

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
HELLO = EXAMPLES / "hello"
QUERY = "q" * 3000


class Logged(Process):
    """An application with both logs in a directory of its own."""

    def __init__(self, directory: Path, name: str, command: Callable[[str], list], **variables):
        self.directory = directory / name
        self.directory.mkdir()
        self.address = f"unix:{self.directory}/app.sock"
        self.access = self.directory / "access"
        self.errors = self.directory / "errors"
        logs = {
            "FASTCGI_ACCESS_LOGFILE": str(self.access),
            "FASTCGI_ERROR_LOGFILE": str(self.errors),
        }
        log = self.directory / "output"
        super().__init__(command(self.address), log, env={**logs, **variables})

    def __enter__(self) -> "Logged":
        self.wait_for_address(self.address)
        return self

    def ask(self, uri: str, **more: str) -> bytes:
        with Client(self.address) as client:
            return client.ask(nginx_params(uri=uri, **more)).body

    def await_line(self, path: Path, pattern: str) -> str:
        wait_until(lambda: re.search(pattern, path.read_text()), 10, f"{pattern} in {path}")
        return path.read_text()


def hello(address: str) -> list:
    return [HELLO, address]


def dropped(address: str) -> int:
    return json.loads(fcgi("status", address, "--json").stdout)["fastcgi"]["total"]["log_dropped"]


def test_lines_behind_nginx(language: str, directory: Path):
    """Ours has what nginx sent; a client's control bytes are no lines of ours."""
    folder = directory / f"nginx-{language}"
    folder.mkdir()
    address = f"unix:{folder}/app.sock"
    access, errors = folder / "access", folder / "errors"
    env = {"FASTCGI_ACCESS_LOGFILE": str(access), "FASTCGI_ERROR_LOGFILE": str(errors)}
    command = probe_command(language, address, 2)
    with serve_behind_nginx(folder, command, address, env=env) as site:
        answer = site.request("/kept/stderr?a=1")
        assert answer.status == 200
        evil = {"User-Agent": 'evil" \\ \x1b[2J \xe9'}
        assert site.request("/kept/x", headers=evil).status == 200
        wait_until(lambda: access.read_text().count("\n") == 2, 10, "two lines")
        first, second = access.read_text().splitlines()
        wait_until(lambda: "stderr: a line\n" in errors.read_text(), 10, "a line of STDERR")
        assert "a line" in site.nginx.output()
    stamp = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    start = rf"127\.0\.0\.1 - - {stamp} "
    size = len(answer.body) or "-"
    assert re.match(rf'{start}"GET /kept/stderr\?a=1 HTTP/1\.1" 200 {size} "-"', first)
    assert second.endswith(r'"evil\x22 \x5c \x1b[2J \xe9"')
    assert re.search(rf"^{TIME} \[\d+\] stderr: a line$", errors.read_text(), re.M)


def test_reopened_on_usr1(language: str, directory: Path):
    with Logged(directory, f"usr1-{language}", lambda a: probe_command(language, a, 2)) as app:
        app.ask("/one")
        app.await_line(app.access, "GET /one ")
        old = app.access.rename(app.directory / "access.1")
        os.kill(app.pid, signal.SIGUSR1)
        wait_until(app.access.exists, 10, "a new file")
        app.ask("/two")
        text = app.await_line(app.access, "GET /two ")
        assert text.count("\n") == 1
        assert old.read_text().count("\n") == 1
        assert app.running()


def test_usr1_means_nothing_without_logs(language: str, directory: Path):
    address = f"unix:{directory}/plain-{language}.sock"
    with Process(probe_command(language, address), directory / f"plain-{language}.log") as app:
        app.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(get_params(query="here")).body == b"here\n"
            os.kill(app.pid, signal.SIGUSR1)
            assert client.ask(get_params(query="there")).body == b"there\n"
        assert app.running()


def test_json_is_json(directory: Path):
    with Logged(directory, "json", hello, FASTCGI_ACCESS_LOGFORMAT="json") as app:
        app.ask('/"\\\x01\xff', HTTP_USER_AGENT="\xc3\xa9" * 5000, REMOTE_USER="ann")
        line = app.await_line(app.access, "\n")
    entry = json.loads(line)
    assert len(line.encode()) < 8192
    assert entry["uri"] == '/"\\\x01\\xff'
    assert re.fullmatch("é{512}\\.\\.\\.", entry["user_agent"])
    assert (entry["status"], entry["bytes"], entry["remote_user"]) == (200, 6, "ann")
    assert (entry["referer"], entry["pid"]) == (None, app.pid)


def test_gunicorn_atoms(directory: Path):
    atoms = "%(m)s|%(U)s|%(q)s|%(s)s|%(B)s|%({user-agent}i)s|%({content-type}o)s|%(p)s|%(x)s"
    wrong = subprocess.run(
        [HELLO, f"unix:{directory}/wrong.sock"],
        env={"FASTCGI_ACCESS_LOGFILE": "-", "FASTCGI_ACCESS_LOGFORMAT": atoms},
        capture_output=True,
        timeout=60,
    )
    said = wrong.stderr.decode()
    assert wrong.returncode == 1
    assert said.startswith('fastcgi: access log format: there is no atom "%(x)s"; known are')
    assert said.count("\n") == 1
    right = atoms.removesuffix("|%(x)s")
    with Logged(directory, "atoms", hello, FASTCGI_ACCESS_LOGFORMAT=right) as app:
        app.ask("/a%20b?c=d")
        line = app.await_line(app.access, "\n")
    assert line == f"GET|/a%20b|c=d|200|6|test|text/plain|<{app.pid}>\n"


def lose_lines(app: Logged, seen: Path, make_room: Callable[[], object], reason: str) -> None:
    """More lines than there is room for, then room again."""
    began = time.monotonic()
    for number in range(100):
        assert app.ask(f"/stderr?{number}{'x' * 400}").endswith(b"x\n")
    assert time.monotonic() - began < 30
    wait_until(lambda: dropped(app.address) > 50, 10, "dropped lines")
    make_room()
    app.ask("/after")
    wait_until(lambda: "GET /after " in seen.read_text(), 10, "a line after all")
    lost = re.search(r"(\d+) lines are lost: (.*)\n", app.await_line(app.errors, "are lost"))
    text = seen.read_text()
    missing = 100 - len(re.findall(r'^.*GET /stderr.*"test"$', text, re.M))
    assert missing <= int(lost[1]) <= missing + 5  # Questions for the status have lines too.
    assert lost[2] == reason
    lines = [line for line in text.splitlines() if "GET /status" not in line]
    whole = [line for line in lines if line.endswith('"test"')]
    assert len(lines) - len(whole) <= 1  # The one that met the end.


NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount() -> bool:
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="no namespace may be made here to mount a disk in")
def test_full_disk(language: str, directory: Path):
    """A real file system of 64 KiB, in a mount namespace of the application's."""
    script = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"'
    disk = directory / f"disk-{language}"
    disk.mkdir()
    command = [*NAMESPACE, "sh", "-c", script, disk]
    access = disk / "access"
    with Logged(
        directory,
        f"full-{language}",
        lambda address: [*command, *probe_command(language, address, 2)],
        FASTCGI_ACCESS_LOGFILE=str(access),
        FASTCGI_STATUS_PATH="/status",
    ) as app:
        seen = Path(f"/proc/{app.pid}/root{access}")
        ballast = Path(f"/proc/{app.pid}/root{disk}/ballast")
        ballast.write_bytes(bytes(56 * 1024))
        lose_lines(app, seen, ballast.unlink, "No space left on device")


def test_largest_file(language: str, directory: Path):
    """RLIMIT_FSIZE, whose signal must not end the program."""
    access = directory / f"limited-{language}"
    with Logged(
        directory,
        f"large-{language}",
        lambda address: probe_command(language, address, 2),
        FASTCGI_ACCESS_LOGFILE=str(access),
        FASTCGI_STATUS_PATH="/status",
    ) as app:
        app.ask("/")  # What it makes when it begins is no log.
        before = resource.prlimit(app.pid, resource.RLIMIT_FSIZE, (16384, resource.RLIM_INFINITY))

        def make_room() -> None:
            resource.prlimit(app.pid, resource.RLIMIT_FSIZE, before)

        lose_lines(app, access, make_room, "File too large")


def test_dead_reader_of_a_pipe(language: str, directory: Path):
    """A reader that ends, and another one later; nothing is restarted."""
    fifo = directory / f"fifo-{language}"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with Logged(
        directory,
        f"pipe-{language}",
        lambda address: probe_command(language, address, 2),
        FASTCGI_ACCESS_LOGFILE=str(fifo),
        FASTCGI_STATUS_PATH="/status",
    ) as app:
        app.ask("/read")
        wait_until(lambda: b"GET /read " in read_some(reader), 10, "a line in the pipe")
        os.close(reader)
        for _ in range(20):
            app.ask("/lost")
        wait_until(lambda: dropped(app.address) >= 20, 10, "dropped lines")
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        got = b""

        def again() -> bool:
            nonlocal got
            app.ask("/again")
            got += read_some(reader)
            return b"GET /again " in got

        wait_until(again, 10, "lines for the new reader")
        assert b"/lost" not in got
        app.await_line(app.errors, r"access log .* is written again; \d+ lines are lost")
        assert app.running()
    os.close(reader)


def read_some(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def test_stderr_that_nobody_reads(language: str, directory: Path):
    """More than the pipe and the queue hold: every request is answered at once,
    and the pipe, which others use too, still waits for those."""
    reader, writer = os.pipe()
    address = f"unix:{directory}/stuck-{language}.sock"
    env = {**os.environ, "FASTCGI_ACCESS_LOGFILE": "-", "FASTCGI_STATUS_PATH": "/status"}
    command = probe_command(language, address, 2)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=writer, env=env) as app:
        try:
            wait_for_server(address)
            began = time.monotonic()
            with Client(address) as client:
                for _ in range(400):
                    assert client.ask(nginx_params(uri=f"/{'u' * 6000}")).status == 200
            assert time.monotonic() - began < 30
            wait_until(lambda: dropped(address) > 0, 10, "dropped lines")
            assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
            app.terminate()
            assert app.wait(60) == 0
        finally:
            app.kill()
    os.close(reader)
    os.close(writer)


def client_of(worker: int, others: set[int], address: str) -> Client:
    """A connection that this worker has accepted: no other could."""
    for other in others - {worker}:
        os.kill(other, signal.SIGSTOP)
        wait_until(lambda other=other: state(other) == "T", 10, "a worker that stands still")
    try:
        client = Client(address)
        assert client.ask(nginx_params(uri=f"/?{QUERY}")).status == 200
    finally:
        for other in others - {worker}:
            os.kill(other, signal.SIGCONT)
    return client


def files(pid: int) -> list[Path]:
    """What a process has open."""
    return [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()]


def test_workers_share_a_file(directory: Path):
    """Whole lines of two processes at once, and USR1 passed on by their supervisor."""
    access = directory / "shared-access"
    env = {"FASTCGI_ACCESS_LOGFILE": str(access), "FASTCGI_ACCESS_LOGFORMAT": "%(p)s %(q)s"}
    with Supervisor(directory, [HELLO], env=env, name="shared").ready() as supervisor:
        workers = children(supervisor.pid)
        clients = [client_of(worker, workers, supervisor.address) for worker in workers]

        def ask(client: Client) -> None:
            for _ in range(200):
                assert client.ask(nginx_params(uri=f"/?{QUERY}")).status == 200

        def ask_all() -> None:
            with ThreadPoolExecutor() as pool:
                list(pool.map(ask, clients))

        ask_all()
        wait_until(lambda: access.read_text().count("\n") == 402, 10, "402 lines")
        old = access.rename(directory / "shared-access.1")
        os.kill(supervisor.pid, signal.SIGUSR1)
        wait_until(access.exists, 10, "a new file")
        wait_until(lambda: all(access in files(pid) for pid in workers), what="both to be told")
        ask_all()
        wait_until(lambda: access.read_text().count("\n") == 400, 10, "400 lines")
        # Which one answers how often is not said: work goes to whoever is idle.
        lines = Counter(old.read_text().splitlines() + access.read_text().splitlines())
        assert lines.total() == 802
        assert set(lines) == {f"<{worker}> {QUERY}" for worker in workers}
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "fastcgi", "probe:answer", "--chdir", APPS,
         "--access-logfile", "access", "--access-logformat", "%(U)s", "--error-logfile", "errors"],
        [BUILD / "lua" / "bin" / "fcgi-lua", APPS / "probe.lua",
         "--access-logfile", "access", "--access-logformat", "%(U)s", "--error-logfile", "errors"],
    ],
    ids=["python", "lua"],
)  # fmt: skip
def test_flags(command: list, directory: Path, request: pytest.FixtureRequest):
    folder = directory / f"flags-{request.node.callspec.id}"
    folder.mkdir()
    address = f"unix:{folder}/app.sock"
    words = [folder / word if word in ("access", "errors") else word for word in command]
    bound = [*words, "--bind", address]
    with Process(bound, folder / "output", cwd=folder) as app:
        app.wait_for_address(address)
        with Client(address) as client:
            client.ask(nginx_params(uri="/stderr?q"))
        wait_until(lambda: (folder / "access").read_text() == "/stderr\n", 10, "the line")
        wait_until(lambda: "stderr: a line\n" in (folder / "errors").read_text(), 10, "STDERR")
    refused = subprocess.run(
        [str(word).replace(f"{folder}/access", "/nowhere/access") for word in bound],
        capture_output=True,
        timeout=60,
    )
    assert refused.returncode == 1
    said = refused.stderr.decode()
    assert "cannot open the access log /nowhere/access: No such file or directory" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("kind", ["python", "lua"])
def test_tracebacks_go_to_the_error_log(kind: str, directory: Path):
    if kind == "python":
        source = directory / "broken.py"
        source.write_text('def app(request):\n    raise KeyError("the \\x1b key")\n')
        command = [sys.executable, "-m", "fastcgi", "broken:app", "--chdir", directory]
        expected = [
            "error: 'GET' '/x': the application failed",
            "error: Traceback (most recent call last):",
            f"error:   File \\x22{source}\\x22, line 2, in app",
            "error: KeyError: 'the \\x5cx1b key'",
        ]
    else:
        source = directory / "broken.lua"
        source.write_text('return function() error("the \\27 key") end\n')
        command = [BUILD / "lua" / "bin" / "fcgi-lua", source]
        expected = [
            f"error: fcgi: GET /x failed: {source}:1: the \\x1b key",
            "error: stack traceback:",
        ]
    with Logged(directory, f"trace-{kind}", lambda a: [*command, "--bind", a]) as app:
        with Client(app.address) as client:
            assert client.ask(nginx_params(uri="/x")).status == 500
        text = app.await_line(app.errors, expected[-1].replace("\\", "\\\\"))
        assert "key" not in app.output()
    for line in expected:
        assert f" [{app.pid}] {line}" in text
