# SPDX-License-Identifier: MIT
"""`fcgi run` as a service of systemd: sockets that it passes, and what it is told.

The tests play systemd's part with a notify socket and LISTEN_FDS of their own:
systemd-nspawn needs privileges and an image that a test machine rarely has, and
what passes between systemd and a service is just these. The sender is checked by
its credentials here too.
"""

import os
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, wait_until
from support.paths import BUILD, EXAMPLES
from support.reload import front, worker_command
from support.supervisor import children, state

CREDENTIALS = struct.Struct("iII")


class Manager:
    """What systemd is to a service with Type=notify and a socket unit."""

    def __init__(self, directory: Path):
        self.path = directory / "manager.sock"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.notify.bind(str(self.path))
        self.notify.settimeout(60)
        self.listeners = []
        for name in ("web", "more"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(directory / f"{name}.sock"))
            listener.listen(4096)
            self.listeners.append(listener)
        self.address = f"unix:{directory}/web.sock"
        self.directory = directory

    def close(self) -> None:
        for item in (self.notify, *self.listeners):
            item.close()
        for name in ("web", "more", "manager"):
            (self.directory / f"{name}.sock").unlink()

    def start(self, command: list, *options: str, **env: str) -> subprocess.Popen:
        """The service, with the listeners at 3 and 4."""
        root = ["--allow-root"] if os.geteuid() == 0 else []
        words = [str(BUILD / "tools" / "fcgi"), "run", *root, *options, "--", *map(str, command)]
        script = 'export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$@" 3<&"$A" 4<&"$B"'
        first, second = self.listeners
        variables = {
            "A": str(first.fileno()),
            "B": str(second.fileno()),
            "LISTEN_FDS": "2",
            "LISTEN_FDNAMES": "web:more",
            "NOTIFY_SOCKET": str(self.path),
            **env,
        }
        with open(self.directory / "service.log", "ab") as log:
            return subprocess.Popen(
                ["bash", "-c", script, "bash", *words],
                pass_fds=[first.fileno(), second.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **variables},
                start_new_session=True,
            )

    def hear(self) -> tuple[int, dict[str, str]]:
        """The next message and who sent it."""
        data, ancillary, _, _ = self.notify.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
        pid = CREDENTIALS.unpack(ancillary[0][2])[0]
        return pid, dict(line.split("=", 1) for line in data.decode().splitlines())

    def hear_until(self, key: str) -> dict[str, str]:
        """The first message with the key; nothing else but WATCHDOG comes before."""
        while True:
            _, message = self.hear()
            if key in message:
                return message
            assert "WATCHDOG" in message, message


@pytest.fixture
def manager(directory: Path) -> Iterator[Manager]:
    it = Manager(directory)
    yield it
    it.close()


@contextmanager
def service(manager: Manager, *arguments, **env: str) -> Iterator[subprocess.Popen]:
    child = manager.start(*arguments, **env)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(60)


def environment(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text()
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def test_life_of_a_service(manager: Manager):
    before = {os.fstat(listener.fileno()).st_ino for listener in manager.listeners}
    with service(manager, [EXAMPLES / "hello"], "--workers", "2") as child:
        sender, message = manager.hear()
        assert (sender, message["READY"]) == (child.pid, "1")
        for pid in children(child.pid):
            variables = environment(pid)
            assert variables["LISTEN_FDS"] == "2"
            assert variables["LISTEN_FDNAMES"] == "web:more"
            assert variables["NOTIFY_SOCKET"] != str(manager.path)
            assert {os.stat(f"/proc/{pid}/fd/{fd}").st_ino for fd in (3, 4)} == before
        for name in ("web", "more"):
            with Client(f"unix:{manager.directory}/{name}.sock") as client:
                assert client.ask(get_params()).body == b"Hello\n"
        earliest = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        os.kill(child.pid, signal.SIGHUP)
        reloading = manager.hear()[1]
        assert reloading["RELOADING"] == "1"
        latest = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert earliest <= int(reloading["MONOTONIC_USEC"]) <= latest
        assert manager.hear()[1]["READY"] == "1"
        child.terminate()
        assert manager.hear()[1]["STOPPING"] == "1"
        assert child.wait(60) == 0
    assert (manager.directory / "web.sock").exists(), "it is not the service's to remove"


def test_nothing_is_lost_while_nobody_reads(manager: Manager):
    """The workers serve, the supervisor heeds its signals, and all is told later."""
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with filler, service(manager, [EXAMPLES / "hello"], "--workers", "2") as child:
        assert manager.hear()[1]["READY"] == "1"
        with suppress(BlockingIOError):
            while True:
                filler.sendto(b"FILL=1", str(manager.path))
        before = children(child.pid)
        os.kill(child.pid, signal.SIGHUP)
        wait_until(
            lambda: len(now := children(child.pid)) == 2 and not set(now) & set(before),
            what="the reload",
        )
        with Client(manager.address) as client:
            assert client.ask(get_params()).body == b"Hello\n"
        told = []
        while not told or "READY" not in told[-1]:
            told += [message for _, message in [manager.hear()] if "FILL" not in message]
        assert "RELOADING" in told[0], told
        assert len(told) == 2, told


def test_reload_that_fails_is_over_too(manager: Manager):
    script = manager.directory / "once"
    script.write_text(f"#!/bin/sh\nexec {EXAMPLES}/hello\n")
    script.chmod(0o755)
    with service(manager, [script]) as child:
        assert manager.hear()[1]["READY"] == "1"
        script.write_text("#!/bin/sh\nexit 1\n")
        os.kill(child.pid, signal.SIGHUP)
        assert manager.hear()[1]["RELOADING"] == "1"
        assert manager.hear()[1]["READY"] == "1"


def test_watchdog(manager: Manager):
    with service(manager, [EXAMPLES / "hello"], WATCHDOG_USEC="400000") as child:
        manager.hear_until("READY")
        times = []
        for _ in range(4):
            sender, message = manager.hear()
            times.append(time.monotonic())
            assert (sender, message) == (child.pid, {"WATCHDOG": "1"})
        assert all(b - a < 0.4 for a, b in pairwise(times))


def test_a_worker_without_supervisor_tells_too(manager: Manager):
    """The library does it: such a program is a Type=notify service itself."""
    program = str(EXAMPLES / "hello")
    script = 'LISTEN_PID=$$ exec "$0" 3<&0 </dev/null'
    env = {**os.environ, "LISTEN_FDS": "1", "NOTIFY_SOCKET": str(manager.path)}
    child = subprocess.Popen(["bash", "-c", script, program], stdin=manager.listeners[0], env=env)
    assert manager.hear() == (child.pid, {"READY": "1"})
    child.terminate()
    assert manager.hear() == (child.pid, {"STOPPING": "1"})
    assert child.wait(60) == 0


def test_upgrade_moves_the_service(manager: Manager):
    with service(manager, [EXAMPLES / "hello"], WATCHDOG_USEC="60000000") as child:
        manager.hear_until("READY")
        os.kill(child.pid, signal.SIGUSR2)
        messages = {}
        while not {"MAINPID", "READY"} <= set(messages):
            sender, message = manager.hear()
            messages |= {key: (sender, value) for key, value in message.items()}
        assert messages["MAINPID"][0] == child.pid
        new = int(messages["MAINPID"][1])
        assert messages["READY"] == (new, "1")
        assert child.wait(60) == 0
        variables = environment(new)
        assert variables["WATCHDOG_PID"] == str(new)
        assert environment(min(children(new)))["LISTEN_FDNAMES"] == "web:more"
        with Client(manager.address) as client:
            assert client.ask(get_params()).body == b"Hello\n"
        os.kill(new, signal.SIGTERM)
        manager.hear_until("STOPPING")
        wait_until(lambda: state(new) in ("", "Z"), 10, "its end")


@pytest.mark.parametrize("kind", ["nginx closed", "nginx kept"])
def test_restart_refuses_nobody(manager: Manager, kind: str):
    """The socket stays while the service is started anew: clients wait in its
    queue. Connections that are kept end with the old one, so that a POST which
    crosses that end may be lost; GET is asked anew."""
    command = worker_command("c")
    child = manager.start(command)
    manager.hear_until("READY")
    try:
        with front(kind, manager.directory, manager.address) as load:
            for _ in range(3):
                time.sleep(0.3)
                child.terminate()
                assert child.wait(60) == 0
                child = manager.start(command)
                manager.hear_until("STOPPING")
                manager.hear_until("READY")
            result = load.finish()
    finally:
        child.terminate()
        child.wait(60)
    log = (manager.directory / "nginx.log").read_text()
    assert "refused" not in log
    assert not re.search(r"connect\(\) .*failed", log)
    assert result.failed_get == 0, result
    if kind == "nginx closed":
        assert result.failed == 0, result
