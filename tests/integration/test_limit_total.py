# SPDX-License-Identifier: MIT
"""limit_total with PostgreSQL: never more connections of living workers than it says, whatever
happens to these, and nobody waits while one of them rests."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from support.crowd import Busy
from support.databases import Postgres, started
from support.fcgi_client import fetch, wait_until
from support.paths import BUILD
from support.supervisor import Supervisor, children, state

LIMIT, WORKERS, THREADS = 10, 4, 8
LOCK = 7  # What requests for /hold wait for in PostgreSQL.

PYTHON = """
import os
import fastcgi
import psycopg

db = fastcgi.resource(
    lambda: psycopg.connect({dsn!r}, application_name=f"worker-{{os.getpid()}}"), {options}
)

def app(request):
    with db as connection:
        query = "SELECT pg_sleep(0.002)"
        if request.path == "/hold":
            query = "SELECT pg_advisory_lock_shared({lock})"
        connection.execute(query)
    return 200, {{"Content-Type": "text/plain"}}, str(os.getpid())
"""

LUA = """
local fcgi = require "fcgi"
local luasql = require("luasql.postgres").postgres()
local pid = io.open("/proc/self/stat"):read("n")

local db = assert(fcgi.resource {{
  open = function() return luasql:connect("{dsn} application_name=worker-" .. pid) end, {options}
}})

return function(req)
  local connection <close> = assert(db:get())
  local query = "SELECT pg_sleep(0.002)"
  if req.path == "/hold" then
    query = "SELECT pg_advisory_lock_shared({lock})"
  end
  assert(connection:execute(query)):close()
  return 200, {{ ["Content-Type"] = "text/plain" }}, tostring(pid)
end
"""

KINDS = {
    "thread": ("python", 'scope="thread"'),
    "pool": ("python", 'scope="pool", size=8'),
    "lua": ("lua", ""),
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    yield from started(Postgres)


class Stage:
    """An application below a supervisor, and what its workers have open."""

    def __init__(self, supervisor: Supervisor, postgres: Postgres) -> None:
        self.supervisor = supervisor
        self.address = supervisor.address
        self.watcher = psycopg.connect(postgres.dsn, autocommit=True)

    def workers(self) -> set[int]:
        return children(self.supervisor.serving_pid())

    def backends(self) -> set[int]:
        """Those of living workers, by their process ids."""
        rows = self.watcher.execute(
            "SELECT pid, substr(application_name, 8)::int FROM pg_stat_activity "
            "WHERE application_name LIKE 'worker-%'"
        )
        return {pid for pid, worker in rows if state(worker) not in ("", "Z")}

    def holding(self) -> int:
        """Requests that wait for the lock, and have a connection meanwhile."""
        row = self.watcher.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ).fetchone()
        return row[0] if row else 0

    @contextmanager
    def held(self, requests: int, wanted: int) -> Iterator[list[int]]:
        """Requests of which `wanted` get a connection and keep it: their statuses, at last."""
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: statuses.append(fetch(self.address, uri="/hold").status)
            )
            for _ in range(requests)
        ]
        self.watcher.execute(f"SELECT pg_advisory_lock({LOCK})")
        try:
            for thread in threads:
                thread.start()
            wait_until(lambda: self.holding() == wanted, what=f"{wanted} that hold")
            yield statuses
        finally:
            self.watcher.execute(f"SELECT pg_advisory_unlock({LOCK})")
            for thread in threads:
                thread.join()


@contextmanager
def staged(
    directory: Path, postgres: Postgres, kind: str, limit: int = LIMIT, more: str = ""
) -> Iterator[Stage]:
    language, options = KINDS[kind]
    place = directory / f"{kind}-{time.monotonic_ns()}"
    place.mkdir()
    given = [options, f"limit_total = {limit}", "acquire_timeout = 60", more]
    words = ", ".join(word for word in given if word)
    text, name = (PYTHON, "app.py") if language == "python" else (LUA, "app.lua")
    (place / name).write_text(text.format(dsn=postgres.dsn, lock=LOCK, options=words))
    command = [sys.executable, "-m", "fastcgi", "app:app", "--chdir", str(place)]
    if language == "lua":
        command = [str(BUILD / "lua" / "bin" / "fcgi-lua"), str(place / name)]
    command += ["--threads", str(THREADS)]
    with Supervisor(place, command, workers=WORKERS) as supervisor:
        supervisor.ready()
        stage = Stage(supervisor, postgres)
        with stage.watcher:
            yield stage


class Load(Busy):
    """Clients that ask all the time, and a watch on the connections meanwhile.

    PostgreSQL needs a moment to end the backend of a connection that was closed, so those count
    that were there at two looks; what is one too many stays open for longer than between these."""

    def __init__(self, stage: Stage, clients: int) -> None:
        super().__init__(*[self._ask] * clients, self._watch)
        self.stage = stage
        self.answers = 0
        self.cut = 0
        self.wrong: list[object] = []
        self.most = 0

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                answer = fetch(self.stage.address)
            except OSError:
                self.cut += 1
                continue
            if not answer.ended:
                self.cut += 1
            elif answer.status != 200:
                self.wrong.append(answer)
            else:
                self.answers += 1

    def _watch(self) -> None:
        before: set[int] = set()
        while not self._over.is_set():
            now = self.stage.backends()
            self.most = max(self.most, len(now & before))
            before = now
            time.sleep(0.15)

    def more(self, answers: int = 200) -> None:
        wanted = self.answers + answers
        wait_until(lambda: self.answers >= wanted or self.wrong, what="answers")
        assert not self.wrong, (self.wrong[0], self.stage.supervisor.output())


@pytest.mark.parametrize("kind", KINDS)
def test_never_more_than_the_limit(directory: Path, postgres: Postgres, kind: str):
    """More clients than connections: all are answered over reloads, kills and an upgrade."""
    with staged(directory, postgres, kind) as stage:
        with Load(stage, clients=16) as load:
            load.more()
            stage.supervisor.reload()
            load.more()
            assert load.cut == 0
            for _ in range(3):
                before = stage.workers()
                os.kill(min(before), signal.SIGKILL)
                wait_until(
                    lambda old=before: len(stage.workers()) == WORKERS and stage.workers() != old
                )
                load.more()
            cut = load.cut
            stage.supervisor.upgrade()
            load.more()
            assert load.cut == cut
        assert 0 < load.most <= LIMIT
        os.kill(stage.supervisor.serving_pid(), signal.SIGTERM)
        wait_until(lambda: stage.backends() == set(), what="the end of all connections")


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_waits_while_one_rests(directory: Path, postgres: Postgres, kind: str):
    """Nine are in use for long; all others get the tenth, one after another."""
    with staged(directory, postgres, kind) as stage:
        with stage.held(LIMIT - 1, LIMIT - 1) as statuses:
            for _ in range(4):
                with ThreadPoolExecutor(4) as clients:
                    served = list(clients.map(lambda _: fetch(stage.address), range(4)))
                assert [answer.status for answer in served] == [200] * 4
            assert stage.holding() == LIMIT - 1
        assert statuses == [200] * (LIMIT - 1)


@pytest.mark.parametrize("kind", ["thread", "pool"])
def test_those_that_wait_are_served(directory: Path, postgres: Postgres, kind: str):
    with staged(directory, postgres, kind) as stage:
        with stage.held(LIMIT + 6, LIMIT) as statuses:
            assert len(stage.backends()) == LIMIT
        assert statuses == [200] * (LIMIT + 6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reload_becomes_ready(directory: Path, postgres: Postgres, kind: str):
    """Each worker opens one before it is ready; there are fewer than workers, and at last all of
    them are in use by the old generation."""
    eager = "eager = true" if kind == "lua" else "eager = True"
    with staged(directory, postgres, kind, limit=2, more=eager) as stage:
        stage.supervisor.reload(60)
        with stage.held(2, 2) as statuses:
            stage.supervisor.reload(60)
            assert stage.holding() == 2
        assert statuses == [200, 200]
        assert fetch(stage.address).status == 200


def test_another_limit_is_told_and_holds(directory: Path, postgres: Postgres):
    with staged(directory, postgres, "pool") as stage:
        (app,) = Path(stage.supervisor.log.parent).glob("app.py")
        app.write_text(app.read_text().replace(f"limit_total = {LIMIT}", "limit_total = 3"))
        stage.supervisor.reload()
        with Load(stage, clients=8) as load:
            stage.supervisor.wait_for_line(
                r"limit_total is 3 for all workers from now on; another .* has declared 10"
            )
            wait_until(lambda: len(stage.backends()) <= 3, what="three")
            load.most = 0
            load.more()
        assert load.most <= 3
