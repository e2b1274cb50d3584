# SPDX-License-Identifier: MIT
"""The adapters of fastcgi.resource, each with the real thing: what a handler leaves never shows in
the next request, and a server that goes away and comes back costs what the guide says."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastcgi
import psycopg
import psycopg2
import psycopg2.extras
import pytest
import redis
from fastcgi import _adapters
from support.crowd import Crowd
from support.databases import Postgres, Redis, do, one, started
from support.fcgi_client import fetch, wait_until


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    yield from started(Postgres)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Redis]:
    yield from started(Redis)


class TestSqlite:
    def connect(self, path: Path) -> Callable[[], sqlite3.Connection]:
        with sqlite3.connect(path / "x.db") as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS visits (n)")
        connection.close()
        return lambda: sqlite3.connect(path / "x.db")

    def test_an_open_transaction(self, tmp_path: Path) -> None:
        db = fastcgi.resource(self.connect(tmp_path))
        with db as first:
            first.execute("INSERT INTO visits VALUES (1)")
        with db as second:
            assert second is first
            assert one(second, "SELECT count(*) FROM visits") == 0
            second.execute("INSERT INTO visits VALUES (1)")
            second.commit()
        with db as third:
            assert one(third, "SELECT count(*) FROM visits") == 1

    def test_after_an_exception(self, tmp_path: Path) -> None:
        db = fastcgi.resource(self.connect(tmp_path))
        with pytest.raises(sqlite3.OperationalError), db as connection:
            connection.executescript("BEGIN; INSERT INTO visits VALUES (1); SELECT nothing")
        with db as connection:
            assert one(connection, "SELECT count(*) FROM visits") == 0

    @pytest.mark.parametrize(
        "query",
        ["CREATE TEMP TABLE t (n)", "CREATE TEMP VIEW v AS SELECT 1", "ATTACH ':memory:' AS other"],
    )
    def test_what_cannot_be_undone_is_replaced(self, tmp_path: Path, query: str) -> None:
        db = fastcgi.resource(self.connect(tmp_path))
        with db as first:
            first.execute(query)
        with db as second:
            assert second is not first
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            first.execute("SELECT 1")

    def test_what_configure_makes_stays(self, tmp_path: Path) -> None:
        def configure(connection: sqlite3.Connection) -> None:
            connection.row_factory = sqlite3.Row
            connection.execute("CREATE TEMP TABLE t (n)")
            connection.execute("INSERT INTO t VALUES (7)")

        db = fastcgi.resource(self.connect(tmp_path), configure=configure)
        with db as first:
            first.row_factory = None
        with db as second:
            assert second is first
            assert second.execute("SELECT n FROM t").fetchone()["n"] == 7

    def test_only_the_transaction(self, tmp_path: Path) -> None:
        db = fastcgi.resource(self.connect(tmp_path), reset="transaction")
        with db as connection:
            connection.execute("CREATE TEMP TABLE t (n)")
            connection.execute("INSERT INTO visits VALUES (1)")
        with db as connection:
            assert one(connection, "SELECT count(*) FROM visits") == 0
            assert one(connection, "SELECT count(*) FROM t") == 0

    def test_a_closed_one_is_replaced(self, tmp_path: Path) -> None:
        db = fastcgi.resource(self.connect(tmp_path))
        with db as connection:
            connection.close()
        with db as connection:
            assert one(connection, "SELECT 1") == 1


POSTGRES = {
    "psycopg": lambda database: psycopg.connect(database.dsn),
    "psycopg2": lambda database: psycopg2.connect(database.dsn),
}


@pytest.fixture(params=POSTGRES)
def connect(request: Any, postgres: Postgres) -> Callable[[], Any]:
    return lambda: POSTGRES[request.param](postgres)


class TestPostgres:
    def test_the_adapter_is_found(self, connect: Callable[[], Any]) -> None:
        connection = connect()
        assert _adapters.adapter_of(connection) in (_adapters.Psycopg, _adapters.Psycopg2)
        connection.close()

    def test_transactions(self, connect: Callable[[], Any], postgres: Postgres) -> None:
        postgres.ask("DROP TABLE IF EXISTS visits; CREATE TABLE visits (n int)")
        db = fastcgi.resource(connect)
        with db as first:
            do(first, "INSERT INTO visits VALUES (1)")
        with db as second:
            assert second is first
            assert one(second, "SELECT count(*) FROM visits") == 0
            with pytest.raises(Exception, match="division by zero"):
                do(second, "SELECT 1/0")
        with db as third:
            assert third is first
            assert one(third, "SELECT 7") == 7
            do(third, "INSERT INTO visits VALUES (1)")
            third.commit()
        assert postgres.ask("SELECT count(*) FROM visits") == 1
        db.drain()

    @pytest.mark.parametrize("commit", [True, False])
    def test_sessions(self, connect: Callable[[], Any], commit: bool) -> None:
        db = fastcgi.resource(connect)
        with db as first:
            before = one(first, "SHOW search_path")
            do(
                first,
                "CREATE TEMP TABLE mine (n int)",
                "SET search_path TO pg_catalog",
                "SET statement_timeout TO '7s'",
                "SELECT pg_advisory_lock(4711)",
                "LISTEN news",
                "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            )
            if commit:
                first.commit()
        with db as second:
            assert second is first
            assert one(second, "SHOW search_path") == before
            assert one(second, "SHOW statement_timeout") == "0"
            assert one(second, "SELECT to_regclass('pg_temp.mine')") is None
            assert one(second, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
            assert one(second, "SELECT count(*) FROM pg_listening_channels()") == 0
            assert one(second, "SELECT count(*) FROM pg_cursors WHERE name = 'c'") == 0
        db.drain()

    def test_attributes(self, connect: Callable[[], Any]) -> None:
        db = fastcgi.resource(connect)
        with db as first:
            before = first.autocommit
            first.autocommit = not before
        with db as second:
            assert (second is first, second.autocommit) == (True, before)
        db.drain()

    def test_more_attributes(self, connect: Callable[[], Any]) -> None:
        changes = {
            "row_factory": psycopg.rows.dict_row,
            "server_cursor_factory": psycopg.RawServerCursor,
            "prepare_threshold": 0,
            "prepared_max": 7,
            "isolation_level": 3,
            "read_only": True,
            "readonly": True,
            "deferrable": True,
        }
        db = fastcgi.resource(connect)
        with db as first:
            changes["cursor_factory"] = (
                psycopg.RawCursor
                if hasattr(first, "row_factory")
                else psycopg2.extras.RealDictCursor
            )
            before = {name: getattr(first, name) for name in changes if hasattr(first, name)}
            for name in before:
                setattr(first, name, changes[name])
        with db as second:
            assert second is first
            assert {name: getattr(second, name) for name in before} == before
            assert one(second, "SHOW transaction_read_only") == "off"
        db.drain()

    def test_configure_is_for_each_request(self, connect: Callable[[], Any]) -> None:
        db = fastcgi.resource(
            connect, configure=lambda connection: do(connection, "SET search_path TO shop")
        )
        for _ in range(3):
            with db as connection:
                assert one(connection, "SHOW search_path") == "shop"
                do(connection, "SET search_path TO other")
                connection.commit()
        assert db.stats()["opened"] == 1
        db.drain()

    def test_only_the_transaction(self, connect: Callable[[], Any]) -> None:
        db = fastcgi.resource(connect, reset="transaction")
        with db as first:
            do(first, "SET search_path TO shop")
            first.commit()
            do(first, "SET search_path TO other")
        with db as second:
            assert one(second, "SHOW search_path") == "shop"
        db.drain()

    def test_a_dead_one_is_found_by_its_check(
        self, connect: Callable[[], Any], postgres: Postgres
    ) -> None:
        db = fastcgi.resource(connect, check_after=0)
        with db as first:
            pass
        postgres.kill_backends()
        with db as second:
            assert second is not first
            assert one(second, "SELECT 1") == 1
        assert db.stats()["closed_check"] == 1
        db.drain()

    def test_one_error_for_all_that_are_dead(
        self, connect: Callable[[], Any], postgres: Postgres
    ) -> None:
        db = fastcgi.resource(connect, scope="pool", size=4)
        meet = threading.Barrier(4)

        def hold() -> None:
            with db:
                meet.wait(20)

        threads = [threading.Thread(target=hold) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        postgres.kill_backends()
        errors = 0
        for _ in range(12):
            try:
                with db as connection:
                    one(connection, "SELECT 1")
            except (psycopg.Error, psycopg2.Error):
                errors += 1
        assert errors == 1
        db.drain()

    def test_nothing_is_left_open(
        self, connect: Callable[[], Any], postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        db = fastcgi.resource(connect)

        def handler(request: Any) -> Any:
            with db as connection:
                return 200, None, str(one(connection, "SELECT 7"))

        wait_until(lambda: postgres.backends() == 0)
        served = serve(handler, threads=3)
        for _ in range(20):
            assert fetch(served.address).body == b"7"
        assert 1 <= postgres.backends() <= 3
        served.stop(graceful=True)
        wait_until(lambda: postgres.backends() == 0)

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_fork_says_no_goodbye(self, connect: Callable[[], Any]) -> None:
        db = fastcgi.resource(connect)
        with db as connection:
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    with db:
                        pass
                except fastcgi.StateError:
                    status = 0
                os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0
            assert one(connection, "SELECT 1") == 1
        db.drain()


THREADS = 4


class TestOutage:
    """Without a retry no more requests fail than were inside a handler."""

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
    def test_postgres_restarts(
        self, connect: Callable[[], Any], serve: Callable[..., Any], how: int
    ) -> None:
        with Postgres() as database:
            name = "psycopg2" if "psycopg2" in type(self._probe(connect)).__module__ else "psycopg"
            db = fastcgi.resource(lambda: POSTGRES[name](database), acquire_timeout=30)

            def handler(request: Any) -> Any:
                with db as connection:
                    return 200, None, str(one(connection, "SELECT 7"))

            served = serve(handler, threads=THREADS)
            with Crowd(served.address, 8) as crowd:
                for _ in range(3):
                    crowd.wait_for(200)
                    database.restart(how)
                    crowd.wait_for(200)
            failed = len(crowd.statuses) - crowd.count(200)
            assert failed <= 3 * THREADS, crowd.statuses
            assert db.stats()["open"] <= THREADS

    @staticmethod
    def _probe(connect: Callable[[], Any]) -> Any:
        connection = connect()
        connection.close()
        return connection

    def test_postgres_is_away(self, serve: Callable[..., Any]) -> None:
        if Postgres.lacks():
            pytest.skip(str(Postgres.lacks()))
        with Postgres() as database:
            db = fastcgi.resource(lambda: psycopg.connect(database.dsn), acquire_timeout=0.5)

            def handler(request: Any) -> Any:
                with db as connection:
                    return 200, None, str(one(connection, "SELECT 7"))

            served = serve(handler, threads=THREADS)
            with Crowd(served.address, 8) as crowd:
                crowd.wait_for(200)
                database.stop()
                crowd.wait_for(503, 100)
                attempts = db.stats()["failed"]
                answer = fetch(served.address)
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                time.sleep(1)
                assert db.stats()["failed"] - attempts <= 10
                database.start()
                crowd.wait_for(200)
                crowd.wait_for(200)
            assert crowd.statuses[-1][1] == 200

    def test_redis(self, serve: Callable[..., Any]) -> None:
        if Redis.lacks():
            pytest.skip(str(Redis.lacks()))
        with Redis() as database:
            db = fastcgi.resource(
                lambda: redis.Redis(unix_socket_path=database.socket), acquire_timeout=0.5
            )

            def handler(request: Any) -> Any:
                with db as client:
                    return 200, None, str(client.incr("visits"))

            served = serve(handler, threads=THREADS)
            with Crowd(served.address, 8) as crowd:
                crowd.wait_for(200)
                database.stop(signal.SIGKILL)
                crowd.wait_for(503)
                database.start()
                crowd.wait_for(200)
            assert crowd.count(500) <= THREADS


class TestRedis:
    def test_it_is_opened_when_it_answers(self, redis_server: Redis) -> None:
        db = fastcgi.resource(lambda: redis.Redis(unix_socket_path=redis_server.socket))
        with db as client:
            client.set("name", "value")
        with db as again:
            assert (again is client, again.get("name")) == (True, b"value")
        absent = fastcgi.resource(
            lambda: redis.Redis(unix_socket_path="/nowhere"), acquire_timeout=0
        )
        with pytest.raises(fastcgi.Unavailable), absent:
            pass

    def test_an_error_of_the_connection(self, redis_server: Redis) -> None:
        db = fastcgi.resource(lambda: redis.Redis(unix_socket_path=redis_server.socket))
        with pytest.raises(redis.ResponseError), db as client:
            client.execute_command("NO SUCH COMMAND")
        assert db.stats()["open"] == 1
        with pytest.raises(redis.ConnectionError), db:
            raise redis.ConnectionError("gone")
        assert db.stats()["closed_invalidated"] == 1
