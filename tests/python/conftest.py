# SPDX-License-Identifier: MIT
"""Fixtures: servers in this process, and commands in others."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import fastcgi
import pytest
from support.fcgi_client import PATIENCE, patient


class Serving:
    """A server that runs in background threads."""

    def __init__(self, app: Any, address: str, threads: int, interface: Any, options: Any) -> None:
        self.server = fastcgi.Server(address, threads=threads, **options)
        self.address = self.server.addresses[0]
        self.raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(app, interface))
        self._thread.start()

    def _run(self, app: Any, interface: Any) -> None:
        try:
            self.server.serve(app, interface=interface)
        except BaseException as error:
            self.raised = error

    def stop(self, graceful: bool = False) -> None:
        self.server.stop(graceful=graceful)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the server does not stop"
        self.server.close()

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture
def serve(tmp_path: pathlib.Path) -> Iterator[Callable[..., Serving]]:
    """serve(app, threads=1, interface="auto", **options) -> Serving."""
    running: list[Serving] = []

    def start(app: Any, threads: int = 1, interface: Any = "auto", **options: Any) -> Serving:
        address = f"unix:{tmp_path}/{len(running)}.sock"
        running.append(Serving(app, address, threads, interface, options))
        return running[-1]

    yield start
    for serving in running:
        serving.stop()


class Command:
    """`python -m fastcgi ...` or another program in a process of its own."""

    def __init__(
        self, arguments: list[str], cwd: pathlib.Path, env: dict[str, str], interpreter: str
    ) -> None:
        self.process = subprocess.Popen(
            [interpreter, *arguments],
            cwd=cwd,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._seen = b""

    def wait_for(self, text: str, seconds: float = 20) -> str:
        """Read stderr until `text` has come."""
        stderr = self.process.stderr
        assert stderr is not None
        until = time.monotonic() + patient(seconds)
        while text.encode() not in self._seen:
            ready, _, _ = select.select([stderr], [], [], max(0, until - time.monotonic()))
            part = os.read(stderr.fileno(), 65536) if ready else b""
            assert part, f"no {text!r} on stderr: {self._seen.decode()}"
            self._seen += part
        return self._seen.decode()

    def finish(self, seconds: float = 20) -> tuple[int, str]:
        """Exit status and everything on stderr."""
        _, rest = self.process.communicate(timeout=patient(seconds))
        return self.process.returncode, (self._seen + rest).decode()


@pytest.fixture
def command(tmp_path: pathlib.Path) -> Iterator[Callable[..., Command]]:
    """command("-m", "fastcgi", ...) -> Command, run in tmp_path."""
    started: list[Command] = []

    def start(*arguments: str, interpreter: str = sys.executable, **env: str) -> Command:
        started.append(Command(list(arguments), tmp_path, env, interpreter))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        with contextlib.suppress(ValueError):
            one.process.communicate(timeout=PATIENCE)
