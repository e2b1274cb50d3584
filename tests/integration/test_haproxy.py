# SPDX-License-Identifier: MIT
"""HAProxy, which multiplexes: many clients share two connections."""

import hashlib
import http.client
import re
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.fcgi_client import GET_VALUES, GET_VALUES_RESULT, Client, record, wait_until
from support.paths import SOURCE
from support.probe import probe_command
from support.process import Process
from support.web_servers import Haproxy

CLIENTS = 100
ROUNDS = 5


@pytest.fixture(scope="module")
def address(language: str, directory: Path) -> str:
    return f"unix:{directory}/{language}.sock"


@pytest.fixture(scope="module")
def app(language: str, address: str, directory: Path) -> Iterator[Process]:
    """The probe on four threads."""
    with Process(probe_command(language, address, 4), directory / f"{language}.log") as running:
        yield running.wait_for_address(address)


@pytest.fixture
def haproxy(app: Process, address: str, directory: Path) -> Iterator[Haproxy]:
    with Haproxy(directory, address) as running:
        yield running


@pytest.fixture
def narrow(app: Process, address: str, directory: Path) -> Iterator[Haproxy]:
    """HAProxy with one connection for everything."""
    with Haproxy(directory, address, threads=1) as running:
        yield running


def connections_at(address: str) -> int:
    """How many connections the application has accepted at its unix socket."""
    path = address.removeprefix("unix:")
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    listens = "00010000"
    return sum(row[-1] == path and row[3] != listens for row in rows)


def ask(port: int, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One request. Of many at once HAProxy 2.6.12 answers some itself, with its
    own page for 500 and IH in its log, as its issue 2568 describes: they are
    sent again. What the application answers is never such a page."""
    for _ in range(20):
        status, answer = ask_once(port, method, target, body)
        if status != 500 or b"<html>" not in answer:
            break
    return status, answer


def ask_once(port: int, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def body_of(client: int, turn: int) -> bytes:
    """Bytes of the client's own, of another length each time."""
    seed = hashlib.sha256(f"{client} {turn}".encode()).digest()
    return seed * (1 + (client * 37 + turn * 211) % 2000)


def converse(port: int, client: int, start: threading.Barrier) -> None:
    """Requests whose answers nobody else could have got."""
    start.wait(60)
    for turn in range(ROUNDS):
        text = f"client-{client}-turn-{turn}"
        if (client + turn) % 2:
            assert ask(port, "GET", f"/?{text}") == (200, f"{text}\n".encode())
        else:
            body = body_of(client, turn)
            assert ask(port, "POST", f"/?{text}", body) == (200, body)


def test_100_clients_share_two_connections(haproxy: Haproxy, address: str):
    start = threading.Barrier(CLIENTS)
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(converse, haproxy.port, client, start) for client in range(CLIENTS)]
        most = 0
        while not all(client.done() for client in clients):
            most = max(most, connections_at(address))
        for client in clients:
            client.result()
    made, reused = haproxy.connections()
    assert 1 <= most <= haproxy.threads
    assert made <= haproxy.threads
    assert made + reused >= CLIENTS * ROUNDS


def upload(haproxy: Haproxy, name: str, promised: int, sent: bytes) -> socket.socket:
    """A client in the middle of its upload; sent again where HAProxy answers 500
    itself, as `ask` says."""
    head = f"POST /?{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {promised}\r\n\r\n"
    before = haproxy.in_flight()
    for _ in range(20):
        client = socket.create_connection(("127.0.0.1", haproxy.port), 60)
        client.sendall(head.encode() + sent)

        def refused(client: socket.socket = client) -> bool:
            readable = select.select([client], [], [], 0)[0]
            return bool(readable) and client.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 500"

        wait_until(lambda: haproxy.in_flight() > before or refused(), what="the upload")
        if not refused():
            break
        client.close()
    return client


def test_an_abort_leaves_the_others_alone(narrow: Haproxy, app: Process, address: str):
    """One of three uploads in flight on one connection ends early. HAProxy
    sends nothing before it has a buffer full of a body."""
    first, rest = b"first" * 8000, b"rest" * 100_000
    names = ["left", "gone", "right"]
    clients = {name: upload(narrow, name, len(first + rest), first) for name in names}
    wait_until(lambda: narrow.in_flight() == 3, what="the uploads")
    assert connections_at(address) == 1
    clients["gone"].close()
    wait_until(lambda: "probe: gone aborted: record" in app.output(), what="the abort")
    for name in ("left", "right"):
        clients[name].sendall(rest)
        response = http.client.HTTPResponse(clients[name], method="POST")
        response.begin()
        assert (response.status, response.read()) == (200, first + rest)
        clients[name].close()
    assert not re.search("(left|right) aborted", app.output())
    assert ask(narrow.port, "GET", "/?still-there") == (200, b"still-there\n")
    assert connections_at(address) == 1


def test_no_multiplex_is_told_and_kept_to(language: str, directory: Path):
    """HAProxy asks each connection first; what it has put on one before it has the
    answer shares it all the same."""
    address = f"unix:{directory}/{language}-one.sock"
    command = probe_command(language, address, 8)
    log = directory / f"{language}-one.log"
    with Process(command, log, env={"FASTCGI_NO_MULTIPLEX": "1"}) as app:
        app.wait_for_address(address)
        name = b"FCGI_MPXS_CONNS"
        with Client(address) as client:
            client.send(record(GET_VALUES, 0, bytes([len(name), 0]) + name))
            kind, _, content = next(client.records())
        assert (kind, content) == (GET_VALUES_RESULT, bytes([len(name), 1]) + name + b"0")
        with Haproxy(directory, address) as running:
            for size in range(100_000, 120_000, 997):
                assert len(ask(running.port, "GET", f"/big?{size}")[1]) == size
            made, reused = running.connections()
            assert reused > made, "they are kept"


def settings_of_the_page() -> list[str]:
    """Each block of docs/haproxy.md, without its first line."""
    page = (SOURCE / "docs" / "haproxy.md").read_text()
    blocks = re.findall(r"^( *)fcgi-app app\n((?:\1 .*\n)+)", page, re.M)
    return [text for _, text in blocks]


@pytest.mark.parametrize(("which", "connections"), [(0, 1), (1, 2)])
def test_the_settings_of_the_page(directory: Path, which: int, connections: int):
    """The first multiplex, the second send one request at a time on a connection."""
    address, gate = f"unix:{directory}/page-{which}.sock", directory / f"gate-{which}"
    command = probe_command("c", address, 8)
    options = settings_of_the_page()[which]
    with Process(command, directory / "page.log", env={"GATE": str(gate)}) as app:
        app.wait_for_address(address)
        with (
            Haproxy(directory, address, threads=1, options=options) as running,
            ThreadPoolExecutor(2) as pool,
        ):
            assert ask(running.port, "GET", "/?first")[1] == b"first\n"
            asked = [pool.submit(ask, running.port, "GET", f"/gate?{i}") for i in range(2)]
            wait_until(lambda: running.in_flight() == 2, 30, "both requests")
            assert connections_at(address) == connections
            gate.touch()
            assert [one.result() for one in asked] == [(200, b"0\n"), (200, b"1\n")]


def test_the_reproduction_runs():
    """Whether this HAProxy stalls is its own business."""
    script = SOURCE / "tests" / "support" / "haproxy_stall.py"
    command = [sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = {0: "both are whole", 1: "it stalls"}[done.returncode]
    assert done.stdout.splitlines()[-1] == said, done.stderr


def test_stderr_of_a_handler_harms_nothing(language: str, haproxy: Haproxy):
    """A record of STDERR alone in a write crashes HAProxy 2.6.12, whatever the
    client; so it leaves with STDOUT."""
    for turn in range(20):
        assert ask(haproxy.port, "GET", f"/stderr?{turn}") == (200, f"{turn}\n".encode())
    wait_until(lambda: haproxy.output().count("a line") == 20, what="20 lines in the log")


def load(port: int, number: int, stop: threading.Event) -> int:
    """Requests until told to stop; how many were answered."""
    turns = 0
    while not stop.is_set():
        text = f"load-{number}-{turns}"
        assert ask(port, "GET", f"/?{text}") == (200, f"{text}\n".encode())
        turns += 1
    return turns


def test_a_reload_loses_no_request(haproxy: Haproxy, app: Process):
    """The old worker sends ABORT_REQUEST for what is in flight, and its clients
    wait for the answer all the same."""
    stop = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(load, haproxy.port, number, stop) for number in range(5)]
        for turn in range(4):
            slow = [pool.submit(ask, haproxy.port, "GET", f"/slow?{turn}") for _ in range(3)]
            wait_until(lambda: haproxy.in_flight() >= 3, what="slow requests")
            haproxy.reload()
            assert [one.result() for one in slow] == [(200, f"{turn}\n".encode())] * 3
        stop.set()
        assert sum(one.result() for one in loads) > 20
    assert app.running()
