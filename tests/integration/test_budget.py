# SPDX-License-Identifier: MIT
"""What one connection makes a server hold, by the memory of its process."""

import json
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.fcgi_client import (
    Client,
    get_params,
    head,
    nginx_params,
    pairs,
    post_params,
    stream,
    wait_until,
)
from support.paths import BUILD, EXAMPLES, tool
from support.probe import APPS, probe_command
from support.process import Process
from support.web_servers import Haproxy

HEADER = struct.Struct("!BBHHBB")
BEGIN, PARAMS, STDIN = 1, 4, 5
MIB = 1 << 20


def record(kind: int, request_id: int, content: bytes = b"") -> bytes:
    return HEADER.pack(1, kind, request_id, len(content), 0, 0) + content


def begin(request_id: int, role: int = 1) -> bytes:
    return record(BEGIN, request_id, struct.pack("!HB5x", role, 1))


def pair(name: bytes, value: bytes) -> bytes:
    return struct.pack("!BI", len(name), len(value) | 1 << 31) + name + value


def memory(app: Process) -> int:
    """Of the process, resident, in bytes."""
    text = Path(f"/proc/{app.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024


def push(peer: socket.socket, data: bytes) -> None:
    """Send as much as is taken; the server may close at any time."""
    try:
        peer.sendall(data)
    except (TimeoutError, OSError):
        return


def settled(app: Process) -> int:
    """The memory once it grows no more."""
    before, now = -1, memory(app)
    while now != before:
        time.sleep(0.5)
        before, now = now, memory(app)
    return now


@pytest.fixture
def app(language: str, directory: Path) -> Iterator[tuple[Process, str]]:
    path = f"{directory}/{language}.sock"
    with Process(
        probe_command(language, f"unix:{path}", 2), directory / f"{language}.log"
    ) as running:
        yield running.wait_for_address(f"unix:{path}"), path


def stalls() -> str:
    """ "1" where HAProxy is one that must not multiplex (docs/haproxy.md)."""
    text = subprocess.run([tool("haproxy"), "-v"], capture_output=True, text=True).stdout
    return str(int(int(re.search(r"version (\d+)", text)[1]) >= 3))


def connect(path: str) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(5)
    peer.connect(path)
    return peer


def test_unread_refusals(app: tuple[Process, str]):
    process, path = app
    before = settled(process)
    with connect(path) as peer:
        push(peer, b"".join(begin(number, 99) for number in range(1, 65536)))
        assert settled(process) - before < 4 * MIB


def test_parameters_of_many_requests(app: tuple[Process, str]):
    process, path = app
    before = settled(process)
    value = pair(b"A", b"v" * 57000)
    with connect(path) as peer:
        for number in range(1, 1025):
            push(peer, begin(number) + 4 * record(PARAMS, number, value))
        assert settled(process) - before < 16 * MIB


def test_bodies_of_many_requests(app: tuple[Process, str]):
    """They stream to a probe that has two threads for 1,024 of them."""
    process, path = app
    before = settled(process)
    head = record(PARAMS, 0, pair(b"REQUEST_METHOD", b"POST"))
    with connect(path) as peer:
        for number in range(1, 1025):
            begun = head[:2] + struct.pack("!H", number) + head[4:]
            push(peer, begin(number) + begun + record(PARAMS, number))
        for number in range(1, 1025):
            push(peer, 4 * record(STDIN, number, b"b" * 60000))
        assert settled(process) - before < 48 * MIB


BODY = 300_000
STEP = 8_000
UPLOADS = 8


def send_in_turns(client: Client, bodies: dict[int, bytes]) -> None:
    """Pieces of all bodies, one after another, and then the ends."""
    for at in range(0, BODY, STEP):
        for number, body in bodies.items():
            client.send(record(STDIN, number, body[at : at + STEP]))
    for number in bodies:
        client.send(record(STDIN, number))


def held(asking: Client) -> int:
    """What the status page says that requests hold."""
    answer = asking.request(uri="/status?json")
    assert answer.status == 200, answer
    return json.loads(answer.body)["fastcgi"]["total"]["memory"]


@pytest.mark.parametrize("mode", ["streamed", "collected"])
def test_more_bodies_than_there_is_memory_for(language: str, mode: str, directory: Path):
    """Eight share two threads and a connection that may hold a fifth of one: none waits for
    another's end, and each is right."""
    address = f"unix:{directory}/{language}-{mode}.sock"
    env = {"FASTCGI_CONNECTION_MEMORY": "64K", "FASTCGI_STATUS_PATH": "/status"}
    if mode == "collected":
        env["PROBE_COLLECT"] = "1"
    bodies = {number: bytes([96 + number]) * BODY for number in range(1, UPLOADS + 1)}
    with Process(
        probe_command(language, address, 2), directory / f"{language}-{mode}.log", env=env
    ) as running:
        running.wait_for_address(address)
        with Client(address) as client, Client(address) as asking:
            idle = held(asking)
            client.send(*(head(number, post_params(BODY)) for number in bodies))
            wait_until(lambda: held(asking) >= idle + UPLOADS * 200, what="open requests")
            with ThreadPoolExecutor(1) as pool:
                sent = pool.submit(send_in_turns, client, bodies)
                answers = client.responses(bodies)
                sent.result()
            for number, answer in answers.items():
                assert (answer.status, answer.body) == (200, bodies[number]), number
            wait_until(lambda: held(asking) == idle, what="memory to be given back")


@pytest.mark.parametrize("launcher", ["python", "fcgi-lua", "run"])
def test_every_launcher_has_a_budget(language: str, launcher: str, directory: Path):
    """Beyond it new requests of the connection are answered 503."""
    if language != {"python": "python", "fcgi-lua": "lua", "run": "c"}[launcher]:
        pytest.skip("that launcher is another language's")
    address = f"unix:{directory}/{launcher}.sock"
    sizes = ["--connection-memory", "64K", "--server-memory", "1M"]
    command = {
        "python": [sys.executable, "-m", "fastcgi", "endless:handler", "--chdir", APPS],
        "fcgi-lua": [BUILD / "lua" / "bin" / "fcgi-lua", APPS / "endless.lua"],
        "run": [BUILD / "tools" / "fcgi", "run"],
    }[launcher]
    command = [*command, "--bind", address, *sizes]
    if launcher == "run":
        command += ["--allow-root", "--", EXAMPLES / "hello"]
    with Process(command, directory / f"{launcher}.log") as running:
        running.wait_for_address(address)
        with Client(address) as client:
            held = 20
            for number in range(1, held + 1):
                client.send(begin(number), record(PARAMS, number, pair(b"A", b"v" * 4000)))
            answer = client.ask(get_params(), request_id=held + 1)
            assert answer.status == 503
        with Client(address) as client:
            assert client.ask(get_params()).status == 200


def slow_stream(port: int, size: int) -> socket.socket:
    """A client that has asked for so many bytes, and reads none."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(60)
    peer.connect(("127.0.0.1", port))
    peer.sendall(f"GET /big?{size} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return peer


def received(peer: socket.socket) -> tuple[bytes, int]:
    """The status line, and how many bytes of a body there are."""
    whole = bytearray()
    while piece := peer.recv(1 << 20):
        whole += piece
    head, _, body = whole.partition(b"\r\n\r\n")
    if b"chunked" in head:
        body = b"".join(body.split(b"\r\n")[1::2])
    return bytes(head.split(b"\r\n")[0]), len(body)


def test_17_slow_streams_of_haproxy(language: str, directory: Path):
    """They share its connections, and their windows the budget. (One more request would wait
    for them: streams of HAProxy that share a connection block each other.)"""
    address = f"unix:{directory}/{language}-streams.sock"
    size, streams = 3_000_000, 17
    command = probe_command(language, address, streams + 3)
    log = directory / f"{language}-streams.log"
    with Process(command, log, env={"FASTCGI_NO_MULTIPLEX": stalls()}) as app:
        app.wait_for_address(address)
        with Haproxy(directory, address, threads=1) as front:
            peers = [slow_stream(front.port, size) for _ in range(streams)]
            wait_until(lambda: front.in_flight() == streams, what="the streams")
            with ThreadPoolExecutor(streams) as pool:
                answers = list(pool.map(received, peers))
            assert set(answers) == {(b"HTTP/1.1 200 OK", size)}
            for peer in peers:
                peer.close()


def test_1024_multiplexed_small_requests(app: tuple[Process, str]):
    """As many as may be open at once, each with the parameters nginx sends."""
    _, path = app
    ids = range(1, 1025)
    with Client(f"unix:{path}") as client:
        for number in ids:
            client.send(begin(number))
        for number in ids:
            params = nginx_params("GET", f"/?{number}")
            client.send(stream(PARAMS, number, pairs(params)))
        for number in ids:
            client.send(record(STDIN, number))
        answers = client.responses(ids)
    assert {answer.status for answer in answers.values()} == {200}
    assert all(answers[number].body == f"{number}\n".encode() for number in ids)
