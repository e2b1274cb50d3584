# SPDX-License-Identifier: MIT
"""Processes that Python's own modules make inside handlers."""

from __future__ import annotations

import signal

import pytest
from support.fcgi_client import Client, fetch, wait_for_server, wait_until
from support.supervisor import children, state

APP = """
import multiprocessing, os, signal, subprocess, sys, time

def double(number):
    return 2 * number

def told(queue):
    queue.put(os.getpid())

def hang():
    time.sleep(1000)

def app(request):
    kind, _, method = request.query.partition("-")
    if kind == "run":
        words = [sys.executable, "-c", "import sys; print(sys.stdin.read() == '')"]
        return 200, {}, subprocess.run(words, capture_output=True, text=True).stdout
    if not method:
        return 200, {}, str(os.getpid())
    context = multiprocessing.get_context(method)
    if kind == "pool":
        with context.Pool(2) as pool:
            return 200, {}, str(pool.map(double, range(5)))
    if kind == "process":
        queue = context.Queue()
        child = context.Process(target=told, args=(queue,))
        child.start()
        number = queue.get(timeout=60)
        child.join(60)
        return 200, {}, str(number == child.pid != os.getpid() and child.exitcode == 0)
    child = context.Process(target=hang)
    child.start()
    child.terminate()  # Perhaps while Python still forks.
    child.join(60)
    return 200, {}, str(child.exitcode == -signal.SIGTERM)
"""
ANSWERS = {"process": "True", "pool": "[0, 2, 4, 6, 8]", "terminate": "True"}


# Below a supervisor too, with which the command has a worker.
WAYS = [["--threads", "1"], ["--threads", "3"], ["--workers", "1", "--allow-root"]]


@pytest.mark.parametrize("options", WAYS, ids=["alone", "threads", "supervised"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(command, tmp_path, options, method):
    (tmp_path / "app.py").write_text(APP)
    running = command("-m", "fastcgi", "app:app", "--bind", "unix:x", *options)
    address = f"unix:{tmp_path}/x"
    wait_for_server(address)
    server = int(fetch(address).body)
    assert (server == running.process.pid) == ("--workers" not in options)
    with Client(address, 120) as kept:
        for turn, (kind, expected) in enumerate(list(ANSWERS.items()) * 2, 1):
            answer = kept.request(uri=f"/?{kind}-{method}", request_id=turn)
            assert (answer.status, answer.body.decode()) == (200, expected), kind
    assert fetch(address).body == str(server).encode()
    assert fetch(address, uri="/?run").body == b"True\n"
    for pid in {server, running.process.pid}:
        wait_until(lambda pid=pid: not children(pid, zombies=True), 20, "no dead child to stay")
    left = children(server)  # What the module keeps: it ends with the process that made it.
    assert not left or method != "fork"
    running.process.terminate()
    status, error = running.finish(60)
    assert (status, "Traceback" in error) == (0, False), error
    wait_until(lambda: not [pid for pid in left if state(pid) not in ("", "Z")], 20, "their end")


SIGNALS = """
import os, signal

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1)

def app(request):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        found = [signal.getsignal(number) for number in NUMBERS]
        found.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        os.write(writer, repr(found).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader) as pipe:
        own = [signal.getsignal(number) for number in NUMBERS]
        return 200, {}, f"{pipe.read()} {signal.SIG_DFL in own}"
"""


@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_fork_has_the_signals_of_before_from_its_first_instruction(command, tmp_path, threads):
    """A handler in Python is too late where the child begins to wait in C."""
    (tmp_path / "app.py").write_text(SIGNALS)
    running = command("-m", "fastcgi", "app:app", "--bind", "unix:x", "--threads", threads)
    wait_for_server(f"unix:{tmp_path}/x")
    default, interrupt = repr(signal.SIG_DFL), repr(signal.default_int_handler)
    for _ in range(2):
        body = fetch(f"unix:{tmp_path}/x").body.decode()
        assert body == f"[{default}, {interrupt}, {default}, {default}, set()] False"
    running.process.terminate()
    assert running.finish(60)[0] == 0
