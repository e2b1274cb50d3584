# SPDX-License-Identifier: MIT
"""fastcgi.resource: taking, giving back and replacing what is kept between requests."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastcgi
import pytest
from support.fcgi_client import Client, fetch, wait_until
from support.keeping import Maker, Value, text_of


@pytest.fixture
def maker() -> Maker:
    return Maker()


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

    @pytest.mark.parametrize("scope", ["thread", "pool"])
    def test_a_limit_of_all_workers(
        self, maker: Maker, serve: Callable[..., Any], scope: Any
    ) -> None:
        """More threads than it allows: what rests in one is closed for another."""
        db = fastcgi.resource(maker, scope=scope, limit_total=2, acquire_timeout=60, name="db")
        most = 0

        def handler(request: Any) -> Any:
            nonlocal most
            with db as value:
                most = max(most, db.stats()["in_use"])
                time.sleep(0.02)
                return text_of(value.number)

        served = serve(handler, threads=6)
        clients = [Client(served.address) for _ in range(6)]
        for _ in range(5):
            for client in clients:
                client.send_request("GET", "/")
            assert [client.collect().status for client in clients] == [200] * 6
            assert maker.open <= 2
        for client in clients:
            client.close()
        stats = db.stats()
        assert (most, stats["limit_total"], stats["abandoned"]) == (2, 2, 0)
        assert stats["total"] == maker.open
        assert (len(maker.made) > 2) == (scope == "thread")

    def test_a_limit_that_is_in_use(self, maker: Maker) -> None:
        db = fastcgi.resource(maker, scope="pool", limit_total=1, acquire_timeout=0.05, name="db")
        raised: list[str] = []

        def work() -> None:
            with pytest.raises(fastcgi.Unavailable) as error, db:
                pass
            raised.append(str(error.value))

        with db:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert raised[0].startswith("resource 'db': all that limit_total allows the workers")
        assert maker.open == 1

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

    def test_no_check_but_after_another_one_broke(self, maker: Maker) -> None:
        checked: list[int] = []

        def check(value: Value) -> None:
            checked.append(value.number)

        def use() -> None:
            with db:
                pass

        db = fastcgi.resource(maker, scope="pool", check_after=None, check=check)
        other = threading.Thread(target=use)
        with db:
            other.start()
            other.join()
        use()
        assert (len(maker.made), checked) == (2, [])
        with db as value:
            db.invalidate()
        use()
        use()
        assert checked == [3 - value.number]
        told = " ".join(str(fastcgi.resource.__doc__).split())
        assert "None: only after another one of the process was found broken" in told

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
