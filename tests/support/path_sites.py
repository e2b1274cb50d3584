# SPDX-License-Identifier: MIT
"""Applications that tell their path, behind web servers with every way to send one.

Each application and each web server starts when it is first asked for.
"""

import json
import shutil
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from support.fcgi_client import patient
from support.path_servers import SERVERS
from support.paths import BUILD, SOURCE
from support.process import Process

FOLDER = SOURCE / "tests" / "integration"
LAUNCHER = BUILD / "lua" / "bin" / "fcgi-lua"
# Not in every release of Debian that the project is tested on.
OPTIONAL = ("h2o",)


class App(NamedTuple):
    """The application in a language, with its root path."""

    language: str = "python"
    root: str | None = None

    def command(self, address: str) -> list:
        if self.language == "c":
            return [BUILD / "tests" / "integration" / "paths", address]
        if self.language == "lua":
            return [LAUNCHER, FOLDER / "apps" / "paths.lua", "--bind", address]
        command = [sys.executable, "-m", "fastcgi", "paths_app:app", "--bind", address,
                   "--socket-mode", "666", "--threads", "4"]  # fmt: skip
        return command + ([] if self.root is None else ["--root-path", self.root])

    def environment(self) -> dict[str, str]:
        """What says the same to those that have no options on the command line."""
        if self.language == "python":
            return {}
        root = {} if self.root is None else {"FASTCGI_ROOT_PATH": self.root}
        return {"FASTCGI_SOCKET_MODE": "666", **root}


class Answer(NamedTuple):
    """What came of a request."""

    status: int
    body: bytes

    def seen(self) -> dict:
        """What the application says of its path; it says more in Python."""
        if self.body.startswith(b"{"):
            return json.loads(self.body)
        texts = self.body.decode("latin-1").split("\0")
        assert len(texts) == 3, self
        return dict(zip(("script", "info", "path"), texts, strict=True))


class Sites:
    """What runs by now."""

    def __init__(self, directory: Path, stack: ExitStack):
        self.directory = directory
        self.stack = stack
        self.applications: dict = {}
        self.servers: dict = {}

    def application(self, app: App) -> str:
        """The path of its socket."""
        if app not in self.applications:
            path = self.directory / f"app-{len(self.applications)}.sock"
            command = app.command(f"unix:{path}")
            process = Process(command, path.with_suffix(".log"), FOLDER, app.environment())
            self.stack.enter_context(process).wait_for_address(f"unix:{path}")
            self.applications[app] = str(path)
        return self.applications[app]

    def server(self, name: str, app: App) -> tuple[int, Path]:
        """Its port and its document root; mod_fcgid starts the application itself."""
        if (name, app) not in self.servers:
            folder = self.directory / f"{name}-{len(self.servers)}"
            folder.mkdir()
            folder.chmod(0o777)
            told = app if name.startswith("fcgid") else [self.application(app)]
            started = self.stack.enter_context(SERVERS[name](folder, *told))
            self.servers[name, app] = started.port, folder
        return self.servers[name, app]

    def ask(self, name: str, target: str, app: App, head: str = "") -> Answer:
        """The answer to a target as it is written: no client tidies the path."""
        program = SERVERS[name].program
        if program in OPTIONAL and not shutil.which(program, path="/usr/sbin:/usr/bin"):
            pytest.skip(f"{program} is not installed; Debian 13 has none")
        port = self.server(name, app)[0]
        text = f"GET {target} HTTP/1.0\r\nHost: localhost\r\n{head}\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=patient(60)) as client:
            client.sendall(text.encode("latin-1"))
            received = b"".join(iter(lambda: client.recv(65536), b""))
        start, _, body = received.partition(b"\r\n\r\n")
        return Answer(int(start.split(b" ", 2)[1]), body)

    def expect(self, name: str, target: str, expected, app: App) -> None:
        """SCRIPT_NAME and PATH_INFO, or a status; a list where the web server's version
        decides between the two."""
        answer = self.ask(name, target, app)
        for one in expected if isinstance(expected, list) else [expected]:
            if one == answer.status:
                return
            if not isinstance(one, int):
                assert_pair(answer, one)
                return
        raise AssertionError((answer, expected))


def assert_pair(answer: Answer, pair: tuple[str, str]) -> None:
    seen = answer.seen()
    assert (seen["script"], seen["info"]) == pair, seen
    assert seen["path"] == "".join(pair), seen
    if "link" in seen:
        assert seen["link"] == quote(pair[0], safe="/\n") + "/", seen
