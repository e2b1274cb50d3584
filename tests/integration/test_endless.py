# SPDX-License-Identifier: MIT
"""HEAD for an answer without an end, behind web servers that keep their connection
to the application until it has ended."""

import http.client
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.fcgi_client import wait_until
from support.paths import BUILD
from support.probe import APPS, probe_command
from support.process import Process
from support.told import SWIG
from support.web_servers import Apache, Lighttpd, WebServer

APPLICATIONS = [("python", "handler"), ("python", "wsgi"), ("lua", "handler")]
# The probe answers one path so.
SWIG_APPLICATIONS = [name.replace("-", "_") for name in SWIG]


class ApacheProxy(Apache):
    modules = ("proxy", "proxy_fcgi")


def front(name: str, directory: Path, path: Path) -> WebServer:
    if name == "lighttpd":
        body = f'fastcgi.server = ("/" => (("socket" => "{path}", "check-local" => "disable")))\n'
        return Lighttpd(directory, body)
    return ApacheProxy(directory, f'ProxyPass "/" "unix:{path}|fcgi://localhost/"\n')


def command(language: str, kind: str, address: str) -> list[str]:
    """The application on one thread."""
    if language == "lua":
        launcher = BUILD / "lua" / "bin" / "fcgi-lua"
        return [str(launcher), str(APPS / "endless.lua"), "--bind", address]
    words = [sys.executable, "-m", "fastcgi", f"endless:{kind}", "--interface", kind]
    return [*words, "--chdir", str(APPS), "--bind", address]


def ask(port: int, method: str, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("language", "kind"), APPLICATIONS)
@pytest.mark.parametrize("name", ["lighttpd", "apache"])
def test_head(name: str, language: str, kind: str, directory: Path):
    path = directory / f"{language}-{kind}-{name}.sock"
    with ExitStack() as stack:
        app = Process(command(language, kind, f"unix:{path}"), path.with_suffix(".log"))
        stack.enter_context(app).wait_for_address(f"unix:{path}")
        path.chmod(0o666)
        directory.chmod(0o755)
        port = stack.enter_context(front(name, directory, path)).port
        for how in ("iterate", "write"):
            assert ask(port, "HEAD", f"/{how}") == (200, b"")
            # Its only thread is free for others.
            assert ask(port, "GET", "/") == (200, b"free\n")
        for how in ("iterate", "write")[language == "lua" :]:  # Lua's iterators have no end.
            wait_until(lambda how=how: f"endless: {how} ended" in app.output(), what=how)
        assert "Traceback" not in app.output()


@pytest.mark.parametrize("language", SWIG_APPLICATIONS)
@pytest.mark.parametrize("name", ["lighttpd", "apache"])
def test_head_in_the_swig_languages(name: str, language: str, directory: Path):
    path = directory / f"{language}-{name}.sock"
    with ExitStack() as stack:
        app = Process(probe_command(language, f"unix:{path}"), path.with_suffix(".log"))
        stack.enter_context(app).wait_for_address(f"unix:{path}")
        path.chmod(0o666)
        directory.chmod(0o755)
        port = stack.enter_context(front(name, directory, path)).port
        assert ask(port, "HEAD", "/write") == (200, b"")
        assert ask(port, "GET", "/?free") == (200, b"QUERY_STRING=free\n")
        assert app.stop() == 0, app.output()
        assert "probe: write ended" in app.output()
        assert "swig_probe" not in app.output(), app.output()
