# SPDX-License-Identifier: MIT
"""The echo applications without a web server: what nginx never does."""

import random
import time
from contextlib import ExitStack

import pytest
from support.fcgi_client import (
    GET_VALUES,
    GET_VALUES_RESULT,
    STDIN,
    UNKNOWN_TYPE,
    Client,
    get_params,
    head,
    pairs,
    post_params,
    record,
    request,
    stream,
)
from support.process import Process

App = tuple[Process, str]


def body_of(connection: int, request_id: int) -> bytes:
    return f"connection {connection} request {request_id} ".encode() * (1 + request_id * 7)


def interleaved(connection: int, ids: range) -> bytes:
    """Many requests' records, mixed in an order of the connection's own."""
    order = random.Random(connection)
    queues = []
    for request_id in ids:
        body = body_of(connection, request_id)
        queues.append(
            [
                head(request_id, post_params(len(body))),
                stream(STDIN, request_id, body, end=False),
                record(STDIN, request_id, padding=7),
            ]
        )
    mixed = []
    while queues:
        queue = order.choice(queues)
        mixed.append(queue.pop(0))
        if not queue:
            queues.remove(queue)
    return b"".join(mixed)


def test_64_requests_in_flight_on_4_connections(echo: App):
    _, address = echo
    ids = range(1, 65)
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(address)) for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(interleaved(number, ids))
        for number, client in enumerate(clients):
            for request_id, response in client.responses(ids).items():
                assert (response.status, response.body) == (200, body_of(number, request_id))
                assert (response.app_status, response.protocol_status) == (0, 0)


def test_idle_connections_hold_no_thread(echo: App):
    app, address = echo
    threads = app.threads()
    with ExitStack() as stack:
        idle = [stack.enter_context(Client(address)) for _ in range(200)]
        for client in idle:
            assert client.ask(get_params("/idle")).status == 200
        began = time.monotonic()
        with Client(address) as client:
            assert client.ask(get_params("/new")).status == 200
        assert time.monotonic() - began < 20
        assert app.threads() == threads
        assert all(client.ask(get_params("/again")).status == 200 for client in idle)


@pytest.mark.parametrize("piece", [1, 7, 8, 9, 100])
def test_any_split(echo: App, piece: int):
    _, address = echo
    data = request(1, post_params(300), b"x" * 300) + request(2, get_params("/second"))
    with Client(address) as client:
        for start in range(0, len(data), piece):
            client.send(data[start : start + piece])
        responses = client.responses([1, 2])
    assert responses[1].body == b"x" * 300
    assert b"PATH_INFO=/second\n" in responses[2].body


def test_connection_is_closed_when_not_kept(echo: App):
    _, address = echo
    with Client(address) as client:
        assert client.ask(get_params(), keep=False).status == 200
        assert list(client.records()) == []


def test_body_streams_while_it_arrives(echo: App):
    """The first half comes back before the second is sent."""
    _, address = echo
    half = b"y" * 40_000
    with Client(address, timeout=60) as client:
        client.send(head(1, post_params(2 * len(half))), stream(STDIN, 1, half, end=False))
        came = b""
        records = client.records()
        while len(came) < len(half) // 2:
            came += next(records)[2]
        client.send(stream(STDIN, 1, half))
        assert client.responses([1])[1].app_status == 0


def test_head_has_no_body(echo: App):
    _, address = echo
    with Client(address) as client:
        response = client.ask(get_params(REQUEST_METHOD="HEAD"))
        assert (response.status, response.body) == (200, b"")


def test_cut_upload_is_no_success(echo: App):
    """STDIN ends short of CONTENT_LENGTH."""
    _, address = echo
    with Client(address) as client:
        client.send(head(1, post_params(10)), stream(STDIN, 1, b"short"))
        try:
            response = client.responses([1])[1]
            assert response.status == 500 or response.app_status == 1
        except ConnectionError:
            pass  # The answer had begun and was cut, so that the web server sees it.
    with Client(address) as client:
        assert client.ask(get_params()).status == 200


def test_management_records(echo: App):
    _, address = echo
    with Client(address) as client:
        client.send(
            record(GET_VALUES, 0, pairs({"FCGI_MPXS_CONNS": "", "NOT_KNOWN": ""})),
            record(42, 0, b"?"),
        )
        records = client.records()
        assert next(records) == (GET_VALUES_RESULT, 0, pairs({"FCGI_MPXS_CONNS": "1"}))
        kind, request_id, content = next(records)
        assert (kind, request_id, content[0]) == (UNKNOWN_TYPE, 0, 42)
        assert client.ask(get_params()).status == 200


def test_other_protocols_are_closed_at_once(echo: App):
    _, address = echo
    with Client(address, timeout=60) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert list(client.records()) == []
