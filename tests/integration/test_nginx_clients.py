# SPDX-License-Identifier: MIT
"""Many clients at once, slow ones, and ones that go away."""

import hashlib
import os
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.fcgi_client import wait_until
from support.site import Site, exchange

CLIENTS = 50
ROUNDS = 10
BODY = os.urandom(8 << 20)


def raw_post(site: Site, way: str, length: int) -> socket.socket:
    """A socket on which a POST's head has been sent."""
    client = socket.create_connection(("127.0.0.1", site.nginx.port), 30)
    client.sendall(f"POST /{way}/ HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
    return client


def reset(client: socket.socket) -> None:
    """Close it as a process does that is killed: with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def require_answers(site: Site) -> None:
    for way in ("kept", "closed", "stream"):
        answer = site.request(f"/{way}/", "POST", b"still here")
        assert (answer.status, answer.body) == (200, b"still here")


def test_concurrent_requests(site: Site, way: str):
    def client(number: int) -> int:
        connection = site.connect()
        right = 0
        for turn in range(ROUNDS):
            body = f"client {number} turn {turn} ".encode() * 100
            answer = exchange(connection, f"/{way}/", "POST", body)
            right += answer.status == 200 and answer.body == body
        connection.close()
        return right

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(client, range(CLIENTS))) == CLIENTS * ROUNDS


@pytest.mark.parametrize("way", ["kept", "closed", "stream"])
def test_slow_reader(site: Site, way: str):
    """A client that pauses gets all of a big answer, and others are answered meanwhile."""
    connection = site.connect()
    connection.request("POST", f"/{way}/", BODY)
    response = connection.getresponse()
    digest = hashlib.sha256()
    for _ in range(5):
        digest.update(response.read(10_000))
        time.sleep(0.1)
        assert site.request("/kept/quick").status == 200
    while data := response.read(1 << 18):
        digest.update(data)
    assert digest.digest() == hashlib.sha256(BODY).digest()
    connection.close()


@pytest.mark.parametrize("way", ["kept", "closed", "stream"])
def test_client_leaves_during_the_answer(site: Site, way: str):
    for _ in range(8):
        with raw_post(site, way, 1 << 20) as client:
            client.sendall(BODY[: 1 << 20])
            assert client.recv(1000)
            reset(client)
    require_answers(site)
    assert site.app.running()


@pytest.mark.parametrize("way", ["kept", "closed", "stream"])
def test_client_leaves_during_the_upload(site: Site, way: str):
    before = len(site.app.output())
    for _ in range(8):
        with raw_post(site, way, len(BODY)) as client:
            client.sendall(BODY[: 1 << 19])
            reset(client)
    require_answers(site)
    assert site.app.running(), site.app.output()[before:]


def test_no_descriptor_is_left_behind(site: Site):
    """Requests that were given up leave no connection open in the application."""
    require_answers(site)
    before = site.app.descriptors()
    for _ in range(30):
        client = raw_post(site, "stream", len(BODY))
        client.sendall(BODY[:100_000])
        reset(client)
    wait_until(
        lambda: site.app.descriptors() <= before, 15, "closing the connections of gone clients"
    )
    require_answers(site)
