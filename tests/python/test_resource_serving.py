# SPDX-License-Identifier: MIT
"""fastcgi.resource in a server that begins and ends, and in forks."""

from __future__ import annotations

import gc
import os
import re
import sqlite3
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastcgi
import pytest
from support.fcgi_client import Client, fetch, wait_until
from support.forks import in_a_fork
from support.keeping import Maker, text_of
from support.tool import fcgi


@pytest.fixture
def maker() -> Maker:
    return Maker()


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

    def test_the_status_counts_it(self, maker: Maker, serve: Callable[..., Any]) -> None:
        """Threads that wait, too, and a handle that was invalidated."""
        db = fastcgi.resource(maker, scope="pool", size=1, name="shop")
        inside, go = threading.Event(), threading.Event()

        def handler(request: Any) -> Any:
            with db:
                if not inside.is_set():
                    inside.set()
                    assert go.wait(60)
                    db.invalidate()
            return text_of("done")

        served = serve(handler, threads=3, status_path="/status")

        def shown(name: str) -> int:
            text = fetch(served.address, "GET", "/status?openmetrics").body.decode()
            line = re.search(rf"^fastcgi_{re.escape(name)} (\d+)$", text, re.M)
            assert line, text
            return int(line[1])

        assert shown("resources_opened_total") == 0
        first = Client(served.address)
        first.send_request("GET", "/")
        assert inside.wait(60)
        second = Client(served.address)
        second.send_request("GET", "/")
        wait_until(lambda: shown("resources_waiting") == 1)
        assert (shown("resources_open"), shown("resources_in_use")) == (1, 1)
        go.set()
        assert [client.collect().body for client in (first, second)] == [b"done"] * 2
        first.close()
        second.close()
        wait_until(lambda: shown("resources_in_use") == 0)
        assert shown("resources_waiting") == 0
        assert shown("resources_opened_total") == 2
        assert shown("resources_waited_total") == 1
        assert shown('resources_closed_total{cause="invalidated"}') == 1
        named = '{resource="shop"}'
        assert shown(f"resource_open{named}") == 1
        assert shown(f"resource_opened_total{named}") == 2
        assert shown(f"resource_wait_seconds_count{named}") == 1
        top = fcgi("top", served.address, "--once", "--interval", "0.1").stdout.decode()
        assert "resources open 1  used 0  wait 0  refused 0  failed 0\nrequests retried 0\n" in top
        lines = [line.split() for line in top.splitlines()]
        assert ["shop", "1", "0", "0", "2", "0", "0"] in lines
        assert max(map(len, top.splitlines()[1:])) <= 60  # The first has the address.

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
            "one, two, three = (fastcgi.resource(object, scope='pool', close=close)\n"
            "                   for _ in range(3))\n"
            "def handler(request):\n"
            "    with one, two, three: return 200, None, 'x'\n"
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

    def test_a_thread_that_tidies_keeps_it(self) -> None:
        """The last reference goes while another thread comes to close what rests."""
        script = """if True:
            import fastcgi, threading
            from fastcgi._resource import tidy_all

            ending, tidying, gone = (threading.Event() for _ in range(3))

            def close(value):
                if not ending.is_set():
                    ending.set()
                    assert tidying.wait(60)
                else:
                    tidying.set()
                    assert gone.wait(60)
                print("closed")

            def tidy():
                assert ending.wait(60)
                tidy_all("all")

            db = fastcgi.resource(object, scope="pool", close=close)
            both = threading.Barrier(2)

            def use():
                with db:
                    both.wait(60)

            users = [threading.Thread(target=use) for _ in range(2)]
            for user in users: user.start()
            for user in users: user.join()
            del users, user
            other = threading.Thread(target=tidy)
            other.start()
            del db
            gone.set()
            other.join()
            print("fine")
        """
        environment = {**os.environ, "MALLOC_PERTURB_": "165"}
        ended = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (0, "closed\nclosed\nfine\n"), ended.stderr

    def test_one_that_a_request_has_stays(self, maker: Maker, serve: Callable[..., Any]) -> None:
        def handler(request: Any) -> Any:
            return text_of(fastcgi.resource(maker).get().number)

        served = serve(handler)
        assert fetch(served.address).body == b"1"
        wait_until(lambda: maker.log == ["rollback 1", "close 1"])


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
