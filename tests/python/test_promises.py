# SPDX-License-Identifier: MIT
"""What the head of an answer promises, WSGI and native."""

from __future__ import annotations

import pytest
from support.fcgi_client import fetch

HOPS = {
    "Transfer-Encoding": "chunked",
    "Connection": "close",
    "Keep-Alive": "timeout=5",
    "TE": "trailers",
    "Trailer": "X-Sum",
    "Trailers": "X-Sum",
    "Upgrade": "h2c",
    "Proxy-Connection": "close",
    "Proxy-Authenticate": "Basic",
    "Proxy-Authorization": "x",
}


def wsgi(status, headers, body):
    def app(environ, start_response):
        start_response(status, list(headers))
        return body

    return app


def returns(status, headers, body):
    def handler(request):
        return int(status[:3]), list(headers), body

    return handler


def replies(status, headers, body):
    def handler(request):
        request.reply(b"".join(body), int(status[:3]), list(headers))

    return handler


def raw(status, headers, body):
    def handler(request):
        lines = [f"{name}: {value}\r\n" for name, value in [*headers, ("Status", status)]]
        request.write("".join([*lines, "\r\n"]).encode() + b"".join(body))

    return handler


KINDS = [wsgi, returns, replies, raw]
IMPOSSIBLE = [
    ("200 OK", [("Content-Length", "three")], "'three' is not a number of bytes"),
    ("200 OK", [("Content-Length", "-3")], "'-3' is not a number of bytes"),
    ("200 OK", [("Content-Length", "")], "'' is not a number of bytes"),
    ("200 OK", [("Content-Length", "3"), ("content-length", "4")], "says both 3 and '4'"),
    ("101 Switching Protocols", [], "from 200 to 599"),
    ("103 Early Hints", [], "from 200 to 599"),
    ("200 OK", [("Content-Length", "50")], "says 50, the body has 3 bytes"),
    ("200 OK", [("Content-Length", "2")], "says 2, the body has 3 bytes"),
]


@pytest.mark.parametrize(("status", "headers", "complaint"), IMPOSSIBLE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [[b"abc"], [b"a", b"", b"bc"]])
def test_an_impossible_head_is_500(serve, capfd, kind, status, headers, complaint, body):
    if kind is raw and "the body has" in complaint:
        pytest.skip("raw output has no whole body")
    answer = fetch(serve(kind(status, headers, body)).address)
    assert (answer.status, answer.ended) == (500, True)
    assert complaint in capfd.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_headers_of_the_connection_are_left_out_with_a_line_once(serve, capfd, kind):
    headers = [*HOPS.items(), ("X-Kept", "1"), ("Content-Length", "3")]
    address = serve(kind("200 OK", headers, [b"abc"])).address
    for _ in range(2):
        answer = fetch(address)
        assert (answer.status, answer.body, answer.ended) == (200, b"abc", True)
        assert set(answer.headers) <= {"x-kept", "content-length", "status"}
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == len(HOPS)
    for name in HOPS:
        assert sum(f"header {name}," in line for line in lines) == 1


@pytest.mark.parametrize("kind", [wsgi, returns])
@pytest.mark.parametrize("first", [3, None, object(), ["x"]])
def test_a_first_piece_that_is_none_is_500(serve, capfd, kind, first):
    def pieces():
        yield first
        yield b"abc"

    answer = fetch(serve(kind("200 OK", [], pieces())).address)
    assert (answer.status, answer.ended) == (500, True)
    assert "TypeError" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [wsgi, returns])
def test_a_first_piece_that_raises_is_500(serve, capfd, kind):
    def pieces():
        yield from {}["missing"]

    answer = fetch(serve(kind("200 OK", [], pieces())).address)
    assert (answer.status, answer.ended) == (500, True)
    assert "KeyError: 'missing'" in capfd.readouterr().err


@pytest.mark.parametrize("cut", [None, 2, 3, 4])
def test_a_raw_head_with_a_blank_before_its_first_colon_is_500(serve, capfd, cut):
    def handler(request):
        head = b"X-A : b\r\nTransfer-Encoding: chunked\r\nStatus: 201 Made\r\n\r\n"
        if request.path == "/good":
            head = head.replace(b" :", b":")
        request.write(head[:cut])
        request.write(head[cut:] if cut else b"")

    address = serve(handler).address
    assert fetch(address, uri="/").status == 500
    answer = fetch(address, uri="/good")
    assert (answer.status, answer.ended) == (201, True)
    assert "transfer-encoding" not in answer.headers
    assert "the line 'X-A : b' is not" in capfd.readouterr().err


def test_a_raw_text_without_a_head_is_500(serve, capfd):
    def handler(request):
        request.write(b"two words")

    answer = fetch(serve(handler).address)
    assert (answer.status, answer.ended) == (500, True)
    assert "the line 'two words' is not" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [wsgi, returns])
@pytest.mark.parametrize("length", ["0", "2"])
def test_a_first_piece_that_is_too_long_is_500(serve, capfd, kind, length):
    """A web server that has all of Content-Length would not see that more follows."""
    app = kind("200 OK", [("Content-Length", length)], iter([b"abc", b"d"]))
    answer = fetch(serve(app).address)
    assert (answer.status, answer.ended) == (500, True)
    assert f"Content-Length says {length}, the body has 3 bytes" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [wsgi, returns])
@pytest.mark.parametrize("length", ["9", "2"])
def test_a_stream_that_breaks_its_promise_is_cut(serve, capfd, kind, length):
    def pieces():
        yield b"a"
        yield b"bc"

    answer = fetch(serve(kind("200 OK", [("Content-Length", length)], pieces())).address)
    assert not answer.ended
    assert "than Content-Length" in capfd.readouterr().err


def test_what_follows_the_promised_bytes_is_told(serve, capfd):
    def pieces():
        yield b"abc"
        yield b""
        yield b"de"

    serving = serve(wsgi("200 OK", [("Content-Length", "3")], pieces()))
    assert fetch(serving.address).body == b"abc"
    serving.stop(graceful=True)
    assert "more bytes than Content-Length" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [wsgi, returns, replies])
def test_head_and_304_tell_of_another_answer(serve, kind):
    address = serve(kind("200 OK", [("Content-Length", "50")], [b"abc"])).address
    answer = fetch(address, "HEAD")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "50", b"")
    address = serve(kind("304 Not Modified", [("Content-Length", "50")], [])).address
    answer = fetch(address)
    assert (answer.status, answer.headers["content-length"], answer.ended) == (304, "50", True)
    address = serve(kind("204 No Content", [("Content-Length", "50")], [])).address
    answer = fetch(address)
    assert (answer.status, "content-length" in answer.headers) == (204, False)


def test_a_refused_write_says_where_the_reason_is(serve, capfd):
    told = []

    def handler(request):
        with pytest.raises(ValueError, match="refused") as caught:
            request.write(b"Status: 100 Continue\r\n\r\n")
        told.append(str(caught.value))

    assert fetch(serve(handler).address).status == 500
    assert told == [
        "the answer is refused, as its head is not valid or promises another length: "
        "the log has the reason"
    ]
    assert "GET /: Status '100 Continue' is not" in capfd.readouterr().err
