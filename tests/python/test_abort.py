# SPDX-License-Identifier: MIT
"""Aborts: who hears of them, from where, while a handler does what."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time

import fastcgi
import pytest
from fastcgi import _raise
from fastcgi.testing import Client, request_params

REASONS = ["record", "connection"]


def abort(connection, reason):
    """Give request 1 up in the way that leads to `reason`."""
    if reason == "record":
        connection.abort()
    else:
        connection.close()


class Heard:
    """What a handler and its cancellers have heard."""

    def __init__(self):
        self.began = threading.Event()
        self.done = threading.Event()
        self.told = []

    def run(self, client, reason, body=False):
        """Abort a request once its handler has begun; wait until it is done."""
        with client.connect() as connection:
            connection.begin(request_params("POST", "/", length=5 if body else 0))
            connection.stdin(b"x" if body else b"", end=not body)
            assert self.began.wait(60)
            abort(connection, reason)
            assert self.done.wait(60), "the handler has not heard of it"


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("threads", [1, 3])
def test_while_it_reads(reason, threads):
    heard = Heard()

    def handler(request):
        request.on_abort(lambda: heard.told.append("canceller"))
        heard.began.set()
        try:
            request.read()
        except fastcgi.Aborted:
            heard.told.append(request.aborted)
            heard.done.set()
            raise

    with Client(handler, stream=True, threads=threads) as client:
        heard.run(client, reason, body=True)
    assert reason in heard.told


@pytest.mark.parametrize("threads", [1, 3])
def test_while_it_writes_to_a_connection_that_is_lost(threads):
    heard = Heard()

    def handler(request):
        request.start(200)
        try:
            while True:
                request.write(bytes(100_000))
                heard.began.set()
        except fastcgi.Aborted:
            heard.told.append(request.aborted)
            heard.done.set()
            raise

    with Client(handler, threads=threads) as client:
        heard.run(client, "connection")
    assert heard.told == ["connection"]


def test_while_it_writes_an_abort_record_is_a_hint():
    heard = Heard()
    size = 40 * 100_000

    def handler(request):
        request.on_abort(lambda: heard.told.append(request.aborted) or heard.done.set())
        heard.began.set()
        request.start(200)
        for _ in range(40):
            request.write(bytes(100_000))

    with Client(handler) as client, client.connect() as connection:
        connection.begin(request_params("GET", "/"))
        connection.stdin(b"")
        assert heard.began.wait(60)
        time.sleep(0.1)  # It is full now, and the handler waits in write.
        connection.abort()
        assert heard.done.wait(60)
        assert len(connection.response().body) == size
    assert heard.told == ["record"]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("threads", [1, 3])
def test_while_it_computes(reason, threads):
    heard = Heard()

    def handler(request):
        heard.began.set()
        until = time.monotonic() + 60
        while request.aborted is None and time.monotonic() < until:
            sum(range(1000))
        heard.told.append(request.aborted)
        heard.done.set()
        return 200, {}, b""

    with Client(handler, threads=threads) as client:
        heard.run(client, reason)
    assert heard.told == [reason]


@pytest.mark.parametrize("reason", REASONS)
def test_wsgi_asks_environ(reason):
    heard = Heard()

    def application(environ, start_response):
        aborted = environ["fastcgi.aborted"]
        assert aborted() is None
        heard.began.set()
        until = time.monotonic() + 60
        while aborted() is None and time.monotonic() < until:
            time.sleep(0.001)
        heard.told.append(aborted())
        heard.done.set()
        start_response("200 OK", [])
        return []

    with Client(application) as client:
        heard.run(client, reason)
    assert heard.told == [reason]


def test_a_stop_at_once_is_an_abort():
    heard = Heard()

    def handler(request):
        request.on_abort(lambda: heard.told.append(request.aborted) or heard.done.set())
        heard.began.set()
        assert heard.done.wait(60)
        return 200, {}, b""

    with Client(handler) as client, client.connect() as connection:
        connection.begin(request_params("GET", "/"))
        connection.stdin(b"")
        assert heard.began.wait(60)
        client.server.stop(graceful=False)
        assert heard.done.wait(60)
    assert heard.told == ["stop"]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_canceller_interrupts_a_query(reason, threads):
    """The handler is inside SQLite: only another thread can stop it."""
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT begun() UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    )
    heard = Heard()

    def handler(request):
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.create_function("begun", 0, lambda: heard.began.set() or 1)

        def cancel():
            heard.told.append((request.aborted, threading.current_thread().name))
            database.interrupt()

        with request.on_abort(cancel):
            try:
                database.execute(endless).fetchall()
            except sqlite3.OperationalError as error:
                heard.told.append(str(error))
                heard.done.set()
        database.close()
        return 503, {}, b"interrupted"

    with Client(handler, threads=threads) as client:
        heard.run(client, reason)
    assert heard.told == [(reason, "fastcgi-abort"), "interrupted"]


def status_of_a_fork(child):
    """What the child ends with: by itself, or by a signal where it hangs."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        try:
            child()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("threads", [1, 3])
def test_a_fork_waits_for_no_canceller_of_its_parent(threads):
    """The thread that calls it has its lock, and is not there in the fork."""
    heard, forked = Heard(), threading.Event()

    def handler(request):
        called = threading.Event()
        canceller = request.on_abort(lambda: called.set() or forked.wait(60))

        def child():
            canceller.remove()
            os._exit(7)

        heard.began.set()
        assert called.wait(60)
        heard.told.append(status_of_a_fork(child))
        forked.set()
        heard.done.set()
        return 200, {}, b""

    with Client(handler, threads=threads) as client:
        heard.run(client, "connection")
    assert heard.told == [7]


def test_a_fork_watches_no_request_of_its_parent():
    """The locks of what looks at aborts and of what raises may be taken in it."""
    told = []

    def handler(request):
        def child():
            try:
                with request.raise_on_abort():
                    os._exit(2)
            except fastcgi.StateError as error:
                _raise.cancel(threading.get_ident())
                os._exit(7 if "fork" in str(error) else 3)

        taken, over = threading.Event(), threading.Event()

        def keep_locks():
            with client.server._watch._changed, _raise._lock:
                taken.set()
                over.wait(60)

        other = threading.Thread(target=keep_locks)
        other.start()
        assert taken.wait(60)
        told.append(status_of_a_fork(child))
        over.set()
        other.join()
        return 200, {}, b""

    with Client(handler) as client:
        assert client.get("/").status == 200
    assert told == [7]


def test_an_abort_record_may_not_count():
    heard = Heard()

    def handler(request):
        request.on_abort(
            lambda: heard.told.append(request.aborted) or heard.done.set(), record=False
        )
        heard.began.set()
        heard.done.wait(60)
        return 200, {}, b""

    with Client(handler) as client, client.connect() as connection:
        connection.begin(request_params("GET", "/"))
        connection.stdin(b"")
        assert heard.began.wait(60)
        connection.abort()
        assert not heard.done.wait(0.3)
        connection.close()
        assert heard.done.wait(60)
    assert heard.told == ["connection"]


def test_a_canceller_that_is_removed_is_not_called():
    heard = Heard()

    def handler(request):
        first = request.on_abort(lambda: heard.told.append("first"))
        with request.on_abort(lambda: heard.told.append("second")):
            pass
        first.remove()
        first.remove()
        request.on_abort(lambda: heard.told.append("third") or heard.done.set())
        heard.began.set()
        heard.done.wait(60)
        return 200, {}, b""

    with Client(handler) as client:
        heard.run(client, "connection")
    assert heard.told == ["third"]


def test_removing_waits_for_a_call_under_way():
    heard = Heard()
    called = threading.Event()

    def cancel():
        called.set()
        time.sleep(0.2)
        heard.told.append("cancelled")

    def handler(request):
        with request.on_abort(cancel):
            heard.began.set()
            assert called.wait(60)
        heard.told.append("left")
        heard.done.set()
        return 200, {}, b""

    with Client(handler) as client:
        heard.run(client, "connection")
    assert heard.told == ["cancelled", "left"]


def test_cancellers_are_not_called_after_the_end():
    heard = Heard()
    saved = []

    def handler(request):
        saved.append(request)
        request.on_abort(lambda: heard.told.append("late"))
        return 200, {}, b""

    with Client(handler) as client:
        assert client.get("/").status == 200
        with pytest.raises(fastcgi.StateError, match="the request has ended"):
            saved[0].on_abort(print)
        time.sleep(0.2)
    assert heard.told == []


def test_a_canceller_that_fails_is_reported_and_others_go_on(capfd):
    heard = Heard()

    def fails():
        raise ValueError("on purpose")

    def handler(request):
        with pytest.raises(TypeError, match="must be callable, not int"):
            request.on_abort(1)
        request.on_abort(fails)
        request.on_abort(heard.done.set)
        heard.began.set()
        heard.done.wait(60)
        return 200, {}, b""

    with Client(handler) as client:
        heard.run(client, "connection")
    error = capfd.readouterr().err
    assert "the canceller <function" in error
    assert "ValueError: on purpose" in error


@pytest.mark.parametrize("reason", REASONS)
def test_aborted_is_raised_in_a_computation(reason, capfd):
    heard = Heard()

    def handler(request):
        try:
            with request.raise_on_abort():
                heard.began.set()
                until = time.monotonic() + 60
                while time.monotonic() < until:
                    pass
        except fastcgi.Aborted:
            heard.told.append(request.aborted)
            raise
        finally:
            heard.done.set()

    with Client(handler) as client:
        heard.run(client, reason)
    assert heard.told[:1] == [reason]
    assert "Traceback" not in capfd.readouterr().err, "a client that has left is no news"


# CPython 3.11 to 3.13 compile some of these with a jump back that has no handler.
LOOPS = {
    "calls in one line": "while time.monotonic() < until: pass",
    "calls": "while time.monotonic() < until:\n        pass",
    "tests in one line": "while request.path: pass",
    "tests a name": "while until:\n        pass",
    "tests a name in one line": "while until: pass",
    "iterates in one line": "for _ in iter(int, 1): pass",
    "calls Python": "for _ in iter(lambda: int(), 1): pass",
    "generates": "sum(0 for _ in iter(int, 1))",
    "is in a loop": "while True:\n        for _ in range(9): pass",
    "has its own handler": (
        "while True:\n        try: int('no')\n        except ValueError: continue"
    ),
}


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("loop", LOOPS)
def test_aborted_is_caught_around_any_loop(loop, depth):
    heard = Heard()
    source = f"""
def spin(request, until, depth):
  try:
    if depth:
        spin(request, until, depth - 1)
    {LOOPS[loop]}
  except Aborted:
    told.append("except")
    raise
  finally:
    told.append("finally")
"""
    names = {"time": time, "Aborted": fastcgi.Aborted, "told": heard.told}
    exec(source, names)

    def handler(request):
        try:
            with request.raise_on_abort():
                heard.began.set()
                names["spin"](request, time.monotonic() + 60, depth)
        except fastcgi.Aborted:
            heard.told.append("caught")
        sum(range(100_000))  # Nothing is raised out here.
        heard.done.set()
        return 200, {}, b""

    with Client(handler) as client:
        for _ in range(3):
            heard.run(client, "record")
            assert heard.told == ["except", "finally"] * (depth + 1) + ["caught"]
            heard.told.clear()
            heard.began.clear()
            heard.done.clear()


def test_aborted_is_raised_at_the_latest_on_leaving():
    heard = Heard()

    def handler(request):
        came = threading.Event()

        def body():
            with request.raise_on_abort():
                heard.began.set()
                came.wait(60)

        request.on_abort(came.set)
        with pytest.raises(fastcgi.Aborted):
            body()
        for _ in range(100_000):
            pass  # Nothing is raised out here.
        heard.done.set()
        return 200, {}, b""

    with Client(handler) as client:
        heard.run(client, "connection")


def test_nothing_is_raised_without_an_abort():
    def handler(request):
        with request.raise_on_abort():
            sum(range(1000))
        return 200, {}, b"fine"

    with Client(handler) as client:
        for _ in range(50):
            assert client.get("/").text == "fine"
