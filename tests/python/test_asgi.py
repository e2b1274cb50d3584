# SPDX-License-Identifier: MIT
"""ASGI: the scope of a request, its body, and how many run at once."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time

import fastcgi
import pytest
from fastcgi.testing import Client, request_bytes, request_params
from support.asgi import START, answers, body, read
from support.fcgi_client import wait_until

LIMITS = {"lifespan": "off"}


async def echo(scope, receive, send):
    data, count = await read(receive)
    await send({**START, "headers": [(b"x-count", str(count).encode())]})
    await send(body(data))


def scope_of(**request) -> dict:
    """The scope that an application gets."""
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)
        await send(START)
        await send(body(b""))

    with Client(app, **LIMITS, **request.pop("options", {})) as client:
        client.request(request.pop("method", "GET"), request.pop("uri", "/"), **request)
    return seen


def test_the_scope_has_what_asgi_says():
    scope = scope_of(
        method="POST",
        uri="/a%20b/%C3%BC?x=%20&y",
        body=b"abc",
        headers={"Content-Type": "text/plain", "X-Two_Words": "\xfc", "Cookie": "a=1"},
        params={"REMOTE_ADDR": "10.0.0.9", "REMOTE_PORT": "4711", "HTTPS": "on"},
    )
    request = scope.pop("fastcgi.request")
    assert isinstance(request, fastcgi.Request)
    headers = dict(scope.pop("headers"))
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/a b/\xfc",
        "raw_path": b"/a%20b/%C3%BC",
        "query_string": b"x=%20&y",
        "root_path": "",
        "client": ("10.0.0.9", 4711),
        "server": ("localhost", 80),
        "state": {},
        "extensions": {"http.response.pathsend": {}},
    }
    assert headers == {
        b"host": b"localhost",
        b"content-type": b"text/plain",
        b"content-length": b"3",
        b"x-two-words": "\xfc".encode(),
        b"cookie": b"a=1",
    }


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, {"http_version": "1.0"}),
        ({"SERVER_PROTOCOL": "HTTP/2.0"}, {"http_version": "2"}),
        ({"SERVER_PROTOCOL": "HTTP/3.0"}, {"http_version": "3"}),
        ({"SERVER_PROTOCOL": "INCLUDED"}, {"http_version": "1.1"}),
        ({"REQUEST_METHOD": "get"}, {"method": "GET"}),
        ({"REQUEST_SCHEME": "https"}, {"scheme": "https"}),
        ({"HTTPS": "off"}, {"scheme": "http"}),
        ({"REMOTE_ADDR": ""}, {"client": None}),
        ({"REMOTE_PORT": ""}, {"client": ("127.0.0.1", 0)}),
        ({"SERVER_NAME": ""}, {"server": None}),
        ({"PATH_INFO": b"/\xff"}, {"path": "/\ufffd"}),
        (
            {"SCRIPT_NAME": "/shop", "PATH_INFO": "/x", "REQUEST_URI": "/shop/x"},
            {"root_path": "/shop", "path": "/shop/x", "raw_path": b"/shop/x"},
        ),
        # The web server has judged another path than the client has asked for.
        ({"PATH_INFO": "/y", "REQUEST_URI": "/x"}, {"path": "/y", "raw_path": None}),
    ],
)
def test_what_the_scope_is_made_of(params, expected):
    scope = scope_of(params=params)
    assert {key: scope[key] for key in expected} == expected


def test_a_configured_mount_point_is_the_root_path():
    scope = scope_of(uri="/shop/x", options={"root_path": "/shop"})
    assert (scope["root_path"], scope["path"]) == ("/shop", "/shop/x")


def test_headers_of_one_request_are_not_those_of_another():
    seen = []

    async def app(scope, receive, send):
        seen.append(dict(scope["headers"]))
        scope["headers"].append((b"mine", b"1"))
        scope["extensions"]["mine"] = scope["state"]["mine"] = 1
        await answers(START, body(b""))(scope, receive, send)

    with Client(app, **LIMITS) as client:
        for value in ("a", "b", "b", None):
            client.get("/", headers={} if value is None else {"Cookie": value, "X-Odd-Name": value})
        assert scope_of()["extensions"] == {"http.response.pathsend": {}}
    assert [one.get(b"cookie") for one in seen] == [b"a", b"b", b"b", None]
    assert [one.get(b"x-odd-name") for one in seen] == [b"a", b"b", b"b", None]
    assert not any(b"mine" in one for one in seen)


def test_headers_that_come_twice_and_many_of_them():
    many = {f"HTTP_X_{number}": str(number) for number in range(300)}
    assert len(scope_of(params=many)["headers"]) == 301
    twice = request_bytes("GET", "/", params={"HTTP_X_A": "1", "HTTP_X_B": "2"})
    twice = twice.replace(b"HTTP_X_B", b"HTTP_X_A")
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)
        await answers(START, body(b""))(scope, receive, send)

    with Client(app, **LIMITS) as client, client.connect() as connection:
        connection.send(twice)
        connection.response()
    assert [value for name, value in seen["headers"] if name == b"x-a"] == [b"1, 2"]


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 1_000_000])
@pytest.mark.parametrize("stream", [False, True])
def test_the_whole_body_is_received(size, stream):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with Client(echo, stream=stream, **LIMITS) as client:
        answer = client.post("/", data)
        assert answer.body == data
        if not stream:
            assert answer.header("x-count") == str(max(-(-size // 65536), 1))


def test_a_body_is_received_while_it_comes():
    async def app(scope, receive, send):
        await send(START)
        for _ in range(2):
            message = await receive()
            await send(body(message["body"], more=True))
        message = await receive()
        assert message == {"type": "http.request", "body": b"", "more_body": False}
        await send(body(b"."))

    with Client(app, stream=True, **LIMITS) as client, client.connect() as connection:
        connection.begin(request_params("POST", "/"))
        received = b""
        records = connection.records()
        for piece in (b"one", b"two"):
            connection.stdin(piece, end=False)
            while not received.endswith(piece):
                received += next(records)[2]
        connection.stdin(b"")
        while not received.endswith(b"."):
            received += next(records)[2]


def test_what_is_not_received_is_not_read_ahead():
    """The window is full, and the rest stays with the web server."""
    size = 4_000_000
    go = []

    async def app(scope, receive, send):
        while not go:
            await asyncio.sleep(0.01)
        data, _ = await read(receive)
        await answers(START, body(str(len(data)).encode()))(scope, receive, send)

    with Client(app, stream=True, input_window=65536, **LIMITS) as client:
        with client.connect() as connection:
            connection.begin(request_params("POST", "/", length=size))
            connection.timeout = 1
            with pytest.raises(fastcgi.Timeout, match="does not read"):
                connection.stdin(bytes(size))
        go.append(1)
        assert client.post("/", bytes(size)).body == str(size).encode()


def test_a_body_that_is_cut_is_a_disconnect():
    seen = []

    async def app(scope, receive, send):
        while not seen or seen[-1]["type"] != "http.disconnect":
            seen.append(await receive())
        await answers({**START, "status": 400}, body(b"cut"))(scope, receive, send)

    for stream in (False, True):
        seen.clear()
        with Client(app, stream=stream, **LIMITS) as client, client.connect() as connection:
            connection.begin(request_params("POST", "/", length=9))
            connection.stdin(b"part")
            answer = connection.response()
        assert (answer.status, answer.body) == (400, b"cut")
        assert seen[0] == {"type": "http.request", "body": b"part", "more_body": True}


def test_after_the_answer_receive_says_so_at_once():
    seen = []

    async def app(scope, receive, send):
        await answers(START, body(b"x"))(scope, receive, send)
        seen.append(await receive())

    with Client(app, **LIMITS) as client:
        assert client.get("/").body == b"x"
    assert seen == [{"type": "http.disconnect"}]


def test_who_waits_in_receive_hears_of_the_end_of_the_answer():
    seen = []

    async def app(scope, receive, send):
        assert (await receive())["type"] == "http.request"
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0.01)
        await answers(START, body(b"x"))(scope, receive, send)
        seen.append(await waiting)

    with Client(app, **LIMITS) as client:
        assert client.get("/").body == b"x"
    assert seen == [{"type": "http.disconnect"}]


def test_a_websocket_is_refused_clearly():
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    with Client(echo, **LIMITS) as client:
        answer = client.get("/", headers=headers)
        assert answer.status == 501
        assert "a WebSocket cannot pass through" in answer.text
        assert client.get("/", headers={"Upgrade": "h2c"}).status == 200


def test_requests_run_at_the_same_time():
    """1,000 that wait 100 ms each."""
    running = most = 0

    async def app(scope, receive, send):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.1)
        running -= 1
        await answers(START, body(b"ok"))(scope, receive, send)

    with Client(app, **LIMITS) as client, client.connect() as connection:
        numbers = range(1, 1001)
        began = time.monotonic()
        connection.send(
            b"".join(request_bytes("GET", "/", request_id=one, keep=True) for one in numbers)
        )
        answers_ = connection.responses(*numbers)
        took = time.monotonic() - began
    print(f"1,000 requests that wait 100 ms each: {took:.3f} s")
    assert {answer.body for answer in answers_.values()} == {b"ok"}
    assert most > 500


def test_no_more_run_than_may():
    running = most = 0
    release = []

    async def app(scope, receive, send):
        nonlocal running, most
        running += 1
        most = max(most, running)
        while not release:
            await asyncio.sleep(0.01)
        await send(START)
        await send(body(bytes(600_000), more=True))
        await send(body(b"."))
        running -= 1

    with Client(app, limit_concurrency=3, **LIMITS) as client:
        numbers = range(1, 21)
        with client.connect() as connection:
            connection.send(
                b"".join(request_bytes("GET", "/", request_id=one, keep=True) for one in numbers)
            )
            wait_until(lambda: running == 3, 20, "three that run")
            time.sleep(0.1)
            assert running == 3
            release.append(1)
            found = connection.responses(*numbers)
    assert [len(answer.body) for answer in found.values()] == [600_001] * 20
    assert most == 3


def test_each_request_has_a_context_of_its_own():
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    async def app(scope, receive, send):
        seen.append(variable.get())
        variable.set(scope["path"])
        await asyncio.sleep(0)
        assert variable.get() == scope["path"]
        await answers(START, body(b""))(scope, receive, send)

    with Client(app, limit_concurrency=1, **LIMITS) as client:
        for path in ("/a", "/b", "/c"):
            client.get(path)
    assert seen == ["unset"] * 3


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks from 3.12 on")
def test_tasks_may_be_eager():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            raise NotImplementedError
        await answers(START, body(b"x"))(scope, receive, send)

    with Client(app, limit_concurrency=1, loop="asyncio") as client:
        assert [client.get("/").body for _ in range(3)] == [b"x"] * 3


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "auto"])
def test_the_loop_is_the_one_asked_for(loop):
    import uvloop

    seen = []

    async def app(scope, receive, send):
        seen.append(isinstance(asyncio.get_running_loop(), uvloop.Loop))
        await answers(START, body(b"x"))(scope, receive, send)

    with Client(app, loop=loop, **LIMITS) as client:
        assert client.get("/").body == b"x"
    assert seen == [loop != "asyncio"]


def test_what_an_event_loop_cannot_do_is_refused():
    for options, complaint in (
        ({"threads": 2}, "threads=2 is for handlers and WSGI"),
        ({"roles": {"authorizer": lambda request: None}}, "not beside ASGI"),
    ):
        client = Client(echo, **options)
        with pytest.raises(ValueError, match=complaint):
            client.close()
    client = Client(echo, poller="poll")
    with pytest.raises(fastcgi.Unsupported):
        client.close()


def test_other_roles_are_refused():
    with Client(echo, **LIMITS) as client:
        assert client.request("GET", "/", role=2).status == 503
