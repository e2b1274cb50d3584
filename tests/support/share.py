# SPDX-License-Identifier: MIT
"""Workers of `fcgi run` whose handlers wait until a test lets them go on."""

import contextlib
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support.fcgi_client import Client, get_params, request, wait_until
from support.paths import BUILD, SOURCE
from support.supervisor import Supervisor
from support.tool import fcgi

APPS = SOURCE / "tests" / "integration" / "apps"


def nap_command(language: str, threads: int = 1) -> list:
    """The program nap in a language, on the listener that it inherits."""
    if language == "c":
        return [BUILD / "tests" / "integration" / "nap"]
    if language == "python":
        words = [sys.executable, "-m", "fastcgi", "nap:app", "--chdir", APPS]
    else:
        words = [BUILD / "lua" / "bin" / "fcgi-lua", APPS / "nap.lua"]
    return [*words, "--threads", threads]


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    found = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += os.readlink(path).startswith("socket:")
    return found


class Kept:
    """A kept connection of a web server."""

    def __init__(self, address: str):
        self.client = Client(address, timeout=120)

    def send(self, query: str = "", path: str = "/", request_id: int = 1) -> None:
        """A request, whose answer `pid` waits for."""
        self.client.send(request(request_id, get_params(path, query)))

    def pid(self, request_id: int = 1) -> int:
        """The process that has answered."""
        answer = self.client.responses([request_id])[request_id]
        assert answer.status == 200, answer
        return int(answer.body)

    def ask(self, query: str = "") -> int:
        self.send(query)
        return self.pid()

    def close(self) -> None:
        self.client.close()


class Crew:
    """Workers, kept connections to them, and gates that handlers wait at."""

    def __init__(self, supervisor: Supervisor, directory: Path, stack: ExitStack):
        self.supervisor = supervisor
        self._directory = directory
        self._stack = stack
        self._numbers = itertools.count()
        stack.callback(self.open_all)

    def connect(self) -> Kept:
        kept = Kept(self.supervisor.address)
        self._stack.callback(kept.close)
        return kept

    def gate(self) -> Path:
        """A gate that is shut."""
        return self._directory / f"gate-{next(self._numbers)}"

    def open_all(self) -> None:
        for number in range(next(self._numbers)):
            (self._directory / f"gate-{number}").touch()

    def waiting(self, gate: Path) -> set[int]:
        """The workers that have a handler at the gate."""
        return {int(path.suffix[1:]) for path in gate.parent.glob(f"{gate.name}.*")}

    def block(self, kept: Kept, gate: Path) -> int:
        """Have the connection's worker wait at the gate: which one does."""
        before = self.waiting(gate)
        kept.send(f"gate={gate}")
        wait_until(lambda: self.waiting(gate) - before, what="a handler at the gate")
        return (self.waiting(gate) - before).pop()

    def pair(self) -> tuple[Kept, Kept]:
        """Two kept connections of one worker, at rest."""
        found: dict[int, Kept] = {}
        while True:
            kept = self.connect()
            pid = kept.ask()
            if pid in found:
                return found[pid], kept
            found[pid] = kept

    def block_all(self) -> tuple[dict[int, Path], Kept]:
        """Every worker at a gate of its own, and a kept connection of one."""
        first, spare = self.pair()
        gates: dict[int, Path] = {}
        kept = first
        for _ in self.supervisor.workers():
            gate = self.gate()
            gates[self.block(kept, gate)] = gate
            kept = self.connect()
        assert set(gates) == self.supervisor.workers()
        return gates, spare

    def total(self, key: str) -> int:
        """A number of all workers together."""
        text = fcgi("status", "--json", self.supervisor.pid).stdout
        return json.loads(text)["fastcgi"]["total"][key]


@contextmanager
def crew(
    directory: Path, *options: object, workers: int = 2, language: str = "c", threads: int = 1
) -> Iterator[Crew]:
    command = nap_command(language, threads)
    directory = Path(tempfile.mkdtemp(prefix="crew-", dir=directory))
    with (
        Supervisor(directory, command, *options, workers=workers) as supervisor,
        ExitStack() as stack,
    ):
        supervisor.ready()
        yield Crew(supervisor, directory, stack)
