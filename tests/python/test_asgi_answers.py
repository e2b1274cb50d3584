# SPDX-License-Identifier: MIT
"""ASGI: what an application may send, in which order, and how it fails."""

from __future__ import annotations

import asyncio
import time

import fastcgi
import pytest
from fastcgi.testing import Client, request_bytes
from support.asgi import START, answers, body
from support.fcgi_client import wait_until

LIMITS = {"lifespan": "off"}


def test_a_whole_answer_gets_its_length():
    with Client(answers(START, body(b"hello")), **LIMITS) as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.header("content-length") == "5"
        assert client.head("/").header("content-length") == "5"
        assert client.head("/").body == b""


@pytest.mark.parametrize("piece", [b"x", b"x" * 20_000, b"x" * 3_000_000])
def test_an_answer_in_pieces(piece):
    messages = [body(piece, more=True), body(b"", more=True), body(memoryview(piece), more=True)]
    with Client(answers(START, *messages, body(b"end")), **LIMITS) as client:
        answer = client.get("/")
        assert answer.body == piece * 2 + b"end"
        assert answer.header("content-length") is None


def test_a_body_larger_than_any_window():
    data = bytes(10_000_000)
    with Client(answers(START, body(data)), output_window=1000, **LIMITS) as client:
        answer = client.get("/")
    assert answer.body == data
    assert answer.header("content-length") == str(len(data))


def test_each_piece_leaves_at_once():
    go = []

    async def app(scope, receive, send):
        await send(START)
        await send(body(b"first", more=True))
        while not go:
            await asyncio.sleep(0.01)
        await send(body(b"last"))

    with Client(app, **LIMITS) as client, client.connect() as connection:
        connection.send(request_bytes("GET", "/"))
        records = connection.records()
        assert next(records)[2].endswith(b"first")
        go.append(1)
        assert next(records)[2] == b"last"


def test_send_waits_for_a_slow_client():
    """No more is taken than the windows hold."""
    sent = []

    async def app(scope, receive, send):
        await send(START)
        for _ in range(100):
            await send(body(bytes(100_000), more=True))
            sent.append(time.monotonic())
        await send(body(b""))

    with Client(app, **LIMITS) as client, client.connect() as connection:
        connection.send(request_bytes("GET", "/"))
        wait_until(lambda: len(sent) > 0, 20, "the first piece")
        before = -1
        while before != len(sent):
            before = len(sent)
            time.sleep(0.3)
        assert before < 50
        assert len(connection.response().body) == 100 * 100_000
    assert len(sent) == 100


def test_a_client_that_reads_nothing_is_given_up():
    raised = []

    async def app(scope, receive, send):
        await send(START)
        try:
            while True:
                await send(body(bytes(100_000), more=True))
        except OSError as error:
            raised.append(error)
            raise

    with Client(app, io_timeout=0.3, **LIMITS) as client, client.connect() as connection:
        connection.send(request_bytes("GET", "/"))
        wait_until(lambda: raised, 20, "the end of patience")
    assert isinstance(raised[0], fastcgi.Timeout)


def test_others_run_while_one_sends_without_a_pause():
    stop = []

    async def app(scope, receive, send):
        await send(START)
        if scope["path"] == "/stop":
            stop.append(1)
        while scope["path"] == "/" and not stop:
            await send(body(b"x" * 100, more=True))
        await send(body(b"."))

    with Client(app, **LIMITS) as client, client.connect() as connection:
        connection.send(request_bytes("HEAD", "/"))
        assert client.get("/stop").body == b"."


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([body(b"x")], "'http.response.body' was sent before the head of an answer"),
        ([START, START], "'http.response.start' was sent after a head"),
        ([START, body(b"", more=True), START], "'http.response.start' was sent within a body"),
        ([START, body(b"x"), START], "'http.response.start' was sent after a whole answer"),
        ([START, body(b"x"), body(b"y")], "'http.response.body' was sent after a whole answer"),
        ([{"type": "http.response.push"}], "no message of type 'http.response.push'"),
        ([{**START, "status": "200"}], "the status must be an int, not str"),
        ([{**START, "status": 101}], "the answer cannot begin"),
        ([{**START, "headers": [("a", "b")]}], "must be bytes, not str and str"),
        ([{**START, "headers": [(b"a", b"b", b"c")]}], "each header must be a pair of bytes"),
        ([{**START, "headers": [(b"a b", b"c")]}], "header 'a b' has ' ' in its name"),
        ([{**START, "headers": [(b"a", b"b\nc")]}], "has '\\n' in its value"),
        (
            [{**START, "headers": [(b"content-length", b"7")]}, body(b"x")],
            "the answer cannot begin",
        ),
        (
            [START, {"type": "http.response.body", "body": "text"}],
            "a bytes-like object is required",
        ),
        ([START, {"type": "http.response.pathsend", "path": "/nowhere"}], "No such file"),
        ([START, {"type": "http.response.pathsend", "path": "/"}], "no regular file"),
    ],
)
def test_what_may_not_be_sent_raises_where_it_is(messages, complaint):
    """And the application may answer something else, unless it has answered."""
    raised = []

    async def app(scope, receive, send):
        for message in messages[:-1]:
            await send(message)
        with pytest.raises((RuntimeError, ValueError, TypeError, OSError)) as caught:
            await send(messages[-1])
        raised.append(str(caught.value))
        if len(messages) == 1:
            await send({**START, "status": 500})
        if messages[1:2] != [body(b"x")] or "content-length" in str(messages):
            await send(body(b""))

    with Client(app, **LIMITS) as client:
        client.get("/")
        wait_until(lambda: raised, 20, "what is raised")
        assert complaint in raised[0]
        assert client.get("/").status in (200, 500)


@pytest.mark.parametrize("uri", ["/x", "/x?head"])
def test_a_failure_before_the_answer_is_a_500_and_one_traceback(capfd, uri):
    async def app(scope, receive, send):
        if scope["query_string"]:
            await send(START)
        raise KeyError("why")

    with Client(app, **LIMITS) as client:
        answer = client.get(uri)
    assert (answer.status, answer.body) == (500, b"500 Internal Server Error\n")
    log = capfd.readouterr().err
    assert log.startswith("fastcgi: 'GET' '/x': the application failed\nTraceback")
    assert log.count("Traceback") == 1
    assert "KeyError: 'why'" in log


def test_a_failure_after_the_head_cuts_the_answer(capfd):
    async def app(scope, receive, send):
        await send(START)
        await send(body(b"part", more=True))
        raise KeyError("why")

    with Client(app, **LIMITS) as client, pytest.raises(fastcgi.Closed):
        client.get("/")
    assert capfd.readouterr().err.count("KeyError: 'why'") == 1


def test_a_failure_after_the_answer_is_logged_alone(capfd):
    async def app(scope, receive, send):
        await answers(START, body(b"whole"))(scope, receive, send)
        raise KeyError("why")

    with Client(app, **LIMITS) as client:
        assert client.get("/x").body == b"whole"
    log = capfd.readouterr().err
    assert log.startswith("fastcgi: 'GET' '/x': the application failed\n")
    assert "KeyError" in log


@pytest.mark.parametrize(
    ("messages", "line"),
    [
        ([], "'GET' '/x': the application returned without an answer"),
        ([START], "'GET' '/x': the application returned before its answer was whole"),
        ([START, body(b"p", more=True)], "'GET' '/x': the application returned before its answer"),
    ],
)
def test_who_returns_without_a_whole_answer_is_named(messages, line, capfd):
    with Client(answers(*messages), **LIMITS) as client:
        if len(messages) < 2:
            assert client.get("/x").status == 500
        else:
            with pytest.raises(fastcgi.Closed):
                client.get("/x")
    assert line in capfd.readouterr().err


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
)
def test_an_exit_ends_its_request_alone(error, capfd):
    async def app(scope, receive, send):
        if scope["path"] == "/bad":
            raise error
        if scope["path"] == "/task":
            task = asyncio.create_task(app({"path": "/bad"}, receive, send))
            await asyncio.wait([task])
        await answers(START, body(b"ok"))(scope, receive, send)

    with Client(app, **LIMITS) as client:
        assert client.get("/bad").status == 500
        assert client.get("/task").status == 200
        assert client.get("/good").body == b"ok"
    assert type(error).__name__ in capfd.readouterr().err


def test_a_file_is_sent(tmp_path):
    data = bytes(range(256)) * 40_000
    path = tmp_path / "file"
    path.write_bytes(data)
    app = answers(START, {"type": "http.response.pathsend", "path": str(path)})
    with Client(app, **LIMITS) as client:
        answer = client.get("/")
        assert answer.body == data
        assert answer.header("content-length") == str(len(data))
        head = client.head("/")
        assert (head.body, head.header("content-length")) == (b"", str(len(data)))


def test_a_file_is_sent_no_further_than_promised(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    start = {**START, "headers": [(b"content-length", b"4")]}
    with Client(answers(start, {"type": "http.response.pathsend", "path": str(path)})) as client:
        assert client.get("/").body == b"0123"


def test_answers_without_a_body():
    for status in (204, 304):
        with Client(answers({**START, "status": status}, body(b"")), **LIMITS) as client:
            answer = client.get("/")
            assert (answer.status, answer.body) == (status, b"")
