# SPDX-License-Identifier: MIT
"""`fcgi run` and the processes below it."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from support.fcgi_client import wait_until
from support.paths import BUILD
from support.process import Process


def children(pid: int, zombies: bool = False) -> set[int]:
    """The living children of a process, or the dead ones nobody has collected."""
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found |= {int(word) for word in task.read_text().split()}
        except OSError:
            continue
    wanted = {"Z"} if zombies else set("RSDTtI")
    return {child for child in found if state(child) in wanted}


def state(pid: int) -> str:
    """R, S, Z and so on, or nothing when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def command_line(pid: int) -> list[str]:
    """The words that a process was started with."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def processes(command: str) -> list[int]:
    """Every process whose command line contains the text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        pid = int(path.parent.name)
        if command in line and pid != os.getpid() and state(pid) != "Z":
            found.append(pid)
    return found


def copy_for_all(directory: Path, *programs: Path) -> list[Path]:
    """Copies in a directory that every user may enter: the build tree may lie
    where only its owner goes."""
    directory.chmod(0o755)
    return [Path(shutil.copy2(program, directory)) for program in programs]


class Supervisor(Process):
    """`fcgi run` with a command below it, and its log."""

    def __init__(
        self,
        directory: Path,
        command: list,
        *options: object,
        address: str | None = None,
        workers: int = 2,
        env: dict[str, str] | None = None,
        name: str = "supervisor",
        program: Path = BUILD / "tools" / "fcgi",
    ):
        self.address = address or f"unix:{directory}/{name}.sock"
        self.pid_file = directory / f"{name}.pid"
        words = ["run", "--bind", self.address, "--workers", workers, "--pid", self.pid_file]
        if os.geteuid() == 0 and "--user" not in options:
            words.append("--allow-root")
        super().__init__(
            [program, *words, "--log-level", "debug", *options, "--", *command],
            directory / f"{name}.log",
            env=env,
        )

    def stop(self, seconds: float = 10) -> int:
        """Also the one that has taken its place, where a failed test left it."""
        status = super().stop(seconds)
        try:
            successor = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return status
        if str(self.pid_file) in " ".join(command_line(successor)):
            os.kill(successor, signal.SIGTERM)
        return status

    def wait_for_line(self, pattern: str, count: int = 1, seconds: float = 20) -> re.Match:
        """The count-th line of the log that matches."""

        def found() -> bool:
            lines = list(re.finditer(pattern, self.output()))
            assert self.running() or len(lines) >= count, f"it ended:\n{self.output()}"
            return len(lines) >= count

        try:
            wait_until(found, seconds, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from None
        return list(re.finditer(pattern, self.output()))[count - 1]

    def ready(self) -> "Supervisor":
        self.wait_for_line(r"workers? (is|are) ready after")
        return self

    def upgrade(self) -> int:
        """SIGUSR2 to whoever is in the pid file: the new one's process id."""
        old = self.serving_pid()
        os.kill(old, signal.SIGUSR2)
        wait_until(lambda: self.serving_pid() not in (0, old), 20, "a new process id")
        wait_until(lambda: state(old) in ("", "Z"), 20, "the old one to end")
        return self.serving_pid()

    def serving_pid(self) -> int:
        """The supervisor, or the one that has taken its place; 0 while it is being written."""
        return int(self.pid_file.read_text() or 0)

    def workers(self) -> set[int]:
        return children(self.pid)

    def reload(self, seconds: float = 20) -> None:
        """SIGHUP, and the new generation has taken over."""
        pattern = r"generation \d+ is ready"
        before = len(re.findall(pattern, self.output()))
        os.kill(self.pid, signal.SIGHUP)
        self.wait_for_line(pattern, before + 1, seconds)

    def wait_for_workers(self, good: Callable[[set[int]], bool], seconds: float = 20) -> set[int]:
        """The workers, once they are as they should be."""
        wait_until(lambda: good(self.workers()), seconds, "the workers to change")
        return self.workers()
