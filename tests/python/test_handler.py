# SPDX-License-Identifier: MIT
"""The native interface: what a handler may return and how it fails."""

from __future__ import annotations

import hashlib
import threading
import time

import fastcgi
import pytest
from support.fcgi_client import Client, fetch, wait_until

TEXT = {"Content-Type": "text/plain"}


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"bytes", b"bytes"),
        ("text \u20ac", "text \u20ac".encode()),
        (bytearray(b"array"), b"array"),
        (memoryview(b"a view")[2:], b"view"),
        ([b"a", "b", bytearray(b"c")], b"abc"),
        ((b"x", b"y"), b"xy"),
        ([b"%d," % i for i in range(100)], b"".join(b"%d," % i for i in range(100))),
        ([], b""),
        (None, b""),
        (b"", b""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whole_bodies_are_counted_and_sent(serve, body, sent):
    answer = fetch(serve(lambda r: (200, TEXT, body)).address)
    assert (answer.status, answer.body) == (200, sent)
    assert answer.headers["content-length"] == str(len(sent))
    assert (answer.app_status, answer.protocol_status) == (0, 0)


def test_an_iterator_is_sent_block_by_block(serve):
    second = threading.Event()

    def blocks():
        yield b"first"
        assert second.wait(60), "the first block was not sent before the second was asked for"
        yield "second"

    serving = serve(lambda r: (200, TEXT, blocks()))
    with Client(serving.address) as client:
        client.send_request()
        while b"first" not in client.answers[1].body:
            assert client.step()
        second.set()
        answer = client.collect()
    assert answer.body == b"firstsecond"
    assert "content-length" not in answer.headers


def test_a_generator_is_closed_when_it_fails(serve, capfd):
    closed = threading.Event()

    class Blocks:
        def __iter__(self):
            yield b"some"
            raise KeyError("in the middle")

        def close(self):
            closed.set()

    answer = fetch(serve(lambda r: (200, TEXT, Blocks())).address)
    assert closed.wait(60)
    assert answer.body == b"some"
    assert not answer.ended, "a cut answer must not look like a whole one"
    assert "KeyError: 'in the middle'" in capfd.readouterr().err


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1", "X-B": "2"},
        [("X-A", "1"), ("X-B", "2")],
        (("X-A", "1"), ("X-B", "2")),
        iter([("X-A", "1"), ("X-B", "2")]),
        type("Headers", (dict,), {})({"X-A": "1", "X-B": "2"}),
    ],
    ids=["dict", "list", "tuple", "iterator", "mapping"],
)
def test_headers_may_have_any_shape(serve, headers):
    answer = fetch(serve(lambda r: (201, headers, b"")).address)
    assert answer.status == 201
    assert (answer.headers["x-a"], answer.headers["x-b"]) == ("1", "2")


def test_repeated_and_many_headers(serve):
    many = {f"X-{i}": "v" * i for i in range(100)}
    answer = fetch(serve(lambda r: (200, {"Set-Cookie": ["a=1", "b=2"], **many}, b"")).address)
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]
    assert {f"x-{i}" for i in range(100)} <= set(answer.headers)
    assert answer.headers["x-99"] == "v" * 99


@pytest.mark.parametrize("status", [204, 304])
def test_no_length_where_there_is_no_body(serve, status):
    answer = fetch(serve(lambda r: (status, None, None)).address)
    assert answer.status == status
    assert "content-length" not in answer.headers


def test_head_has_the_length_and_no_body(serve):
    answer = fetch(serve(lambda r: (200, TEXT, b"12345")).address, "HEAD")
    assert answer.headers["content-length"] == "5"
    assert answer.body == b""


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ("text", "must return (status, headers, body) or None, not str"),
        ((200, TEXT), "must return (status, headers, body) or None, not a tuple of 2"),
        (None, "returned None and wrote nothing"),
        ((200, TEXT, 17), "not int"),
        (("200", TEXT, b""), "the status must be an int, not str"),
        ((1 << 80, TEXT, b""), "status 0 is not from 200 to 599"),
        ((99, TEXT, b""), "status 99 is not from 200 to 599"),
        ((200, {"X": "a\nb"}, b""), "without CR, LF and NUL"),
        ((200, {"X Y": "a"}, b""), "an HTTP token"),
        ((200, {"X": 1}, b""), "a header's value must be str, not int"),
        ((200, {"X": "\u20ac"}, b""), "must be Latin-1"),
        ((200, ["X: 1"], b""), "must be a tuple (name, value), not str"),
        ((200, TEXT, [b"a", 1]), "bytes-like object is required"),
    ],
    ids=str,
)
def test_a_wrong_result_is_500_and_explained(serve, capfd, result, complaint):
    serving = serve(lambda r: result)
    with Client(serving.address) as client:
        answer = client.request(uri="/wrong")
        assert (answer.status, answer.ended) == (500, True)
        assert client.request().status == 500, "the server does not go on"
    error = capfd.readouterr().err
    assert complaint in error
    assert "'GET' '/wrong'" in error


def test_an_exception_is_500_with_its_traceback_on_stderr(serve, capfd):
    def failing(request):
        raise ZeroDivisionError("secret detail")

    answer = fetch(serve(failing).address, uri="/some/path?x=1")
    assert answer.status == 500
    assert b"secret" not in answer.stdout
    error = capfd.readouterr().err
    assert "fastcgi: 'GET' '/some/path': the application failed" in error
    assert "in failing" in error
    assert "ZeroDivisionError: secret detail" in error


def test_a_handler_may_write_by_itself(serve):
    def handler(request):
        request.start(200, {"Content-Type": "text/plain"})
        assert request.write(b"one ") == 4
        request.flush()
        request.write(bytearray(b"two"))

    assert fetch(serve(handler).address).body == b"one two"


def test_raw_cgi_output(serve):
    def handler(request):
        request.write(b"Content-Type: text/x\r\nStatus: 404 Gone\r\n\r\nraw")
        request.end(app_status=7)

    answer = fetch(serve(handler).address)
    assert (answer.status, answer.body, answer.app_status) == (404, b"raw", 7)


def test_reply(serve):
    serving = serve(lambda r: r.reply("h\u00e9", status=202))
    answer = fetch(serving.address)
    assert (answer.status, answer.body) == (202, "h\u00e9".encode())
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == "3"


def test_reply_with_headers(serve):
    serving = serve(lambda r: r.reply([b"a", b"b"], headers={"X": "1"}, content_type="text/x"))
    answer = fetch(serving.address)
    assert (answer.headers["x"], answer.headers["content-type"]) == ("1", "text/x")
    assert answer.body == b"ab"


def test_send_file(serve, tmp_path):
    path = tmp_path / "data"
    content = bytes(range(256)) * 5000
    path.write_bytes(content)

    def handler(request):
        request.start(200, TEXT)
        with path.open("rb") as file:
            if request.path == "/part":
                request.send_file(file, offset=1000, length=777)
            else:
                request.send_file(file.fileno(), offset=10)

    address = serve(handler).address
    assert fetch(address).body == content[10:]
    assert fetch(address, uri="/part").body == content[1000:1777]


def test_send_file_refuses_nonsense(serve):
    def handler(request):
        with pytest.raises(TypeError):
            request.send_file("name")
        with pytest.raises(OSError, match="Bad file descriptor"):
            request.send_file(999)
        with open(__file__, "rb") as file, pytest.raises(ValueError, match="negative"):
            request.send_file(file, offset=-1, length=1)
        return 200, TEXT, b"ok"

    assert fetch(serve(handler).address).body == b"ok"


def test_attributes(serve):
    def handler(request):
        shown = [
            request.method, request.path, request.query, request.id, request.role,
            request.content_length, request.aborted, request.ended, repr(request),
        ]  # fmt: skip
        return 200, TEXT, repr(shown)

    serving = serve(handler)
    with Client(serving.address) as client:
        answer = client.request("PUT", "/a%20b?q=%20", body=b"xyz", request_id=300)
    expected = "['PUT', '/a b', 'q=%20', 300, 'responder', 3, None, False, "
    assert answer.body.decode() == expected + "'<fastcgi.Request id 300, open>']"


def test_params_are_latin_1_and_complete(serve):
    def handler(request):
        assert request.params is request.params
        return 200, TEXT, repr(sorted(request.params.items()))

    with Client(serve(handler).address) as client:
        client.begin()
        pairs = [("A", "1"), ("HTTP_X", "p"), ("HTTP_X", "q"), ("B", b"\xff\xe9"), ("A", "2")]
        client.params([*pairs, ("LONG", "x" * 300), ("EMPTY", "")])
        client.stdin(b"")
        body = client.collect().body.decode()
    expected = {"A": "2", "HTTP_X": "p, q", "B": "\xff\xe9", "LONG": "x" * 300, "EMPTY": ""}
    assert body == repr(sorted(expected.items()))


def test_a_saved_request_raises_when_it_has_ended(serve):
    saved = []

    def handler(request):
        saved.append(request)
        return 200, TEXT, b""

    serving = serve(handler)
    fetch(serving.address)
    serving.stop()
    old = saved[0]
    assert old.ended
    assert repr(old) == "<fastcgi.Request id 1, ended>"
    assert (old.id, old.role) == (1, "responder")
    uses = [
        lambda: old.params, lambda: old.method, lambda: old.path, lambda: old.query,
        lambda: old.aborted, lambda: old.read(), lambda: old.read1(), lambda: old.readline(),
        lambda: old.readlines(), lambda: next(old), lambda: old.readinto(bytearray(3)),
        lambda: old.start(), lambda: old.write(b"x"), lambda: old.flush(), lambda: old.end(),
        lambda: old.fail(), lambda: old.reply(b""), lambda: old.send_file(0, 0, 1),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(fastcgi.StateError, match="the request has ended"):
            use()


def test_params_seen_before_the_end_stay(serve):
    saved = []

    def handler(request):
        saved.append((request, request.params))
        return 200, TEXT, b""

    fetch(serve(handler).address)
    old, params = saved[0]
    while not old.ended:
        time.sleep(0.001)
    assert old.params is params
    assert params["REQUEST_METHOD"] == "GET"


def test_ending_twice_and_starting_twice(serve):
    def handler(request):
        request.start()
        with pytest.raises(fastcgi.StateError, match="begun already"):
            request.start()
        request.end()
        with pytest.raises(fastcgi.StateError):
            request.end()

    assert fetch(serve(handler).address).status == 200


def test_another_thread_cannot_end_a_request_in_use(serve):
    """A read that waits keeps the handle alive; end() then raises."""
    told = []

    def handler(request):
        def end():
            time.sleep(1)  # The other one reads by now.
            try:
                request.end()
            except fastcgi.StateError as error:
                told.append(str(error))

        thread = threading.Thread(target=end)
        thread.start()
        body = request.read()
        thread.join()
        return 200, TEXT, body

    serving = serve(handler, stream=True)
    with Client(serving.address) as client:
        client.begin()
        client.params({"REQUEST_METHOD": "POST"})
        client.stdin(b"some", end=False)
        wait_until(lambda: told, what="the refusal")
        client.stdin(b" body")
        assert client.collect().body == b"some body"
    assert told == ["another thread is using the request"]


def test_only_one_thread_reads(serve):
    caught = []

    def handler(request):
        def read():
            time.sleep(1)  # The other one reads by now.
            try:
                request.read()
            except fastcgi.StateError as error:
                caught.append(str(error))

        thread = threading.Thread(target=read)
        thread.start()
        request.read()
        thread.join()
        return 200, TEXT, caught[0]

    serving = serve(handler, stream=True)
    with Client(serving.address) as client:
        client.begin()
        client.params({"REQUEST_METHOD": "POST"})
        wait_until(lambda: caught, what="the refusal")
        client.stdin(b"")
        assert client.collect().body == b"another thread is reading the body"


def test_a_client_that_is_gone_is_seen_and_not_reported(serve, capfd):
    seen = threading.Event()
    reasons = []

    def handler(request):
        if request.path == "/after":
            return 200, TEXT, b"alive"
        until = time.monotonic() + 60
        while request.aborted is None and time.monotonic() < until:
            time.sleep(0.01)
        reasons.append(request.aborted)
        try:
            request.start()
            request.write(b"x" * 100000)
            request.flush()
        finally:
            seen.set()

    serving = serve(handler, threads=2)
    with Client(serving.address) as client:
        client.send_request()
        time.sleep(0.1)
    assert seen.wait(60)
    assert reasons == ["connection"]
    assert fetch(serving.address, uri="/after").body == b"alive"
    assert "Traceback" not in capfd.readouterr().err


def test_an_abort_record_is_a_hint(serve):
    reasons = []

    def handler(request):
        until = time.monotonic() + 60
        while request.aborted is None and time.monotonic() < until:
            time.sleep(0.01)
        reasons.append(request.aborted)
        return 200, TEXT, b"still answered"

    serving = serve(handler, threads=2)
    with Client(serving.address) as client:
        client.send_request()
        time.sleep(0.1)
        client.abort()
        assert client.collect().body == b"still answered"
    assert reasons == ["record"]


def test_multiplexed_requests_run_at_once(serve):
    barrier = threading.Barrier(4, timeout=60)

    def handler(request):
        barrier.wait()
        return 200, TEXT, hashlib.sha256(request.read()).hexdigest()

    serving = serve(handler, threads=4)
    bodies = {i: bytes([i]) * (i * 1000) for i in (1, 2, 3, 9)}
    with Client(serving.address) as client:
        for request_id, body in bodies.items():
            client.send_request("POST", body=body, request_id=request_id)
        for request_id, body in bodies.items():
            answer = client.collect(request_id)
            assert answer.body.decode() == hashlib.sha256(body).hexdigest()


def test_byte_at_a_time(serve):
    serving = serve(lambda r: (200, TEXT, r.method + r.read().decode()))
    with Client(serving.address) as client:
        client.at_a_time = 1
        for _ in range(2):
            assert client.request("POST", body=b"slow").body == b"POSTslow"
