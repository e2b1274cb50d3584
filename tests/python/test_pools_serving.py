# SPDX-License-Identifier: MIT
"""Pools of SQLAlchemy and psycopg_pool in a server: its requests, its status, its end, its forks,
and a database that restarts."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastcgi
import pytest
import sqlalchemy
from support.crowd import Crowd
from support.databases import Postgres, started
from support.fcgi_client import Client, fetch, wait_for_server, wait_until
from support.forks import in_a_fork
from support.pools import KINDS, Kind, make_engine, url_of
from support.tool import fcgi

THREADS = 4


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    yield from started(Postgres)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    yield from started(Postgres)


@pytest.fixture(params=KINDS)
def kind(request: Any) -> Iterator[Kind]:
    yield KINDS[request.param]
    KINDS[request.param].end()


def shown(address: str, name: str) -> int:
    text = fetch(address, "GET", "/status?openmetrics").body.decode()
    line = re.search(rf"^fastcgi_{re.escape(name)} (\d+)$", text, re.M)
    assert line, text
    return int(line[1])


class TestRequests:
    def test_get_lasts_until_the_end(
        self, kind: Kind, postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        """Of a streaming answer, too."""
        db = kind.make(postgres, size=1)
        seen: list[int] = []

        def handler(request: Any) -> Any:
            connection = db.get()
            assert db.get() is connection
            seen.append(db.stats()["in_use"])

            def body() -> Iterator[bytes]:
                yield str(kind.run(connection, "SELECT 7")).encode()
                seen.append(db.stats()["in_use"])

            return 200, None, body()

        served = serve(handler)
        for _ in range(3):
            assert fetch(served.address).body == b"7"
        assert seen == [1] * 6
        wait_until(lambda: db.stats()["in_use"] == 0)
        assert db.stats()["opened"] == 1

    def test_the_answer_is_503(
        self, kind: Kind, postgres: Postgres, serve: Callable[..., Any], tmp_path: Path
    ) -> None:
        db = kind.make(postgres, size=1, wait=0.1, name="shop")
        log = tmp_path / "error.log"

        def handler(request: Any) -> Any:
            with db:
                return 200, None, "there"

        served = serve(handler, error_logfile=str(log))
        with db:
            answer = fetch(served.address)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert fetch(served.address).body == b"there"
        wait_until(lambda: "resource 'shop': none was free: " in log.read_text())
        assert "Traceback" not in log.read_text()

    def test_a_handler_that_catches_it_answers(
        self, kind: Kind, postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        db = kind.make(postgres, size=1, wait=0.1)

        def handler(request: Any) -> Any:
            try:
                with db:
                    return 200, None, "there"
            except fastcgi.Unavailable:
                return 200, None, "from the cache"

        served = serve(handler)
        with db:
            assert fetch(served.address).body == b"from the cache"

    def test_a_block_that_is_not_left(
        self, kind: Kind, postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        db = kind.make(postgres, size=1)

        def handler(request: Any) -> Any:
            return 200, None, str(kind.run(db.__enter__(), "SELECT pg_backend_pid()"))

        served = serve(handler)
        assert len({fetch(served.address).body for _ in range(3)}) == 3
        wait_until(lambda: db.stats()["in_use"] == 0)
        assert db.stats()["unended"] == 3


class TestStatus:
    def test_the_status_counts_it(
        self, kind: Kind, postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        db = kind.make(postgres, size=1, name="shop")
        inside, go = threading.Event(), threading.Event()

        def handler(request: Any) -> Any:
            with db as connection:
                if not inside.is_set():
                    inside.set()
                    assert go.wait(60)
                    db.invalidate()
                return 200, None, str(kind.run(connection, "SELECT 7"))

        served = serve(handler, threads=3, status_path="/status")

        def of_name(name: str) -> int:
            return shown(served.address, f'resource_{name}{{resource="shop"}}')

        with Client(served.address) as first, Client(served.address) as second:
            first.send_request("GET", "/")
            assert inside.wait(60)
            second.send_request("GET", "/")
            wait_until(lambda: shown(served.address, "resources_waiting") == 1)
            assert (of_name("open"), of_name("in_use"), of_name("opened_total")) == (1, 1, 1)
            go.set()
            assert [client.collect().status for client in (first, second)] == [200, 200]
        wait_until(lambda: of_name("in_use") == 0)
        assert (of_name("open"), of_name("waiting"), of_name("opened_total")) == (1, 0, 2)
        assert shown(served.address, 'resources_closed_total{cause="invalidated"}') == 1
        assert of_name("wait_seconds_count") >= 1
        report = fetch(served.address, "GET", "/status?json").body.decode()
        assert '"shop"' in report
        top = fcgi("top", served.address, "--once", "--interval", "0.1").stdout.decode()
        assert ["shop", "1", "0", "0", "2", "0", "0"] in [line.split() for line in top.splitlines()]

    def test_what_others_take_is_counted(
        self, postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        """The engine knows of connections that its users take from it."""
        engine = make_engine(postgres)
        db = fastcgi.resource.sqlalchemy(engine, name="shop")
        served = serve(lambda request: (200, None, "x"), status_path="/status")
        assert db.stats()["open"] == 0
        with engine.connect():
            wait_until(
                lambda: (
                    'fastcgi_resource_in_use{resource="shop"} 1'
                    in fetch(served.address, "GET", "/status?openmetrics").body.decode()
                )
            )


class TestEnd:
    def test_nothing_is_left_open(
        self, kind: Kind, own_postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        """Another server in the process begins anew."""
        db = kind.make(own_postgres)

        def handler(request: Any) -> Any:
            with db as connection:
                return 200, None, str(kind.run(connection, "SELECT 7"))

        for _ in range(2):
            served = serve(handler, threads=3)
            for _ in range(20):
                assert fetch(served.address).body == b"7"
            assert own_postgres.backends() >= 1
            served.stop(graceful=True)
            wait_until(lambda: own_postgres.backends() == 0)
            assert db.stats()["open"] == 0
        assert db.stats()["closed_stopped"] >= 2

    def test_workers_have_pools_of_their_own(
        self, kind: Kind, own_postgres: Postgres, tmp_path: Path, command: Callable[..., Any]
    ) -> None:
        """The supervisor runs the same program, and opens none."""
        (tmp_path / "app.py").write_text(APP[kind.name])
        own_postgres.ask("ALTER SYSTEM SET log_disconnections = on")
        own_postgres.ask("SELECT pg_reload_conf()")
        wait_until(lambda: own_postgres.ask("SHOW log_disconnections") == "on")
        database = {"DSN": own_postgres.dsn, "URL": url_of(own_postgres)}
        server = command("app.py", **database)
        address = f"unix:{tmp_path}/app.sock"
        names = (
            "SELECT string_agg(DISTINCT application_name, ' ') FROM pg_stat_activity "
            "WHERE application_name LIKE 'pid-%'"
        )
        wait_until(lambda: len((own_postgres.ask(names) or "").split()) == 2)
        wait_for_server(address)
        for _ in range(20):
            assert fetch(address).body == b"7"
        owners = own_postgres.ask(names).split()
        assert len(owners) == 2
        assert f"pid-{server.process.pid}" not in owners
        server.process.terminate()
        assert server.finish()[0] == 0
        wait_until(lambda: own_postgres.backends() == 0)
        log = (own_postgres.folder / "log").read_text()
        assert "disconnection: session time" in log
        assert "unexpected EOF" not in log


APP = {
    "sqlalchemy": """if True:
        import os, fastcgi, sqlalchemy

        name = {"application_name": f"pid-{os.getpid()}"}
        engine = sqlalchemy.create_engine(os.environ["URL"], connect_args=name)
        db = fastcgi.resource.sqlalchemy(engine, eager=True)

        def handler(request):
            with db as connection:
                return 200, None, str(connection.scalar(sqlalchemy.text("SELECT 7")))

        fastcgi.serve(handler, "unix:app.sock", workers=2, threads=4, allow_root=True)
    """,
    "psycopg_pool": """if True:
        import os, fastcgi, psycopg_pool

        pool = psycopg_pool.ConnectionPool(
            os.environ["DSN"] + f" application_name=pid-{os.getpid()}", open=False
        )
        db = fastcgi.resource.psycopg_pool(pool, eager=True)

        def handler(request):
            with db as connection:
                return 200, None, str(connection.execute("SELECT 7").fetchone()[0])

        fastcgi.serve(handler, "unix:app.sock", workers=2, threads=4, allow_root=True)
    """,
}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
class TestForks:
    def test_a_handler_forks(
        self, kind: Kind, postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        db = kind.make(postgres, size=1, name="shop")

        def use() -> str:
            with db as connection:
                return f"pid {kind.run(connection, 'SELECT pg_backend_pid()')}"

        def renew() -> str:
            db.renew()
            said = use()
            db._tidy("all")
            return said

        def handler(request: Any) -> Any:
            with db as connection:
                before = kind.run(connection, "SELECT pg_backend_pid()")
                said = [in_a_fork(use), in_a_fork(renew)]
                after = kind.run(connection, "SELECT pg_backend_pid()")
                return 200, None, "\n".join([f"pid {before}", f"pid {after}", *said])

        served = serve(handler, threads=2)
        for _ in range(2):
            before, after, used, renewed = fetch(served.address).body.decode().splitlines()
            assert before == after
            assert re.match("StateError: resource 'shop' belongs to the process", used)
            assert renewed.startswith("pid ")
            assert renewed != before
        assert (db.stats()["opened"], db.stats()["unended"]) == (1, 0)

    def test_an_engine_is_the_childs_own_at_once(self, postgres: Postgres) -> None:
        """Whoever uses the engine itself there gets no connection of the parent's."""
        kind, engine = KINDS["sqlalchemy"], make_engine(postgres, size=1)
        db = fastcgi.resource.sqlalchemy(engine)
        with db as connection:
            before = kind.run(connection, "SELECT pg_backend_pid()")

        def use() -> int:
            with engine.connect() as connection:
                pid: int = kind.run(connection, "SELECT pg_backend_pid()")
            engine.dispose()
            return pid

        assert in_a_fork(use) not in ("", str(before))
        with db as connection:
            assert kind.run(connection, "SELECT pg_backend_pid()") == before
        engine.dispose()

    def test_one_that_was_not_used_is_the_childs_own(self, kind: Kind, postgres: Postgres) -> None:
        db = kind.make(postgres)

        def use() -> str:
            with db as connection:
                said = str(kind.run(connection, "SELECT 7"))
            db._tidy("all")
            return said

        assert in_a_fork(use) == "7"
        assert db.stats()["opened"] == 0


class TestOutage:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
    def test_a_restart_costs_no_request(
        self, kind: Kind, own_postgres: Postgres, serve: Callable[..., Any], how: int
    ) -> None:
        db = kind.make(own_postgres, wait=60, acquire_timeout=60, retry="safe")

        def handler(request: Any) -> Any:
            with db as connection:
                return 200, None, str(kind.run(connection, "SELECT 7 FROM pg_sleep(0.01)"))

        served = serve(handler, threads=THREADS, status_path="/status")
        with Crowd(served.address, 8) as crowd:
            for _ in range(3):
                crowd.wait_for(200)
                own_postgres.restart(how)
                crowd.wait_for(200)
        # A server that is going down at once may give a connection and break it, too.
        most = THREADS if how == signal.SIGQUIT else 0
        assert len(crowd.statuses) - crowd.count(200) <= most
        assert shown(served.address, "requests_retried_total") >= 1

    def test_it_is_away(
        self, kind: Kind, own_postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        db = kind.make(own_postgres, wait=0.5, acquire_timeout=0.5, retry="safe")

        def handler(request: Any) -> Any:
            with db as connection:
                return 200, None, str(kind.run(connection, "SELECT 7"))

        served = serve(handler, threads=THREADS)
        with Crowd(served.address, 8) as crowd:
            crowd.wait_for(200)
            own_postgres.stop()
            crowd.wait_for(503)
            answer = fetch(served.address)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            own_postgres.start()
            crowd.wait_for(200)
        assert crowd.count(500) == 0
        assert db.stats()["refused"] >= 20


class TestSessions:
    def test_a_session_of_a_connection(
        self, own_postgres: Postgres, serve: Callable[..., Any]
    ) -> None:
        from sqlalchemy.orm import Session

        db = fastcgi.resource.sqlalchemy(make_engine(own_postgres), retry="safe")
        own_postgres.ask("CREATE TABLE visits (path text)")

        def handler(request: Any) -> Any:
            with db as connection, Session(connection) as session:
                count = session.scalar(sqlalchemy.text("SELECT count(*) FROM visits"))
                if request.method == "POST":
                    session.execute(sqlalchemy.text("INSERT INTO visits VALUES ('/')"))
                    if request.query == "commit":
                        session.commit()
            return 200, None, str(count)

        served = serve(handler)
        for uri in ("/", "/?commit", "/", "/?commit"):
            fetch(served.address, "POST", uri)
        assert fetch(served.address).body == b"2"
        own_postgres.restart()
        assert fetch(served.address).body == b"2"

    def test_flask_sqlalchemy(self, own_postgres: Postgres, serve: Callable[..., Any]) -> None:
        """Its sessions take what the request has; its views need no other line."""
        import flask
        from flask_sqlalchemy import SQLAlchemy
        from flask_sqlalchemy.session import Session

        class KeptSession(Session):
            def get_bind(self, *_: Any, **__: Any) -> Any:
                return kept.get()

        app = flask.Flask("app")
        app.config["SQLALCHEMY_DATABASE_URI"] = url_of(own_postgres)
        db: Any = SQLAlchemy(app, session_options={"class_": KeptSession})
        with app.app_context():
            kept = fastcgi.resource.sqlalchemy(db.engine, retry="safe")
        own_postgres.ask("CREATE TABLE visits (path text)")

        @app.route("/", methods=["GET", "POST"])
        def visits() -> str:
            if flask.request.method == "POST":
                db.session.execute(sqlalchemy.text("INSERT INTO visits VALUES ('/')"))
                db.session.commit()
            return str(db.session.scalar(sqlalchemy.text("SELECT count(*) FROM visits")))

        served = serve(app, threads=2, interface="wsgi")
        for number in range(1, 4):
            assert fetch(served.address, "POST").body == str(number).encode()
        own_postgres.restart()
        assert fetch(served.address).body == b"3"
        served.stop(graceful=True)
        wait_until(lambda: own_postgres.backends() == 0)
