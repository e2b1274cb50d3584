# SPDX-License-Identifier: MIT
"""Raw CGI output of every shape, in every language: what web servers show, the access
log and the status page agree on the status of the answer, and who wrote what no web
server understands is told so."""

import http.client
import json
import os
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.nginx import Nginx
from support.paths import BUILD
from support.process import Process
from support.site import exchange
from support.told import APPS, LAUNCHER
from support.web_servers import Apache, Haproxy, Lighttpd
from swig.languages import command as swig_command

TYPE = "Content-Type: text/plain\r\n"
# Each with the status that everybody sees, what is written, and for a 500 what the
# error log says of it.
ANSWERS: dict[str, tuple[int, str, str]] = {
    "status first": (404, f"Status: 404 Not Found\r\n{TYPE}\r\nbody", ""),
    "status last": (404, f"{TYPE}Status: 404 Not Found\r\n\r\nbody", ""),
    "status in the body": (200, f"{TYPE}\r\nStatus: 404\r\n", ""),
    "no status": (200, f"{TYPE}\r\nbody", ""),
    "newlines alone": (503, "Content-Type: text/plain\nstatus:503 Busy\n\nStatus: 200\n", ""),
    "both ends of lines": (404, f"Status: 404 X\n{TYPE}\nbody", ""),
    "no reason": (201, f"Status: 201\r\n{TYPE}Location: http://127.0.0.1/a\r\n\r\nbody", ""),
    "status twice": (404, f"Status: 404 A\r\n{TYPE}Status: 404 B\r\n\r\nbody", ""),
    "location": (302, "Location: http://127.0.0.1/a\r\n\r\n", ""),
    "location in newlines": (302, "Location: http://127.0.0.1/a\n\nbody", ""),
    "location and status": (307, "Location: http://127.0.0.1/a\r\nStatus: 307 Away\r\n\r\n", ""),
    "status and location": (200, "Status: 200 OK\nLocation: http://127.0.0.1/a\n\nbody", ""),
    "empty location": (302, f"Location:\r\n{TYPE}\r\nbody", ""),
    "empty head": (200, "\r\nbody", ""),
    "a newline": (200, "\n", ""),
    "colon in the value": (404, f"X: a:b: c\r\n{TYPE}Status: 404 a: b\r\n\r\nbody", ""),
    "two statuses": (500, f"Status: 404 A\r\n{TYPE}Status: 503 B\r\n\r\n", "both 404 and '503 B'"),
    "status and none": (500, f"Status: 404 A\r\n{TYPE}Status: x\r\n\r\n", "Status 'x'"),
    "empty status": (500, f"Status:\r\n{TYPE}\r\nbody", "Status ''"),
    "blank status": (500, f"Status: \r\n{TYPE}\r\nbody", "Status ''"),
    "status 99": (500, f"Status: 99\r\n{TYPE}\r\nbody", "Status '99'"),
    "status 099": (500, f"Status: 099\r\n{TYPE}\r\nbody", "Status '099'"),
    "status 100": (500, f"Status: 100 Continue\r\n{TYPE}\r\nbody", "Status '100 Continue'"),
    "status 700": (500, f"Status: 700\r\n{TYPE}\r\nbody", "Status '700'"),
    "status 1000": (500, f"Status: 1000\r\n{TYPE}\r\nbody", "Status '1000'"),
    "status 404x": (500, f"Status: 404x\r\n{TYPE}\r\nbody", "Status '404x'"),
    "tab before status": (500, f"Status:\t404\r\n{TYPE}\r\nbody", "Status '?404'"),
    "status +404": (500, f"Status: +404\r\n{TYPE}\r\nbody", "Status '+404'"),
    "status on two lines": (500, f"Status:\r\n 404\r\n{TYPE}\r\nbody", "Status ''"),
    "continued line": (500, f"X: a\r\n b\r\n{TYPE}\r\nbody", "the line ' b'"),
    "HTTP": (500, f"HTTP/1.1 404 Nope\r\n{TYPE}\r\nbody", "the line 'HTTP/1.1 404 Nope'"),
    "word": (500, "hello", "the line 'hello'"),
    "line": (500, "hello\n", "the line 'hello'"),
    "lines": (500, "hello\n\nbody", "the line 'hello'"),
    "page": (500, "<html>\n<body>a: b</body>\n\n", "the line '<html>'"),
    "line without a colon": (500, f"{TYPE}hello\r\n\r\nbody", "the line 'hello'"),
    "blank before the colon": (500, f"Status : 404 A\r\n{TYPE}\r\n", "the line 'Status : 404 A'"),
    "no name": (500, f": x\r\n{TYPE}\r\nbody", "the line ': x'"),
    "no token": (500, f"{TYPE}X(Y): z\r\n\r\nbody", "the line 'X(Y): z'"),
    "NUL first": (500, f"\0{TYPE}\r\nbody", "the line '?Content-Type: text/plain'"),
    "NUL before the colon": (500, f"X\0Y: z\n{TYPE}\r\nbody", "the line 'X?Y: z'"),
    "NUL in the value": (500, f"X: a\0b\n{TYPE}\r\nbody", "header 'X' has CR, LF or NUL"),
    "CR first": (500, f"\r{TYPE}\r\nbody", "the line '?Content-Type: text/plain'"),
    "CR before the colon": (500, f"X\rY: z\n{TYPE}\r\nbody", "the line 'X?Y: z'"),
    "CR in the value": (500, f"X: a\rb\n{TYPE}\r\nbody", "header 'X' has CR, LF or NUL"),
    "CR alone": (500, "X: a\r\rbody", "no empty line"),
    "two CRs": (500, "X: a\r\n\r\r\nbody", "the line '?'"),
    "no end": (500, f"Status: 404 A\r\n{TYPE}", "no empty line"),
    "no end of the line": (500, f"{TYPE}Status: 404 A", "no empty line"),
    "nothing": (500, "", "wrote nothing"),
    "long": (500, "X: a\n" * 60000, "longer than 262144 bytes"),
    "long with its end": (500, "X: a\n" * 60000 + "\nbody", "longer than 262144 bytes"),
    "long line": (500, "x" * 270000, "the line 'xxx"),
}
SERVERS = {"nginx": Nginx, "apache": Apache, "lighttpd": Lighttpd, "haproxy": Haproxy}
ALL = "c python lua swig"
LANGUAGES = [
    name for name in ALL.split() if name in os.environ.get("FASTCGI_LANGUAGES", ALL).split()
]
PAIRS = [*(("c", name) for name in SERVERS), *((name, "nginx") for name in LANGUAGES[1:])]


def command(language: str, address: str) -> list:
    return {
        "c": [BUILD / "tests" / "integration" / "raw", address],
        "python": [sys.executable, APPS / "raw.py", address],
        "lua": [LAUNCHER, APPS / "raw.lua", "--bind", address],
        "swig": [*swig_command("python", APPS / "swig_raw"), address],
    }[language]


def web_server(name: str, folder: Path, address: str):
    path = address.removeprefix("unix:")
    if name == "apache":
        apache = type("ProxyApache", (Apache,), {"modules": ("proxy", "proxy_fcgi")})
        return apache(folder, f'ProxyPass "/kept/" "unix:{path}|fcgi://localhost/kept/"\n')
    if name == "lighttpd":
        return Lighttpd(
            folder,
            f'fastcgi.server = ("/kept" => (("socket" => "{path}", "check-local" => "disable")))',
        )
    return SERVERS[name](folder, address)


@contextmanager
def serving(folder: Path, language: str, server: str):
    folder.mkdir()
    folder.parent.chmod(0o755)  # Apache's user is another one.
    folder.chmod(0o755)
    address = f"unix:{folder}/app.sock"
    env = {
        "FASTCGI_ACCESS_LOGFILE": str(folder / "access"),
        "FASTCGI_ACCESS_LOGFORMAT": "%(s)s",
        "FASTCGI_ERROR_LOGFILE": str(folder / "errors"),
        "FASTCGI_STATUS_PATH": "/kept/status",
    }
    with Process(command(language, address), folder / "app.log", env=env) as app:
        app.wait_for_address(address)
        (folder / "app.sock").chmod(0o666)
        with web_server(server, folder, address) as front:
            yield http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)


def post(connection: http.client.HTTPConnection, written: str, query: str) -> int:
    body = written.encode("latin-1")
    return exchange(connection, f"/kept/x?{query}", "POST", body, {"Expect": ""}).status


def lines(folder: Path, name: str, count: int) -> list[str]:
    path = folder / name
    wait_until(
        lambda: path.exists() and len(path.read_text().splitlines()) >= count,
        what=f"{count} lines in {name}",
    )
    return path.read_text().splitlines()


def counted(connection: http.client.HTTPConnection) -> Counter:
    page = json.loads(exchange(connection, "/kept/status?json").body)["fastcgi"]["total"]
    return +Counter({name: page[f"responses_{name}"] for name in ("2xx", "3xx", "4xx", "5xx")})


def is_cause(line: str) -> bool:
    """Python and Lua raise for a handler that returned nothing and wrote nothing."""
    return "client gets 500" in line or "wrote nothing" in line


def expect_all(folder: Path, language: str, server: str, asks: list[tuple[str, str]]) -> None:
    """Each of these answers, written as the query says, has one status everywhere."""
    shown, told = [], []
    with serving(folder, language, server) as connection:
        for name, query in asks:
            status, written, line = ANSWERS[name]
            assert post(connection, written, query) == status, (name, query)
            shown.append(str(status))
            told += [line] if line else []
        assert lines(folder, "access", len(shown))[: len(shown)] == shown
        assert counted(connection) == Counter(f"{status[0]}xx" for status in shown)
        said = [text for text in lines(folder, "errors", len(told)) if is_cause(text)]
    assert len(said) == len(told)
    for text, line in zip(said, told, strict=True):
        assert line in text


@pytest.mark.parametrize(("language", "server"), PAIRS)
def test_everybody_sees_one_status(language: str, server: str, directory: Path):
    asks = [(name, str(len(ANSWERS[name][1]) // 2)) for name in ANSWERS]
    asks += [(name, "0") for name in ANSWERS if "long" in name]  # All in one write.
    expect_all(directory / f"raw-{language}-{server}", language, server, asks)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_is_judged_as_well(language: str, directory: Path):
    asks = [(name, "file") for name in ANSWERS if ANSWERS[name][1]]
    expect_all(directory / f"file-{language}", language, "nginx", asks)


@pytest.mark.parametrize("name", [name for name in ANSWERS if "long" not in name])
def test_wherever_it_is_cut(name: str, directory: Path):
    asks = [(name, str(first)) for first in range(len(ANSWERS[name][1]) + 1)]
    expect_all(directory / f"cut-{list(ANSWERS).index(name)}", "c", "nginx", asks)
