# SPDX-License-Identifier: MIT
"""fastcgi.resource: what is kept between requests, with values that do what a test says."""

from __future__ import annotations

import gc
import os
import re
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastcgi
import pytest
from support.fcgi_client import Client, fetch, wait_until

PLAIN = {"Content-Type": "text/plain"}


class Value:
    """What is opened; it knows what was done with it."""

    def __init__(self, log: list[str], number: int) -> None:
        self.log = log
        self.number = number
        self.open = True
        self.dirty = False
        self.works = True
        self.thread = threading.get_ident()

    def rollback(self) -> None:
        assert self.open
        if not self.works:
            raise ConnectionError("it is broken")
        self.dirty = False
        self.log.append(f"rollback {self.number}")

    def close(self) -> None:
        assert self.open, "it is closed twice"
        self.open = False
        self.log.append(f"close {self.number}")


class Maker:
    """Opens values, or fails as a test says."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.made: list[Value] = []
        self.error: BaseException | None = None

    def __call__(self) -> Value:
        if self.error is not None:
            raise self.error
        self.made.append(Value(self.log, len(self.made) + 1))
        return self.made[-1]

    @property
    def open(self) -> int:
        return sum(value.open for value in self.made)


@pytest.fixture
def maker() -> Maker:
    return Maker()


def text_of(value: object) -> tuple[int, dict[str, str], str]:
    return 200, PLAIN, str(value)


class TestTaking:
    def test_it_is_kept(self, maker: Maker, serve: Callable[..., Any]) -> None:
        db = fastcgi.resource(maker)

        def handler(request: Any) -> Any:
            with db as value:
                return text_of(value.number)

        served = serve(handler)
        assert [fetch(served.address).body for _ in range(3)] == [b"1", b"1", b"1"]
        assert maker.log == ["rollback 1"] * 3

    def test_each_thread_has_its_own(self, maker: Maker, serve: Callable[..., Any]) -> None:
        db = fastcgi.resource(maker)
        meet = threading.Barrier(3)

        def handler(request: Any) -> Any:
            with db as value:
                meet.wait(20)
                assert value.thread == threading.get_ident()
                return text_of(value.number)

        served = serve(handler, threads=3)
        clients = [Client(served.address) for _ in range(3)]
        for client in clients:
            client.send_request("GET", "/")
        assert sorted(client.collect().body for client in clients) == [b"1", b"2", b"3"]
        for client in clients:
            client.close()

    def test_a_nested_block_has_the_same(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)
        with db as one:
            with db as two:
                assert one is two
            assert maker.log == []
        assert maker.log == ["rollback 1"]
        assert db.stats()["in_use"] == 0

    def test_get_is_until_the_end_of_the_request(
        self, maker: Maker, serve: Callable[..., Any]
    ) -> None:
        db = fastcgi.resource(maker)

        def handler(request: Any) -> Any:
            value = db.get()
            with db as other:
                assert other is value is db.get()
            assert maker.log.count("rollback 1") == value.number - 1
            return text_of(db.stats()["in_use"])

        served = serve(handler)
        assert fetch(served.address).body == b"1"
        wait_until(lambda: db.stats()["in_use"] == 0)
        assert maker.log == ["rollback 1"]

    @pytest.mark.parametrize("interface", ["wsgi", "handler"])
    def test_a_stream_has_it_until_it_is_closed(
        self, maker: Maker, serve: Callable[..., Any], interface: str
    ) -> None:
        db = fastcgi.resource(maker)

        def lines() -> Iterator[bytes]:
            for _ in range(3):
                yield b"%d" % db.get().number
                assert maker.log == []

        def wsgi(environ: Any, start_response: Any) -> Any:
            db.get()
            start_response("200 OK", [])
            return lines()

        def handler(request: Any) -> Any:
            db.get()
            return 200, None, lines()

        served = serve(wsgi if interface == "wsgi" else handler, interface=interface)
        assert fetch(served.address).body == b"111"
        wait_until(lambda: maker.log == ["rollback 1"])

    def test_get_needs_a_request(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, name="db")
        with pytest.raises(fastcgi.StateError, match=r"use `with` for resource 'db' here"):
            db.get()
        assert maker.made == []

    def test_threads_that_do_not_serve_have_their_own(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)

        def work() -> None:
            with db:
                pass

        for _ in range(3):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

        def all_are_closed() -> bool:
            db._tidy("reap")  # A thread ends somewhat later than its join() returns.
            return maker.open == 0

        wait_until(all_are_closed)
        assert len(maker.made) == 3

    def test_a_pool_has_no_more_than_its_size(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, scope="pool", size=2, acquire_timeout=20)
        inside, most = 0, 0
        lock = threading.Lock()

        def work() -> None:
            nonlocal inside, most
            for _ in range(50):
                with db as value:
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    assert not value.dirty
                    value.dirty = True
                    time.sleep(0.0001)
                    with lock:
                        inside -= 1

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (most, len(maker.made)) == (2, 2)
        assert db.stats()["taken"] == 300

    def test_a_worker_has_one(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, scope="worker", acquire_timeout=0.05, name="db")
        raised: list[BaseException] = []

        def work() -> None:
            try:
                with db:
                    pass
            except fastcgi.Unavailable as error:
                raised.append(error)

        with db:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert str(raised[0]).startswith("resource 'db': none of 1 was free within 50 ms")

    def test_a_hundred_thousand_leave_nothing(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, reset=False)
        with db:
            pass
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(100_000):
            with db:
                pass
        gc.collect()
        assert sys.getallocatedblocks() - before < 500
        assert db.stats()["taken"] == 100_001
        assert (db.stats()["open"], db.stats()["in_use"], len(maker.made)) == (1, 0, 1)


class TestReplacing:
    def test_a_check_that_fails(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, check_after=0, check=lambda value: value.works)
        with db as value:
            pass
        value.works = True
        with db as value:
            pass
        maker.made[0].works = False
        with db as value:
            assert value.number == 2
        assert maker.log[-2:] == ["close 1", "rollback 2"]

    def test_a_check_that_raises(self, maker: Maker) -> None:
        def check(value: Value) -> None:
            if value.number == 1:
                raise OSError("it went away")

        db = fastcgi.resource(maker, check_after=0, check=check)
        with db:
            pass
        with db as value:
            assert value.number == 2

    def test_a_check_that_is_interrupted(self, maker: Maker) -> None:
        def check(value: Value) -> None:
            raise KeyboardInterrupt

        db = fastcgi.resource(maker, check_after=0, check=check)
        with db:
            pass
        with pytest.raises(KeyboardInterrupt), db:
            pass
        assert (db.stats()["in_use"], maker.made[0].open) == (0, False)

    def test_a_reset_that_fails(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)
        with db as value:
            value.works = False
        assert not value.open
        with db as value:
            assert value.number == 2

    def test_invalidate(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)
        with db as value:
            db.invalidate()
            assert value.open
        assert maker.log == ["close 1"]
        assert db.stats()["closed_invalidated"] == 1
        with pytest.raises(fastcgi.StateError, match="holds nothing"):
            db.invalidate()

    def test_an_exception_that_says_it_is_broken(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, broken=lambda error, value: isinstance(error, OSError))
        with pytest.raises(ValueError, match="one"), db:
            raise ValueError("one")
        assert maker.log == ["rollback 1"]
        with pytest.raises(OSError, match="two"), db:
            raise OSError("two")
        assert maker.log == ["rollback 1", "close 1"]

    def test_the_exception_of_a_handler_says_so_too(
        self, maker: Maker, serve: Callable[..., Any]
    ) -> None:
        db = fastcgi.resource(maker, broken=lambda error, value: isinstance(error, OSError))

        def handler(request: Any) -> Any:
            db.get()
            raise OSError("gone")

        served = serve(handler)
        assert fetch(served.address).status == 500
        wait_until(lambda: maker.log == ["close 1"])

    def test_drain(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)
        with db:
            db.drain()
            assert maker.open == 1
        assert maker.log == ["rollback 1", "close 1"]
        with db:
            pass
        db.drain()
        assert maker.open == 0

    def test_age(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, max_age=0.05)
        with db:
            pass
        time.sleep(0.06)
        with db as value:
            assert value.number == 2

    def test_a_server_closes_what_is_idle(self, maker: Maker, serve: Callable[..., Any]) -> None:
        db = fastcgi.resource(maker, max_idle=0.2)

        def handler(request: Any) -> Any:
            with db as value:
                return text_of(value.number)

        served = serve(handler, threads=2)
        fetch(served.address)
        wait_until(lambda: maker.log == ["rollback 1", "close 1"])

    def test_a_pool_keeps_its_minimum(self, maker: Maker, serve: Callable[..., Any]) -> None:
        db = fastcgi.resource(maker, scope="pool", minimum=2, max_idle=0.2)
        serve(lambda request: text_of(db.stats()))
        wait_until(lambda: maker.open == 2)

    def test_configure_is_called_once_for_each(self, maker: Maker) -> None:
        seen: list[int] = []
        db = fastcgi.resource(maker, configure=lambda value: seen.append(value.number))
        with db:
            db.invalidate()
        with db:
            pass
        with db:
            pass
        assert seen == [1, 2]

    def test_a_configure_that_raises_closes(self, maker: Maker) -> None:
        def configure(value: Value) -> None:
            raise TypeError("no such setting")

        db = fastcgi.resource(maker, configure=configure)
        with pytest.raises(TypeError, match="no such setting"), db:
            pass
        assert (maker.open, db.stats()["open"]) == (0, 0)


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
        said = "'GET' '/': resource 'db' cannot be opened: OSError: nobody listens"
        wait_until(lambda: said in log.read_text())
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


class TestServing:
    def test_a_stop_closes_each_in_its_thread(self, serve: Callable[..., Any]) -> None:
        """Only its own thread may close a connection of sqlite3."""
        closed: list[int] = []
        opened: list[int] = []

        def connect() -> sqlite3.Connection:
            opened.append(threading.get_ident())
            return sqlite3.connect(":memory:")

        def close(connection: sqlite3.Connection) -> None:
            connection.close()
            closed.append(threading.get_ident())

        db = fastcgi.resource(connect, close=close)
        meet = threading.Barrier(3)

        def handler(request: Any) -> Any:
            with db as connection:
                meet.wait(20)
                return text_of(connection.execute("SELECT 7").fetchone()[0])

        served = serve(handler, threads=3)
        clients = [Client(served.address) for _ in range(3)]
        for client in clients:
            client.send_request("GET", "/")
        assert [client.collect().body for client in clients] == [b"7"] * 3
        for client in clients:
            client.close()
        served.stop(graceful=True)
        assert sorted(opened) == sorted(closed)
        assert len(set(closed)) == 3

    def test_a_stop_closes_the_last_one_first(
        self, maker: Maker, serve: Callable[..., Any]
    ) -> None:
        one = fastcgi.resource(maker, scope="pool")
        two = fastcgi.resource(maker, scope="pool")

        def handler(request: Any) -> Any:
            with one as a, two as b:
                return text_of((a.number, b.number))

        served = serve(handler)
        assert fetch(served.address).body == b"(1, 2)"
        served.stop(graceful=True)
        assert maker.log == ["rollback 2", "rollback 1", "close 2", "close 1"]

    def test_a_close_that_blocks_ends_in_time(
        self, command: Callable[..., Any], tmp_path: Path
    ) -> None:
        (tmp_path / "app.py").write_text(
            "import fastcgi, threading, fastcgi._resource as r\n"
            "r.CLOSE_SECONDS = 0.5\n"
            "r.close_all.__defaults__ = (0.5,)\n"
            "def close(value): threading.Event().wait()\n"
            "db = fastcgi.resource(object, scope='pool', close=close)\n"
            "def handler(request):\n"
            "    with db: return 200, None, 'x'\n"
        )
        program = command("-m", "fastcgi", "app:handler", "--bind", "unix:app.sock")
        program.wait_for("app.sock")
        assert fetch(f"unix:{tmp_path}/app.sock").body == b"x"
        program.process.terminate()
        program.wait_for("closing resources takes longer than 0.5 s")
        assert program.process.wait(60) is not None

    def test_an_eager_one_is_open_first(self, maker: Maker, serve: Callable[..., Any]) -> None:
        maker.error = OSError("nobody listens")
        db = fastcgi.resource(maker, eager=True, acquire_timeout=0.05)

        def handler(request: Any) -> Any:
            with db as value:
                return text_of(value.number)

        served = serve(handler, threads=2)
        with Client(served.address) as client:
            client.send_request("GET", "/")
            wait_until(lambda: db.stats()["refused"] > 1)
            assert db.stats()["taken"] == 0
            maker.error = None
            assert client.collect().status == 200

    def test_a_stop_ends_the_wait_for_an_eager_one(
        self, maker: Maker, serve: Callable[..., Any]
    ) -> None:
        maker.error = OSError("nobody listens")
        db = fastcgi.resource(maker, eager=True, acquire_timeout=0.05)
        served = serve(lambda request: text_of(1), threads=2)
        wait_until(lambda: db.stats()["refused"] > 1)
        served.stop(graceful=True)

    def test_it_goes_with_its_last_reference(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)
        gone = weakref.ref(db)
        with db:
            pass
        del db
        gc.collect()
        assert gone() is None
        assert maker.log == ["rollback 1", "close 1"]

    def test_one_that_a_request_has_stays(self, maker: Maker, serve: Callable[..., Any]) -> None:
        def handler(request: Any) -> Any:
            return text_of(fastcgi.resource(maker).get().number)

        served = serve(handler)
        assert fetch(served.address).body == b"1"
        wait_until(lambda: maker.log == ["rollback 1", "close 1"])


def in_a_fork(work: Callable[[], object]) -> str:
    """What it returns in a fork of this process, or raises there, as text."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writes, said.encode())
        os._exit(0)
    os.close(writes)
    with open(reads, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
class TestForks:
    def test_a_handler_forks(self, maker: Maker, serve: Callable[..., Any]) -> None:
        db = fastcgi.resource(maker, name="db")

        def use() -> str:
            with db:
                return "used"

        def handler(request: Any) -> Any:
            with db as value:
                value.dirty = True
                return text_of(in_a_fork(use))

        served = serve(handler)
        for _ in range(2):
            said = fetch(served.address).body.decode()
            assert re.fullmatch(
                rf"StateError: resource 'db' belongs to the process {os.getpid()}, of which this "
                r"one is a fork; make one here, or renew it",
                said,
            )
        assert (len(maker.made), maker.log) == (1, ["rollback 1"] * 2)

    def test_multiprocessing(self, tmp_path: Path, command: Callable[..., Any]) -> None:
        (tmp_path / "app.py").write_text(
            "import fastcgi, multiprocessing, sqlite3, sys\n"
            "db = fastcgi.resource(lambda: sqlite3.connect('x.db'), name='db')\n"
            "def use(queue):\n"
            "    try:\n"
            "        with db: queue.put('used')\n"
            "    except Exception as error: queue.put(type(error).__name__)\n"
            "def handler(request):\n"
            "    with db as connection:\n"
            "        context = multiprocessing.get_context('fork')\n"
            "        queue = context.Queue()\n"
            "        child = context.Process(target=use, args=(queue,))\n"
            "        child.start()\n"
            "        said = queue.get(timeout=20)\n"
            "        child.join()\n"
            "        return 200, None, said + str(connection.execute('SELECT 7').fetchone())\n"
        )
        program = command("-m", "fastcgi", "app:handler", "--bind", "unix:app.sock")
        program.wait_for("app.sock")
        for _ in range(2):
            assert fetch(f"unix:{tmp_path}/app.sock").body == b"StateError(7,)"

    def test_nothing_is_closed_there(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)
        with db:
            pass

        def end() -> str:
            nonlocal db
            del db
            gc.collect()
            import fastcgi._resource

            fastcgi._resource.tidy_all("all")
            return str(maker.log)

        assert in_a_fork(end) == "['rollback 1']"

    def test_one_that_was_not_used_is_the_childs_own(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)

        def use() -> int:
            with db as value:
                return value.number

        assert in_a_fork(use) == "1"
        assert maker.made == []

    def test_renew(self, maker: Maker) -> None:
        db = fastcgi.resource(maker)
        with db:
            pass

        def use() -> str:
            assert db.forked
            db.renew()
            assert not db.forked
            with db as value:
                return f"{value.number} {maker.log}"

        assert in_a_fork(use) == "2 ['rollback 1']"

    def test_a_server_in_a_fork_has_its_own(self, maker: Maker, tmp_path: Path) -> None:
        """An application was imported, and has used it, before the fork that serves."""
        db = fastcgi.resource(maker)
        with db:
            pass

        def handler(request: Any) -> Any:
            with db as value:
                return text_of(value.number)

        def work() -> bytes:
            with fastcgi.Server(f"unix:{tmp_path}/s") as server:
                thread = threading.Thread(target=server.serve, args=(handler,))
                thread.start()
                body = fetch(f"unix:{tmp_path}/s").body
                server.stop()
                thread.join()
                return body

        assert in_a_fork(work) == "b'2'"


def test_it_is_typed(tmp_path: Path) -> None:
    """mypy knows what is opened."""
    from mypy import api

    path = tmp_path / "app.py"
    path.write_text(
        "import sqlite3, fastcgi\n"
        "db = fastcgi.resource(lambda: sqlite3.connect('x'), max_age=None)\n"
        "def connect() -> sqlite3.Connection: return sqlite3.connect('x')\n"
        "other = fastcgi.resource(connect, check=lambda c: c.in_transaction)\n"
        "with db as connection:\n"
        "    reveal_type(connection)\n"
        "reveal_type(other.get())\n"
    )
    out, err, _ = api.run(["--strict", "--no-incremental", f"--cache-dir={tmp_path}", str(path)])
    assert out.count("sqlite3.Connection") == 2, out + err
    assert "Success" in out or "error" not in out, out
