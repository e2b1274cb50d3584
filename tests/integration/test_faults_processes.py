# SPDX-License-Identifier: MIT
"""The web server dies, the application is stopped for a while, or a signal
comes at a bad time."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, head, post_params, stream, wait_until
from support.nginx import Nginx
from support.probe import probe_command
from support.process import Process
from support.site import Site

STDIN = 5
App = tuple[Process, str]


@pytest.fixture
def probe(language: str, directory: Path) -> Iterator[App]:
    address = f"unix:{directory}/{language}-process.sock"
    with Process(probe_command(language, address, 4), directory / f"{language}.log") as app:
        yield app.wait_for_address(address), address


def assert_serves(address: str, question: str) -> None:
    with Client(address) as client:
        assert client.ask(get_params(query=question)).body == f"{question}\n".encode()


def upload(port: int, name: str, promised: int, sent: bytes) -> socket.socket:
    """A client of nginx in the middle of its upload."""
    client = socket.create_connection(("127.0.0.1", port), 30)
    line = f"POST /stream/?{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {promised}\r\n\r\n"
    client.sendall(line.encode() + sent)
    return client


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_nginx_is_killed_amid_uploads(probe: App, directory: Path):
    """Each upload is told that its connection is gone; the next nginx finds the
    application as before."""
    app, address = probe
    assert_serves(address, "before")
    files = app.descriptors()
    with ExitStack() as stack, Nginx(directory, address) as nginx:
        for number in range(3):
            client = upload(nginx.port, f"cut-{number}", 10_000_000, b"x" * 100_000)
            stack.enter_context(client)
            assert client.recv(4) == b"HTTP"  # Its echo has begun.
        for pid in [nginx.pid, *children(nginx.pid)]:
            os.kill(pid, signal.SIGKILL)
        for number in range(3):
            told = f"probe: cut-{number} aborted: connection"
            wait_until(lambda told=told: told in app.output(), what=told)
    wait_until(lambda: app.descriptors() <= files, what="closing the connections")
    with Nginx(directory, address) as nginx:
        answer = Site(app, nginx, address).request("/kept/?after", "POST", b"body")
        assert (answer.status, answer.body) == (200, b"body")


def test_a_stopped_application_goes_on_where_it_was(probe: App):
    """SIGSTOP loses nothing: what came meanwhile waits in the sockets."""
    app, address = probe
    with Client(address) as begun, Client(address) as kept:
        assert kept.ask(get_params()).status == 200
        begun.send(head(1, post_params(10)), stream(STDIN, 1, b"12345", end=False))
        os.kill(app.pid, signal.SIGSTOP)
        try:
            begun.send(stream(STDIN, 1, b"67890"))
            kept.send(head(2, get_params(query="kept")), stream(STDIN, 2, b""))
            late = [Client(address) for _ in range(20)]
            for number, client in enumerate(late):
                client.send(head(1, get_params(query=f"late-{number}")), stream(STDIN, 1, b""))
            time.sleep(0.5)
        finally:
            os.kill(app.pid, signal.SIGCONT)
        assert begun.responses([1])[1].body == b"1234567890"
        assert kept.responses([2])[2].body == b"kept\n"
        for number, client in enumerate(late):
            assert client.responses([1])[1].body == f"late-{number}\n".encode()
            client.close()


def test_signals_that_mean_nothing_change_nothing(probe: App):
    """SIGCHLD and SIGWINCH by the thousand, which interrupt what can be."""
    app, address = probe
    stop = threading.Event()

    def annoy() -> None:
        while not stop.is_set():
            os.kill(app.pid, signal.SIGCHLD)
            os.kill(app.pid, signal.SIGWINCH)
            time.sleep(0.0002)

    def ask(number: int) -> bytes:
        body = os.urandom(1000 + number * 1000)
        with Client(address) as client:
            assert client.ask(post_params(len(body)), body).body == body
        return body

    with ThreadPoolExecutor(5) as pool:
        annoying = pool.submit(annoy)
        assert len(set(pool.map(ask, range(300)))) == 300
        stop.set()
        annoying.result()
    assert app.running()


def test_sigterm_finishes_what_has_begun(probe: App):
    app, address = probe
    with Client(address) as client:
        client.send(head(1, post_params(10)), stream(STDIN, 1, b"12345", end=False))
        assert_serves(address, "beside")
        os.kill(app.pid, signal.SIGTERM)
        path = Path(address.removeprefix("unix:"))
        wait_until(lambda: not path.exists(), what="closing the listener")
        client.send(stream(STDIN, 1, b"67890"))
        assert client.responses([1])[1].body == b"1234567890"
    assert app.wait() == 0


def test_sigpipe_stays_what_the_program_made_it(probe: App):
    """A peer that is gone gives an error to the writer, and no signal."""
    app, address = probe
    for number in range(50):
        with Client(address) as client:
            client.send(head(1, get_params("/big", "3000000", NUMBER=str(number))))
            client.send(stream(STDIN, 1, b""))
            assert client.socket.recv(1)  # Its handler has begun.
    wait_until(lambda: app.output().count("3000000 aborted: connection") == 50, what="the aborts")
    status = Path(f"/proc/{app.pid}/status").read_text()
    pending = [line for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))]
    assert all(int(line.split()[1], 16) & 1 << (signal.SIGPIPE - 1) == 0 for line in pending)
    assert_serves(address, "after")
