# SPDX-License-Identifier: MIT
"""ASGI applications as programs: the command, workers, reloads, signals."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time

import pytest
from support.fcgi_client import Client, fetch, wait_for_server, wait_until
from support.paths import SOURCE
from support.supervisor import children

ROOT = ["--allow-root"] if os.geteuid() == 0 else []

APP = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            with open("events", "a") as file:
                file.write(f"{what} {os.getpid()}\\\\n")
            await send({"type": f"lifespan.{what}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    pieces = 20 if scope["path"] == "/stream" else 0
    for number in range(pieces):
        await send({"type": "http.response.body", "body": b"piece\\\\n", "more_body": True})
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"VERSION end\\\\n"})

async def unready(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

def create():
    return app
""".replace("\\\\", "\\")


@pytest.fixture
def write(tmp_path):
    def write(version: str) -> None:
        new = tmp_path / "new"
        new.write_text(APP.replace("VERSION", version))
        new.rename(tmp_path / "app.py")

    write("one")
    return write


@pytest.fixture
def start(command, tmp_path, write):
    def start(*words: str, app: str = "app:app", **env: str):
        running = command("-m", "fastcgi", app, "-b", f"unix:{tmp_path}/x.sock", *words, **env)
        running.address = f"unix:{tmp_path}/x.sock"
        return running

    return start


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(start, tmp_path, loop, number):
    running = start("--loop", loop)
    assert "serving app:app (asgi)" in running.wait_for("serving app:app")
    assert fetch(running.address).body == b"one end\n"
    running.process.send_signal(number)
    status, log = running.finish()
    assert status == 0, log
    assert "Traceback" not in log
    events = (tmp_path / "events").read_text().split()[::2]
    assert events == ["startup", "shutdown"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_second_signal_ends_what_does_not_end(start, loop, tmp_path):
    (tmp_path / "hang.py").write_text(
        "import asyncio\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "        await send({'type': 'http.response.body', 'body': b'x'})\n"
        "        while True:\n"
        "            try:\n"
        "                await asyncio.sleep(60)\n"
        "            except asyncio.CancelledError:\n"
        "                pass\n"
    )
    running = start("--loop", loop, app="hang:app")
    running.wait_for("serving")
    assert fetch(running.address).body == b"x"
    running.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    running.finish()
    assert time.monotonic() - began < 10


def test_a_factory_makes_an_asgi_application(start):
    running = start("--loop", "asyncio", app="app:create()")
    running.wait_for("serving app:create() (asgi)")
    assert fetch(running.address).status == 200


@pytest.mark.parametrize("workers", [[], ["--workers", "2", *ROOT]])
def test_a_failed_startup_is_one_line_and_no_start(start, workers):
    running = start(*workers, app="app:unready")
    status, log = running.finish()
    assert status == (3 if workers else 1)
    assert "fastcgi: the application's startup has failed: no database" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--threads", "2"], "threads=2 is for handlers and WSGI"),
        (["--interface", "wsgi"], "is asynchronous, which wsgi is not"),
        (["--lifespan", "maybe"], "--lifespan=maybe: must be one of auto, on, off"),
    ],
)
def test_what_cannot_be_is_one_line(start, words, line):
    status, log = start(*words).finish()
    assert status in (1, 2)
    assert line in log
    assert "Traceback" not in log


def test_a_program_serves_an_asgi_application(command, tmp_path, write):
    (tmp_path / "program.py").write_text(
        "import fastcgi\nfrom app import app\n"
        f"fastcgi.serve(app, bind='unix:{tmp_path}/x.sock', lifespan='on', workers=2, "
        f"allow_root={bool(ROOT)})\n"
    )
    running = command("program.py")
    running.wait_for("ready after")
    assert fetch(f"unix:{tmp_path}/x.sock").body == b"one end\n"
    assert len(children(running.process.pid)) == 2
    running.process.send_signal(signal.SIGTERM)
    status, log = running.finish()
    assert status == 0, log
    events = sorted((tmp_path / "events").read_text().split()[::2])
    assert events == ["shutdown", "shutdown", "startup", "startup"]


@pytest.mark.parametrize("gateway", [False, True])
def test_the_example_serves_as_program_and_as_cgi(command, tmp_path, gateway):
    example = str(SOURCE / "examples" / "python" / "hello_asgi.py")
    if gateway:
        done = command(example, GATEWAY_INTERFACE="CGI/1.1", REQUEST_METHOD="GET", PATH_INFO="/")
        out, log = done.process.communicate(timeout=60)
        assert out.endswith(b"\r\n\r\nHello\n"), (out, log)
        assert done.process.returncode == 0
        return
    running = command(example, f"unix:{tmp_path}/x.sock")
    wait_for_server(f"unix:{tmp_path}/x.sock", 60)
    assert fetch(f"unix:{tmp_path}/x.sock").body == b"Hello\n"
    running.process.send_signal(signal.SIGTERM)
    assert running.finish()[0] == 0


class Streaming:
    """Clients that read streams all the time, on connections that they keep."""

    def __init__(self, address: str, clients: int = 8) -> None:
        self.address = address
        self.versions: list[bytes] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[n]) for n in range(clients)]

    def _ask(self, number: int) -> None:
        path = "/stream" if number % 2 else "/"
        while not self._stop.is_set():
            try:
                with Client(self.address) as client:
                    for _ in range(10):
                        client.send_request(uri=path)
                        answer = client.collect()
                        self._judge(path, answer.body)
            except Exception as error:
                self.failed.append(repr(error))

    def wait_for(self, version: str) -> None:
        wanted = f"{version} end".encode()
        wait_until(lambda: wanted in self.versions, 60, f"version {version}")

    def _judge(self, path: str, body: bytes) -> None:
        *pieces, last = body.splitlines()
        if pieces != [b"piece"] * (20 if path == "/stream" else 0) or not last.endswith(b" end"):
            self.failed.append(repr(body))
        self.versions.append(last)

    def __enter__(self) -> Streaming:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def test_a_reload_loses_no_stream(start, write):
    running = start("--workers", "2", *ROOT)
    running.wait_for("ready after")
    with Streaming(running.address) as load:
        for version in ("two", "three", "four"):
            wait_until(lambda: len(load.versions) > 50, 60, "answers")
            load.versions.clear()
            write(version)
            running.process.send_signal(signal.SIGHUP)
            load.wait_for(version)
        wait_until(lambda: set(load.versions[-50:]) == {b"four end"}, 60, "the end of the others")
    assert load.failed == []
    running.process.send_signal(signal.SIGTERM)
    status, log = running.finish()
    assert status == 0, log


def test_a_loop_that_is_blocked_leaves_its_connections_to_another_worker(start, tmp_path):
    """Two workers; those of the blocked one are answered before it goes on."""
    gate = tmp_path / "gate"
    (tmp_path / "blocks.py").write_text(
        "import os, time\n"
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'http'\n"
        "    while scope['path'] == '/block' and not os.path.exists('gate'):\n"
        "        time.sleep(0.01)\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': str(os.getpid()).encode()})\n"
    )
    running = start("--workers", "2", *ROOT, app="blocks:app")
    running.wait_for("ready after")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(running.address, 60)) for _ in range(24)]
        pids = [client.request().body for client in clients]
        blocked = [c for c, pid in zip(clients, pids, strict=True) if pid == pids[0]]
        blocked[0].send_request(uri="/block")
        time.sleep(0.2)
        for client in blocked[1:]:
            client.send_request()
        others = {client.collect().body for client in blocked[1:]}
        gate.touch()
        assert blocked[0].collect().body == pids[0]
    assert len(blocked) > 1
    assert pids[0] not in others


def test_status_and_slow_log_show_what_runs(start, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import asyncio\n"
        "async def waits_for_it():\n"
        "    await asyncio.sleep(1.5)\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        await waits_for_it()\n"
        "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "        await send({'type': 'http.response.body', 'body': b'x'})\n"
    )
    running = start("--slow-log", "0.3", "--status-path", "/status", app="slow:app")
    running.wait_for("serving")
    with Client(running.address) as client:
        client.send_request(uri="/x")
        log = running.wait_for("in waits_for_it")
        page = fetch(running.address, uri="/status?full&json").body.decode()
        assert client.collect().body == b"x"
    assert "slow request: GET /x" in log
    assert re.search(r"#\d+ \S*slow.py:3, in waits_for_it: await asyncio.sleep", log)
    assert '"/x"' in page
