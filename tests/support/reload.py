# SPDX-License-Identifier: MIT
"""An echo application below `fcgi run`, behind a web server, under load."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.load import Load
from support.nginx import Nginx
from support.paths import BUILD, EXAMPLES, SOURCE
from support.supervisor import Supervisor
from support.web_servers import Haproxy

# How a web server reaches the application: connections kept, closed after each
# request, or shared by many.
FRONTS = ["nginx kept", "nginx closed", "haproxy shared"]


def worker_command(language: str, threads: int = 2) -> list[str]:
    """The echo example of the language, on the listener that it inherits."""
    if language == "c":
        return [str(EXAMPLES / "echo")]
    app = SOURCE / "examples" / language
    if language == "python":
        words = [sys.executable, "-m", "fastcgi", "echo:app", "--chdir", str(app), "--stream"]
    else:
        words = [str(BUILD / "lua" / "bin" / "fcgi-lua"), str(app / "echo.lua")]
    return [*words, "--threads", str(threads)]


class RoomyHaproxy(Haproxy):
    """Releases before 2024 answer 500 by themselves, without asking the
    application, when a shared connection's buffer is nearly full (HAProxy's
    issue 2568); in larger ones there is always room for 16 clients."""

    def head(self, directory: Path) -> str:
        return super().head(directory).replace("global\n", "global\n  tune.bufsize 65536\n", 1)


@dataclass
class Stage:
    """All of it, running."""

    supervisor: Supervisor
    load: Load


@contextmanager
def front(kind: str, directory: Path, address: str, clients: int = 16) -> Iterator[Load]:
    """A web server before the address, and load on it."""
    server, _, way = kind.partition(" ")
    web = Nginx(directory, address) if server == "nginx" else RoomyHaproxy(directory, address)
    path = f"/{way}/x" if server == "nginx" else "/x"
    with web, Load(web.port, path, path, clients) as load:
        yield load


@contextmanager
def under_load(
    kind: str, directory: Path, command: list, *options: object, clients: int = 16
) -> Iterator[Stage]:
    with Supervisor(directory, command, *options) as supervisor:
        supervisor.ready()
        with front(kind, directory, supervisor.address, clients) as load:
            yield Stage(supervisor, load)
