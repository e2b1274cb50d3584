# SPDX-License-Identifier: MIT
"""WSGI as PEP 3333 has it."""

from __future__ import annotations

import io
import socket
import sys
import threading
import time
from wsgiref.validate import validator

import pytest
from support.fcgi_client import Client, fetch

TEXT = [("Content-Type", "text/plain")]


def ok(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"ok"]


def validated(environ, start_response):
    """An application that uses all of the interface, for wsgiref.validate."""
    stdin = environ["wsgi.input"]
    kind = environ["PATH_INFO"]
    if kind == "/read":
        text = stdin.read(3) + stdin.read(100)
    elif kind == "/lines":
        text = stdin.readline() + b"|".join(stdin.readlines()) + b"".join(stdin)
    elif kind == "/iterate":
        text = b"|".join(stdin)
    else:
        text = b"none"
    environ["wsgi.errors"].write("")
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Kind", kind)])
    return [b"got ", text]


@pytest.mark.parametrize(
    ("method", "uri", "body", "sent"),
    [
        ("GET", "/", b"", b"got none"),
        ("POST", "/read", b"abcdef", b"got abcdef"),
        ("POST", "/lines", b"a\nb\nc", b"got a\nb\n|c"),
        ("POST", "/iterate", b"a\nb\nc", b"got a\n|b\n|c"),
        ("HEAD", "/", b"", b""),
        ("GET", "/%C3%A9?q=1", b"", b"got none"),
    ],
)
def test_wsgiref_validate_passes(serve, capfd, method, uri, body, sent):
    serving = serve(validator(validated), interface="wsgi")
    with Client(serving.address) as client:
        for _ in range(2):
            answer = client.request(method, uri, body=body)
            assert (answer.status, answer.body) == (200, sent), capfd.readouterr().err
    assert "Error" not in capfd.readouterr().err


def test_environ(serve):
    seen = []

    def app(environ, start_response):
        seen.append(dict(environ))
        return ok(environ, start_response)

    fetch(serve(app).address, uri="/a%20b?q=%31", HTTPS="on")
    environ = seen[0]
    assert type(environ) is dict
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["wsgi.errors"] is sys.stderr
    assert environ["wsgi.multithread"] is False
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert environ["fastcgi.request"] is environ["wsgi.input"]
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/a b"
    assert environ["QUERY_STRING"] == "q=%31"
    assert environ["fastcgi.orig.SCRIPT_NAME"] == "/a b"
    assert "fastcgi.orig.PATH_INFO" not in environ
    assert environ["SERVER_NAME"] == "localhost"
    keys = {key: key for key in environ}
    assert keys["REQUEST_METHOD"] is "REQUEST_METHOD"  # noqa: F632  Interned.


def test_required_keys_are_there_without_any_parameter(serve):
    serving = serve(validator(ok), interface="wsgi")
    with Client(serving.address) as client:
        client.send_request(params={"REQUEST_URI": "/"})
        assert client.collect().status == 200


def test_nothing_leaks_from_the_previous_request(serve):
    """The environ is made from the previous one: what a request lacks or
    changes, and what the application put in, must not be seen in the next."""
    seen = []

    def app(environ, start_response):
        seen.append(
            {
                k: v
                for k, v in environ.items()
                if not k.startswith("wsgi.") and k not in ("fastcgi.request", "fastcgi.aborted")
            }
        )
        environ["leak"] = "application"
        environ.pop("SERVER_NAME", None)
        return ok(environ, start_response)

    base = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/", "SERVER_NAME": "n", "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.0", "QUERY_STRING": "", "SCRIPT_NAME": "/"}  # fmt: skip
    steps = [
        base,
        base,
        {**base, "HTTP_AUTHORIZATION": "secret", "HTTP_COOKIE": "c=1"},
        {**base, "HTTP_AUTHORIZATION": "other", "HTTP_COOKIE": "c=1"},
        {**base, "HTTP_COOKIE": "c=1"},
        {**base, "HTTP_COOKIE": "c=2", "HTTP_AUTHORIZATION": ""},
        base,
        {**base, "HTTPS": "on"},
        {**base, "HTTPS": ""},
        {**base, "REQUEST_URI": "/x/y", "SCRIPT_NAME": "/x", "PATH_INFO": "/y"},
        {**base, "REQUEST_URI": "/x/z", "SCRIPT_NAME": "/x/z"},
        {**base, "REQUEST_URI": "/x/y", "SCRIPT_NAME": "/x", "PATH_INFO": "/y"},
        dict(reversed(base.items())),
        {f"N{i}": str(i) for i in range(150)},
        base,
    ]
    serving = serve(app)
    with Client(serving.address) as client:
        for params in steps:
            assert client.request(params=params).body == b"ok"
    shown = list(seen)
    fresh = []
    for params in steps:
        seen.clear()
        other = serve(app)
        assert fetch(other.address, params=params).body == b"ok"
        fresh.append(seen[0])
    assert shown == fresh
    assert all("leak" not in environ for environ in shown)
    assert "HTTP_AUTHORIZATION" not in shown[4]
    assert shown[9]["SCRIPT_NAME"] == "/x"
    assert "fastcgi.orig.SCRIPT_NAME" not in shown[9]
    assert shown[10]["fastcgi.orig.SCRIPT_NAME"] == "/x/z"


def test_duplicate_parameters_are_joined_and_forgotten(serve):
    seen = []

    def app(environ, start_response):
        seen.append(environ.get("HTTP_X"))
        return ok(environ, start_response)

    with Client(serve(app).address) as client:
        for pairs in ([("HTTP_X", "a"), ("HTTP_X", "b")], [("HTTP_X", "c")], []):
            client.begin()
            client.params(pairs)
            client.stdin(b"")
            client.collect()
    assert seen == ["a, b", "c", None]


def test_each_block_is_transmitted_before_the_next_is_asked_for(serve):
    gates = [threading.Event() for _ in range(3)]

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        for number, gate in enumerate(gates):
            yield b"" if number == 1 else b"%d" % number
            assert gate.wait(60)

    with Client(serve(app).address) as client:
        client.send_request()
        for number, gate in enumerate(gates):
            while number != 1 and not client.answers[1].body.endswith(b"%d" % number):
                assert client.step()
            gate.set()
        assert client.collect().body == b"02"


def test_a_known_length_ends_the_answer_with_its_last_block(serve):
    """The client has everything although the application is still busy."""
    gate, closed = threading.Event(), threading.Event()

    class App:
        def __init__(self, environ, start_response):
            start_response("200 OK", [*TEXT, ("Content-Length", "4")])

        def __iter__(self):
            yield b"ab"
            yield b"cd"
            assert gate.wait(60)

        def close(self):
            closed.set()

    answer = fetch(serve(App, interface="wsgi").address)
    assert (answer.body, answer.ended) == (b"abcd", True)
    assert not closed.is_set()
    gate.set()
    assert closed.wait(60)


def test_the_body_can_be_read_to_its_end_after_the_last_block(serve, capfd):
    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", environ["CONTENT_LENGTH"] or "2")])
        if not environ["CONTENT_LENGTH"]:
            yield b"no"
        while block := environ["wsgi.input"].read(4):
            yield block

    address = serve(app).address
    assert fetch(address, "POST", body=b"12345678").body == b"12345678"
    assert fetch(address).body == b"no"
    assert "Error" not in capfd.readouterr().err


def test_close_is_called_always(serve):
    closed = []

    class Blocks:
        def __init__(self, name):
            self.name = name

        def __iter__(self):
            if self.name == "/empty":
                return
            yield b"x"
            if self.name == "/fails":
                raise ValueError("in the iterator")

        def close(self):
            closed.append(self.name)

    def app(environ, start_response):
        if environ["PATH_INFO"] != "/unstarted":
            start_response("200 OK", TEXT)
        return Blocks(environ["PATH_INFO"])

    serving = serve(app)
    uris = ["/good", "/empty", "/fails", "/unstarted"]
    statuses = [fetch(serving.address, uri=uri).status for uri in uris]
    serving.stop(graceful=True)
    assert closed == uris
    assert statuses == [200, 200, 200, 500]


def test_the_write_callable(serve):
    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"written ")
        write(b"")
        return [b"and ", b"returned"]

    assert fetch(serve(app).address).body == b"written and returned"


def test_exc_info_replaces_the_answer_before_output(serve):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            raise ValueError
        except ValueError:
            start_response("503 Busy", [("X-Why", "error")], sys.exc_info())
        return [b"sorry"]

    answer = fetch(serve(app).address)
    assert (answer.status, answer.body) == (503, b"sorry")
    assert "content-type" not in answer.headers


def test_exc_info_is_raised_after_output(serve, capfd):
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"begun")
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Error", TEXT, exc_info=sys.exc_info())
        return [b"never"]

    answer = fetch(serve(app).address)
    assert (answer.body, answer.ended) == (b"begun", False)
    assert "ValueError: too late" in capfd.readouterr().err


def start_twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        (start_twice, "start_response was called already"),
        (lambda e, s: [b"x"], "did not call start_response"),
        (lambda e, s: s("200", TEXT) and 3, "'int' object is not iterable"),
        (lambda e, s: s("200 OK", TEXT) and ["text"], "must yield bytes, not str"),
        (lambda e, s: s("200 OK", TEXT) and iter(["text"]), "must yield bytes, not str"),
        (lambda e, s: s("200 OK", TEXT) and b"text", "must yield bytes, not int"),
        (lambda e, s: s("200 OK", TEXT) and iter(b"text"), "must yield bytes, not int"),
        (lambda e, s: s("OK", TEXT) and [], "not a status line: 'OK'"),
        (lambda e, s: s("2000", TEXT) and [], "not a status line: '2000'"),
        (lambda e, s: s(200, TEXT) and [], "the status must be str, not int"),
        (lambda e, s: s("200 OK", dict(TEXT)) and [], "the headers must be a list"),
        (lambda e, s: s("200 OK", [("A", "b\r\nc")]) and [], "without CR, LF and NUL"),
        (lambda e, s: s("200 OK", [("Content-Length", "5")]) and [b"abc"], "says 5"),
        (lambda e, s: s(), "takes status, headers"),
    ],
)
def test_a_wrong_application_is_500_and_explained(serve, capfd, app, complaint):
    answer = fetch(serve(app).address)
    assert (answer.status, answer.ended) == (500, True)
    assert complaint in capfd.readouterr().err


@pytest.mark.parametrize(
    ("length", "complaint"), [("5", "2 bytes less than Content-Length"), ("2", "more bytes")]
)
def test_a_wrong_length_cuts_the_connection(serve, capfd, length, complaint):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", length)])
        yield b"a"
        yield b"bc"

    answer = fetch(serve(app).address)
    assert not answer.ended
    assert complaint in capfd.readouterr().err


def test_head_and_empty_answers(serve):
    def app(environ, start_response):
        status = environ["PATH_INFO"][1:]
        start_response(f"{status} X", [("Content-Length", "9")] if status == "201" else [])
        return iter([b"123456789"]) if status == "201" else []

    address = serve(app).address
    answer = fetch(address, "HEAD", "/201")
    assert (answer.body, answer.headers["content-length"], answer.ended) == (b"", "9", True)
    assert fetch(address, uri="/200").headers["content-length"] == "0"
    assert "content-length" not in fetch(address, uri="/204").headers
    assert "content-length" not in fetch(address, "HEAD", uri="/200").headers


def test_file_wrapper_sends_real_files(serve, tmp_path):
    content = bytes(range(256)) * 4000
    (tmp_path / "f").write_bytes(content)
    closed = []

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        file = open(tmp_path / "f", "rb")  # noqa: SIM115
        close = file.close
        file.close = lambda: (closed.append(True), close())  # As Django does.
        file.seek(100)
        return environ["wsgi.file_wrapper"](file, 4096)

    serving = serve(app)
    answer = fetch(serving.address)
    assert answer.body == content[100:]
    assert answer.headers["content-length"] == str(len(content) - 100)
    serving.stop(graceful=True)
    assert closed


@pytest.mark.parametrize("buffered", [False, True])
def test_file_wrapper_honours_content_length_and_position(serve, tmp_path, buffered):
    (tmp_path / "f").write_bytes(b"0123456789" * 1000)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "6")])
        file = open(tmp_path / "f", "rb", buffering=-1 if buffered else 0)  # noqa: SIM115
        assert file.read(3) == b"012"
        return environ["wsgi.file_wrapper"](file)

    assert fetch(serve(app).address).body == b"345678"


def test_file_wrapper_iterates_over_what_is_no_file(serve):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 10000), 1000)

    assert fetch(serve(app).address).body == b"x" * 10000


def test_multithread_is_told(serve):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return [str(environ["wsgi.multithread"]).encode()]

    assert fetch(serve(app, threads=3).address).body == b"True"


def test_threads_serve_at_once(serve):
    barrier = threading.Barrier(3, timeout=60)

    def app(environ, start_response):
        barrier.wait()
        start_response("200 OK", TEXT)
        return [threading.current_thread().name.encode()]

    serving = serve(app, threads=3)
    names = []
    clients = [Client(serving.address) for _ in range(3)]
    for client in clients:
        client.send_request()
    for client in clients:
        names.append(client.collect().body.decode())
        client.close()
    assert sorted(names) == ["fastcgi-1", "fastcgi-2", "fastcgi-3"]


def test_a_slow_reader_gets_everything(serve):
    block = bytes(range(256)) * 4096

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return (block for _ in range(8))

    with Client(serve(app).address) as client:
        client.send_request()
        time.sleep(0.5)
        assert client.collect().body == block * 8


@pytest.mark.parametrize("shape", [list, iter], ids=["list", "iterator"])
def test_a_reader_that_is_too_slow_never_gets_a_part_for_the_whole(serve, shape):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return shape([b"x" * 10_000_000] * 3)

    serving = serve(app, io_timeout=0.2)
    with Client(serving.address) as client:
        client.send_request()
        assert client.socket.recv(1, socket.MSG_PEEK), "it has begun"
        assert fetch(serving.address, "HEAD").status == 200, "the only thread has given up"
        answer = client.collect()
    assert not answer.ended
    assert len(answer.body) < 30_000_000
