# SPDX-License-Identifier: MIT
"""HEAD on a stream without an end: nobody reads it, so it is closed."""

from __future__ import annotations

import pytest
from fastcgi.testing import Client

MOST = 1000  # Blocks until the test gives the stream up.


class Endless:
    """Counts the blocks it was asked for, and whether it was closed."""

    def __init__(self):
        self.drawn = 0
        self.closed = False

    def __iter__(self):
        return self

    def __next__(self):
        self.drawn += 1
        if self.drawn > MOST:
            raise StopIteration
        return b"tick\n"

    def close(self):
        self.closed = True


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
def test_wsgi(status: str):
    stream = Endless()

    def application(environ, start_response):
        start_response(status, [])
        return stream

    with Client(application) as client:
        response = client.request("HEAD" if status == "200 OK" else "GET", "/")
    assert (response.status, response.body) == (int(status[:3]), b"")
    assert stream.closed
    assert stream.drawn <= 2


@pytest.mark.parametrize("status", [200, 204, 304])
def test_a_native_handler(status: int):
    stream = Endless()
    with Client(lambda request: (status, {}, stream)) as client:
        response = client.request("HEAD" if status == 200 else "GET", "/")
    assert (response.status, response.body) == (status, b"")
    assert stream.closed
    assert stream.drawn <= 2


def test_what_a_handler_writes_itself_is_dropped():
    def handler(request):
        request.start(200)
        for _ in range(3):
            request.write(b"tick\n")

    with Client(handler) as client:
        response = client.request("HEAD", "/")
    assert (response.status, response.body) == (200, b"")
