# SPDX-License-Identifier: MIT
"""The head of an answer: reasons, and what is wrong with a header."""

from __future__ import annotations

import pytest
from fastcgi.testing import Client
from support.fcgi_client import fetch

TOKEN = "which must be an HTTP token"
LINE = "which must be without CR, LF and NUL"


def wsgi(status, headers=(), body=b""):
    def application(environ, start_response):
        start_response(status, list(headers))
        return [body]

    return application


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("299 As you like", "299 As you like"),
        ("404 Nope", "404 Nope"),
        ("200 OK", "200 OK"),
        ("404 Caf\xe9", "404 Caf\xe9"),
        ("404  two blanks", "404  two blanks"),
        ("404", "404 Not Found"),
        ("404 ", "404 Not Found"),
        ("299", "299 Unknown"),
        ("599 " + "long " * 100, "599 " + "long " * 100),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_wsgi_reasons_are_sent_as_they_are(status, sent, whole):
    def application(environ, start_response):
        start_response(status, [("X-A", "1")])
        return [b"body"] if whole else iter([b"bo", b"dy"])

    with Client(application) as client:
        response = client.get("/")
    lines = response.stdout.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    assert f"Status: {sent}" in lines
    assert lines[-1].startswith("Status: "), "Status comes last"
    assert (response.status, response.body) == (int(status[:3]), b"body")


def test_a_later_start_response_replaces_the_reason():
    def application(environ, start_response):
        start_response("200 Fine", [])
        try:
            raise ValueError
        except ValueError:
            import sys

            start_response("503 Not so fine", [], sys.exc_info())
        return []

    with Client(application) as client:
        assert client.get("/").header("Status") == "503 Not so fine"


def test_a_native_handler_gives_its_reason_as_a_header():
    def handler(request):
        headers = {"Status": "404 Nope", "X": "1"}
        if request.path == "/reply":
            request.reply(b"x", status=404, headers=headers)
            return None
        return 404, headers, b"x"

    with Client(handler) as client:
        for path in ("/", "/reply"):
            response = client.get(path)
            assert (response.header("Status"), response.body) == ("404 Nope", b"x")


BAD = [
    (("X-A", "a\nb"), f"'X-A' has '\\n' in its value, {LINE}"),
    (("X-A", "a\0b"), f"'X-A' has '\\x00' in its value, {LINE}"),
    (("X-A", "\r"), f"'X-A' has '\\r' in its value, {LINE}"),
    (("X Y", "a"), f"'X Y' has ' ' in its name, {TOKEN}"),
    (("X:", "a"), f"'X:' has ':' in its name, {TOKEN}"),
    (("\xe9t\xe9", "a"), f"'\\xe9t\\xe9' has '\\xe9' in its name, {TOKEN}"),
    (("", "a"), "without a name"),
    (("Status", "200 OK"), "Status may be there once, as '404 ' and a reason"),
]


@pytest.mark.parametrize(("bad", "complaint"), BAD, ids=repr)
@pytest.mark.parametrize("interface", ["handler", "wsgi"])
def test_the_header_refused_is_named(interface, bad, complaint, capfd):
    headers = [("X-Good", "1"), bad]

    def handler(request):
        return 404, headers, b""

    app = handler if interface == "handler" else wsgi("404 Nope", headers)
    with Client(app, interface=interface) as client:
        assert client.get("/").status == 500
        assert client.get("/").status == 500, "the server does not go on"
    error = capfd.readouterr().err
    assert f"ValueError: the answer cannot begin: header {complaint}\n" in error


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        ("404 a\nb", f"header 'Status' has '\\n' in its value, {LINE}"),
        ("999 Odd", "status 999 is not from 200 to 599"),
        ("404 \u20ac", "must be Latin-1"),
    ],
)
def test_a_wrong_status_line_is_named(status, complaint, capfd):
    with Client(wsgi(status)) as client:
        assert client.get("/").status == 500
    assert complaint in capfd.readouterr().err


def test_a_variable_refused_is_named():
    told = []

    def authorize(request):
        with pytest.raises(ValueError, match="not allowed") as caught:
            request.allow({"GOOD": "1", "A B": "x"})
        told.append(str(caught.value))

    with Client(None, roles={"authorizer": authorize}) as client:
        assert client.request("GET", "/", role=2).status == 500
    expected = f"the client is not allowed: variable 'A B' has ' ' in its name, {TOKEN}"
    assert told == [expected]


def test_the_request_goes_on_after_a_refused_header():
    def handler(request):
        with pytest.raises(ValueError, match="'X' has"):
            request.start(200, {"X": "a\nb"})
        with pytest.raises(ValueError, match="'X' has"):
            request.reply(b"", headers={"X": "a\nb"})
        return 200, {}, b"fine"

    with Client(handler) as client:
        assert client.get("/").text == "fine"


@pytest.mark.parametrize("interface", ["wsgi", "handler"])
@pytest.mark.parametrize(
    ("method", "status", "body", "length"),
    [
        ("GET", 200, b"abc", "3"),
        ("GET", 200, b"", "0"),
        ("HEAD", 200, b"abc", "3"),
        ("HEAD", 200, b"", None),
        ("GET", 204, b"abc", None),
        ("GET", 304, b"abc", "3"),
        ("GET", 304, b"", None),
    ],
)
def test_content_length_is_what_a_get_would_have(serve, interface, method, status, body, length):
    def wsgi(environ, start_response):
        start_response(f"{status} Any", [])
        return [body]

    app = wsgi if interface == "wsgi" else lambda request: (status, {}, body)
    answer = fetch(serve(app, interface=interface).address, method)
    assert answer.headers.get("content-length") == length
    assert answer.body == (body if (method, status) == ("GET", 200) else b"")
