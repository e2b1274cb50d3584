# SPDX-License-Identifier: MIT
"""The C examples that keep a connection to a database as a resource."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.databases import Postgres, started
from support.fcgi_client import Client, get_params, wait_until
from support.paths import EXAMPLES
from support.process import Process


@contextmanager
def visitors(directory: Path, name: str, database: object, threads: int = 1) -> Iterator[Process]:
    path = directory / f"{name}.sock"
    command = [EXAMPLES / f"visitors_{name}", database, f"unix:{path}", threads]
    with Process(command, directory / f"{name}.log") as app:
        app.address = f"unix:{path}"
        app.wait_for_address(app.address)
        yield app
        app.stop()


def visit(client: Client) -> int:
    answer = client.ask(get_params())
    assert answer.status == 200, answer
    text = answer.body.decode()
    assert text.startswith("Hello, visitor ")
    return int(text.split()[-1])


def test_sqlite_counts_on_every_thread(directory: Path):
    database = directory / "visits.db"
    with visitors(directory, "sqlite", database, 4) as app, ExitStack() as stack:
        clients = [stack.enter_context(Client(app.address)) for _ in range(8)]
        seen = [visit(client) for _ in range(5) for client in clients]
        assert sorted(seen) == list(range(1, 41))
    with sqlite3.connect(database) as connection:
        assert connection.execute("select count(*) from visit").fetchone() == (40,)


def test_sqlite_that_cannot_be_opened_is_503(directory: Path):
    missing = directory / "missing" / "visits.db"
    with visitors(directory, "sqlite", missing) as app, Client(app.address) as client:
        answer = client.ask(get_params())
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True)
        assert f"{missing}: unable to open database file" in answer.stderr.decode()
        missing.parent.mkdir()
        wait_until(lambda: client.ask(get_params()).status == 200, what="the database")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    yield from started(Postgres)


def test_postgres_is_kept_open(directory: Path, postgres: Postgres):
    with visitors(directory, "postgres", postgres.dsn) as app, Client(app.address) as client:
        first = visit(client)
        assert [visit(client) for _ in range(3)] == [first + 1, first + 2, first + 3]
        assert postgres.backends() == 1
    wait_until(lambda: postgres.backends() == 0, what="the connection's end")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_postgres_restarts(directory: Path, postgres: Postgres, how: int):
    """Nobody is inside a handler: one request, that of the thread, may find it out."""
    with visitors(directory, "postgres", postgres.dsn) as app, Client(app.address) as client:
        first = visit(client)
        postgres.restart(how)
        found = [client.ask(get_params()).status for _ in range(4)]
        assert found[1:] == [200, 200, 200]
        assert found[0] in (200, 500)
        assert visit(client) > first
