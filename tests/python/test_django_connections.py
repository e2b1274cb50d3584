# SPDX-License-Identifier: MIT
"""Django's persistent connections to PostgreSQL, in 2 workers of 4 threads: CONN_MAX_AGE and
CONN_HEALTH_CHECKS do what Django's guide says, a worker that ends closes its connections, and a
fork has none of its parent's."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.databases import Postgres, started
from support.fcgi_client import fetch, wait_for_server, wait_until

WORKERS, THREADS, CLIENTS = 2, 4, 16
ROOT = ["--allow-root"] if os.geteuid() == 0 else []

APP = """if True:
    import os
    import threading

    import django
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import JsonResponse
    from django.urls import path

    age = os.environ["CONN_MAX_AGE"]
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": os.environ["FOLDER"],
        "CONN_MAX_AGE": None if age == "None" else int(age),
        "CONN_HEALTH_CHECKS": True,
    }
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="x",
        DATABASES={"default": database},
    )

    def backend():
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid() FROM pg_sleep(0.01)")
            return cursor.fetchone()[0]

    def who(request):
        thread = f"{os.getpid()} {threading.get_ident()}"
        return JsonResponse({"thread": thread, "backend": backend()})

    def fork(request):
        before = backend()
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(writes, str(backend()).encode())
            except BaseException as error:
                os.write(writes, repr(error).encode())
            os._exit(0)
        os.close(writes)
        with open(reads) as pipe:
            child = pipe.read()
        os.waitpid(pid, 0)
        return JsonResponse({"before": before, "after": backend(), "child": child})

    urlpatterns = [path("", who), path("fork", fork)]
    application = get_wsgi_application()
"""


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    for database in started(Postgres):
        for setting in ("log_connections", "log_disconnections"):
            database.ask(f"ALTER SYSTEM SET {setting} = on")
        database.restart()
        yield database


Site = Callable[..., tuple[str, Any]]


@pytest.fixture
def site(postgres: Postgres, tmp_path: Path, command: Callable[..., Any]) -> Site:
    """site(age="None") -> the address of a site and its supervisor."""

    def start(age: str = "None") -> tuple[str, Any]:
        (tmp_path / "app.py").write_text(APP)
        words = ["--workers", str(WORKERS), "--threads", str(THREADS), "--bind", "unix:app.sock"]
        settings = {"FOLDER": str(postgres.folder), "CONN_MAX_AGE": age}
        server = command("-m", "fastcgi", "app:application", *words, *ROOT, **settings)
        wait_for_server(f"unix:{tmp_path}/app.sock")
        return f"unix:{tmp_path}/app.sock", server

    return start


def ask(address: str, uri: str = "/") -> dict[str, Any]:
    answer = fetch(address, "GET", uri)
    assert answer.status == 200, answer.body
    said: dict[str, Any] = json.loads(answer.body)
    return said


def ask_often(address: str, times: int = 10) -> dict[str, set[int]]:
    """From many clients at once; the backends that each thread of the workers has had."""
    had: list[dict[str, Any]] = []

    def work() -> None:
        had.extend(ask(address) for _ in range(times))

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(had) == CLIENTS * times
    found: dict[str, set[int]] = {}
    for each in had:
        found.setdefault(each["thread"], set()).add(each["backend"])
    return found


def test_each_thread_keeps_its_connection(site: Site, postgres: Postgres) -> None:
    address, _ = site()
    found = ask_often(address)
    assert 2 <= len(found) <= WORKERS * THREADS
    assert {len(backends) for backends in found.values()} == {1}
    assert postgres.backends() == len(found)
    again = ask_often(address)
    assert all(again[thread] == found[thread] for thread in found.keys() & again.keys())


def test_no_age_keeps_none(site: Site, postgres: Postgres) -> None:
    address, _ = site("0")
    found = ask_often(address)
    assert sum(map(len, found.values())) > WORKERS * THREADS
    wait_until(lambda: postgres.backends() == 0)


def test_health_checks_survive_a_restart(site: Site, postgres: Postgres) -> None:
    """No request fails whose connection broke while nobody used it."""
    address, _ = site()
    before = ask_often(address)
    for _ in range(2):
        postgres.restart()
        after = ask_often(address)
        assert not set.union(*before.values()) & set.union(*after.values())
        assert postgres.backends() <= WORKERS * THREADS


@pytest.mark.parametrize("reload", [False, True])
def test_a_worker_that_ends_closes_its_connections(
    site: Site, postgres: Postgres, reload: bool
) -> None:
    address, server = site()
    backends = set.union(*ask_often(address).values())
    log = postgres.folder / "log"
    if reload:
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("generation 2 is ready")
        wait_until(lambda: postgres.backends() == 0)
    server.process.terminate()
    assert server.finish()[0] == 0
    wait_until(lambda: postgres.backends() == 0)

    def gone() -> set[int]:
        """Backends whose client has said goodbye or not, by the log."""
        text = log.read_text()
        return {int(pid) for pid in re.findall(r"\[(\d+)\] LOG:  disconnection:", text)}

    wait_until(lambda: backends <= gone())
    assert "unexpected EOF" not in log.read_text()
    assert "could not receive data from client" not in log.read_text()


def test_a_fork_has_a_connection_of_its_own(site: Site, postgres: Postgres) -> None:
    address, _ = site()
    for _ in range(4):
        said = ask(address, "/fork")
        assert said["before"] == said["after"]
        assert said["child"].isdigit(), said
        assert int(said["child"]) != said["before"]


def test_a_server_that_stops_closes_them_at_once(
    postgres: Postgres, tmp_path: Path, command: Callable[..., Any]
) -> None:
    """The program goes on, and its garbage is not collected."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "main.py").write_text(
        "import fastcgi, gc, signal, sys, app\n"
        "gc.disable()\n"
        f"fastcgi.serve(app.application, 'unix:app.sock', threads={THREADS})\n"
        "print('it has stopped', file=sys.stderr, flush=True)\n"
        "signal.pause()\n"
    )
    settings = {"FOLDER": str(postgres.folder), "CONN_MAX_AGE": "None"}
    program = command("main.py", **settings)
    wait_for_server(f"unix:{tmp_path}/app.sock")
    assert postgres.backends() == 0
    assert len(ask_often(f"unix:{tmp_path}/app.sock")) == postgres.backends()
    program.process.terminate()
    program.wait_for("it has stopped")
    wait_until(lambda: postgres.backends() == 0)
