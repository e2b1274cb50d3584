# SPDX-License-Identifier: MIT
"""fastcgi.resource: what cannot be opened, and what an application does wrong."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastcgi
import pytest
from support.fcgi_client import fetch, wait_until
from support.keeping import Maker, Value, text_of


@pytest.fixture
def maker() -> Maker:
    return Maker()


class TestFailing:
    def test_the_answer_is_503(
        self, maker: Maker, serve: Callable[..., Any], tmp_path: Path
    ) -> None:
        maker.error = OSError("nobody listens")
        db = fastcgi.resource(maker, acquire_timeout=0.05, name="db")
        log = tmp_path / "error.log"

        def handler(request: Any) -> Any:
            with db as value:
                return text_of(value.number)

        served = serve(handler, error_logfile=str(log))
        answer = fetch(served.address)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        maker.error = None
        wait_until(lambda: fetch(served.address).status == 200)
        said = "GET /: resource 'db' cannot be opened: OSError: nobody listens"
        wait_until(lambda: said in log.read_text())
        assert "Traceback" not in log.read_text()

    def test_an_outage_is_told_in_one_line(
        self, maker: Maker, serve: Callable[..., Any], tmp_path: Path
    ) -> None:
        maker.error = OSError("nobody listens")
        db = fastcgi.resource(maker, acquire_timeout=0.01, name="db")
        log = tmp_path / "error.log"

        def handler(request: Any) -> Any:
            with db:
                return text_of("there")

        served = serve(handler, error_logfile=str(log), status_path="/status")
        for _ in range(20):
            assert fetch(served.address).status == 503
        page = fetch(served.address, "GET", "/status?openmetrics").body.decode()
        assert re.search(r"^fastcgi_requests_unavailable_total 20$", page, re.M)
        lines = [line for line in log.read_text().splitlines() if "GET /: resource" in line]
        assert len(lines) == 1

    def test_an_application_raises_it(self, serve: Callable[..., Any], tmp_path: Path) -> None:
        log = tmp_path / "error.log"

        def handler(request: Any) -> Any:
            raise fastcgi.Unavailable("the queue is full")

        answer = fetch(serve(handler, error_logfile=str(log)).address)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        wait_until(lambda: "GET /: the queue is full\n" in log.read_text())
        assert "Traceback" not in log.read_text()

    def test_what_is_raised(self, maker: Maker) -> None:
        maker.error = OSError("nobody listens")
        db = fastcgi.resource(maker, acquire_timeout=0, name="db")
        with pytest.raises(fastcgi.Unavailable) as raised, db:
            pass
        assert str(raised.value) == "resource 'db' cannot be opened: OSError: nobody listens"
        assert raised.value.__cause__ is maker.error
        assert isinstance(raised.value, fastcgi.Timeout)

    @pytest.mark.parametrize("framework", ["flask", "django", "wsgi"])
    def test_a_500_of_a_framework_is_503(
        self, maker: Maker, serve: Callable[..., Any], framework: str
    ) -> None:
        maker.error = OSError("nobody listens")
        db = fastcgi.resource(maker, acquire_timeout=0.05)

        def view(*_: Any) -> str:
            with db:
                return "there"

        served = serve(APPS[framework](view), interface="wsgi")
        answer = fetch(served.address)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")

    def test_a_handler_that_catches_it_answers(
        self, maker: Maker, serve: Callable[..., Any]
    ) -> None:
        maker.error = OSError("nobody listens")
        db = fastcgi.resource(maker, acquire_timeout=0.05)

        def handler(request: Any) -> Any:
            try:
                with db:
                    return text_of("there")
            except fastcgi.Unavailable:
                return text_of("from the cache")

        assert fetch(serve(handler).address).body == b"from the cache"

    def test_a_fault_of_open_is_raised_at_once(self, maker: Maker) -> None:
        maker.error = NameError("conect")
        db = fastcgi.resource(maker, acquire_timeout=600)
        with pytest.raises(NameError, match="conect"), db:
            pass

    def test_an_open_that_has_none_free(self, maker: Maker) -> None:
        """It is not tried again, and the next take is not kept waiting."""
        maker.error = fastcgi.Unavailable("all are lent")
        db = fastcgi.resource(maker, acquire_timeout=600, name="db")
        for cause in (None, OSError("full")):
            maker.error.__cause__ = cause
            with pytest.raises(fastcgi.Unavailable) as raised, db:
                pass
            assert raised.value.__cause__ is (cause or maker.error)
            said = "OSError: full" if cause else "Unavailable: all are lent"
            assert str(raised.value) == f"resource 'db': none was free: {said}"
        stats = db.stats()
        assert (stats["refused"], stats["failed"], stats["away"]) == (2, 0, 0)
        maker.error = None
        with db as value:
            assert value.open

    def test_open_returns_none(self) -> None:
        db = fastcgi.resource(lambda: None, name="db")
        with pytest.raises(TypeError, match="open of resource 'db' has returned None"), db:
            pass

    def test_open_returns_the_same(self) -> None:
        same = Value([], 1)
        db = fastcgi.resource(lambda: same, scope="pool")
        raised: list[BaseException] = []

        def work() -> None:
            try:
                with db:
                    pass
            except ValueError as error:
                raised.append(error)

        with db:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            assert same.open
        assert "what is open already" in str(raised[0])

    def test_open_takes_its_own(self) -> None:
        def open_it() -> Value:
            with db as value:
                return value

        db: fastcgi.resource[Value] = fastcgi.resource(open_it)
        with pytest.raises(fastcgi.StateError, match="takes its own resource"), db:
            pass

    def test_a_block_that_is_left_twice(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, name="db")
        db.__enter__()
        db.__exit__(None, None, None)
        with pytest.raises(fastcgi.StateError, match="somebody who has not taken it"):
            db.__exit__(None, None, None)

    def test_another_thread_gives_back(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)
        raised: list[BaseException] = []

        def leave() -> None:
            try:
                db.__exit__(None, None, None)
            except fastcgi.StateError as error:
                raised.append(error)

        with db:
            thread = threading.Thread(target=leave)
            thread.start()
            thread.join()
            assert db.stats()["in_use"] == 1
        assert len(raised) == 1

    def test_kept_past_its_request(
        self, maker: Maker, serve: Callable[..., Any], tmp_path: Path
    ) -> None:
        db = fastcgi.resource(maker, name="db")
        log = tmp_path / "error.log"

        def handler(request: Any) -> Any:
            value = db.__enter__()  # And never left.
            return text_of(value.number)

        line = handler.__code__.co_firstlineno + 1
        served = serve(handler, error_logfile=str(log))
        assert [fetch(served.address).body for _ in range(2)] == [b"1", b"2"]
        wait_until(lambda: maker.log == ["close 1", "close 2"])
        expected = (
            r"resource 'db' is kept past its request: it was entered at "
            rf"{re.escape(__file__)}:{line} in handler and not left; it is taken back and closed"
        )
        wait_until(lambda: len(re.findall(expected, log.read_text())) == 2)
        assert db.stats()["unended"] == 2

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"open": 3}, TypeError),
            ({"scope": "request"}, ValueError),
            ({"size": 0}, ValueError),
            ({"size": -1}, ValueError),
            ({"minimum": -1}, ValueError),
            ({"scope": "pool", "size": 2, "minimum": 3}, ValueError),
            ({"acquire_timeout": None}, TypeError),
            ({"acquire_timeout": -1}, ValueError),
            ({"check_after": "30s"}, TypeError),
            ({"max_age": 0}, ValueError),
            ({"max_idle": float("nan")}, ValueError),
            ({"max_idle": float("inf")}, ValueError),
            ({"reset": "everything"}, ValueError),
            ({"check": "SELECT 1"}, TypeError),
            ({"close": 0}, TypeError),
            ({"configure": "SET x"}, TypeError),
            ({"retries": 3}, TypeError),
            ({"limit_total": 0}, ValueError),
            ({"limit_total": 1025}, ValueError),
            ({"limit_total": True}, TypeError),
            ({"limit_total": 2.5}, TypeError),
        ],
    )
    def test_wrong_options(self, options: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            fastcgi.resource(**{"open": Maker(), **options})


def _flask(view: Callable[..., str]) -> Any:
    import flask

    app = flask.Flask("app")
    app.add_url_rule("/", view_func=view, endpoint="view")
    return app


def _django(view: Callable[..., str]) -> Any:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    module = type(sys)("resource_urls")
    module.urlpatterns = [path("", lambda request: HttpResponse(view()))]  # type: ignore[attr-defined]
    sys.modules["resource_urls"] = module
    if not settings.configured:
        settings.configure(ROOT_URLCONF="resource_urls", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
        django.setup()
    return WSGIHandler()


def _wsgi(view: Callable[..., str]) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        try:
            body = view()
        except Exception:
            start_response("500 Internal Server Error", [], sys.exc_info())
            return [b"an error page"]
        start_response("200 OK", [])
        return [body.encode()]

    return app


APPS = {"flask": _flask, "django": _django, "wsgi": _wsgi}
