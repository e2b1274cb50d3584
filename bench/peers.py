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
    sized: bool = False  # It answers requests of the load's length only.


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


PINNED = ("taskset", "-c", "0")


def ours_c(threads: int, *words: str, before: tuple[str, ...] = ()) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        application = compiled(
            "ours",
            *("cc", "-O2", "-I", SOURCE / "core/include", APPS / "ours.c"),
            *(site.build / "core/libfastcgi.a", "-lpthread"),
        )
        name = "-".join(["ours-c", str(threads), *before[:1], *words])
        return served(site, name, [*before, application, "unix:{path}", threads, *words])

    return start


def ours_python(threads: int, *words: str) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        command = [site.python, "-m", "fastcgi", "wsgi:application", "--bind", "unix:{path}"]
        options = ["--threads", threads, "--log-level", "error", "--pythonpath", APPS, *words]
        name = "-".join(["ours-python", str(threads), *words])
        return served(site, name, [*command, *options])

    return start


PEERS["ours-c"] = ours_c(1)
PEERS["ours-c-2"] = ours_c(2)
PEERS["ours-c-pinned"] = ours_c(1, before=PINNED)
PEERS["ours-c-8-pinned"] = ours_c(8, before=PINNED)
PEERS["ours-python"] = ours_python(1)
PEERS["ours-python-8"] = ours_python(8)
PEERS["ours-python-workers"] = ours_python(1, "--workers", "4", "--allow-root")
PEERS["ours-python-no-balance"] = ours_python(1, "--workers", "4", "--allow-root", "--no-balance")
PEERS["ours-c-stream"] = ours_c(1, "stream")
PEERS["ours-python-stream"] = ours_python(1, "--stream")


def ours_lua(threads: int, before: tuple[str, ...] = ()) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        lua = site.build / "lua"
        environment = {"LUA_PATH": f"{lua}/?.lua;{lua}/?/init.lua;;", "LUA_CPATH": f"{lua}/?.so;;"}
        command = ["lua5.4", lua / "bin/fcgi-lua", APPS / "hello.lua", "--bind", "unix:{path}"]
        options = ["--threads", threads, "--log-level", "warning"]
        name = "-".join(["ours-lua", str(threads), *before[:1]])
        return served(site, name, [*before, *command, *options], environment=environment)

    return start


PEERS["ours-lua"] = ours_lua(1)
PEERS["ours-lua-pinned"] = ours_lua(1, PINNED)
PEERS["ours-lua-8-pinned"] = ours_lua(8, PINNED)


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
    service = canned(lambda site: site.request_bytes)(site)
    service.sized = site.request_bytes > 0
    return service


def libfcgi(threads: int) -> Callable[[Site], Service]:
    def start(site: Site) -> Service:
        sources = (APPS / "libfcgi.c", "-lfcgi", "-lpthread")
        application = compiled("libfcgi", "cc", "-O2", *sources)
        return served(site, f"libfcgi-{threads}", [application, "{path}", threads])

    return start


PEERS["libfcgi-1"] = libfcgi(1)
PEERS["libfcgi-16"] = libfcgi(16)


@peer("fastcgi++")
def fastcgipp(site: Site) -> Service:
    raise Failed("neither Debian nor PyPI has a package of fastcgi++")


@peer("go")
def go(site: Site) -> Service:
    """One thread runs Go code, as ours."""
    return served(site, "go", [go_program(), "{path}"], environment={"GOMAXPROCS": "1"})


@peer("go-all")
def go_all(site: Site) -> Service:
    """As Go starts by itself, a thread for each processor."""
    return served(site, "go-all", [go_program(), "{path}"])


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


def php_fpm(site: Site, name: str, children: int) -> Service:
    """A static pool and an opcode cache that looks at no file again, as its manual has it
    for load."""
    path, config = site.path(f"{name}.sock"), site.path(f"{name}.conf")
    found = sorted(Path("/usr/sbin").glob("php-fpm*"))
    if not found:
        raise Failed("php-fpm is not installed")
    Path(config).write_text(
        f"[global]\ndaemonize = no\nerror_log = {site.path(name)}-error.log\n"
        f"[www]\nlisten = {path}\nlisten.backlog = 1024\npm = static\n"
        f"pm.max_children = {children}\nuser = root\ngroup = root\n"
    )
    script = ("-p", f"SCRIPT_FILENAME={APPS}/hello.php", "-p", "SCRIPT_NAME=/hello.php")
    cache = ("-d", "opcache.enable=1", "-d", "opcache.validate_timestamps=0")
    command = [found[0], "-F", "-R", "-y", config, *cache]
    return served(site, name, command, params=script, lax=True)


PEERS["php-fpm"] = lambda site: php_fpm(site, "php-fpm", 16)
PEERS["php-fpm-4"] = lambda site: php_fpm(site, "php-fpm-4", 4)


@peer("wsapi")
def wsapi(site: Site) -> Service:
    """One process of spawn-fcgi, without the launcher that makes a state for each request."""
    command = [program("spawn-fcgi"), "-n", "-b", "1024", "-s", "{path}", "--"]
    return served(site, "wsapi", [*command, program("lua5.1"), APPS / "hello_wsapi.lua"])


# --- Python servers -----------------------------------------------------------


def uwsgi(name: str, socket: str, protocol: str, processes: int = 1):
    def start(site: Site) -> Service:
        command = [program("uwsgi-core"), "--plugin", "python3"]
        command += ["--master", "--processes", processes]
        command += [f"--{socket}", "{path}", "--wsgi-file", APPS / "wsgi.py", "--pythonpath", APPS]
        quiet = ["--disable-logging", "--listen", "1024", "--need-app", "--die-on-term"]
        quiet += ["--single-interpreter"]
        return served(site, name, [*command, *quiet], protocol=protocol)

    return start


PEERS["uwsgi-fastcgi"] = uwsgi("uwsgi-fastcgi", "fastcgi-socket", "fastcgi")
PEERS["uwsgi-fastcgi-4"] = uwsgi("uwsgi-fastcgi-4", "fastcgi-socket", "fastcgi", 4)
PEERS["uwsgi"] = uwsgi("uwsgi", "uwsgi-socket", "uwsgi")
PEERS["uwsgi-4"] = uwsgi("uwsgi-4", "uwsgi-socket", "uwsgi", 4)


def http(name: str, *words: object) -> Callable[[Site], Service]:
    """An HTTP server of a Python package, on a unix socket."""
    return lambda site: served(site, name, [site.python, *words], protocol="http")


GUNICORN = ("-m", "gunicorn", "wsgi:application", "-b", "unix:{path}", "-w", "1")
GUNICORN += ("--worker-tmp-dir", "/dev/shm")
UVICORN = ("-m", "uvicorn", "asgi:application", "--uds", "{path}", "--no-access-log")
GRANIAN = ("-m", "granian", "--uds", "{path}", "--workers", "1", "--http", "1", "--no-ws")
GRANIAN += ("--loop", "uvloop", "--log-level", "error")
PEERS |= {
    "gunicorn-sync": http("gunicorn-sync", *GUNICORN),
    "gunicorn-gthread-4": http(
        *("gunicorn-gthread-4", *GUNICORN, "-w", "4", "-k", "gthread", "--threads", "1"),
        *("--keep-alive", "60"),
    ),
    "gunicorn-gthread": http(
        "gunicorn-gthread", *GUNICORN, "-k", "gthread", "--threads", "8", "--keep-alive", "60"
    ),
    "uvicorn": http(
        "uvicorn", *UVICORN, "--loop", "uvloop", "--http", "httptools", "--log-level", "error"
    ),
    "granian": http(
        "granian", *GRANIAN, "--interface", "wsgi", "--blocking-threads", "1", "wsgi:application"
    ),
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


def apache(processes: str, cgi: str) -> Callable[[Site], Service]:
    """Each of its kinds of process has a CGI module of its own, as its manual says."""

    def start(site: Site) -> Service:
        port, name = free_port(), f"apache-{cgi}"
        config = Path(site.path(f"{name}.conf"))
        loaded = (processes, "authz_core", "alias", cgi, "env")
        folder = "/usr/lib/apache2/modules"
        modules = [f"LoadModule {one}_module {folder}/mod_{one}.so" for one in loaded]
        lines = [
            *modules,
            f"ServerName localhost\nListen 127.0.0.1:{port}",
            f"PidFile {site.path(name)}.pid\nErrorLog {site.path(name)}-error.log",
            f"DefaultRuntimeDir {site.folder}",
            f"ScriptSock {site.path('cgid.sock')}" if cgi == "cgid" else "",
            " ".join(["PassEnv PYTHONPATH", *site.environment]),
            f'ScriptAlias / "{script(site, "python")}/"',
            "<Directory />\nOptions +ExecCGI\nRequire all granted\n</Directory>",
            "User www-data\nGroup www-data" if os.geteuid() == 0 else "",
        ]
        config.write_text("\n".join(lines) + "\n")
        pid = site.start([program("apache2"), "-D", "FOREGROUND", "-f", config], name)
        site.wait(str(port))
        return Service(str(port), pid, "http", blind=cgi == "cgid")

    return start


PEERS["apache-cgid"] = apache("mpm_event", "cgid")
PEERS["apache-cgi"] = apache("mpm_prefork", "cgi")
