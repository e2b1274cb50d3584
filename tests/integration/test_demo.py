# SPDX-License-Identifier: MIT
"""`./dev demo`: what it says when all is well, and when a part of it dies."""

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.nginx import reserve_port
from support.paths import SOURCE
from support.process import Process

BUILD_SECONDS = 100


class Demo:
    """One demo in a temporary directory and on a port of its own."""

    def __init__(self, directory: Path, port: int):
        self.directory, self.port = directory, port
        self.temporary = directory / "tmp"
        self.temporary.mkdir()

    def start(self, *options: object) -> Process:
        command = [SOURCE / "dev", "demo", "--port", self.port, *options]
        return Process(command, self.directory / "demo.log", env={"TMPDIR": str(self.temporary)})

    def nginx(self) -> int | None:
        """nginx's process id, once there is one."""
        for path in self.temporary.glob("*/nginx.pid"):
            text = path.read_text().strip()
            return int(text) if text else None
        return None

    def leftovers(self) -> list[str]:
        """Its files, and the processes that still write to one of them."""
        found = [str(path) for path in self.temporary.iterdir()]
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                if os.readlink(link).startswith(str(self.temporary)):
                    found.append(str(link))
            except OSError:
                continue  # It is gone already.
        return found


@pytest.fixture
def demo() -> Iterator[Demo]:
    directory = Path(tempfile.mkdtemp(prefix="fastcgi-test-"))
    with reserve_port() as reserved:
        yield Demo(directory, reserved.getsockname()[1])
    shutil.rmtree(directory)


def wait_until_serving(demo: Demo, process: Process) -> None:
    wait_until(
        lambda: "Ctrl-C" in process.output() or not process.running(),
        BUILD_SECONDS,
        "the demo coming up",
    )
    assert f"http://127.0.0.1:{demo.port}/python/" in process.output(), process.output()


def test_check(demo: Demo):
    with demo.start("--check") as process:
        assert process.wait(BUILD_SECONDS) == 0, process.output()
    output = process.output()
    for title in ("Python", "Lua"):
        assert re.search(
            rf"^{title}: database connection \S+ answered requests \d+ and \d+$", output, re.M
        ), output
        assert f"{title}: OK" in output
    assert demo.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_and_leaves_nothing(demo: Demo, number: int):
    with demo.start() as process:
        wait_until_serving(demo, process)
        os.kill(process.pid, number)
        assert process.wait() == 0, process.output()
    assert demo.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_dead_nginx_is_reported(demo: Demo, number: int):
    with demo.start() as process:
        wait_until_serving(demo, process)
        os.kill(demo.nginx(), number)
        assert process.wait() == 1
        assert "demo: nginx " in process.output()
        assert "setsid" not in process.output(), "the shell's own report of the death"
    assert demo.leftovers() == []


def test_nginx_killed_during_the_check(demo: Demo):
    with demo.start("--check") as process:
        wait_until(lambda: demo.nginx() or not process.running(), BUILD_SECONDS, "nginx coming up")
        time.sleep(0.05)
        os.kill(demo.nginx(), signal.SIGKILL)
        assert process.wait(60) == 1, process.output()
        assert "demo: nginx was killed by signal 9" in process.output()
    assert demo.leftovers() == []


def test_port_in_use(demo: Demo):
    with reserve_port() as taken:
        taken.listen()
        demo.port = taken.getsockname()[1]
        with demo.start("--check") as process:
            assert process.wait(BUILD_SECONDS) == 1
    assert "Address already in use" in process.output()
    assert demo.leftovers() == []
