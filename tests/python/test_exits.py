# SPDX-License-Identifier: MIT
"""What an application raises to leave ends its own request, never the server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading

import fastcgi
import fastcgi.testing
import pytest
from support.fcgi_client import PATIENCE, Client, connect, fetch, wait_for_server, wait_until


def argparse_error():
    argparse.ArgumentParser(exit_on_error=True).parse_args(["--unknown"])


def leave_with(exception):
    def leave():
        raise exception("left by the application")

    leave.__name__ = exception.__name__
    return leave


class Unusual(BaseException):
    """One of the application's own."""


class Unspeakable(SystemExit):
    def __str__(self):
        raise SystemExit("not even in words")


WAYS = [
    sys.exit,
    lambda: sys.exit(3),
    argparse_error,
    *map(
        leave_with,
        [
            SystemExit,
            KeyboardInterrupt,
            GeneratorExit,
            asyncio.CancelledError,
            Unusual,
            Unspeakable,
        ],
    ),
]
NAMES = ["sys.exit", "sys.exit(3)", "argparse", *(way.__name__ for way in WAYS[3:])]


class Leaves:
    """An object each of whose uses leaves."""

    def __init__(self, leave):
        self.leave = leave

    def __iter__(self):
        self.leave()

    __index__ = items = keys = fileno = __iter__


class Blocks:
    """A WSGI answer that leaves at one of its steps."""

    def __init__(self, leave, at):
        self.leave, self.at, self.blocks = leave, at, iter([b"one", b"two"])

    def _step(self, name):
        if self.at == name:
            self.leave()

    def __iter__(self):
        self._step("iter")
        return self

    def __next__(self):
        self._step("next")
        block = next(self.blocks)
        if self.at == "second" and block == b"one":
            self.at = "next"
        return block

    def close(self):
        self._step("close")


class File:
    def __init__(self, leave):
        self.leave = leave

    def read(self, size):
        self.leave()


def wsgi_place(place, leave):
    def app(environ, start_response):
        if environ.get("QUERY_STRING") == "fine":
            start_response("200 OK", [])
            return [b"fine"]
        if place == "call":
            leave()
        if place == "exc_info":
            try:
                leave()
            except BaseException:
                write = start_response("200 OK", [])
                write(b"begun")
                start_response("500 Oops", [], sys.exc_info())
        start_response("200 OK", [])
        if place == "file":
            return environ["wsgi.file_wrapper"](File(leave))
        return Blocks(leave, place)

    return app, "wsgi"


def handler_place(place, leave):
    def blocks():
        if place == "second block":
            yield b"one"
        leave()
        yield b"two"

    def app(request):
        if request.query == "fine":
            return 200, {}, b"fine"
        if place == "headers":
            return 200, Leaves(leave), b""
        if place == "status":
            return Leaves(leave), {}, b""
        if place == "body":
            return 200, {}, Leaves(leave)
        if place in ("block", "second block"):
            return 200, {}, blocks()
        if place == "close":
            return 200, {}, Blocks(leave, "close")
        leave()

    return app, "handler"


PLACES = [
    *((wsgi_place, place) for place in ("call", "iter", "next", "second", "close", "exc_info")),
    (wsgi_place, "file"),
    *((handler_place, place) for place in ("call", "headers", "status", "body", "block")),
    *((handler_place, place) for place in ("second block", "close")),
]
AFTER_OUTPUT = {"second", "second block", "close", "exc_info"}


class Stderr:
    """Takes the place of sys.stderr, and keeps what is written. Who asks capfd again and
    again loses what is written while it answers: it reads its file and cuts it then."""

    def __init__(self, path: pathlib.Path):
        self.path = path

    def __enter__(self) -> Stderr:
        self.file, self.before = self.path.open("w", buffering=1), sys.stderr
        sys.stderr = self.file
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr = self.before
        self.file.close()

    def wait_for(self, text: str, count: int) -> str:
        """All of it, once the text has come so often."""
        wait_until(lambda: self.path.read_text().count(text) >= count, what=f"{count} x {text!r}")
        return self.path.read_text()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("make", "place"), PLACES, ids=[f"{m.__name__}-{p}" for m, p in PLACES])
def test_every_way_out_at_every_place_ends_the_request_alone(serve, make, place, threads, tmp_path):
    for way, name in zip(WAYS, NAMES, strict=True):
        with Stderr(tmp_path / "stderr") as stderr:
            app, interface = make(place, way)
            leave_twice(serve(app, threads, interface), place, name)
            error = stderr.wait_for("Traceback (most recent call last)", 2)
        assert error.count("the application failed") == 2, (name, error)


def leave_twice(serving, place, name):
    for _ in range(2):
        try:
            answer = fetch(serving.address)
        except ConnectionError:
            answer = None
        if place not in AFTER_OUTPUT:
            assert answer, name
            assert answer.status == 500, name
    fine = fetch(serving.address, uri="/?fine")
    assert (fine.status, fine.body) == (200, b"fine"), name
    serving.stop()
    assert serving.raised is None, name


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_the_traceback_reaches_an_error_log(serve, way, tmp_path):
    log = tmp_path / "error.log"
    serving = serve(lambda request: way(), 1, "handler", error_logfile=str(log))
    assert fetch(serving.address).status == 500
    wait_until(lambda: log.exists() and "Traceback" in log.read_text(), what="the traceback")
    serving.stop()
    assert "in <lambda>" in log.read_text()


def test_an_excepthook_that_exits_does_no_harm(serve, monkeypatch):
    def hook(*_):
        sys.exit("from the hook")

    def failing(request):
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "excepthook", hook)
    serving = serve(failing)
    for _ in range(3):
        assert fetch(serving.address).status == 500


@pytest.mark.parametrize("role", ["authorizer", "filter", "lookup"])
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_handlers_of_roles(tmp_path, role, way):
    numbers = {"authorizer": 2, "filter": 3, "lookup": 9}
    taken = fastcgi.Role(lambda request: way(), 9, "stdin") if role == "lookup" else None
    with fastcgi.testing.Client(
        lambda request: (200, {}, b"fine"), roles={role: taken or (lambda request: way())}
    ) as client:
        data = b"" if role == "filter" else None
        for _ in range(2):
            answer = client.request("GET", "/", role=numbers[role], data=data)
            assert answer.status == 500
        assert client.get("/").text == "fine"


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_a_canceller(serve, way, capfd):
    called = []

    begun = threading.Semaphore(0)

    def waits(request):
        later = threading.Event()
        with (
            request.on_abort(way),
            request.on_abort(lambda: (called.append(1), later.set())),
        ):
            begun.release()
            later.wait(PATIENCE)
        return 200, {}, b""

    serving = serve(waits)
    for turn in (1, 2):
        client = Client(serving.address)
        client.send_request()
        assert begun.acquire(timeout=60), "the handler begins"
        client.close()
        wait_until(lambda turn=turn: len(called) == turn, what="the other canceller")
    serving.stop()
    assert "canceller" in capfd.readouterr().err


INTERPRETER = """
import sys, threading
sys.path[:0] = {path!r}
import fastcgi
def app(request):
    if request.path == "/fine":
        return 200, dict(), b"fine"
    if request.path == "/stop":
        server.stop()
        return 200, dict(), b"bye"
    raise {way}
server = fastcgi.Server("unix:inner", threads={threads})
server.serve(app, interface="handler")
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("way", ["SystemExit(1)", "KeyboardInterrupt"])
def test_a_subinterpreter(tmp_path, way, threads):
    inner = textwrap.dedent(INTERPRETER).format(path=sys.path, way=way, threads=threads)
    outer = f"""
import sys, threading, pathlib, time
try:
    import _interpreters as interpreters
    run = lambda: interpreters.exec(interpreters.create("legacy"), {inner!r})
except ImportError:
    import _xxsubinterpreters as interpreters
    run = lambda: interpreters.run_string(interpreters.create(isolated=False), {inner!r})
sys.path[:0] = {sys.path!r}
from support.fcgi_client import fetch, wait_for_server
thread = threading.Thread(target=run, daemon=True)
thread.start()
wait_for_server("unix:inner")
for _ in range(4):
    assert fetch("unix:inner", uri="/").status == 500
assert fetch("unix:inner", uri="/fine").body == b"fine"
fetch("unix:inner", uri="/stop")
thread.join(120)
assert not thread.is_alive()
print("all is well")
"""
    done = subprocess.run(
        [sys.executable, "-c", outer], cwd=tmp_path, capture_output=True, text=True, timeout=180
    )
    assert done.stdout == "all is well\n", done.stderr


COMMAND = """
import os, pathlib, signal, sys, time
def app(request):
    if request.path == "/fine":
        return 200, {}, b"%d" % os.getpid()
    if request.path == "/wait":
        pathlib.Path("entered").touch()
        until = time.monotonic() + 200
        while not pathlib.Path("leave").exists() and time.monotonic() < until:
            time.sleep(0.01)
        return 200, {}, b"finished"
    raise (KeyboardInterrupt if request.query else SystemExit)(7)
"""


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_command_goes_on_and_a_real_interrupt_stops_it(command, tmp_path, threads):
    (tmp_path / "app.py").write_text(COMMAND)
    running = command("-m", "fastcgi", "app:app", "--bind", "unix:x", "--threads", threads)
    running.wait_for("pid")
    address = f"unix:{tmp_path}/x"
    for query in ("", "k") * 2:
        assert fetch(address, uri=f"/?{query}").status == 500
    assert fetch(address, uri="/fine").body == str(running.process.pid).encode()
    with Client(address) as client:
        client.send_request(uri="/wait")
        wait_for(tmp_path / "entered")
        running.process.send_signal(signal.SIGINT)
        wait_until(lambda: not is_open(address), what="the stop")
        (tmp_path / "leave").touch()
        assert client.collect().body == b"finished"
    status, error = running.finish()
    assert status == 0
    assert error.count("SystemExit: 7") == 2
    assert error.count("KeyboardInterrupt: 7") == 2


OWN_SIGNALS = """
import os, pathlib, signal, sys, time, fastcgi
class Stop(SystemExit):
    pass
def on_term(number, frame):
    raise Stop(5)
signal.signal(signal.SIGTERM, on_term)
def app(request):
    if request.path == "/wait":
        pathlib.Path("entered").touch()
        try:
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            if request.query:
                sys.exit("on an interrupt")
            raise
    raise (KeyboardInterrupt if request.query else SystemExit)(7)
server = fastcgi.Server("unix:x", threads=int(sys.argv[1]))
before = signal.getsignal(signal.SIGINT)
try:
    server.serve(app, interface="handler")
except BaseException as error:
    print("left by", type(error).__name__, file=sys.stderr)
assert signal.getsignal(signal.SIGINT) is before
server.close()
"""


@pytest.mark.parametrize(
    ("number", "query", "left"),
    [
        (signal.SIGINT, "", "KeyboardInterrupt"),
        (signal.SIGINT, "k", "SystemExit"),
        (signal.SIGTERM, "", "Stop"),
    ],
)
@pytest.mark.parametrize("when", ["idle", "inside"])
def test_signals_that_are_the_programs_own_leave_the_server(
    command, tmp_path, number, query, left, when
):
    running = command("-c", OWN_SIGNALS, "1")
    address = f"unix:{tmp_path}/x"
    wait_for_server(address)
    for raised in ("", "k") * 2:
        assert fetch(address, uri=f"/?{raised}").status == 500
    with Client(address) as client:
        if when == "inside":
            client.send_request(uri=f"/wait?{query}")
            wait_for(tmp_path / "entered")
        elif query:
            left = "KeyboardInterrupt"
        running.process.send_signal(number)
        if when == "inside":
            with contextlib.suppress(ConnectionError):
                assert client.collect().status == 500
    status, error = running.finish()
    assert f"left by {left}" in error
    assert status == 0


def wait_for(path: pathlib.Path) -> None:
    wait_until(path.exists, what=str(path))


def is_open(address: str) -> bool:
    try:
        connect(address).close()
    except OSError:
        return False
    return True


WORKER = """
import os, sys, fastcgi
def app(request):
    if request.path == "/fine":
        return 200, {}, str(os.getpid())
    sys.exit(1)
"""


def test_a_worker_is_the_same_process_after_exits(command, tmp_path):
    (tmp_path / "app.py").write_text(WORKER)
    running = command(
        "-m", "fastcgi", "app:app", "--bind", "unix:x", "--workers", "1", "--allow-root"
    )
    wait_for_server(f"unix:{tmp_path}/x")
    address = f"unix:{tmp_path}/x"
    worker = fetch(address, uri="/fine").body
    for _ in range(5):
        assert fetch(address).status == 500
        assert fetch(address, uri="/fine").body == worker
    os.kill(running.process.pid, signal.SIGTERM)
    assert running.finish()[0] == 0
