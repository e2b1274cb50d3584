# SPDX-License-Identifier: MIT
"""Where everything is, and processes that are started and always stopped."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
BUILT = SOURCE / "build" / "bench-peers"
APPS = SOURCE / "bench" / "apps"


class Failed(Exception):
    """A peer cannot be measured; the text says why."""


def program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise Failed(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Site:
    """The folder of one row, and the programs that ours are."""

    folder: Path
    build: Path  # A release build: examples, tools and modules.
    python: str  # The interpreter that has our package and the peers'.
    children: list = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    request_bytes: int = 0  # Length of the row's request, for the canned responder.

    @property
    def tool(self) -> str:
        return str(self.build / "tools" / "fcgi")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def start(self, command: list, name: str, listen: str | None = None, **more: str) -> int:
        """Start a program; with `listen` it finds a listener there at descriptor 0."""
        stdin = subprocess.DEVNULL
        if listen:
            stdin = socket.socket(socket.AF_UNIX)
            stdin.bind(listen)
            stdin.listen(1024)
        modules = [str(APPS), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": ":".join(modules), **self.environment, **more}
        with open(self.folder / f"{name}.log", "ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=stdin,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )
        if listen:
            stdin.close()
        self.children.append((child, name))
        return child.pid

    def wait(self, address: str) -> None:
        """Return when a program accepts connections at unix:PATH or a port."""
        child, name = self.children[-1]
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if child.poll() is not None:
                break
            if accepts(address):
                return
            time.sleep(0.02)
        log = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        raise Failed(f"{name} does not serve: {log[-1] if log else 'it says nothing'}")

    def stop(self) -> None:
        for child, _ in reversed(self.children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        for child, _ in reversed(self.children):
            try:
                child.wait(3)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        self.children.clear()


def accepts(address: str) -> bool:
    path = address.removeprefix("unix:")
    family = socket.AF_UNIX if path != address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path if path != address else ("127.0.0.1", int(address)))
        except OSError:
            return False
    return True


def compiled(name: str, *words: object) -> str:
    """A program made from bench/ once; its path."""
    BUILT.mkdir(parents=True, exist_ok=True)
    out = BUILT / name
    done = subprocess.run([*map(str, words), "-o", str(out)], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{name} cannot be built: {done.stderr.strip().splitlines()[-1]}")
    return str(out)
