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
    assert response.stderr == "pay attention: \u20ac\n".encode() + b"\xff\0\n!"
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


def test_it_waits_for_the_head_of_the_answer():
    """nginx keeps what precedes the head in the head's buffer."""

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
    kinds = [(kind, content) for kind, content in kinds if content]
    assert kinds[0][0] == STDOUT
    assert kinds[0][1].endswith(b"\r\n\r\n")
    assert b"".join(content for kind, content in kinds if kind == STDERR) == b"first\nsecond"


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
