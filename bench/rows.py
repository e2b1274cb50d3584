# SPDX-License-Identifier: MIT
"""What is measured: a row is a load, its contenders, and the ratios that are aimed at."""

from dataclasses import dataclass

from measure import Contender, Load


@dataclass(frozen=True)
class Aim:
    """`ours` is to be at least `least` times `theirs`."""

    ours: str
    theirs: str
    least: float


@dataclass(frozen=True)
class Cost:
    """The CPU time of a request is to be at most `most` us above that of `theirs`."""

    ours: str
    theirs: str
    most: float


@dataclass(frozen=True)
class Row:
    title: str
    contenders: tuple[Contender, ...]
    aims: tuple[Aim | Cost, ...] = ()
    needs: str = ""  # "sqlite" or "postgres".
    note: str = ""
    axis: str = ""  # What grows from contender to contender: labels are "NAME, NUMBER".


def each(load: Load, **peers: str) -> tuple[Contender, ...]:
    """Contenders under one load: label=peer, with spaces for underscores."""
    return tuple(Contender(label, peer, load) for label, peer in peers.items())


def row(title: str, load: Load, peers: dict[str, str], *aims: Aim | Cost, **more) -> Row:
    return Row(title, each(load, **peers), aims, **more)


KEPT = Load()
NEW = Load(words=("--no-keep",))
MANY = Load(words=("-m", "64"), connections=4)
PAGE = Load(uri="/page")
BODY = Load(words=("--body", "1M"), connections=4)
FRONT = Load(nginx="kept")

C = "fastcgi C"
PYTHON = "fastcgi Python"
LUA = "fastcgi Lua"
CANNED = "canned responder"
FASTCGI = {
    "libfcgi, 1 thread": "libfcgi-1",
    "libfcgi, 16 threads": "libfcgi-16",
    "Go net/http/fcgi": "go",
    "PHP-FPM, 16 children": "php-fpm",
    "Perl FCGI": "perl",
}
PYTHONS = {
    "uWSGI FastCGI socket": "uwsgi-fastcgi",
    "flup6": "flup6",
    "flipflop": "flipflop",
}


def behind_nginx() -> tuple[Contender, ...]:
    kept = {
        "gunicorn gthread": "gunicorn-gthread",
        "uvicorn": "uvicorn",
        "granian WSGI": "granian",
        "granian ASGI": "granian-asgi",
        "bjoern": "bjoern",
        "PHP-FPM, 16 children": "php-fpm",
        "Go net/http/fcgi": "go",
        CANNED: "canned",
        C: "ours-c",
    }
    new = {"uWSGI uwsgi_pass": "uwsgi", "gunicorn sync": "gunicorn-sync"}
    return (
        Contender(PYTHON, "ours-python", FRONT),
        *each(FRONT, **kept),
        *each(Load(nginx="new"), **new),
    )


def growing(axis: str, numbers: tuple[int, ...], option: str) -> tuple[Contender, ...]:
    found = []
    for number in numbers:
        load = Load(words=("--params", str(number)))
        if option == "connections":
            load = Load(connections=number)
        peers = {C: "ours-c", PYTHON: "ours-python", "libfcgi, 16 threads": "libfcgi-16"}
        found += [Contender(f"{name}, {number}", peer, load) for name, peer in peers.items()]
    return tuple(found)


def with_cgi(uri: str) -> tuple[Contender, ...]:
    """The same application kept alive and as CGI; all behind a web server."""
    front = Load(nginx="kept", uri=uri, connections=4)
    return (
        Contender(PYTHON, "ours-python", front),
        Contender(
            "CGI, nginx and fcgiwrap", "cgi-python", Load(nginx="new", uri=uri, connections=4)
        ),
        Contender(
            "CGI, Apache mod_cgid", "apache-cgi", Load(straight=True, uri=uri, connections=4)
        ),
    )


CGI_FCGIWRAP = "CGI, nginx and fcgiwrap"

ROWS: dict[str, Row] = {
    "hello-kept": row(
        "Hello, 16 kept connections, one thread",
        KEPT,
        {C: "ours-c", CANNED: "canned", **FASTCGI},
        Aim(C, CANNED, 0.8),
        Aim(C, "libfcgi, 16 threads", 2),
    ),
    "hello-new": row(
        "Hello, a new connection for each request, 16 at once",
        NEW,
        {C: "ours-c", CANNED: "canned", **FASTCGI},
    ),
    "hello-multiplexed": row(
        "Hello, 4 connections with 64 requests in flight on each",
        MANY,
        {C: "ours-c", CANNED: "canned-sized", "Go net/http/fcgi": "go"},
        Aim(C, "Go net/http/fcgi", 60),
        note="The others of this list take one request at a time from a connection.",
    ),
    "python-kept": row(
        "Python WSGI hello, one process, 16 kept connections",
        KEPT,
        {PYTHON: "ours-python", CANNED: "canned", **PYTHONS},
        Aim(PYTHON, "uWSGI FastCGI socket", 2.5),
        Cost(PYTHON, CANNED, 1.5),
        note="uWSGI closes every connection although it is asked to keep it; each close is one "
        "request sent again.",
    ),
    "python-new": row(
        "Python WSGI hello, one process, a new connection for each request",
        NEW,
        {PYTHON: "ours-python", CANNED: "canned", **PYTHONS},
        Aim(PYTHON, "uWSGI FastCGI socket", 1.1),
    ),
    "python-nginx": Row(
        "Python hello behind one nginx worker, 16 clients of wrk",
        behind_nginx(),
        (
            Aim(PYTHON, "uWSGI uwsgi_pass", 1.25),
            Aim(PYTHON, "gunicorn gthread", 6),
            Aim(PYTHON, "uvicorn", 4),
            Aim(PYTHON, "PHP-FPM, 16 children", 3),
        ),
        note="Ours is the WSGI application in every pair.",
    ),
    "lua-kept": row(
        "Lua hello, one process, 16 kept connections",
        KEPT,
        {LUA: "ours-lua", C: "ours-c", "wsapi-fcgi": "wsapi"},
        Aim(LUA, C, 0.85),
        Aim(LUA, "wsapi-fcgi", 4),
    ),
    "page": row(
        "A page of 10 KiB, 16 kept connections",
        PAGE,
        {C: "ours-c", PYTHON: "ours-python", **FASTCGI},
    ),
    "body": row(
        "A body of 1 MiB in, 4 kept connections",
        BODY,
        {
            C: "ours-c",
            "fastcgi C, streaming": "ours-c-stream",
            PYTHON: "ours-python",
            "fastcgi Python, streaming": "ours-python-stream",
            **FASTCGI,
            **PYTHONS,
        },
        note="Ours keeps 256 KiB of a body in memory and the rest in a file before the handler "
        "starts, unless it streams; the others of this list stream, PHP-FPM apart.",
    ),
    "threads": Row(
        "The C server on 1 and 2 threads",
        each(KEPT, **{"1 thread": "ours-c", "2 threads": "ours-c-2"}),
        note="The load generator needs a core of its own too.",
    ),
    "sleep": Row(
        "A Python handler that sleeps 10 ms, 1 and 8 threads",
        each(Load(uri="/sleep"), **{"1 thread": "ours-python", "8 threads": "ours-python-8"}),
        (Aim("8 threads", "1 thread", 7),),
    ),
    "cgi-hello": Row(
        "Python hello against CGI",
        (
            *with_cgi("/"),
            Contender("CGI in C, nginx and fcgiwrap", "cgi-c", Load(nginx="new", connections=4)),
        ),
        (Aim(PYTHON, CGI_FCGIWRAP, 500),),
    ),
    "cgi-sqlite": Row(
        "One SQLite query: a connection that stays open against CGI",
        with_cgi("/sqlite"),
        (Aim(PYTHON, CGI_FCGIWRAP, 30),),
        needs="sqlite",
    ),
    "cgi-postgres": Row(
        "One PostgreSQL query: a connection that stays open against CGI",
        with_cgi("/postgres"),
        (Aim(PYTHON, CGI_FCGIWRAP, 30),),
        needs="postgres",
    ),
    "connections": Row(
        "Hello as connections grow",
        growing("connections", (1, 16, 128, 1024, 10000), "connections"),
        axis="connections",
    ),
    "params": Row(
        "Hello as parameters grow, 16 kept connections",
        growing("parameters", (10, 27, 100, 400), "params"),
        axis="parameters",
    ),
}
