# SPDX-License-Identifier: MIT
"""retry="safe": a request that fails because a resource broke runs once more."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import fastcgi
import flask
import psycopg
import pytest
from support.databases import Postgres, one, started
from support.fcgi_client import fetch, wait_until
from support.retrying import Gone, Scene


def native(scene: Scene) -> Any:
    return lambda request: (200, None, scene.work())


def native_500(scene: Scene) -> Any:
    def handler(request: Any) -> Any:
        try:
            return 200, None, scene.work()
        except Gone:
            return 500, {"X-Page": "error"}, "no"

    return handler


def native_500_streamed(scene: Scene) -> Any:
    def handler(request: Any) -> Any:
        try:
            return 200, None, scene.work()
        except Gone:
            return 500, None, (piece for piece in ("n", "o"))

    return handler


def native_get(scene: Scene) -> Any:
    """What breaks is found at the end alone: by the reset that fails."""

    def handler(request: Any) -> Any:
        value = scene.db.get()
        scene.had.append(value)
        if len(scene.had) <= scene.fails:
            scene.db.invalidate()
            return 500, None, "no"
        return 200, None, f"run {len(scene.had)}"

    return handler


def wsgi(scene: Scene) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        scene.seen.append(dict(environ))
        environ["MINE"] = environ["PATH_INFO"] = "changed"
        text = scene.work().encode()
        start_response("200 OK", [])
        return [text]

    return app


def framework(scene: Scene, body: Callable[[bytes], Any]) -> Any:
    """As Flask and Django do, it makes a 500 of the error."""

    def app(environ: Any, start_response: Any) -> Any:
        try:
            text, status = scene.work().encode(), "200 OK"
        except Gone:
            text, status = b"no", "500 INTERNAL SERVER ERROR"
        start_response(status, [("Content-Length", str(len(text)))])
        return body(text)

    return app


class Closing:
    """A body whose close() gives back, as werkzeug's ClosingIterator."""

    def __init__(self, text: bytes) -> None:
        self.blocks = iter([text])

    def __iter__(self) -> Iterator[bytes]:
        return self.blocks

    def close(self) -> None:
        pass


def wsgi_500(scene: Scene) -> Any:
    return framework(scene, lambda text: [text])


def wsgi_500_closing(scene: Scene) -> Any:
    return framework(scene, Closing)


def wsgi_generator(scene: Scene) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        try:
            text, status = scene.work().encode(), "200 OK"
        except Gone:
            text, status = b"no", "500 NO"
        start_response(status, [])
        yield text

    return app


NATIVE = [native, native_500, native_500_streamed, native_get]
WSGI = [wsgi, wsgi_500, wsgi_500_closing, wsgi_generator]
APPS = [(app, "handler") for app in NATIVE] + [(app, "wsgi") for app in WSGI]


@pytest.fixture(params=APPS, ids=[app.__name__ for app, _ in APPS])
def app(request: Any) -> Any:
    return request.param


class TestRetry:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_once_more(self, serve: Callable[..., Any], app: Any, method: str) -> None:
        scene = Scene(serve)
        scene.begin(app[0](scene), interface=app[1])
        for _ in range(2):  # What is used again serves the next request, too.
            scene.had.clear()
            answer = fetch(scene.served.address, method, "/page")
            assert (answer.status, len(scene.had)) == (200, 2)
            if method == "GET":
                assert answer.body == b"run 2"
            assert scene.had[0] is not scene.had[1]
        assert scene.retried() == 2

    def test_once_only(self, serve: Callable[..., Any], app: Any) -> None:
        scene = Scene(serve, fails=9)
        scene.begin(app[0](scene), interface=app[1])
        assert fetch(scene.served.address).status == 500
        assert (len(scene.had), scene.retried()) == (2, 1)

    def test_it_is_off_by_default(self, serve: Callable[..., Any], app: Any) -> None:
        scene = Scene(serve, retry="never")
        scene.begin(app[0](scene), interface=app[1])
        assert fetch(scene.served.address).status == 500
        assert (len(scene.had), scene.retried()) == (1, 0)

    def test_a_post_is_not_safe(self, serve: Callable[..., Any], app: Any) -> None:
        scene = Scene(serve)
        scene.begin(app[0](scene), interface=app[1])
        assert fetch(scene.served.address, "POST", "/", body=b"x").status == 500
        assert (len(scene.had), scene.retried()) == (1, 0)

    def test_flask(self, serve: Callable[..., Any]) -> None:
        """It answers 500 by itself, through an iterator with close()."""
        scene = Scene(serve)
        app = flask.Flask("shop")
        app.add_url_rule("/", "work", scene.work)
        app.add_url_rule("/late", "late", lambda: scene.db.get() and scene.work())
        scene.begin(app, interface="wsgi")
        for path in ("/", "/late"):
            scene.had.clear()
            assert fetch(scene.served.address, "GET", path).body == b"run 2"
        assert scene.retried() == 2

    def test_environ_is_as_it_was(self, serve: Callable[..., Any]) -> None:
        scene = Scene(serve)
        scene.begin(wsgi(scene), interface="wsgi")
        assert fetch(scene.served.address, "GET", "/page?q=1").status == 200
        first, second = scene.seen
        assert "MINE" not in second
        for key in ("wsgi.input", "fastcgi.request", "fastcgi.aborted"):  # Objects of each run.
            assert first.pop(key) is not second.pop(key)
        assert first == second

    def test_the_body_is_read_again(self, serve: Callable[..., Any]) -> None:
        scene = Scene(serve)

        def handler(request: Any) -> Any:
            scene.seen.append((request.readline(), request.read(2)))
            return 200, None, scene.work()

        scene.begin(handler)
        assert fetch(scene.served.address, "GET", "/", body=b"one\ntwo\n").status == 200
        assert scene.seen == [(b"one\n", b"tw")] * 2

    def test_a_handler_asks_for_it(self, serve: Callable[..., Any]) -> None:
        scene = Scene(serve, retry="never")

        def handler(request: Any) -> Any:
            if request.path == "/safe":
                request.want_retry()
            return 200, None, scene.work()

        scene.begin(handler)
        assert fetch(scene.served.address, "GET", "/safe").status == 200
        scene.had.clear()
        assert fetch(scene.served.address, "GET", "/other").status == 500
        assert scene.retried() == 1

    def test_only_in_its_thread(self, serve: Callable[..., Any]) -> None:
        found: list[BaseException] = []

        def ask(request: Any) -> None:
            try:
                request.want_retry()
            except fastcgi.StateError as error:
                found.append(error)

        def handler(request: Any) -> Any:
            thread = threading.Thread(target=ask, args=(request,))
            thread.start()
            thread.join()
            return 200, None, "x"

        served = serve(handler)
        assert fetch(served.address).status == 200
        assert "thread" in str(found[0])

    @pytest.mark.parametrize("how", ["start", "write"])
    def test_not_when_the_answer_has_begun(self, serve: Callable[..., Any], how: str) -> None:
        scene = Scene(serve)

        def handler(request: Any) -> Any:
            request.start(200, {"Content-Type": "text/plain"})
            if how == "write":
                request.write(b"x")
            scene.work()

        scene.begin(handler)
        with contextlib.suppress(Exception):  # The answer is cut off.
            fetch(scene.served.address)
        assert (len(scene.had), scene.retried()) == (1, 0)

    def test_other_failures_are_not_meant(self, serve: Callable[..., Any]) -> None:
        scene = Scene(serve)

        def handler(request: Any) -> Any:
            scene.fails = 0
            scene.work()
            raise ValueError("a fault of the program")

        scene.begin(handler)
        assert fetch(scene.served.address).status == 500
        assert (len(scene.had), scene.retried()) == (1, 0)

    def test_the_option(self) -> None:
        with pytest.raises(ValueError, match="retry must be 'never' or 'safe', not 'always'"):
            fastcgi.resource(object, retry="always")  # type: ignore[arg-type]


THREADS, CLIENTS = 4, 8


@pytest.fixture
def database() -> Iterator[Postgres]:
    yield from started(Postgres)


class TestPostgres:
    """A restart of the database under load costs no failed request."""

    @pytest.mark.parametrize("interface", ["handler", "wsgi"])
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
    def test_restarts(
        self, serve: Callable[..., Any], database: Postgres, how: int, interface: str
    ) -> None:
        db = fastcgi.resource(
            lambda: psycopg.connect(database.dsn), acquire_timeout=60, retry="safe"
        )

        def handler(request: Any) -> Any:
            with db as connection:
                return 200, None, str(one(connection, "SELECT 7 FROM pg_sleep(0.01)"))

        def app(environ: Any, start_response: Any) -> Any:
            try:
                with db as connection:
                    text = str(one(connection, "SELECT 7 FROM pg_sleep(0.01)"))
                start_response("200 OK", [])
            except psycopg.Error as error:
                text = repr(error)
                start_response("500 INTERNAL SERVER ERROR", [])
            return Closing(text.encode())

        served = serve(
            handler if interface == "handler" else app,
            interface=interface,
            threads=THREADS,
            status_path="/status",
        )
        statuses = self.restart_under_load(served.address, database, how)
        assert len(statuses) > 6 * CLIENTS
        assert statuses == [200] * len(statuses)
        text = fetch(served.address, "GET", "/status?openmetrics").body.decode()
        assert not re.search(r"^fastcgi_requests_retried_total 0$", text, re.M)

    @staticmethod
    def restart_under_load(address: str, database: Postgres, how: int) -> list[int]:
        answers: list[list[int]] = [[] for _ in range(CLIENTS)]  # By client.
        over = threading.Event()

        def load(statuses: list[int]) -> None:
            while not over.is_set():
                statuses.append(fetch(address).status)

        threads = [threading.Thread(target=load, args=(statuses,)) for statuses in answers]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                wait_for_more(answers)
                database.restart(how)
                wait_for_more(answers)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        return [status for statuses in answers for status in statuses]


def wait_for_more(answers: list[list[int]]) -> None:
    """Each client has two: no request is hit by two restarts, as it runs twice at most."""
    enough = [len(statuses) + 2 for statuses in answers]
    wait_until(
        lambda: all(
            len(statuses) >= least for statuses, least in zip(answers, enough, strict=True)
        ),
        what="answers",
    )
