# SPDX-License-Identifier: MIT
"""No references are lost: whole requests of every kind leave the counts of our
types and the memory of the process where they were."""

from __future__ import annotations

import contextlib
import gc
import io
import resource
import sys
import tempfile

import fastcgi
import pytest
from fastcgi import _core
from support.asgi import START, answers, body, read
from support.fcgi_client import Client

TEXT = [("Content-Type", "text/plain")]
ROUNDS = 1000

TYPES = [value for value in vars(_core).values() if isinstance(value, type)]


def whole(request):
    return 200, {"X": "1"}, [b"a", "b"]


def blocks(request):
    return 200, TEXT, (part for part in ("a", b"b"))


def fails(request):
    raise ValueError


def wrong(request):
    return 200, {"X": "\n"}, b""


def reads(request):
    return (
        200,
        TEXT,
        request.readline() + request.read() + request.params["REQUEST_METHOD"].encode(),
    )


def writes(request):
    request.start(200, TEXT)
    request.write(b"x")
    cycle = request.params
    cycle["self"] = request


def replies(request):
    request.reply("body", headers={"A": "b"})
    with contextlib.suppress(fastcgi.StateError):
        request.read()


def wsgi_list(environ, start_response):
    start_response("200 OK", TEXT)
    environ["cycle"] = environ
    return [environ["wsgi.input"].read()]


def wsgi_blocks(environ, start_response):
    start_response("200 OK", TEXT)(b"w")
    yield b"x"
    yield b"y"


def wsgi_again(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise ValueError
    except ValueError:
        start_response("500 X", TEXT, sys.exc_info())
    return iter([b"x"])


def wsgi_fails(environ, start_response):
    start_response("bad", TEXT)


def wsgi_file(environ, start_response):
    start_response("200 OK", TEXT)
    file = tempfile.TemporaryFile()  # noqa: SIM115  Closed by the wrapper.
    file.write(b"file")
    file.seek(0)
    return environ["wsgi.file_wrapper"](file)


def wsgi_bytes_io(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"abc"), 2)


async def asgi_whole(scope, receive, send):
    scope["cycle"] = scope
    await answers(START, body(b"x"))(scope, receive, send)


async def asgi_pieces(scope, receive, send):
    data, _ = await read(receive)
    await answers(START, body(data, more=True), body(b"y", more=True), body(b""))(
        scope, receive, send
    )


async def asgi_fails(scope, receive, send):
    await send(START)
    raise ValueError


async def asgi_wrong(scope, receive, send):
    with contextlib.suppress(ValueError):
        await send({**START, "headers": [(b"a b", b"c")]})


async def asgi_file(scope, receive, send):
    await answers(START, {"type": "http.response.pathsend", "path": __file__})(scope, receive, send)


APPS = [whole, blocks, fails, wrong, reads, writes, replies, wsgi_list, wsgi_blocks, wsgi_again,
        wsgi_fails, wsgi_file, wsgi_bytes_io, asgi_whole, asgi_pieces, asgi_fails, asgi_wrong,
        asgi_file]  # fmt: skip


def rounds(client, count):
    for number in range(count):
        body = b"one\ntwo" * (number % 5)
        extra = {} if number % 3 else {f"HTTP_X_{number % 7}": str(number)}
        client.send_request("POST", f"/{number % 11}", body=body, **extra)
        client.collect()
        if not client.answers[1].ended:
            return False
    return True


def counts():
    gc.collect()
    return {cls.__name__: sys.getrefcount(cls) for cls in TYPES}


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.__name__)
def test_counts_of_types_are_stable(serve, app, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    serving = serve(app)
    with Client(serving.address) as client:
        assert rounds(client, 50)
        gc.collect()
        before, objects = counts(), len(gc.get_objects())
        assert rounds(client, ROUNDS)
        after = counts()
        grown = len(gc.get_objects()) - objects
    drift = {name: after[name] - before[name] for name in before}
    assert all(abs(change) <= 3 for change in drift.values()), drift
    assert grown < 100


def test_memory_is_stable(serve, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    apps = (whole, reads, wsgi_list, wsgi_blocks, asgi_whole, asgi_pieces)
    servings = [serve(app) for app in apps]
    clients = [Client(serving.address) for serving in servings]
    for client in clients:
        assert rounds(client, ROUNDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(5):
        for client in clients:
            assert rounds(client, ROUNDS)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 2048, f"{grown} KiB more after {5 * ROUNDS} rounds each"
    for client in clients:
        client.close()


def test_servers_and_their_threads_are_given_back(tmp_path):
    def once(number):
        with fastcgi.Server(f"unix:{tmp_path}/{number}", root_path="/x") as server:
            with Client(server.address) as client:
                client.send_request()
                server.accept().reply(b"x")
                client.collect()
            with pytest.raises(ValueError, match="bogus"):
                server.run(whole, interface="bogus")

    for number in range(20):
        once(number)
    before = counts()
    for number in range(200):
        once(number)
    after = counts()
    assert {name: after[name] - before[name] for name in before} == dict.fromkeys(before, 0)


def test_every_type_takes_part_in_garbage_collection():
    for cls in (_core.Server, _core.Request, _core.StartResponse, _core.FileWrapper):
        assert cls in TYPES
        assert cls.__flags__ & 1 << 14, f"{cls} cannot be in a cycle that is collected"
        assert cls.__flags__ & 1 << 9, f"{cls} is not a heap type"
        with pytest.raises(TypeError):
            cls.attribute = 1
