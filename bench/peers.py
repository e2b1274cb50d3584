# SPDX-License-Identifier: MIT
"""Who is measured, each set up as its own documentation advises for speed.

A peer is a function that starts it and returns where it serves: an address of
the FastCGI, uwsgi or HTTP protocol, and the process whose tree does the work.
"""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox import APPS, BUILT, SOURCE, Failed, Site, compiled, free_port, program


@dataclass
class Service:
    address: str  # unix:PATH, or a port of HTTP.
    pid: int  # The root of its processes.
    protocol: str = "fastcgi"  # Or "uwsgi", "http".
    params: tuple[str, ...] = ()  # -p for `fcgi bench`.
    lax: bool = False  # It leaves STDOUT's empty record out.
    blind: bool = False  # It waits for no child, so the kernel forgets their CPU time.


PEERS: dict[str, Callable[[Site], Service]] = {}


def peer(name: str):
    def add(start):
        PEERS[name] = start
        return start

    return add


def served(site: Site, name: str, command: list, inherit: bool = False, **more) -> Service:
    """A program that serves FastCGI at the path {name}.sock."""
    path = site.path(f"{name}.sock")
    environment = more.pop("environment", {})
    pid = site.start(
        [str(word).replace("{path}", path) for word in command],
        name,
        listen=path if inherit else None,
        **environment,
    )
    site.wait(f"unix:{path}")
    return Service(f"unix:{path}", pid, **more)


# --- Ours ---------------------------------------------------------------------


def ours_c(threads: int, *words: str) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        application = compiled(
            "ours",
            *("cc", "-O2", "-I", SOURCE / "core/include", APPS / "ours.c"),
            *(site.build / "core/libfastcgi.a", "-lpthread"),
        )
        name = "-".join(["ours-c", str(threads), *words])
        return served(site, name, [application, "unix:{path}", threads, *words])

    return start


def ours_python(threads: int, *words: str) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        command = [site.python, "-m", "fastcgi", "wsgi:application", "--bind", "unix:{path}"]
        options = ["--threads", threads, "--log-level", "error", "--pythonpath", APPS, *words]
        return served(site, "-".join(["ours-python", str(threads), *words]), [*command, *options])

    return start


PEERS["ours-c"] = ours_c(1)
PEERS["ours-c-2"] = ours_c(2)
PEERS["ours-python"] = ours_python(1)
PEERS["ours-python-8"] = ours_python(8)
PEERS["ours-c-stream"] = ours_c(1, "stream")
PEERS["ours-python-stream"] = ours_python(1, "--stream")


@peer("ours-lua")
def ours_lua(site: Site) -> Service:
    lua = site.build / "lua"
    environment = {"LUA_PATH": f"{lua}/?.lua;{lua}/?/init.lua;;", "LUA_CPATH": f"{lua}/?.so;;"}
    command = ["lua5.4", lua / "bin/fcgi-lua", APPS / "hello.lua", "--bind", "unix:{path}"]
    return served(site, "ours-lua", [*command, "--quiet"], environment=environment)


# --- In C and other languages -------------------------------------------------


def canned(size: Callable[[Site], int]) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        application = compiled("canned", "cc", "-O2", SOURCE / "bench/canned.c")
        return served(site, "canned", [application, "{path}", size(site)])

    return start


PEERS["canned"] = canned(lambda site: 0)


@peer("canned-sized")
def canned_sized(site: Site) -> Service:
    """For many requests in flight it must know how long one is."""
    return canned(lambda site: site.request_bytes)(site)


def libfcgi(threads: int) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        sources = (APPS / "libfcgi.c", "-lfcgi", "-lpthread")
        application = compiled("libfcgi", "cc", "-O2", *sources)
        return served(site, f"libfcgi-{threads}", [application, "{path}", threads])

    return start


PEERS["libfcgi-1"] = libfcgi(1)
PEERS["libfcgi-16"] = libfcgi(16)


@peer("go")
def go(site: Site) -> Service:
    """One thread runs Go code, as ours."""
    application = go_program()
    return served(site, "go", [application, "{path}"], environment={"GOMAXPROCS": "1"})


def go_program() -> str:
    BUILT.mkdir(parents=True, exist_ok=True)
    command = [program("go"), "build", "-o", BUILT / "go", APPS / "hello.go"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "GO111MODULE": "off"}
    )
    if done.returncode:
        raise Failed(f"Go cannot build it: {done.stderr.strip().splitlines()[-1]}")
    return str(BUILT / "go")


@peer("perl")
def perl(site: Site) -> Service:
    return served(site, "perl", ["perl", APPS / "hello.pl", "{path}"])


@peer("php-fpm")
def php_fpm(site: Site) -> Service:
    """A static pool of 16 children, opcode cache on, as its manual has it for load."""
    path, config = site.path("php-fpm.sock"), site.path("php-fpm.conf")
    found = sorted(Path("/usr/sbin").glob("php-fpm*"))
    if not found:
        raise Failed("php-fpm is not installed")
    Path(config).write_text(
        f"[global]\ndaemonize = no\nerror_log = {site.path('php-fpm-error.log')}\n"
        f"[www]\nlisten = {path}\nlisten.backlog = 1024\npm = static\npm.max_children = 16\n"
        "user = root\ngroup = root\n"
    )
    script = ("-p", f"SCRIPT_FILENAME={APPS}/hello.php", "-p", "SCRIPT_NAME=/hello.php")
    command = [found[0], "-F", "-R", "-y", config, "-d", "opcache.enable=1"]
    return served(site, "php-fpm", command, params=script, lax=True)


@peer("wsapi")
def wsapi(site: Site) -> Service:
    """Direct, without the launcher that makes a state for each request."""
    return served(site, "wsapi", ["lua5.1", APPS / "hello_wsapi.lua"], inherit=True)


# --- Python servers -----------------------------------------------------------


def uwsgi(name: str, socket: str, protocol: str, *words: object):
    def start(site: Site) -> Service:
        command = [program("uwsgi-core"), "--plugin", "python3", "--master", "--processes", "1"]
        command += [f"--{socket}", "{path}", "--wsgi-file", APPS / "wsgi.py", "--pythonpath", APPS]
        quiet = ["--disable-logging", "--listen", "128", "--need-app", "--die-on-term"]
        return served(site, name, [*command, *quiet, *words], protocol=protocol)

    return start


PEERS["uwsgi-fastcgi"] = uwsgi("uwsgi-fastcgi", "fastcgi-socket", "fastcgi")
PEERS["uwsgi"] = uwsgi("uwsgi", "uwsgi-socket", "uwsgi")


def http(name: str, *words: object) -> Callable[[Site], Service]:
    """An HTTP server of a Python package, on a unix socket unless it takes {port}."""

    def start(site: Site) -> Service:
        path, port = site.path(f"{name}.sock"), free_port()
        by_port = "{port}" in words
        command = [str(word).replace("{path}", path) for word in words]
        command = [str(port) if word == "{port}" else word for word in command]
        pid = site.start([site.python, *command], name)
        address = str(port) if by_port else f"unix:{path}"
        site.wait(address)
        return Service(address, pid, "http")

    return start


GUNICORN = ("-m", "gunicorn", "wsgi:application", "-b", "unix:{path}", "-w", "1")
UVICORN = ("-m", "uvicorn", "asgi:application", "--uds", "{path}", "--no-access-log")
GRANIAN = ("-m", "granian", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1")
PEERS |= {
    "gunicorn-sync": http("gunicorn-sync", *GUNICORN),
    "gunicorn-gthread": http(
        "gunicorn-gthread", *GUNICORN, "-k", "gthread", "--threads", "8", "--keep-alive", "60"
    ),
    "uvicorn": http(
        "uvicorn", *UVICORN, "--loop", "uvloop", "--http", "httptools", "--log-level", "error"
    ),
    "granian": http("granian", *GRANIAN, "--interface", "wsgi", "wsgi:application"),
    "granian-asgi": http("granian-asgi", *GRANIAN, "--interface", "asgi", "asgi:application"),
    "bjoern": http("bjoern", str(APPS / "serve.py"), "bjoern", "{path}"),
}


def by_package(name: str) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        return served(site, name, [site.python, APPS / "serve.py", name, "{path}"])

    return start


PEERS["flup6"] = lambda site: by_package("flup")(site)
PEERS["flipflop"] = by_package("flipflop")


# --- CGI ----------------------------------------------------------------------


def script(site: Site, name: str) -> str:
    """A CGI program in the site's folder."""
    path = Path(site.path(f"{name}.cgi"))
    if name == "c":
        return compiled("cgi", "cc", "-O2", APPS / "cgi.c")
    path.write_text(f"#!/bin/sh\nexec {site.python} {APPS}/serve.py cgi\n")
    path.chmod(0o755)
    return str(path)


def fcgiwrap(name: str) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        words = ("-p", f"SCRIPT_FILENAME={script(site, name)}")
        command = [program("fcgiwrap"), "-c", "2"]
        return served(site, f"fcgiwrap-{name}", command, inherit=True, params=words, blind=True)

    return start


PEERS["cgi-c"] = fcgiwrap("c")
PEERS["cgi-python"] = fcgiwrap("python")


@peer("apache-cgi")
def apache_cgi(site: Site) -> Service:
    """mod_cgid, which Apache's manual advises for its threaded workers."""
    port, config = free_port(), Path(site.path("apache.conf"))
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in ("mpm_event", "authz_core", "alias", "cgid", "env")
    )
    passed = " ".join(site.environment)
    config.write_text(
        f"{modules}\nServerName localhost\nListen 127.0.0.1:{port}\n"
        f"PidFile {site.path('apache.pid')}\nErrorLog {site.path('apache-error.log')}\n"
        f"ScriptSock {site.path('cgid.sock')}\nDefaultRuntimeDir {site.folder}\n"
        + (f"PassEnv PYTHONPATH {passed}\n" if passed else "PassEnv PYTHONPATH\n")
        + f'ScriptAlias / "{script(site, "python")}/"\n'
        f"<Directory />\nOptions +ExecCGI\nRequire all granted\n</Directory>\n"
        + ("User www-data\nGroup www-data\n" if os.geteuid() == 0 else "")
    )
    pid = site.start([program("apache2"), "-D", "FOREGROUND", "-f", config], "apache")
    site.wait(str(port))
    return Service(str(port), pid, "http")
