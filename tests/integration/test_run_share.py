# SPDX-License-Identifier: MIT
"""`fcgi run`: no request on a kept connection waits while another worker is idle."""

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fcgi_client import get_params, request, wait_until
from support.nginx import Nginx
from support.share import Crew, Kept, crew, sockets
from support.supervisor import state

WORKERS = 8
KEPT = 32


@contextmanager
def waiting_in_the_queue(
    directory: Path, *options: object, workers: int = 2, query: str = "", language: str = "c"
) -> Iterator[tuple[Crew, dict[int, Path], Kept]]:
    """Every worker at a gate of its own, and a request that belongs to none of them:
    the worker that had its connection has let it go."""
    with crew(directory, *options, workers=workers, language=language) as made:
        gates, kept = made.block_all()
        before = {pid: sockets(pid) for pid in gates}
        kept.send(query)
        wait_until(
            lambda: any(sockets(pid) < before[pid] for pid in gates), what="a worker letting go"
        )
        yield made, gates, kept


def test_connections_of_one_worker_spread_over_all(directory: Path):
    """They are opened one after another, so that one worker has most of them, and
    used at once: every worker gets a request while none has ended."""
    with crew(directory, workers=WORKERS) as made:
        kept = [made.connect() for _ in range(KEPT)]
        for one in kept:
            one.ask()
        gate = made.gate()
        for one in kept:
            one.send(f"gate={gate}")
        wait_until(
            lambda: made.waiting(gate) == made.supervisor.workers(), what="every worker at work"
        )
        gate.touch()
        assert {one.pid() for one in kept} == made.supervisor.workers()
        assert made.total("accepted") == KEPT


@pytest.mark.parametrize("language", ["c", "python", "lua"])
def test_quick_request_goes_past_a_slow_one(directory: Path, language: str):
    with crew(directory, language=language) as made:
        first, second = made.pair()
        gate = made.gate()
        slow = made.block(first, gate)
        for _ in range(3):
            assert second.ask() in made.supervisor.workers() - {slow}
        gate.touch()
        assert first.pid() == slow


@pytest.mark.parametrize("language", ["python", "lua"])
def test_worker_with_several_threads(directory: Path, language: str):
    """All of them have to be busy before its connections go elsewhere."""
    with crew(directory, language=language, threads=2) as made:
        gate = made.gate()
        kept = [made.connect() for _ in range(12)]
        pids = [one.ask() for one in kept]
        most = max(pids, key=pids.count)
        mine = [one for one, pid in zip(kept, pids, strict=True) if pid == most]
        for one in mine[:4]:
            one.send(f"gate={gate}")
        wait_until(lambda: len(made.waiting(gate)) == 2, what="both workers at work")
        gate.touch()
        for one in mine[:4]:
            one.pid()


def test_whoever_is_free_first_takes_what_waits(directory: Path):
    with waiting_in_the_queue(directory, workers=3) as (_, gates, kept):
        free = list(gates)[-1]
        gates[free].touch()
        assert kept.pid() == free


def test_those_that_wait_come_in_their_order(directory: Path):
    with crew(directory) as made:
        gates, _ = made.block_all()
        inner = made.gate()
        line = [made.connect() for _ in range(3)]
        free = next(iter(gates))
        gates[free].touch()  # It accepts them all, and is busy again.
        for one in line:
            assert one.ask() == free
        more = made.connect()
        assert made.block(more, inner) == free
        before = sockets(free)
        for number, one in enumerate(line, 1):
            one.send()
            wait_until(lambda left=before - number: sockets(free) <= left, what="letting go")
        order: list[int] = []

        def note(at: int) -> None:
            line[at].pid()
            order.append(at)

        threads = [threading.Thread(target=note, args=(at,)) for at in range(3)]
        for thread in threads:
            thread.start()
        inner.touch()
        for thread in threads:
            thread.join(60)
        assert sorted(order) == [0, 1, 2]


def test_shared_connection_with_an_open_request_stays(directory: Path):
    with crew(directory) as made:
        kept = made.connect()
        gate = made.gate()
        slow = made.block(kept, gate)
        kept.send(request_id=2)
        other = made.connect()
        for _ in range(5):
            assert other.ask() != slow
        gate.touch()
        answers = kept.client.responses([1, 2])
        assert [int(answers[number].body) for number in (1, 2)] == [slow, slow]


def test_killed_worker_takes_nothing_of_the_queue_with_it(directory: Path):
    with waiting_in_the_queue(directory) as (made, gates, kept):
        victim, other = gates
        os.kill(victim, signal.SIGKILL)
        assert kept.pid() not in gates
        gates[other].touch()
        made.supervisor.wait_for_workers(lambda now: len(now) == 2 and victim not in now)


def test_reload_serves_what_waits(directory: Path):
    with waiting_in_the_queue(directory) as (made, gates, kept):
        made.supervisor.reload()
        assert kept.pid() not in gates


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT])
def test_stop_serves_what_waits(directory: Path, order: int):
    with waiting_in_the_queue(directory) as (made, gates, kept):
        os.kill(made.supervisor.pid, order)
        made.supervisor.wait_for_line("stopping")
        made.open_all()
        assert kept.pid() in gates
        assert made.supervisor.wait(60) == 0


def test_new_supervisor_serves_what_waits(directory: Path):
    with waiting_in_the_queue(directory) as (made, gates, kept):
        os.kill(made.supervisor.pid, signal.SIGUSR2)
        assert kept.pid() not in gates
        made.open_all()


@pytest.mark.parametrize("language", ["c", "python", "lua"])
def test_supervisor_is_killed(directory: Path, language: str):
    """Its workers stop by themselves, and serve what waits."""
    with waiting_in_the_queue(directory, language=language) as (made, gates, kept):
        os.kill(made.supervisor.pid, signal.SIGKILL)
        made.open_all()
        assert kept.pid() in gates
        wait_until(lambda: all(state(pid) in ("", "Z") for pid in gates), what="workers ending")


def test_deadline_holds_in_the_queue(directory: Path):
    with waiting_in_the_queue(directory, "--request-timeout", "2s") as (_, _, kept):
        assert kept.client.responses([1])[1].status == 504


def test_status_page_while_every_worker_is_busy(directory: Path):
    """Though other requests of the same worker wait for any of them."""
    with waiting_in_the_queue(directory, "--status-path", "/status") as (made, gates, kept):
        with crewless(made) as page:
            page.client.send_request(params=get_params("/status"))
            assert page.client.collect().status == 200
        made.open_all()
        assert kept.pid() in gates


@contextmanager
def crewless(made: Crew):
    kept = Kept(made.supervisor.address)
    try:
        yield kept
    finally:
        kept.close()


def test_client_that_leaves_the_queue_is_not_served(directory: Path):
    never = directory / "never"
    with waiting_in_the_queue(directory, query=f"gate={never}") as (made, _, kept):
        kept.close()
        made.open_all()
        wait_until(lambda: made.total("moved") > 0, what="somebody taking it")
        wait_until(lambda: made.total("active") == 0, what="all handlers ending")
    assert list(never.parent.glob("never.*")) == []


def test_more_than_the_queue_holds(directory: Path):
    with crew(directory) as made:
        gates, _ = made.block_all()
        inner = made.gate()
        free = next(iter(gates))
        gates[free].touch()
        line = [made.connect() for _ in range(800)]
        for one in line:
            one.ask()
        made.block(made.connect(), inner)
        for one in line:
            one.send("sleep=1")
        time.sleep(0.5)  # For the queue to fill; any time is right.
        made.open_all()
        for one in line:
            one.pid()


def test_behind_nginx_that_keeps_its_connections(directory: Path):
    with crew(directory) as made, Nginx(directory, made.supervisor.address) as nginx:

        def fetch(query: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=120)
            try:
                connection.request("GET", f"/kept/?{query}")
                return int(connection.getresponse().read())
            finally:
                connection.close()

        def fetch_many(query: str, count: int) -> list[int]:
            found: list[int] = []
            threads = [
                threading.Thread(target=lambda: found.append(fetch(query))) for _ in range(count)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120)
            return found

        assert len(fetch_many("sleep=20", 16)) == 16  # nginx keeps 16 connections.
        gate = made.gate()
        slow = threading.Thread(target=fetch, args=(f"gate={gate}",))
        slow.start()
        wait_until(lambda: made.waiting(gate), what="a handler at the gate")
        assert set(fetch_many("", 64)) == made.supervisor.workers() - made.waiting(gate)
        gate.touch()
        slow.join(60)


def test_switched_off(directory: Path):
    with crew(directory, "--no-balance") as made:
        first, second = made.pair()
        gate = made.gate()
        slow = made.block(first, gate)
        second.send()
        other = made.connect()
        for _ in range(5):
            assert other.ask() != slow
        gate.touch()
        assert first.pid() == second.pid() == slow
        assert made.total("moved") == 0


def test_nothing_moves_without_load(directory: Path):
    with crew(directory) as made:
        kept = [made.connect() for _ in range(8)]
        owners = [one.ask() for one in kept]
        for _ in range(20):
            assert [one.ask() for one in kept] == owners
        assert made.total("moved") == 0


def test_worker_at_its_limit_takes_what_waits(directory: Path):
    """Its connections are all kept and at rest, and so are those of the one that is
    busy, which has accepted another one in the meantime."""
    with crew(directory, "--limit-connections", 2) as made:
        kept: dict[int, list[Kept]] = {}
        for _ in range(4):
            one = made.connect()
            kept.setdefault(one.ask(), []).append(one)
        busy, idle = kept
        assert len(kept[busy]) == len(kept[idle]) == 2
        gate = made.gate()
        assert made.block(kept[busy][0], gate) == busy
        more = made.connect()
        more.send()
        for one in (kept[busy][1], *kept[idle]):
            assert one.ask() == idle
        gate.touch()
        assert kept[busy][0].pid() == busy
        assert kept[busy][1].ask() == idle
        assert made.total("accepted") == 4  # As one has more than it may.
        for one in (kept[busy][1], *kept[idle]):
            one.close()
        assert more.pid() in kept


def both_at_once(made: Crew, first: Kept, query: str, *others: tuple[Kept, bytes]) -> None:
    """A request on one connection and bytes on others: the worker finds them together."""
    (worker,) = made.supervisor.workers()
    os.kill(worker, signal.SIGSTOP)
    wait_until(lambda: state(worker) == "T", what="the worker standing still")
    first.send(query)
    for kept, data in others:
        kept.client.send(data)
    os.kill(worker, signal.SIGCONT)


def test_lone_worker_answers_for_the_status_page(directory: Path):
    """A request for it has come together with one that takes long."""
    with crew(directory, "--status-path", "/status", workers=1) as made:
        first, second = made.connect(), made.connect()
        first.ask()
        second.ask()
        gate = made.gate()
        page = request(1, get_params("/status"))
        both_at_once(made, first, f"gate={gate}", (second, page))
        assert second.client.responses([1])[1].status == 200
        gate.touch()
        first.pid()


def test_lone_worker_keeps_the_deadline(directory: Path):
    with crew(directory, "--request-timeout", "2s", workers=1) as made:
        first, second = made.connect(), made.connect()
        first.ask()
        second.ask()
        gate = made.gate()
        plain = request(1, get_params())
        both_at_once(made, first, f"gate={gate}", (second, plain))
        assert second.client.responses([1])[1].status == 504
        gate.touch()


def test_lone_worker_reads_before_it_judges(directory: Path):
    """The rest of a request has come in time, in a worker that is busy."""
    with crew(directory, "--header-timeout", "2s", workers=1) as made:
        busy, whole, half = made.connect(), made.connect(), made.connect()
        data = request(1, get_params())
        for one in (busy, whole, half):
            one.ask()
        whole.client.send(data[:20])
        half.client.send(data[:20])
        gate = made.gate()
        made.block(busy, gate)
        whole.client.send(data[20:])
        assert half.client.socket.recv(1) == b""
        gate.touch()
        assert whole.pid() == busy.pid()
