# SPDX-License-Identifier: MIT
"""A database that restarts, crashes and is away, behind nginx under load."""

import http.client
import operator
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from support.crowd import Busy
from support.databases import Database, Postgres, Redis
from support.fcgi_client import wait_until
from support.paths import BUILD
from support.site import Site, exchange, serve_behind_nginx
from support.supervisor import children

APPS = Path(__file__).parent / "apps"
WORKERS, THREADS, CLIENTS = 2, 4, 50
ROOT = ["--allow-root"] if os.geteuid() == 0 else []
RESTARTS = [*[signal.SIGINT] * 5, signal.SIGQUIT]  # Five times fast, then immediate.
PYTHON = [sys.executable, "-m", "fastcgi", "--chdir", APPS]
PROGRAMS = {
    "native": [*PYTHON, "outage:native"],
    "wsgi": [*PYTHON, "outage:wsgi"],
    "flask": [*PYTHON, "outage:make_flask()"],
    "django": [*PYTHON, "outage:make_django()"],
    "redis": [*PYTHON, "outage:visits"],
    "lua": [BUILD / "lua" / "bin" / "fcgi-lua", APPS / "outage.lua"],
}


class Crowd(Busy):
    """Clients that ask again and again over kept connections."""

    def __init__(self, site: Site):
        super().__init__(*(partial(self._ask, number) for number in range(CLIENTS)))
        self._site = site
        self._served = [0] * CLIENTS  # Answers with 200 of each.
        self.answers: list[tuple[int, str | None, float]] = []  # Status, Retry-After, seconds.
        self.broken: list[BaseException] = []

    def _ask(self, number: int) -> None:
        connection = self._site.connect()
        try:
            while not self._over.is_set():
                began = time.monotonic()
                answer = exchange(connection, "/kept/")
                took = time.monotonic() - began
                self.answers.append((answer.status, answer.headers["Retry-After"], took))
                self._served[number] += answer.status == 200
                if answer.status == 503:
                    self._over.wait(0.1)  # A client that comes back heeds the header.
        except (OSError, http.client.HTTPException) as error:
            self.broken.append(error)
        finally:
            connection.close()

    def counts(self) -> Counter[int]:
        return Counter(status for status, _, _ in self.answers)

    def is_well(self) -> bool:
        """Whether a worker that is still behind would have shown."""
        return {status for status, _, _ in self.answers[-10 * CLIENTS :]} == {200}

    def await_others(self, status: int, count: int) -> None:
        enough = self.counts()[status] + count
        self._await(lambda: self.counts()[status] >= enough, f"answers with {status}")

    def await_all(self) -> None:
        """Return when each client was served by a request that it has begun since."""
        enough = [count + 2 for count in self._served]
        self._await(
            lambda: all(map(operator.ge, self._served, enough)), "an answer for each client"
        )

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(lambda: self.broken or condition(), 60, what)
        assert not self.broken


@contextmanager
def outage(directory: Path, name: str, retry: str, wait: float) -> Iterator[tuple[Site, Database]]:
    kind = Redis if name == "redis" else Postgres
    assert kind.lacks() is None
    address = f"unix:{directory}/{name}.sock"
    options = ["--bind", address, "--workers", WORKERS, "--threads", THREADS, *ROOT]
    with kind() as database:
        os.chmod(database.folder, 0o755)
        environment = {
            "OUTAGE_DATABASE": database.socket if kind is Redis else database.dsn,
            "OUTAGE_RETRY": retry,
            "OUTAGE_WAIT": str(wait),
        }
        with serve_behind_nginx(
            directory, [*PROGRAMS[name], *options], address, env=environment
        ) as site:
            yield site, database


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_restart_fails_no_request_that_is_retried(directory: Path, name: str):
    with outage(directory, name, "safe", 60) as (site, database), Crowd(site) as crowd:
        for how in RESTARTS:
            crowd.await_all()
            database.restart(how)
        crowd.await_all()
    assert set(crowd.counts()) == {200}, f"{crowd.counts()}\n{site.app.output()}"


@pytest.mark.parametrize("name", ["native", "lua"])
def test_without_a_retry_those_inside_a_handler_fail(directory: Path, name: str):
    with outage(directory, name, "never", 60) as (site, database), Crowd(site) as crowd:
        for how in RESTARTS:
            crowd.await_all()
            database.restart(how)
        crowd.await_all()
    assert set(crowd.counts()) <= {200, 500}
    assert crowd.counts()[500] <= len(RESTARTS) * WORKERS * THREADS


def cpu_seconds(pid: int) -> float:
    """Of a process and all its children that are there."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(cpu_seconds, children(pid)))


@pytest.mark.parametrize("name", ["native", "lua", "redis"])
def test_while_it_is_away(directory: Path, name: str):
    """Answers are 503 at once or within acquire_timeout, and little is done for them."""
    with outage(directory, name, "safe", 0.5) as (site, database), Crowd(site) as crowd:
        crowd.await_all()
        database.stop()
        before, began = len(crowd.answers), time.monotonic()
        used = cpu_seconds(site.app.pid)
        crowd.await_others(503, 10 * CLIENTS)
        wait_until(lambda: time.monotonic() - began >= 5, 60, "five seconds")
        used = cpu_seconds(site.app.pid) - used
        share = used / (time.monotonic() - began)
        away = crowd.answers[before:]
        assert {later for status, later, _ in away if status == 503} == {"1"}
        database.start()
        wait_until(crowd.is_well, 60, "an end of the 503s")
    assert set(crowd.counts()) == {200, 503}, site.app.output()
    assert share < 0.3, f"{share:.2f} of a processor"
    lines = [line for line in site.app.output().splitlines() if "cannot be opened" in line]
    assert 1 <= len(lines) <= 8 * WORKERS, lines
