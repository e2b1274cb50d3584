# SPDX-License-Identifier: MIT
"""SIGTERM and SIGINT, in a process with one serving thread and with several."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from support.fcgi_client import PATIENCE, Client, fetch, wait_for_server, wait_until

APP = """
import pathlib, time
def app(request):
    pathlib.Path("entered").touch()
    until = time.monotonic() + 120
    while not pathlib.Path("leave").exists() and time.monotonic() < until:
        if request.aborted:
            pathlib.Path("aborted").write_text(request.aborted)
            return 200, None, b"aborted"
        time.sleep(0.01)
    return 200, None, b"finished"
"""


@pytest.fixture(params=[1, 3], ids=["one thread", "threads"])
def running(request, command, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    one = command(
        "-m", "fastcgi", "app:app", "--bind", "unix:x", "--threads", str(request.param)
    )  # fmt: skip
    one.wait_for("pid")
    return one


def wait_for(path: pathlib.Path) -> None:
    wait_until(path.exists, what=str(path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_an_idle_server_stops_at_once(running, number):
    before = time.monotonic()
    running.process.send_signal(number)
    status, error = running.finish()
    assert status == 0
    assert "Traceback" not in error
    assert time.monotonic() - before < 20


STRAY = """
import signal, threading
def app(request):
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    return 200, None, b"stopped"
"""


def test_a_signal_that_another_thread_gets_stops_too(command, tmp_path):
    """The system chooses the thread; Python's handler runs in the main one."""
    (tmp_path / "app.py").write_text(STRAY)
    one = command("-m", "fastcgi", "app:app", "--bind", "unix:x", "--threads", "3")
    one.wait_for("pid")
    time.sleep(0.3)  # The main thread waits for the others by now.
    assert fetch(f"unix:{tmp_path}/x").body == b"stopped"
    assert one.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_finishes_what_runs(running, tmp_path, number):
    with Client(f"unix:{tmp_path}/x") as client:
        client.send_request()
        wait_for(tmp_path / "entered")
        running.process.send_signal(number)
        time.sleep(0.3)
        assert running.process.poll() is None
        (tmp_path / "leave").touch()
        assert client.collect().body == b"finished"
    assert running.finish()[0] == 0


def test_the_second_signal_aborts(running, tmp_path):
    with Client(f"unix:{tmp_path}/x") as client:
        client.send_request()
        wait_for(tmp_path / "entered")
        running.process.terminate()
        time.sleep(1)  # Two that wait at once are one.
        running.process.terminate()
        assert running.finish()[0] == 0
    assert (tmp_path / "aborted").read_text() == "stop"


def test_the_graceful_timeout_aborts(command, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    running = command(
        "-m", "fastcgi", "app:app", "--bind", "unix:x", "--graceful-timeout", "0.3"
    )  # fmt: skip
    running.wait_for("pid")
    with Client(f"unix:{tmp_path}/x") as client:
        client.send_request()
        wait_for(tmp_path / "entered")
        running.process.terminate()
        assert running.finish()[0] == 0
    assert (tmp_path / "aborted").read_text() == "stop"


PROGRAM = """
import signal, sys, fastcgi
mine = lambda number, frame: None
signal.signal(signal.SIGTERM, mine)
def app(request):
    return 200, None, b"%d" % (signal.getsignal(signal.SIGTERM) is not mine)
print("ready", file=sys.stderr, flush=True)
fastcgi.serve(app, bind="unix:x", threads=int(sys.argv[1]))
assert signal.getsignal(signal.SIGTERM) is mine
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("restored", file=sys.stderr)
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_serve_restores_the_handlers(command, tmp_path, threads):
    running = command("-c", PROGRAM, threads)
    running.wait_for("ready")
    wait_for(tmp_path / "x")
    time.sleep(0.1)
    assert fetch(f"unix:{tmp_path}/x").body == b"1"
    running.process.terminate()
    status, error = running.finish()
    assert (status, error.splitlines()[-1]) == (0, "restored")


def test_signals_cost_no_system_call_for_a_request(tmp_path):
    """A request over a kept connection takes at most 3 system calls."""
    strace = pathlib.Path("/usr/bin/strace")
    assert strace.exists(), "strace is not installed"
    (tmp_path / "app.py").write_text("def app(request): return 200, None, b'x'")
    log = tmp_path / "log"
    process = subprocess.Popen(
        [strace, "-f", "-o", log, sys.executable, "-m", "fastcgi", "app:app", "-b", "unix:x"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        wait_for_server(f"unix:{tmp_path}/x")
        with Client(f"unix:{tmp_path}/x") as client:
            client.request()
            time.sleep(0.2)
            before = log.read_text().count("\n")
            for _ in range(100):
                client.request()
            time.sleep(0.2)
            assert log.read_text().count("\n") - before <= 3 * 100 + 30
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
