# SPDX-License-Identifier: MIT
"""Clients that are still sending when their answer is out get it all the same.

The clients do what foreign ones do, which write each record by itself, end
STDIN twice, or send a body that nobody reads before they look at the answer.
"""

import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.echo import echo_command
from support.fcgi_client import (
    BEGIN_REQUEST,
    END_REQUEST,
    PARAMS,
    STDIN,
    STDOUT,
    connect,
    get_params,
    head,
    pairs,
    record,
    request,
)
from support.nginx import reserve_port
from support.process import Process

END = record(STDIN, 1)
QUESTION = get_params("/x", "n1")
BODY = b"x" * 65535
# Longer than the half a second of silence after which a body is given up.
LONG = 0.8


@pytest.fixture(scope="module", params=["unix 1", "unix 2", "tcp 1", "tcp 2"])
def address(request: pytest.FixtureRequest, language: str, directory: Path) -> Iterator[str]:
    """The echo application on one thread or two."""
    family, threads = request.param.split()
    if language.startswith("swig_") and threads != "1":
        pytest.skip("these programs have one thread")
    with reserve_port() as reserved:
        where = f"127.0.0.1:{reserved.getsockname()[1]}"
        if family == "unix":
            where = f"unix:{directory}/{language}-{threads}-ends.sock"
        log = directory / f"{language}-{family}-{threads}.log"
        with Process(echo_command(language, where, int(threads)), log) as app:
            app.wait_for_address(where)
            yield where


def tell(client: socket.socket, *parts: bytes | float) -> None:
    """Send bytes, each part with a write of its own; numbers are pauses. A write
    that fails is what these clients cannot stand."""
    for part in parts:
        if isinstance(part, bytes):
            client.sendall(part)
        else:
            time.sleep(part)


def answer(client: socket.socket) -> dict[int, bytes]:
    """The contents of the records by type, up to a clean end of the connection."""
    data = b"".join(iter(lambda: client.recv(65536), b""))
    found: dict[int, bytes] = {}
    while data:
        kind, size, padding = data[1], int.from_bytes(data[4:6], "big"), data[6]
        found[kind] = found.get(kind, b"") + data[8 : 8 + size]
        data = data[8 + size + padding :]
    return found


def expect(address: str, status: bytes, *parts: bytes | float) -> None:
    with connect(address) as client:
        tell(client, *parts)
        got = answer(client)
    assert status in got[STDOUT], got
    assert got[END_REQUEST] == bytes(8), got


@pytest.mark.parametrize("pause", [0.0, 0.02, LONG])
def test_the_end_of_stdin_twice(address: str, pause: float):
    """The second one in two halves: over TCP the first write after a reset
    succeeds."""
    whole = request(1, QUESTION, keep=False)
    for _ in range(1 if pause else 20):
        expect(address, b"QUERY_STRING=n1", whole, pause, END[:4], pause, END[4:])


def test_each_record_in_a_write_of_its_own(address: str):
    for _ in range(20):
        expect(
            address,
            b"QUERY_STRING=n1",
            record(BEGIN_REQUEST, 1, b"\0\1\0" + bytes(5)),
            record(PARAMS, 1, pairs(QUESTION)),
            record(PARAMS, 1),
            *[END] * 4,
        )


@pytest.mark.parametrize("pause", [0.0, LONG])
def test_a_body_that_nobody_reads(address: str, pause: float):
    """The request is answered at the end of its parameters: it has two lengths."""
    refused = [*QUESTION.items(), ("CONTENT_LENGTH", "1"), ("CONTENT_LENGTH", "2")]
    data = record(STDIN, 1, BODY)
    beginning = head(1, refused, keep=False)
    expect(address, b"400", beginning, data, pause, *[data] * 16, pause, data, END)


def test_more_after_the_end_of_stdin(address: str):
    whole = request(1, QUESTION, keep=False)
    data = record(STDIN, 1, BODY)
    expect(address, b"QUERY_STRING=n1", whole, *[data] * 16, 0.05, data, data, END)


def test_a_peer_that_never_closes_is_left(address: str):
    """But not before it could have gone on. Over TCP nothing would show it."""
    if not address.startswith("unix:"):
        return
    with connect(address) as client:
        tell(client, request(1, QUESTION, keep=False))
        assert answer(client)[END_REQUEST] == bytes(8)
        poll = select.poll()
        poll.register(client, 0)
        assert poll.poll(1000 * LONG) == []
        assert poll.poll(30_000) == [(client.fileno(), select.POLLHUP)]


def test_a_peer_that_has_shut_its_side_is_closed_at_once(address: str):
    for _ in range(5):
        with connect(address) as client:
            client.sendall(request(1, QUESTION, keep=False))
            client.shutdown(socket.SHUT_WR)
            assert answer(client)[END_REQUEST] == bytes(8)
