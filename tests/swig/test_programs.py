# SPDX-License-Identifier: MIT
"""Programs that handlers start, by each means of each language, inherit nothing of ours."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from integration.test_children import LIBRARYS, OURS, REPORT, read_report
from support.fcgi_client import fetch
from support.paths import BUILD
from support.probe import probe_command
from support.process import Process
from swig.languages import CHOSEN

ROOT = ["--allow-root"] if os.getuid() == 0 else []
KINDS = ["alone", "supervised", "descriptor 0"]
WAYS = ["popen", "system", "exec"]
# Lua has no exec.
ASKED = [(name, way) for name in CHOSEN for way in WAYS if (name, way) != ("lua", "exec")]


def mask(*numbers: signal.Signals) -> int:
    return sum(1 << (number - 1) for number in numbers)


# What an interpreter ignores itself it leaves so to programs that it starts; Python's
# subprocess does not.
IGNORED = {
    ("python", "system"): mask(signal.SIGPIPE, signal.SIGXFSZ),
    ("python", "exec"): mask(signal.SIGPIPE, signal.SIGXFSZ),
    ("tcl", "exec"): mask(signal.SIGPIPE),
    **{("php", way): mask(signal.SIGPIPE) for way in WAYS},
}


class Starter(Process):
    """The probe of a language, which starts programs as it is told."""

    def __init__(self, language: str, kind: str, folder: Path):
        path = folder / "probe.sock"
        self.address = f"unix:{path}"
        self.told = folder / "report"
        command, stdin = probe_command(f"swig_{language}", self.address), subprocess.DEVNULL
        if kind == "supervised":
            run = [BUILD / "tools" / "fcgi", "run", "--bind", self.address, "--workers", "1"]
            command = [*run, *ROOT, "--", *command[:-1]]
        if kind == "descriptor 0":
            stdin = socket.socket(socket.AF_UNIX)
            stdin.bind(str(path))
            stdin.listen()
            command = command[:-1]
        env = {"FASTCGI_OF_THE_USER": "stays"}
        super().__init__(command, folder / "log", env=env, stdin=stdin)
        if isinstance(stdin, socket.socket):
            stdin.close()
        self.wait_for_address(self.address)

    def report(self, way: str) -> tuple[dict[int, str], dict[str, int], dict[str, str]]:
        command = f"( {REPORT} ) > {self.told}"
        assert fetch(self.address, uri="/run", WAY=way, COMMAND=command).body == b"done\n"
        return read_report(self.told.read_text())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("language", "way"), ASKED)
def test_programs_that_are_started(language: str, way: str, kind: str, tmp_path: Path):
    with Starter(language, kind, tmp_path) as starter:
        for _ in range(2):
            files, masks, named = starter.report(way)
            assert files[0] == "/dev/null"
            # PHP leaves its script open to them.
            others = {fd for fd, target in files.items() if not target.endswith(".php")}
            assert others == {0, 1, 2}, files
            assert masks["SigBlk"] == 0
            assert masks["SigIgn"] & ~LIBRARYS == IGNORED.get((language, way), 0)
            assert not [name for name in named if f"{name}=".startswith(OURS)]
            assert named["FASTCGI_OF_THE_USER"] == "stays"
        assert starter.stop() == 0, starter.output()
