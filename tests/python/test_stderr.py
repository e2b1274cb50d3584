# SPDX-License-Identifier: MIT
"""STDERR: only what the application asks for, and never alone in a write."""

from __future__ import annotations

import fastcgi
import pytest
from fastcgi.testing import END_REQUEST, STDERR, STDOUT, Client, request_params


def test_text_and_bytes_reach_the_web_server():
    def handler(request):
        request.write_stderr("pay attention: \u20ac\n")
        request.write_stderr(b"\xff\0")
        request.write_stderr(bytearray(b"!"))
        return 200, {}, b"body"

    with Client(handler) as client:
        response = client.get("/")
    assert response.stderr == "pay attention: \u20ac\n".encode() + b"\xff\0!"
    assert response.body == b"body"


def test_wsgi_writes_through_the_request_and_errors_stays_our_log(capfd):
    def application(environ, start_response):
        environ["wsgi.errors"].write("for our log\n")
        environ["fastcgi.request"].write_stderr("for the web server\n")
        start_response("200 OK", [])
        return [b"body"]

    with Client(application) as client:
        response = client.get("/")
    assert response.stderr == b"for the web server\n"
    assert "for our log" in capfd.readouterr().err


def test_it_waits_for_the_answer():
    """A record of STDERR alone in a write crashes HAProxy 2.6."""

    def handler(request):
        request.write_stderr("first")
        request.flush()
        request.start(200)
        request.write_stderr("second")
        request.write(b"body")

    with Client(handler) as client, client.connect() as connection:
        connection.begin(request_params("GET", "/"))
        connection.stdin(b"")
        kinds = []
        for kind, _, content in connection.records():
            kinds.append((kind, content))
            if kind == END_REQUEST:
                break
    assert (STDERR, b"firstsecond") in kinds or (STDERR, b"first") in kinds
    for at, (kind, content) in enumerate(kinds):
        if kind == STDERR and content:
            assert kinds[at + 1][0] in (STDERR, STDOUT)


def test_a_failure_writes_none(capfd):
    def handler(request):
        raise ValueError("secret")

    with Client(handler) as client:
        response = client.get("/")
    assert (response.status, response.stderr) == (500, b"")
    assert "secret" in capfd.readouterr().err


def test_what_cannot_be_written():
    def handler(request):
        with pytest.raises(TypeError, match="bytes-like"):
            request.write_stderr(1)
        with pytest.raises(fastcgi.LimitError):
            request.write_stderr(bytes(5000))
        request.write_stderr(bytes(4096))
        return 200, {}, b""

    with Client(handler, output_window=4096) as client:
        assert len(client.get("/").stderr) == 4096


def test_not_after_the_end():
    saved = []

    def handler(request):
        saved.append(request)
        return 200, {}, b""

    with Client(handler) as client:
        client.get("/")
    with pytest.raises(fastcgi.StateError, match="the request has ended"):
        saved[0].write_stderr("late")
