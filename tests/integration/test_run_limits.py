# SPDX-License-Identifier: MIT
"""`fcgi run` and the scoreboard: what it counts, and workers that it replaces for it."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fcgi_client import Client, Response, get_params, wait_until
from support.paths import BUILD, EXAMPLES, SOURCE
from support.supervisor import Supervisor, state
from support.tool import fcgi

HELLO = [EXAMPLES / "hello"]
APPS = SOURCE / "tests" / "integration" / "apps"
WORKERS = 4


def status(where: object) -> dict:
    """What `fcgi status` prints of a supervisor, by its process id or address."""
    done = fcgi("status", where, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)["fastcgi"]


def ask(address: str, path: str = "/", query: str = "") -> Response:
    with Client(address) as client:
        return client.ask(get_params(path, query))


def shared_memory() -> set[str]:
    """Segments of ours; others of this machine come and go."""
    return {path.name for path in Path("/dev/shm").glob("*f*cgi*")}


class Asked:
    """A request that has been sent and not been answered yet."""

    def __init__(self, address: str, path: str):
        self.client = Client(address)
        self.client.send_request(params=get_params(path))

    def answer(self) -> Response:
        try:
            return self.client.collect()
        finally:
            self.client.close()


def python_app(name: str) -> list:
    return [sys.executable, "-m", "fastcgi", f"{name}:app", "--chdir", APPS]


def hanging_app(language: str) -> list:
    if language == "python":
        return python_app("hang")
    return [BUILD / "lua" / "bin" / "fcgi-lua", APPS / "hang.lua"]


@contextmanager
def hanging(
    directory: Path, name: str, *options: object, language: str = "python"
) -> Iterator[Supervisor]:
    """Workers of the application that hangs, each with one thread; then they are let go."""
    gate = directory / f"{name}.gate"
    env = {"GATE": str(gate)}
    with Supervisor(
        directory, hanging_app(language), *options, name=name, workers=WORKERS, env=env
    ) as supervisor:
        supervisor.ready()
        try:
            yield supervisor
        finally:
            gate.touch()


def hang_all(supervisor: Supervisor, path: str = "/hang") -> list[Asked]:
    """Hang every worker, one after the other: a busy one accepts nothing."""
    asked = []
    for number in range(1, WORKERS + 1):
        asked.append(Asked(supervisor.address, path))
        wait_until(
            lambda wanted=number: status(supervisor.pid)["total"]["active"] == wanted,
            10,
            f"{number} workers to hang",
        )
    return asked


def listed(supervisor) -> set[int]:
    """The workers that the status knows."""
    return {worker["pid"] for worker in status(supervisor.pid)["workers"]}


@pytest.mark.parametrize(
    ("language", "where"),
    [("python", "in wait_for_the_gate"), ("lua", r"hang\.lua:\d+: in upvalue 'wait_for_the_gate'")],
)
def test_four_workers_hung_in_the_handler(directory: Path, language: str, where: str):
    """Page, 504, where they hang, and other workers in their place."""
    options = ["--status-path", "/status", "--request-timeout", "6", "--slow-log", "0.5"]
    options += ["--graceful-timeout", "1"]
    with hanging(directory, f"hung-{language}", *options, language=language) as supervisor:
        first = supervisor.workers()
        asked = hang_all(supervisor)
        began = time.monotonic()
        page = ask(supervisor.address, "/status", "text")
        assert time.monotonic() - began < 5, "the page waits for no deadline"
        assert (page.status, page.body.count(b"/hang")) == (200, WORKERS)
        for one in asked:
            answer = one.answer()
            assert (answer.status, answer.body) == (504, b"504 Gateway Timeout\n")
        supervisor.wait_for_workers(lambda now: len(now) == WORKERS and not now & first)
        assert ask(supervisor.address).body == b"None\n"
        wait_until(lambda: listed(supervisor) == supervisor.workers(), 5, "the dead to go")
        seen = status(supervisor.pid)
        total, events = seen["total"], seen["events"]
        assert (events["hung"], events["kills"], events["crashes"]) == (WORKERS, WORKERS, 0)
        assert (total["aborts_deadline"], total["slow"]) == (WORKERS, WORKERS), "they are counted"
        assert (total["overdue"], total["active"]) == (0, 0), "their handlers are gone"
        log = supervisor.output()
    assert log.count("slow request: GET /hang, for ") == WORKERS
    assert len(re.findall(where, log)) == WORKERS
    for pid in first:
        late = re.search(rf"worker {pid} has a handler that is past the deadline by (\S+) s", log)
        assert 1 <= float(late[1]) < 30
        killed = log.index(f"worker {pid} did not stop in time, and is killed")
        ready = [m.start() for m in re.finditer(r"worker \d+ is ready", log)]
        assert len([at for at in ready if late.start() < at < killed]) >= 1, "the new one first"


def test_interpreters_that_nobody_else_gets(directory: Path):
    """All but the stack works without: page, 504, other workers in their place."""
    options = ["--status-path", "/status", "--request-timeout", "6", "--slow-log", "0.3"]
    options += ["--graceful-timeout", "1"]
    with hanging(directory, "busy-in-c", *options) as supervisor:
        first = supervisor.workers()
        asked = hang_all(supervisor, "/busy")
        began = time.monotonic()
        page = ask(supervisor.address, "/status", "text")
        assert time.monotonic() - began < 5, "the page waits for no deadline"
        assert (page.status, page.body.count(b"/busy")) == (200, WORKERS)
        assert [one.answer().status for one in asked] == [504] * WORKERS
        supervisor.wait_for_workers(lambda now: len(now) == WORKERS and not now & first)
        assert ask(supervisor.address).body == b"None\n"
        log = supervisor.output()
    assert log.count("its interpreter has not answered yet; its thread ") == WORKERS


def test_hung_worker_finishes_what_still_runs(directory: Path):
    """One of two handlers hangs: the other one's request is answered."""
    options = ["--request-timeout", "3", "--graceful-timeout", "4"]
    gate = directory / "half.gate"
    command = [*python_app("hang"), "--threads", "2"]
    with Supervisor(
        directory, command, *options, name="half", workers=1, env={"GATE": str(gate)}
    ) as supervisor:
        supervisor.ready()
        (first,) = supervisor.workers()
        hung = Asked(supervisor.address, "/hang")
        assert hung.answer().status == 504
        supervisor.wait_for_line(f"worker {first} has a handler that is past the deadline")
        supervisor.wait_for_workers(lambda now: first not in now or len(now) == 2)
        assert ask(supervisor.address).body == b"None\n"
        supervisor.wait_for_workers(lambda now: len(now) == 1 and first not in now)
        gate.touch()


def test_busy_worker_is_replaced_and_answers_all_the_same(directory: Path):
    """--timeout: no thread has waited for so long, but the process is seen to live."""
    options = ["--status-path", "/status", "--timeout", "1"]
    gate = directory / "busy.gate"
    with Supervisor(
        directory, python_app("hang"), *options, name="busy", workers=1, env={"GATE": str(gate)}
    ) as supervisor:
        supervisor.ready()
        (first,) = supervisor.workers()
        asked = Asked(supervisor.address, "/hang")
        supervisor.wait_for_line(rf"worker {first} has been busy in every handler for 1\.0 s")
        supervisor.wait_for_workers(lambda now: len(now) == 2)
        assert ask(supervisor.address).body == b"None\n"
        gate.touch()
        assert asked.answer().status == 200
        supervisor.wait_for_workers(lambda now: len(now) == 1 and first not in now)
        assert status(supervisor.pid)["events"]["kills"] == 0


@pytest.mark.parametrize("jitter", [0, 10])
def test_worker_is_replaced_after_so_many_requests(directory: Path, jitter: int):
    options = ["--max-requests", "20"] + (["--max-requests-jitter", str(jitter)] if jitter else [])
    with Supervisor(directory, HELLO, *options, name=f"most{jitter}", workers=1) as supervisor:
        supervisor.ready()
        (first,) = supervisor.workers()
        for _ in range(19):
            assert ask(supervisor.address).body == b"Hello\n"
        assert supervisor.workers() == {first}
        for _ in range(1 + jitter):
            assert ask(supervisor.address).body == b"Hello\n"
        supervisor.wait_for_line(f"worker {first} has served as many requests as it may")
        supervisor.wait_for_workers(lambda now: len(now) == 1 and first not in now)
        seen = status(supervisor.pid)
        assert seen["events"]["retired"] == 1
        assert seen["total"]["requests"] == 20 + jitter, "the former worker's are counted too"


def test_causes_are_counted(directory: Path):
    """Reloads, failed ones, deaths; and slots are used again."""
    flag = directory / "broken"
    start = directory / "start"
    start.write_text(f'#!/bin/sh\n[ -e "{flag}" ] && exit 1\nexec "{HELLO[0]}"\n')
    start.chmod(0o755)
    with Supervisor(directory, [start], name="causes") as supervisor:
        supervisor.ready()
        assert status(supervisor.pid)["generation"] == 1
        supervisor.reload()
        supervisor.wait_for_workers(lambda now: len(now) == 2)
        flag.touch()
        os.kill(supervisor.pid, signal.SIGHUP)
        supervisor.wait_for_line("goes on serving")
        flag.unlink()
        time.sleep(1.1)  # Later than what counts as an early death.
        for number in (signal.SIGKILL, signal.SIGTERM):
            before = supervisor.workers()
            os.kill(min(before), number)
            supervisor.wait_for_workers(lambda now, old=before: len(now) == 2 and now != old)
        wait_until(lambda: [w["state"] for w in status(supervisor.pid)["workers"]] == ["ready"] * 2)
        seen = status(supervisor.pid)
        events = seen["events"]
        assert (events["reloads"], events["reloads_failed"], events["crashes"]) == (2, 1, 1)
        assert events["exits"] >= 2, "the broken version's, and the one that was told to stop"
        assert seen["generation"] == 2
        assert (seen["supervisor"], seen["listen_queue"]) == (supervisor.pid, 0)
        numbers = {worker_number(pid) for pid in supervisor.workers()}
        assert len(numbers) == 2
        assert all(0 <= number < 8 for number in numbers)


def worker_number(pid: int) -> int:
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    (number,) = [v.partition("=")[2] for v in variables if v.startswith("FASTCGI_WORKER=")]
    return int(number)


def test_listen_queue_is_seen(directory: Path):
    """Connections that no worker takes wait there."""
    with Supervisor(directory, ["/bin/sleep", "50"], "--ready-after", "0.1", name="queue") as it:
        it.ready()
        clients = [Client(it.address) for _ in range(3)]
        wait_until(lambda: status(it.pid)["listen_queue"] == 3, 5, "three to wait")
        for client in clients:
            client.close()


def test_killed_worker_loses_its_own_requests_only(directory: Path):
    """And leaves no descriptor and no memory behind."""
    words = ("--status-path", "/status", "--log-level", "debug")
    with hanging(directory, "kill", *words) as supervisor:
        wait_until(lambda: status(supervisor.pid)["listen_queue"] == 0)
        files = supervisor.descriptors()
        memory = shared_memory()
        asked = hang_all(supervisor)
        in_flight = {w["pid"]: len(w["in_flight"]) for w in status(supervisor.pid)["workers"]}
        assert list(in_flight.values()) == [1] * WORKERS
        time.sleep(1.1)  # Later than what counts as an early death.
        before = supervisor.workers()
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        supervisor.wait_for_workers(lambda now: len(now) == WORKERS and victim not in now)
        assert time.monotonic() - began < 10
        # A busy worker takes what comes before it.
        (replacement,) = set(supervisor.workers()) - set(before)
        supervisor.wait_for_line(rf"worker {replacement} is ready after")
        assert ask(supervisor.address).body == b"None\n", "the new one serves"
        (directory / "kill.gate").touch()
        answered = 0
        for one in asked:
            answer = one.answer()
            answered += answer.ended and answer.status == 200
        assert answered == WORKERS - 1
        assert supervisor.descriptors() == files
        assert shared_memory() == memory
        seen = status(supervisor.pid)
        assert seen["events"]["crashes"] == 1
        assert (seen["total"]["requests"], seen["total"]["finished"]) == (WORKERS + 1, WORKERS)
        assert state(victim) == ""


@pytest.mark.parametrize("language", ["python", "lua"])
def test_no_hung_worker_outlives_a_killed_supervisor(directory: Path, language: str):
    """It has the time of a graceful stop, and then the kernel ends it."""
    name = f"orphaned-{language}"
    with hanging(directory, name, "--graceful-timeout", "1", language=language) as supervisor:
        workers = supervisor.workers()
        asked = Asked(supervisor.address, "/hang")
        wait_until(lambda: status(supervisor.pid)["total"]["active"] == 1, 10, "one to hang")
        began = time.monotonic()
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
        wait_until(lambda: all(state(pid) in ("", "Z") for pid in workers), 10, "their end")
        assert time.monotonic() - began > 0.9
        asked.client.close()


def test_another_supervisor_can_take_over_from_a_killed_one(directory: Path):
    """Workers that still answer hold neither the address nor what nobody will take."""
    env = {"GATE": str(directory / "gate")}
    command = [*python_app("hang"), "--threads", "2"]
    options = {"workers": 1, "env": env}
    with Supervisor(directory, command, name="killed", **options) as supervisor:
        supervisor.ready()
        (worker,) = supervisor.workers()
        asked = Asked(supervisor.address, "/hang")
        wait_until(lambda: status(supervisor.pid)["total"]["active"] == 1, 10, "one to hang")
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
        wait_until(lambda: os.readlink(f"/proc/{worker}/fd/3") == "/dev/null", 10, "it to let go")
        address = supervisor.address
        with Supervisor(directory, command, name="next", address=address, **options) as other:
            other.ready()
            assert ask(address).body == b"None\n"
            (directory / "gate").touch()
            assert asked.answer().status == 200
            wait_until(lambda: state(worker) in ("", "Z"), 10, "the end of the old worker")
            assert ask(address).body == b"None\n"


def test_new_supervisor_begins_a_new_status(directory: Path):
    with Supervisor(directory, HELLO, name="new") as supervisor:
        supervisor.ready()
        assert ask(supervisor.address).body == b"Hello\n"
        assert status(supervisor.pid)["total"]["requests"] == 1
        os.kill(supervisor.pid, signal.SIGUSR2)
        assert supervisor.wait(60) == 0
        successor = int(supervisor.pid_file.read_text())
        seen = status(successor)
        assert (seen["supervisor"], seen["total"]["requests"]) == (successor, 0)
        assert ask(supervisor.address).body == b"Hello\n"
        assert status(successor)["total"]["requests"] == 1


def test_top_shows_the_workers(directory: Path):
    with Supervisor(directory, HELLO, name="top") as supervisor:
        supervisor.ready()
        done = fcgi("top", supervisor.pid, "--once", "--interval", "0.1")
        assert (done.returncode, done.stderr) == (0, b"")
        shown = {int(line.split()[0]) for line in done.stdout.decode().splitlines()
                 if re.match(r" *\d+ ready", line)}  # fmt: skip
        assert shown == supervisor.workers()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--status-path", "status"], "run: --status-path=status: must be a path that begins with "
         "/, below 256 bytes"),
        (["--request-timeout", "soon"], "run: --request-timeout=soon: must be a time above 0 up "
         "to 2147483.647s (such as 30, 0.5s, 5m), or 0 for no limit"),
        (["--max-requests", "x"], "run: --max-requests=x: must be a whole number from 1 up, or "
         "0 for never"),
    ],
)  # fmt: skip
def test_wrong_values(words: list, line: str):
    done = fcgi("run", *words, "--", "true")
    assert (done.returncode, done.stderr.decode()) == (2, f"fcgi: {line}\n")
