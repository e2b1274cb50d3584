# SPDX-License-Identifier: MIT
"""The services of docs/deploy.md, as far as they run without systemd and apt."""

import configparser
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.paths import BUILD, CC, INCLUDE, SOURCE
from support.process import Process
from support.tool import fcgi

sys.path.insert(0, str(SOURCE / "tests" / "newcomer"))

import pages

PAGE = SOURCE / "docs" / "deploy.md"
STEPS = pages.steps(PAGE)
ROOT = os.geteuid() == 0
TOOLS = {
    "/srv/hello/venv/bin/python": sys.executable,
    "/usr/local/bin/fcgi-lua": str(BUILD / "lua" / "bin" / "fcgi-lua"),
    "/usr/local/bin/fcgi": str(BUILD / "tools" / "fcgi"),
}


@dataclass
class Service:
    """A section: the program, the unit, and what the page says that it answers."""

    files: dict[str, str]
    unit: configparser.SectionProxy
    answer: str


def service(suffix: str) -> Service:
    at = next(i for i, step in enumerate(STEPS) if step.argument.endswith(f"/hello{suffix}")
              or step.argument == f"hello{suffix}")  # fmt: skip
    rest = STEPS[at:]
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string(next(one for one in rest if one.language == "ini").text.replace("\\\n", ""))
    files = {rest[0].argument: rest[0].text}
    return Service(files, unit["Service"], next(one for one in rest if one.kind == "prints").text)


class Places:
    """The page's directories, below one of the test's."""

    def __init__(self, directory: Path):
        self.at = {
            path: directory / path.strip("/").replace("/", "-")
            for path in ("/srv/hello", "/run/hello", "/var/lib/hello", "/var/log/hello")
        }
        for path in self.at.values():
            path.mkdir(parents=True)

    def moved(self, text: str) -> str:
        for path, here in self.at.items():
            text = text.replace(path, str(here))
        return text

    def words(self, command: str) -> list[str]:
        words = [TOOLS.get(word) or self.moved(word) for word in shlex.split(command)]
        at = words.index("--socket-group")
        del words[at : at + 2]
        if ROOT:
            words[words.index("--bind") : words.index("--bind")] = ["--allow-root"]
        return words


def install(files: dict[str, str], places: Places) -> None:
    for path, text in files.items():
        if path == "hello.c":
            source = places.at["/srv/hello"] / "hello.c"
            source.write_text(text)
            library = BUILD / "core" / "libfastcgi.a"
            command = [CC, f"-I{INCLUDE}", source, library, "-pthread", "-o"]
            subprocess.run([*command, source.with_suffix("")], check=True)
        else:
            Path(places.moved(path)).write_text(places.moved(text))


@pytest.mark.parametrize("suffix", [".py", ".lua", ".c"])
def test_a_service(directory: Path, suffix: str):
    home = directory / suffix[1:]
    shutil.rmtree(home, ignore_errors=True)
    places = Places(home)
    one = service(suffix)
    install(one.files, places)
    address = places.moved("unix:/run/hello/hello.sock")
    env = {"NOTIFY_SOCKET": str(home / "notify")}
    if "Environment" in one.unit:
        name, _, value = places.moved(one.unit["Environment"]).partition("=")
        env[name] = value
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(env["NOTIFY_SOCKET"])
        manager.settimeout(120)
        words = places.words(one.unit["ExecStart"])
        with Process(words, home / "log", cwd=places.at["/srv/hello"], env=env) as process:
            assert b"READY=1" in manager.recv(4096), process.output()
            assert fcgi("call", address, "/").stdout.decode() == one.answer, process.output()
            done = fcgi("bench", address, "-n", 400, "--any-answer")
            assert done.returncode == 0, done.stderr.decode() + process.output()
            pid = places.at["/run/hello"] / "hello.pid"
            assert int(pid.read_text()) == process.pid
            assert one.unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
            os.kill(process.pid, signal.SIGHUP)
            assert b"RELOADING=1" in manager.recv(4096)
            assert b"READY=1" in manager.recv(4096)
            assert fcgi("call", address, "/").returncode == 0
            rotate(places, address, process.pid)


def rotate(places: Places, address: str, pid: int) -> None:
    """As logrotate does it with the page's file."""
    (text,) = [step.text for step in STEPS if step.argument == "/etc/logrotate.d/hello"]
    assert 'kill -USR1 "$(cat /run/hello/hello.pid)"' in text
    log = places.at["/var/log/hello"] / "access.log"
    wait_until(lambda: log.read_text().count("\n") >= 402, 30, "a line for each request")
    log.rename(log.with_suffix(".log.1"))
    os.kill(pid, signal.SIGUSR1)
    wait_until(log.exists, 30, "a new access log")
    wait_until(
        lambda: fcgi("call", address, "/").returncode == 0 and log.read_text(),
        30,
        "a line in the new log",
    )
