# SPDX-License-Identifier: MIT
"""What one connection makes a server hold, by the memory of its process."""

import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.probe import probe_command
from support.process import Process

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
