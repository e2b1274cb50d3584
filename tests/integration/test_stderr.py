# SPDX-License-Identifier: MIT
"""STDERR that is written before the head of an answer, behind real web servers
whose buffers are smaller."""

import http.client
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.nginx import Nginx
from support.probe import probe_command
from support.process import Process
from support.web_servers import Apache, Haproxy, Lighttpd, WebServer

SERVERS = ["nginx", "lighttpd", "apache", "haproxy"]
COUNTS = [1, 100, 500, 5000]  # Messages of 40 bytes.


class ApacheProxy(Apache):
    modules = ("proxy", "proxy_fcgi")


def start(name: str, directory: Path, path: Path) -> tuple[Nginx | WebServer, Path | None]:
    """The web server, and its error log where that is not its output."""
    if name == "nginx":
        return Nginx(directory, f"unix:{path}", "4k"), None
    if name == "haproxy":
        return Haproxy(directory, f"unix:{path}"), None
    if name == "lighttpd":
        body = f'fastcgi.server = ("/" => (("socket" => "{path}", "check-local" => "disable")))\n'
        return Lighttpd(directory, body), directory / "lighttpd-errors.log"
    body = f'ProxyPass "/" "unix:{path}|fcgi://localhost/"\n'
    return ApacheProxy(directory, body), directory / "apache-errors.log"


@pytest.fixture(scope="module")
def app(language: str, directory: Path) -> Iterator[Path]:
    """The socket of the probe on two threads."""
    path = directory / f"{language}.sock"
    with Process(
        probe_command(language, f"unix:{path}", 2), directory / f"{language}.log"
    ) as probe:
        probe.wait_for_address(f"unix:{path}")
        path.chmod(0o666)
        directory.chmod(0o755)
        yield path


def ask(port: int, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", SERVERS)
def test_any_amount_before_the_head(name: str, app: Path, directory: Path):
    prefix = "/kept" if name == "nginx" else ""
    with ExitStack() as stack:
        server, log = start(name, directory, app)
        stack.enter_context(server)
        for count in COUNTS:
            for _ in range(3):
                answer = ask(server.port, f"{prefix}/complain?{count}")
                assert answer == (200, f"{count}\n".encode()), (name, count)
        text = log.read_text if log else server.output
        wait_until(lambda: "complaint" in text(), what="the messages in the log")
        # Each is cut off where the web server's line ends, none joins the next.
        assert not re.search(r"\dcomplaint", text())
