# SPDX-License-Identifier: MIT
"""ASGI: clients that leave, deadlines, and servers that stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time

import fastcgi
import pytest
from fastcgi.testing import Client, request_bytes, request_params
from support.asgi import START, body
from support.fcgi_client import wait_until


class Heard:
    """What an application has heard, in order."""

    def __init__(self):
        self.seen = []

    def __call__(self, what):
        self.seen.append(what)

    def wait(self, what):
        wait_until(lambda: what in self.seen, 20, f"{what} after {self.seen}")


def begin(connection, heard, method="GET"):
    connection.send(request_bytes(method, "/"))
    heard.wait("began")


def test_a_lost_connection_is_a_disconnect_and_then_cancels():
    heard = Heard()

    async def app(scope, receive, send):
        await receive()
        heard("began")
        heard((await receive())["type"])
        try:
            await send(START)
        except OSError as error:
            heard(type(error))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard("cancelled")
            raise

    with Client(app, disconnect_grace=0.2, lifespan="off") as client:
        with client.connect() as connection:
            begin(connection, heard)
        heard.wait("cancelled")
    assert heard.seen == ["began", "http.disconnect", fastcgi.Aborted, "cancelled"]


def test_the_grace_is_long_enough_to_tidy_up(capfd):
    heard = Heard()

    async def app(scope, receive, send):
        heard("began")
        await receive()
        heard((await receive())["type"])
        await asyncio.sleep(0.1)
        heard("tidied up")

    with Client(app, lifespan="off") as client:
        with client.connect() as connection:
            begin(connection, heard)
        heard.wait("tidied up")
    assert capfd.readouterr().err == ""


def test_without_a_grace_limit_nothing_is_cancelled():
    heard = Heard()

    async def app(scope, receive, send):
        heard("began")
        await receive()
        await receive()
        await asyncio.sleep(0.5)
        heard("done")

    with Client(app, disconnect_grace=0, lifespan="off") as client:
        with client.connect() as connection:
            begin(connection, heard)
        heard.wait("done")


def test_an_abort_record_alone_means_nothing():
    """HAProxy sends it when it is reloaded, and its clients still wait."""
    heard = Heard()

    async def app(scope, receive, send):
        await receive()
        heard("began")
        waiting = asyncio.create_task(receive())
        while scope["fastcgi.request"].aborted != "record":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        heard("heard" if waiting.done() else "waits")
        await send(START)
        await send(body(b"answer"))
        assert (await waiting)["type"] == "http.disconnect"

    options = {"disconnect_grace": 0.05, "lifespan": "off"}
    with Client(app, **options) as client, client.connect() as connection:
        begin(connection, heard)
        connection.abort()
        assert connection.response().body == b"answer"
    assert heard.seen == ["began", "waits"]


def test_a_body_that_an_abort_record_has_cut_is_a_disconnect():
    heard = Heard()

    async def app(scope, receive, send):
        heard("began")
        assert (await receive())["body"] == b"part"
        heard((await receive())["type"])
        await send(START)
        await send(body(b"sorry"))

    with Client(app, stream=True, lifespan="off") as client, client.connect() as connection:
        connection.begin(request_params("POST", "/", length=9))
        connection.stdin(b"part", end=False)
        heard.wait("began")
        connection.abort()
        assert connection.response().body == b"sorry"
    assert heard.seen == ["began", "http.disconnect"]


def test_who_streams_to_nobody_gets_an_error_and_no_traceback(capfd):
    heard = Heard()

    async def app(scope, receive, send):
        await send(START)
        try:
            while True:
                await send(body(bytes(10_000), more=True))
                heard("began")
        except OSError as error:
            heard("raised")
            raise RuntimeError("what a framework makes of it") from error

    with Client(app, lifespan="off") as client:
        with client.connect() as connection:
            begin(connection, heard)
        heard.wait("raised")
    assert "Traceback" not in capfd.readouterr().err


def test_a_wait_for_room_ends_with_the_client():
    heard = Heard()

    async def app(scope, receive, send):
        await send(START)
        heard("began")
        try:
            await send(body(bytes(20_000_000)))
        except OSError:
            heard("raised")

    with Client(app, lifespan="off") as client:
        with client.connect() as connection:
            begin(connection, heard)
            time.sleep(0.1)
        heard.wait("raised")


def test_a_piece_that_is_not_sent_whole_ends_the_answer(capfd):
    heard = Heard()

    async def app(scope, receive, send):
        await send(START)
        try:
            await asyncio.wait_for(send(body(bytes(20_000_000), more=True)), 0.2)
        except asyncio.TimeoutError:
            heard("began")
        with pytest.raises(RuntimeError):
            await send(body(b"tail"))
        heard("refused")

    with Client(app, lifespan="off") as client, client.connect() as connection:
        begin(connection, heard)
        heard.wait("refused")
        with pytest.raises(fastcgi.ProtocolError, match="ended inside a record"):
            connection.response()


def test_receive_lets_a_cancellation_through():
    heard = Heard()

    async def app(scope, receive, send):
        await receive()
        for _ in range(100):
            try:
                await asyncio.wait_for(receive(), 0.001)
            except asyncio.TimeoutError:
                heard("cancelled")
        await send(START)
        await send(body(b"ok"))

    with Client(app, lifespan="off") as client:
        assert client.get("/").body == b"ok"
    assert heard.seen == ["cancelled"] * 100


def test_a_request_that_takes_too_long_is_a_504(capfd):
    heard = Heard()

    async def app(scope, receive, send):
        await receive()
        heard("began")
        heard((await receive())["type"])
        with pytest.raises(OSError):  # noqa: PT011
            await send(START)
        await asyncio.sleep(60)

    with Client(app, request_timeout=0.3, disconnect_grace=0.1, lifespan="off") as client:
        assert client.get("/x").status == 504
        heard.wait("http.disconnect")
    assert "GET /x: not answered within 0.3 s" in capfd.readouterr().err


def test_a_task_that_computes_has_its_deadline_too():
    async def app(scope, receive, send):
        time.sleep(1)
        await send(START)
        await send(body(b"late"))

    with Client(app, request_timeout=0.3, lifespan="off") as client:
        assert client.get("/x").status == 504


def test_what_runs_is_finished_in_a_graceful_stop():
    heard = Heard()

    async def app(scope, receive, send):
        heard("began")
        await asyncio.sleep(0.3)
        await send(START)
        await send(body(b"whole"))
        await asyncio.sleep(0.3)
        heard("after the answer")

    client = Client(app, lifespan="off")
    with client.connect() as connection:
        begin(connection, heard)
        client.server.stop()
        assert connection.response().body == b"whole"
    client.close()
    assert heard.seen == ["began", "after the answer"]


def test_the_graceful_timeout_ends_what_follows_an_answer():
    heard = Heard()

    async def app(scope, receive, send):
        await send(START)
        await send(body(b"whole"))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard("cancelled")
            raise

    with Client(app, graceful_timeout=0.3, lifespan="off") as client:
        assert client.get("/").body == b"whole"
    assert heard.seen == ["cancelled"]


def test_a_stop_at_once_cancels():
    heard = Heard()

    async def app(scope, receive, send):
        heard("began")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard("cancelled")
            raise

    client = Client(app, lifespan="off")
    with client.connect() as connection:
        begin(connection, heard)
        began = time.monotonic()
        client.server.stop(graceful=False)
        client._thread.join(20)
        assert not client._thread.is_alive()
        assert time.monotonic() - began < 10
    client.close()
    assert heard.seen == ["began", "cancelled"]


def test_a_server_that_is_closed_ends():
    heard = Heard()

    async def app(scope, receive, send):
        heard("began")
        await asyncio.sleep(60)

    client = Client(app, lifespan="off")
    with client.connect() as connection:
        begin(connection, heard)
        client.server.close()
    client._thread.join(20)
    assert not client._thread.is_alive()
    client.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_ends_the_loop_as_it_says(tmp_path, loop):
    """In the main thread, as KeyboardInterrupt of Python's own."""
    heard = Heard()

    async def app(scope, receive, send):
        heard("began")
        try:
            await asyncio.sleep(60)
        finally:
            heard("ended")

    def interrupt():
        heard.wait("began")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    address = f"unix:{tmp_path}/x"
    thread = threading.Thread(target=interrupt)
    with (
        fastcgi.Server(address, lifespan="off", loop=loop) as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(f"{tmp_path}/x")
        client.sendall(request_bytes("GET", "/"))
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            server.serve(app)
    thread.join()
    assert heard.seen == ["began", "ended"]
