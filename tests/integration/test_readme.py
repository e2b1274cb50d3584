# SPDX-License-Identifier: MIT
"""The README's examples, run as they stand there."""

import os
import platform
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params
from support.nginx import early_log, reserve_port
from support.paths import BUILD, CC, INCLUDE, SOURCE, tool
from support.process import Process
from support.tool import fcgi

README = (SOURCE / "README.md").read_text()


HELLO, FORM = 0, 1


def block(language: str, which: int = HELLO) -> str:
    """A code block of the language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.M)[which]


# Where each version stands in what a program prints.
PRINTED = {
    "gcc": (["-dumpfullversion"], r"^(\d+\.\d+)"),
    "python3": (["--version"], r"^Python (\S+)"),
    "lua5.4": (["-v"], r"^Lua (\S+)"),
    "nginx": (["-v"], r"nginx/(\S+)"),
    "apache2": (["-v"], r"Apache/(\d+\.\d+)"),
    "lighttpd": (["-v"], r"^lighttpd/(\S+)"),
    "haproxy": (["-v"], r"version ([\d.]+)"),
    "caddy": (["version"], r"^v?([\d.]+)"),
}


@pytest.mark.parametrize("program", PRINTED)
def test_versions_are_those_of_the_systems_named(program: str):
    if platform.freedesktop_os_release().get("VERSION_ID") not in ("12", "13"):
        pytest.skip("a system that the README does not name")
    words, pattern = PRINTED[program]
    path = "/usr/bin:/usr/sbin" if program == "python3" else f"{os.environ['PATH']}:/usr/sbin"
    found = shutil.which(program, path=path)
    if not found:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([found, *words], capture_output=True, text=True, check=True)
    (version,) = re.findall(pattern, done.stdout + done.stderr)[:1]
    table = re.search(r"^\| runs on .*?\n\n", README, re.DOTALL | re.M)[0]
    assert re.search(rf"(?<![\d.]){re.escape(version)}(?![\d])", table), version


@contextmanager
def nginx_block(directory: Path, address: str):
    """The README's nginx block with its paths and port replaced."""
    reserved = reserve_port()
    port = reserved.getsockname()[1]
    servers = block("nginx").replace("unix:/run/hello/hello.sock", address)
    servers = servers.replace("listen 8080", f"listen 127.0.0.1:{port}")
    servers = servers.replace("include fastcgi.conf", "include /etc/nginx/fastcgi.conf")
    assert address in servers
    assert str(port) in servers
    temporary = "".join(
        f"{kind}_temp_path {directory}/temp-{kind};\n"
        for kind in ("client_body", "fastcgi", "proxy", "uwsgi", "scgi")
    )
    config = directory / "readme.conf"
    config.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"daemon off; pid {directory}/nginx.pid; error_log stderr info; events {{}}\n"
        f"http {{ access_log off;\n{temporary}{servers}}}\n"
    )
    nginx = tool("nginx")
    command = [nginx, *early_log(nginx), "-p", directory, "-c", config]
    with Process(command, directory / "nginx.log") as process:
        process.wait_for_address(f"127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}/any/path"
    reserved.close()


def commands() -> dict[str, list[str]]:
    launcher = str(BUILD / "lua" / "bin" / "fcgi-lua")
    return {
        "python": [sys.executable, "-m", "fastcgi", "hello:app"],
        "lua": [launcher, "hello.lua"],
    }


@pytest.mark.parametrize(("language", "suffix"), [("python", ".py"), ("lua", ".lua")])
def test_hello_behind_the_nginx_block(directory: Path, language: str, suffix: str):
    assert len(block(language).splitlines()) <= 16
    home = directory / language
    home.mkdir()
    database = str(home / "hello.db")
    (home / f"hello{suffix}").write_text(block(language).replace("/tmp/hello.db", database))
    assert database in (home / f"hello{suffix}").read_text()
    address = f"unix:{home}/hello.sock"
    command = [*commands()[language], "--bind", address, "--threads", "4"]
    with Process(command, home / "app.log", cwd=home) as app:
        app.wait_for_address(address)
        with nginx_block(home, address) as url:
            for number in (1, 2, 3):
                body = subprocess.check_output([tool("curl"), "-sSf", url], text=True)
                assert body == f"Hello, visitor {number}\n"


@pytest.mark.parametrize(("language", "suffix"), [("python", ".py"), ("lua", ".lua")])
def test_hello_on_many_threads_opens_a_new_database(directory: Path, language: str, suffix: str):
    """Two processes of four threads, all at once: nobody is told that it is locked."""
    home = directory / f"{language}-many"
    home.mkdir()
    text = block(language).replace("/tmp/hello.db", str(home / "hello.db"))
    (home / f"hello{suffix}").write_text(text)
    address = f"unix:{home}/hello.sock"
    command = [*commands()[language], "--bind", address, "--threads", "4", "--workers", "2"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    with Process(command, home / "app.log", cwd=home) as app:
        app.wait_for_address(address)
        done = fcgi("bench", address, "-c", 16, "-n", 400, "--any-answer")
        assert done.returncode == 0, (done.stderr.decode(), app.output())
        with Client(address) as client:
            assert client.ask(get_params("/")).body == b"Hello, visitor 401\n"


@pytest.mark.parametrize(("language", "suffix"), [("python", ".py"), ("lua", ".lua")])
def test_query_and_body(directory: Path, language: str, suffix: str):
    home = directory / f"{language}-form"
    home.mkdir()
    (home / f"hello{suffix}").write_text(block(language, FORM))
    address = f"unix:{home}/hello.sock"
    with Process([*commands()[language], "--bind", address], home / "app.log", cwd=home) as app:
        app.wait_for_address(address)
        call = ["call", address]
        assert fcgi(*call, "/").stdout == b"Hello, nobody\n"
        assert fcgi(*call, "/?x=1&name=you+%26+me").stdout == b"Hello, you & me\n"
        assert fcgi(*call, "/?name=you", "-d", "name=J%C3%B6rg").stdout == "Hello, Jörg\n".encode()


def test_c_program(directory: Path):
    source = directory / "hello.c"
    source.write_text(block("c"))
    program = directory / "hello"
    library = BUILD / "core" / "libfastcgi.a"
    subprocess.run([CC, f"-I{INCLUDE}", source, library, "-pthread", "-o", program], check=True)
    address = f"unix:{directory}/hello-c.sock"
    with Process([program, address], directory / "c.log") as app:
        app.wait_for_address(address)
        with Client(address) as client:
            assert client.ask(get_params("/")).body == b"Hello from C\n"
