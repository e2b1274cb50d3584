# SPDX-License-Identifier: MIT
"""ASGI: what an application does before it serves, and after."""

from __future__ import annotations

import asyncio

import fastcgi
import pytest
from fastcgi.testing import Client, request_bytes

START = {"type": "http.response.start", "status": 200, "headers": []}
COMPLETE = {"type": "lifespan.startup.complete"}


async def answer(send, text: str) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": text.encode()})


class App:
    """It understands lifespan, and notes what happens."""

    def __init__(self, startup=(COMPLETE,), shutdown=({"type": "lifespan.shutdown.complete"},)):
        self.startup, self.shutdown = startup, shutdown
        self.seen = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
            return
        self.seen.append("request")
        scope["state"]["number"] += 1
        scope["state"]["list"].append(1)
        await answer(send, f"{scope['state']['number']} {len(scope['state']['list'])}")

    async def live(self, scope, receive, send):
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        scope["state"].update(number=1, list=[])
        for messages in (self.startup, self.shutdown):
            self.seen.append((await receive())["type"])
            for message in messages:
                if isinstance(message, BaseException):
                    raise message
                await send(message)


@pytest.mark.parametrize("lifespan", ["auto", "on"])
def test_state_is_copied_for_each_request(lifespan):
    app = App()
    with Client(app, lifespan=lifespan) as client:
        assert [client.get("/").text for _ in range(3)] == ["2 1", "2 2", "2 3"]
    assert app.seen == ["lifespan.startup", *["request"] * 3, "lifespan.shutdown"]


def test_nothing_is_taken_before_the_start_is_complete():
    app = App()

    async def late(scope, receive, send):
        if scope["type"] == "lifespan":
            app.seen.append("waits")
            await asyncio.sleep(0.5)
        await app(scope, receive, send)

    with Client(late) as client:
        assert client.get("/").text == "2 1"
    assert app.seen[:3] == ["waits", "lifespan.startup", "request"]


@pytest.mark.parametrize("lifespan", ["auto", "off"])
def test_an_application_need_not_know_of_it(lifespan, capfd):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])
        assert scope["type"] == "http"
        await answer(send, "ok")

    with Client(app, lifespan=lifespan) as client:
        assert client.get("/").text == "ok"
    assert seen == ["lifespan", "http"][lifespan == "off" :]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("app", "lifespan", "line"),
    [
        (
            App([ValueError("why\nnot")]),
            "on",
            "the application's lifespan has failed: ValueError: why",
        ),
        (App([SystemExit(3)]), "on", "the application's lifespan has failed: SystemExit: 3"),
        (
            App([{"type": "lifespan.startup.failed", "message": "no database"}]),
            "auto",
            "the application's startup has failed: no database",
        ),
        (
            App([{"type": "lifespan.startup.failed", "message": "Traceback\n  x\nOSError: y\n"}]),
            "on",
            "the application's startup has failed: OSError: y",
        ),
        (App([{"type": "lifespan.startup.failed"}]), "on", "the application's startup has failed"),
        (App([{"type": "http.request"}]), "on", "RuntimeError: 'http.request' is not expected"),
    ],
)
def test_a_start_that_fails_ends_it_with_one_line(app, lifespan, line):
    client = Client(app, lifespan=lifespan)
    with pytest.raises(fastcgi.Error) as caught:
        client.close()
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert app.seen == ["lifespan.startup"]


def test_one_that_returns_at_once_has_not_started():
    async def app(scope, receive, send):
        pass

    client = Client(app, lifespan="on")
    with pytest.raises(fastcgi.Error, match="returned from its lifespan"):
        client.close()


def test_a_start_that_hangs_can_be_stopped():
    async def app(scope, receive, send):
        await asyncio.sleep(60)

    client = Client(app)
    client.server.stop()
    client._thread.join(20)
    assert not client._thread.is_alive()
    client.close()


@pytest.mark.parametrize(
    ("shutdown", "line"),
    [
        ([{"type": "lifespan.shutdown.failed", "message": "left"}], "shutdown has failed: left"),
        ([ValueError("why")], "shutdown has failed\nTraceback"),
    ],
)
def test_a_shutdown_that_fails_is_told(shutdown, line, capfd):
    with Client(App(shutdown=shutdown)) as client:
        client.get("/")
    assert line in capfd.readouterr().err


def test_a_shutdown_that_hangs_has_the_graceful_timeout(capfd):
    class Hangs(App):
        async def live(self, scope, receive, send):
            await super().live(scope, receive, send)
            await asyncio.sleep(60)

    app = Hangs(shutdown=())
    with Client(app, graceful_timeout=0.5) as client:
        client.get("/")
    assert "the application's shutdown takes too long" in capfd.readouterr().err


def test_the_end_waits_for_the_last_request():
    app = App()

    async def slow(scope, receive, send):
        if scope["type"] == "http":
            await asyncio.sleep(0.3)
        await app(scope, receive, send)

    client = Client(slow)
    with client.connect() as connection:
        connection.send(request_bytes("GET", "/"))
        while not client.server._stopping:
            client.server.stop()
        assert connection.response().text == "2 1"
    client.close()
    assert app.seen[-2:] == ["request", "lifespan.shutdown"]
