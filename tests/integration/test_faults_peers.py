# SPDX-License-Identifier: MIT
"""Peers that are slow, silent, gone or too many."""

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.fcgi_client import (
    ABORT_REQUEST,
    BEGIN_REQUEST,
    GET_VALUES,
    GET_VALUES_RESULT,
    PARAMS,
    STDIN,
    Client,
    Response,
    connect,
    get_params,
    head,
    pairs,
    post_params,
    record,
    request,
    stream,
    wait_until,
)
from support.probe import probe_command
from support.process import Process

MIB = 1024 * 1024
App = tuple[Process, str]


@contextlib.contextmanager
def running(language: str, directory: Path, threads: int, *options: str) -> Iterator[App]:
    """A probe of its own, and its address."""
    address = f"unix:{directory}/{language}-{threads}-{'-'.join(options)}.sock"
    command = probe_command(language, address, threads, *options)
    with Process(command, directory / f"{language}-faults.log") as app:
        yield app.wait_for_address(address), address


@pytest.fixture(scope="module")
def probe(language: str, directory: Path) -> Iterator[App]:
    with running(language, directory, 2) as started:
        yield started


def assert_serves(address: str, question: str, seconds: float = 30) -> None:
    """A new client is answered within that time."""
    began = time.monotonic()
    with Client(address) as client:
        answer = client.ask(get_params(query=question))
    assert (answer.status, answer.body) == (200, f"{question}\n".encode())
    assert time.monotonic() - began < seconds


def dribble(address: str, whole: bytes, start: int, end: int) -> None:
    """200 clients send the bytes from `start` to `end` one at a time; others
    are served meanwhile as ever."""
    with ExitStack() as stack:
        slow = [stack.enter_context(Client(address)) for _ in range(200)]
        for client in slow:
            client.send(whole[:start])
        for at in range(start, end):
            for client in slow:
                client.send(whole[at : at + 1])
            for turn in range(5):
                assert_serves(address, f"byte-{at}-{turn}", 1)
        for client in slow:
            client.send(whole[end:])
            assert client.responses([1])[1].body == b"slowness"


WHOLE = request(1, post_params(8), b"slowness")


def test_200_slow_heads_hold_nobody_up(probe: App):
    dribble(probe[1], WHOLE, 0, 24)


def test_200_slow_bodies_hold_nobody_up(directory: Path):
    """They are collected: in stream mode each would hold a thread."""
    with running("c", directory, 1, "collect=1") as (_, address):
        dribble(address, WHOLE, len(WHOLE) - 16, len(WHOLE) - 1)


def test_a_peer_that_never_reads_costs_little(probe: App):
    """It asked for 100 MiB, of which little is made before it is read."""
    app, address = probe
    assert_serves(address, "before")
    before = app.rss_bytes()
    with Client(address) as deaf:
        deaf.send(request(1, get_params("/big", f"{100 * MIB}")))
        time.sleep(1)
        grown = app.rss_bytes() - before
        print(f"RSS grew by {grown / MIB:.1f} MiB")
        assert grown < 8 * MIB
        assert_serves(address, "beside-the-deaf")
    wait_until(lambda: f"{100 * MIB} aborted: connection" in app.output(), what="the abort")
    assert_serves(address, "after-the-deaf")


def test_a_peer_that_reads_late_gets_everything(probe: App):
    _, address = probe
    with Client(address, timeout=60) as client:
        client.send(request(1, get_params("/big", f"{20 * MIB}")))
        time.sleep(0.5)
        assert client.responses([1])[1].body == b"x" * (20 * MIB)


def test_half_closed_peers_are_answered(probe: App):
    """A peer that has sent all it will still reads."""
    _, address = probe
    with Client(address) as client:
        client.send(request(1, post_params(9), b"last word"))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.responses([1])[1].body == b"last word"


def test_1000_resets_leave_nothing_behind(probe: App):
    """Each in the middle of an answer."""
    app, address = probe
    assert_serves(address, "before")
    files = app.descriptors()
    for number in range(1000):
        peer = connect(address)
        peer.sendall(request(1, get_params("/big", "300000", NUMBER=str(number))))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    wait_until(lambda: app.descriptors() <= files, what="closing the sockets")
    assert_serves(address, "after")
    assert app.running()


def test_a_value_asked_for_3000_times_is_told_once(probe: App):
    _, address = probe
    question = pairs({"FCGI_MPXS_CONNS": ""}) * 3000
    assert len(question) > 50_000
    with Client(address) as client:
        client.send(record(GET_VALUES, 0, question))
        answer = (GET_VALUES_RESULT, 0, pairs({"FCGI_MPXS_CONNS": "1"}))
        assert next(client.records()) == answer
        assert client.ask(get_params(query="next")).body == b"next\n"


def test_half_of_the_clients_abort(probe: App):
    """100 uploads on one connection; every second one is aborted."""
    app, address = probe
    ids = range(1, 101)
    with Client(address) as client:
        for request_id in ids:
            params = {**post_params(10), "QUERY_STRING": f"storm-{request_id}"}
            client.send(head(request_id, params), stream(STDIN, request_id, b"12345", end=False))
        for request_id in ids[1::2]:
            client.send(record(ABORT_REQUEST, request_id))
        for request_id in ids[::2]:
            client.send(stream(STDIN, request_id, b"67890"))
        answers = client.responses(ids)
    assert all(answers[request_id].body == b"1234567890" for request_id in ids[::2])
    told = [n for n in ids if f"storm-{n} aborted: record\n" in app.output()]
    assert set(told) <= set(ids[1::2])
    assert_serves(address, "after-the-storm")


@pytest.mark.parametrize("poll", [0, 1], ids=["epoll", "poll"])
@pytest.mark.parametrize("stage", ["nothing", "begin", "params", "header"])
def test_the_header_timeout_closes(directory: Path, poll: int, stage: str):
    """Bytes that dribble in do not renew it, and a connection that has sent
    nothing has no header yet."""
    sent = {
        "nothing": b"",
        "begin": record(BEGIN_REQUEST, 1, struct.pack("!HB5x", 1, 1)),
        "params": head(1, get_params())[:-8],
        "header": b"\1\1\0",
    }[stage]
    with (
        running("c", directory, 1, f"poll={poll}", "header_timeout=400") as (_, address),
        Client(address, timeout=2 if stage == "nothing" else 60) as client,
    ):
        client.send(sent)
        if stage == "nothing":
            with pytest.raises(TimeoutError):
                next(client.records())
        else:
            began = time.monotonic()
            assert list(client.records()) == []
            assert 0.3 < time.monotonic() - began < 30
        assert_serves(address, stage)


ALL_IDS = range(1, 65536)
SERVED = 1024  # max_requests: the others are refused.


def test_65535_ids_on_one_connection(directory: Path):
    """All are begun before any is complete. Every one is answered once."""
    with running("c", directory, 1) as (app, address), Client(address, timeout=60) as client:
        before = app.rss_bytes()
        begin = struct.pack("!HB5x", 1, 1)
        client.send(*(record(BEGIN_REQUEST, request_id, begin) for request_id in ALL_IDS))
        client.send(record(GET_VALUES, 0))
        assert next(client.records())[0] == GET_VALUES_RESULT  # It has read them all.
        grown = app.rss_bytes() - before
        print(f"RSS grew by {grown / MIB:.1f} MiB")
        assert grown < 64 * MIB
        rest = pairs(get_params(query="one of many"))

        def is_answered(request_id: int) -> bool:
            return request_id < 1 or client.answers.get(request_id, Response()).ended

        def complete() -> None:
            """Not much faster than the answers are read: too many unread ones end it."""
            for request_id in ALL_IDS:
                wait_until(lambda: is_answered(request_id - 4096))  # noqa: B023
                client.send(
                    record(PARAMS, request_id, rest),
                    record(PARAMS, request_id),
                    record(STDIN, request_id),
                )

        sender = threading.Thread(target=complete)
        sender.start()
        answers = client.responses(ALL_IDS)
        sender.join()
        first = Counter(answers[request_id].status for request_id in ALL_IDS[:SERVED])
        others = Counter(answers[request_id].status for request_id in ALL_IDS[SERVED:])
        assert (first, others) == ({200: SERVED}, {503: len(ALL_IDS) - SERVED})
        assert client.ask(get_params(query="more")).body == b"more\n"
