# SPDX-License-Identifier: MIT
"""`fcgi run`: the life of its workers."""

import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from support.fcgi_client import (
    STDIN,
    Client,
    get_params,
    head,
    post_params,
    stream,
    wait_until,
)
from support.paths import BUILD, EXAMPLES
from support.process import Process
from support.reload import worker_command
from support.supervisor import Supervisor, children, copy_for_all, state
from support.tool import fcgi

HELLO = [EXAMPLES / "hello"]


def require_hello(address: str) -> None:
    with Client(address) as client:
        assert client.ask(get_params()).body == b"Hello\n"


def run(*words: object) -> subprocess.CompletedProcess:
    return fcgi("run", *words)


def script(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("language", ["c", "python", "lua"])
def test_serves_and_stops(directory: Path, language: str):
    name = f"serve-{language}"
    with Supervisor(directory, worker_command(language), name=name) as supervisor:
        supervisor.ready()
        wait_until(lambda: supervisor.pid_file.read_text() == f"{supervisor.pid}\n", what="its pid")
        assert len(supervisor.workers()) == 2
        with Client(supervisor.address) as client:
            assert client.ask(get_params()).status == 200
        os.kill(supervisor.pid, signal.SIGTERM)
        assert supervisor.wait() == 0
    assert not supervisor.pid_file.exists()
    assert not (directory / f"{name}.sock").exists()


def test_every_listener_reaches_the_workers(directory: Path):
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        tcp = f"127.0.0.1:{reserved.getsockname()[1]}"
        with Supervisor(directory, HELLO, "--bind", tcp, name="two") as supervisor:
            supervisor.ready()
            require_hello(supervisor.address)
            require_hello(tcp)


def test_graceful_stop_finishes_the_request_and_a_second_one_does_not_wait(directory: Path):
    command = worker_command("c")
    for signals, wanted in ((1, 200), (2, None)):
        with Supervisor(directory, command, name=f"finish-{signals}") as supervisor:
            supervisor.ready()
            with Client(supervisor.address) as client:
                client.send(head(1, post_params(20)), stream(STDIN, 1, b"0123456789", end=False))
                wait_until(lambda: client_is_served(supervisor), 10, "the request to be taken")
                os.kill(supervisor.pid, signal.SIGTERM)
                supervisor.wait_for_line("stopping$|stopping\n")
                if signals == 2:
                    os.kill(supervisor.pid, signal.SIGTERM)
                    assert supervisor.wait() == 0
                    continue
                client.send(stream(STDIN, 1, b"0123456789"))
                assert client.responses([1])[1].status == wanted
            assert supervisor.wait() == 0


def client_is_served(supervisor: Supervisor) -> bool:
    """Some worker has a connection beside its listener and the pair."""
    for pid in supervisor.workers():
        try:
            names = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        if len({name for name in names if name.startswith("socket:")}) > 3:
            return True
    return False


def test_killed_worker_is_replaced_at_once(directory: Path):
    """Within milliseconds on a quiet machine, as `./dev soak kills` measures."""
    with Supervisor(directory, HELLO, name="killed") as supervisor:
        supervisor.ready()
        time.sleep(1.1)  # Later than what counts as an early death.
        for _ in range(3):
            before = supervisor.workers()
            victim = min(before)
            os.kill(victim, signal.SIGKILL)
            started = time.monotonic()
            after = supervisor.wait_for_workers(
                lambda now, old=before: len(now) == 2 and now != old
            )
            assert time.monotonic() - started < 10
            assert len(after - before) == 1
            supervisor.wait_for_line(f"worker {victim} was killed by signal 9")
            require_hello(supervisor.address)
            time.sleep(1.1)


def test_early_deaths_are_replaced_ever_later(directory: Path):
    flag = directory / "broken"
    command = script(
        directory, "dies", f'if [ -e "{flag}" ]; then exit 7; fi\nexec "{EXAMPLES}/hello"'
    )
    with Supervisor(directory, [command], name="dies", workers=1) as supervisor:
        supervisor.ready()
        flag.touch()
        os.kill(min(supervisor.workers()), signal.SIGKILL)
        supervisor.wait_for_line(r"exited with status 7 .*starting another in 0\.1 s")
        supervisor.wait_for_line(r"exited with status 7 .*starting another in 0\.4 s")
        flag.unlink()
        supervisor.wait_for_workers(lambda now: len(now) == 1)
        wait_until(lambda: supervisor.output().count("is ready after") >= 3, 10, "the new worker")
        require_hello(supervisor.address)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/bin/false"], "exited with status 1 before it was ready"),
        (
            ["/bin/echo", "Content-Type: text/plain\n\nplain CGI"],
            "exited with status 0 before it was ready, as a plain CGI program does; a FastCGI "
            "program goes on serving, and fcgiwrap serves CGI programs: "
            r"fcgi run \.\.\. -- fcgiwrap",
        ),
        (["/bin/sh", "-c", "kill -9 $$"], r"was killed by signal 9 \(Killed\) before it was ready"),
        (["/bin/sleep", "100"], r"was not ready within 0\.3 s"),
    ],
    ids=["exits", "plain CGI", "killed", "silent"],
)
def test_first_generation_that_cannot_start_gives_3(directory: Path, command: list, reason: str):
    done = fcgi(
        "run",
        *("--bind", f"unix:{directory}/fails.sock", "--start-timeout", "0.3", "--workers", 3),
        *("--ready-after", "never", "--allow-root", "--log-level", "warning", "--", *command),
    )
    assert done.returncode == 3
    assert re.fullmatch(rf"fcgi: cannot start: worker \d+ {reason}\n", done.stderr.decode())
    assert not (directory / "fails.sock").exists()


ROOT = os.geteuid() == 0


@pytest.mark.skipif(not ROOT, reason="only root can be refused")
def test_root_is_refused_unless_told(directory: Path):
    done = run("--bind", f"unix:{directory}/root.sock", "--", "/bin/true")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "fcgi: the workers would run as root; name a user for them (--user), or allow it "
        "(--allow-root)\n"
    )
    assert not (directory / "root.sock").exists()


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_user_of_all_processes(directory: Path):
    command = copy_for_all(directory, *HELLO)
    options = [
        "--user",
        "nobody",
        "--socket-group",
        "daemon",
        "--socket-mode",
        "666",
        "--umask",
        "027",
    ]
    with Supervisor(directory, command, *options, name="user") as supervisor:
        supervisor.ready()
        socket_file = (directory / "user.sock").stat()
        assert stat.S_IMODE(socket_file.st_mode) == 0o666
        assert (socket_file.st_uid, socket_file.st_gid) == (0, 1)
        for pid in {supervisor.pid} | supervisor.workers():
            status = Path(f"/proc/{pid}/status").read_text()
            assert re.search(r"^Uid:(\t65534){4}$", status, re.M)
            assert re.search(r"^Gid:(\t65534){4}$", status, re.M)
            assert re.search(r"^Groups:\s*(65534)?\s*$", status, re.M)
            assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
            assert re.search(r"^Umask:\t0027$", status, re.M)
        environment = Path(f"/proc/{min(supervisor.workers())}/environ").read_bytes().split(b"\0")
        assert b"USER=nobody" in environment
        supervisor.reload()
        require_hello(supervisor.address)


def test_environment_and_descriptors_of_a_worker(directory: Path):
    """Nothing but what is meant for it, and its signals as after a login."""
    env = {"LISTEN_FDNAMES": "stale", "FASTCGI_HANDOVER": "1:2:3", "WATCHDOG_USEC": "1"}
    with Supervisor(directory, HELLO, "--timeout", "5", name="clean", env=env) as supervisor:
        supervisor.ready()
        pid = min(supervisor.workers())
        raw = Path(f"/proc/{pid}/environ").read_text().split("\0")
        variables = dict(line.split("=", 1) for line in raw if "=" in line)
        assert variables["LISTEN_FDS"] == "1"
        assert variables["LISTEN_PID"] == variables["WATCHDOG_PID"] == str(pid)
        assert variables["WATCHDOG_USEC"] == "5000000"
        out, into = variables["FASTCGI_HANDOVER"].split(":")[1:]
        assert (int(variables["FASTCGI_HANDOVER"].split(":")[0]), out, into) == (pid, "4", "5")
        assert variables["NOTIFY_SOCKET"].startswith("@")
        assert "LISTEN_FDNAMES" not in variables
        links = {int(p.name): os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir()}
        assert links[0] == "/dev/null"  # A server of ours has left it.
        sockets = {n for n, to in links.items() if to.startswith(("socket:", "pipe:"))}
        assert sockets == {3, 4, 5, 7, 8, 9}  # 6 is the scoreboard.
        assert variables["FASTCGI_SHARE"].split(":")[1:] == ["8", "9"]
        status = Path(f"/proc/{pid}/status").read_text()
        ignored = int(re.search(r"^SigIgn:\s*(\w+)", status, re.M)[1], 16)
        caught = int(re.search(r"^SigCgt:\s*(\w+)", status, re.M)[1], 16)
        both = 1 << (signal.SIGHUP - 1) | 1 << (signal.SIGUSR1 - 1)
        assert (ignored, caught & both) == (0, both)  # Taken, for what it starts.
        assert os.getpgid(pid) == pid


def test_workers_end_with_the_supervisor(directory: Path):
    with Supervisor(directory, HELLO, name="orphans") as supervisor:
        supervisor.ready()
        workers = supervisor.workers()
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
        wait_until(lambda: not any(state(pid) not in ("", "Z") for pid in workers), 5, "their end")


def test_what_a_worker_leaves_behind_ends_with_it(directory: Path):
    command = script(directory, "family", f'sleep 1001 &\nexec "{EXAMPLES}/hello"')
    with Supervisor(directory, [command], name="family", workers=1) as supervisor:
        supervisor.ready()
        pid = min(supervisor.workers())
        (child,) = children(pid)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: state(child) in ("", "Z"), 5, "its child to end")


def test_directory_is_looked_up_anew_by_each_worker(directory: Path):
    """A new version is often a link that leads to another directory."""
    for version in ("one", "two"):
        (directory / version).mkdir()
    link = directory / "current"
    link.symlink_to("one")
    with Supervisor(directory, HELLO, "--chdir", link, name="where") as supervisor:
        supervisor.ready()
        for version, back in (("one", "two"), ("two", "one")):
            places = {os.readlink(f"/proc/{pid}/cwd") for pid in supervisor.workers()}
            assert places == {str(directory / version)}
            link.unlink()
            link.symlink_to(back)
            old = supervisor.workers()
            supervisor.reload()
            supervisor.wait_for_workers(lambda now, old=old: len(now) == 2 and not now & old)


def test_more_and_fewer_workers(directory: Path):
    with Supervisor(directory, HELLO, name="count") as supervisor:
        supervisor.ready()
        for number, count in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)):
            os.kill(supervisor.pid, number)
            supervisor.wait_for_workers(lambda now, wanted=count: len(now) == wanted)
        os.kill(supervisor.pid, signal.SIGTTOU)
        time.sleep(0.2)
        assert len(supervisor.workers()) == 1
        require_hello(supervisor.address)


def test_stubborn_worker_is_killed_after_the_graceful_timeout(directory: Path):
    command = script(directory, "stubborn", "trap '' TERM\nwhile :; do sleep 0.1; done")
    options = ["--ready-after", "0.2", "--graceful-timeout", "0.5"]
    with Supervisor(directory, [command], *options, name="stubborn") as supervisor:
        supervisor.ready()
        started = time.monotonic()
        os.kill(supervisor.pid, signal.SIGTERM)
        assert supervisor.wait() == 0
        assert 0.5 <= time.monotonic() - started < 30
        assert "did not stop in time, and is killed" in supervisor.output()


def test_old_worker_is_replaced_by_a_ready_one(directory: Path):
    options = ["--max-worker-age", "1", "--max-worker-age-jitter", "0.3"]
    with Supervisor(directory, HELLO, *options, name="age", workers=1) as supervisor:
        supervisor.ready()
        (first,) = supervisor.workers()
        supervisor.wait_for_line(
            rf"worker {first} has served for (0\.[7-9]|[1-9]\d*\.\d) s, and is replaced"
        )
        supervisor.wait_for_workers(lambda now: len(now) == 1 and first not in now)
        supervisor.wait_for_line(rf"worker {first} has stopped")
        lines = supervisor.output()
        ready = [m.start() for m in re.finditer(r"worker \d+ is ready", lines)]
        assert len(ready) >= 2
        assert lines.index(f"worker {first} has stopped") > ready[1]


def test_worker_over_its_memory_is_replaced(directory: Path):
    hungry = (
        "import fastcgi\nkeep = []\ndef app(request):\n    keep.append(bytearray(64 << 20))\n"
        "    request.reply(200, b'Hello')\nfastcgi.main(app)\n"
    )
    app = directory / "hungry.py"
    app.write_text(hungry)
    command = [worker_command("python")[0], app]
    with Supervisor(
        directory, command, "--max-worker-rss", "80M", name="rss", workers=1
    ) as supervisor:
        supervisor.ready()
        (first,) = supervisor.workers()
        for _ in range(2):
            with Client(supervisor.address) as client:
                client.ask(get_params())
        supervisor.wait_for_line(rf"worker {first} uses \d+ KiB of memory, and is replaced")
        supervisor.wait_for_workers(lambda now: len(now) == 1 and first not in now)


def test_silent_worker_is_killed_by_the_watchdog(directory: Path):
    with Supervisor(directory, HELLO, "--timeout", "0.5", name="watchdog") as supervisor:
        supervisor.ready()
        time.sleep(1.5)
        assert "silent" not in supervisor.output(), "living workers tell that they are alive"
        victim = min(supervisor.workers())
        os.kill(victim, signal.SIGSTOP)
        supervisor.wait_for_line(rf"worker {victim} has been silent for 0\.5 s, and is killed")
        supervisor.wait_for_workers(lambda now: len(now) == 2 and victim not in now)
        require_hello(supervisor.address)


def test_worker_that_stops_by_itself_is_replaced_at_once(directory: Path):
    with Supervisor(directory, HELLO, name="itself") as supervisor:
        supervisor.ready()
        victim = min(supervisor.workers())
        os.kill(victim, signal.SIGTERM)
        supervisor.wait_for_line(f"worker {victim} stops by itself; starting another")
        supervisor.wait_for_workers(lambda now: len(now) == 2 and victim not in now)


def test_second_supervisor_with_the_same_pid_file_is_refused(directory: Path):
    with Supervisor(directory, HELLO, name="first") as supervisor:
        supervisor.ready()
        other = ["--bind", f"unix:{directory}/second.sock", "--pid", supervisor.pid_file]
        done = run("--allow-root", *other, "--", *HELLO)
        assert done.returncode == 1
        assert done.stderr.decode() == (
            f"fcgi: pid file {supervisor.pid_file}: another supervisor, pid {supervisor.pid}, "
            "holds it; stop that one, or name another file\n"
        )
        require_hello(supervisor.address)


def as_process_1(*words: object) -> list:
    """The command as process 1 of a container of its own."""
    options = [] if ROOT else ["--user", "--map-root-user"]
    start = ["unshare", "--pid", "--fork", "--kill-child", *options]
    # The root may be no mount point, as below chroot(2).
    proc = ["--propagation", "unchanged", "--mount-proc"]
    return [*start, *proc, BUILD / "tools" / "fcgi", "run", "--allow-root", *words]


def inside(pid: int, *words: str) -> None:
    """Run a command in the container of that process 1."""
    options = [] if ROOT else ["--user", "--preserve-credentials"]
    enter = ["nsenter", "--target", str(pid), "--pid", *options]
    subprocess.run([*enter, *words], check=True)


def test_as_process_1(directory: Path):
    """It collects orphans, passes signals on, reloads, and refuses USR2."""
    address = f"unix:{directory}/pid1.sock"
    log = directory / "pid1-errors.log"
    command = as_process_1("--workers", 2, "--bind", address, "--", *HELLO)
    env = {"FASTCGI_ERROR_LOGFILE": str(log)}
    with Process(command, directory / "pid1.log", env=env) as outer:
        wait_until(lambda: "are ready after" in outer.output(), 20, "it to be ready")
        assert "pid 1\n" in outer.output()
        require_hello(address)
        (pid,) = children(outer.pid)
        inside(pid, "sh", "-c", "(sleep 0.3; exit 4) & exit 0")
        wait_until(lambda: len(children(pid)) == 3, 5, "the orphan to be its child")
        wait_until(lambda: len(children(pid)) == 2, 5, "the orphan to end")
        wait_until(lambda: not children(pid, zombies=True), 5, "the orphan to be collected")
        assert "exited" not in outer.output()
        old = children(pid)
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: "generation 2 is ready" in outer.output(), 10, "the reload")
        wait_until(lambda: len(children(pid)) == 2 and not children(pid) & old, 10, "new workers")
        require_hello(address)
        log.rename(directory / "pid1-old.log")
        os.kill(pid, signal.SIGUSR1)
        wait_until(log.exists, 5, "workers to hear of it")
        victim = min(children(pid))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(children(pid) - {victim}) == 2, 5, "another worker")
        before = outer.output()
        os.kill(pid, signal.SIGUSR2)
        wait_until(lambda: "no new supervisor" in outer.output(), 5, "the refusal")
        assert outer.output().removeprefix(before) == (
            "fcgi: no new supervisor: process 1 ends the container when it ends; use SIGHUP\n"
        )
        os.kill(pid, signal.SIGTERM)
        assert outer.wait(60) == 0
    assert not (directory / "pid1.sock").exists()


@pytest.mark.parametrize(
    ("words", "status"), [(["--", "/bin/false"], 3), (["--", "/nonexistent"], 1), (["--x"], 2)]
)
def test_exit_status_as_process_1(directory: Path, words: list, status: int):
    command = as_process_1("--bind", f"unix:{directory}/failing.sock", *words)
    with Process(command, directory / "failing.log") as outer:
        assert outer.wait(60) == status
