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
    readme: bool = False  # README shows it too.


@dataclass(frozen=True)
class Cost:
    """The CPU time of a request is to be at most `most` us above that of `theirs`."""

    ours: str
    theirs: str
    most: float


@dataclass(frozen=True)
class Share:
    """The CPU time of a request is to be at most `most` times that of `theirs`."""

    ours: str
    theirs: str
    most: float


@dataclass(frozen=True)
class Bound:
    """A figure of `ours` is to be at least `least`, or at most `most`."""

    ours: str
    key: str  # Of a sample: "rate" in requests a second, "p50" or "p99" in us.
    least: float | None = None
    most: float | None = None


Target = Aim | Cost | Share | Bound


@dataclass(frozen=True)
class Row:
    title: str
    contenders: tuple[Contender, ...]
    aims: tuple[Target, ...] = ()
    needs: str = ""  # "sqlite" or "postgres".
    note: str = ""
    axis: str = ""  # What grows from contender to contender: labels are "NAME, NUMBER".
    light: bool = False  # Fewer and shorter rounds do.
    least: float = 0  # Seconds of a round, where answers are slow.


def each(load: Load, peers: dict[str, str]) -> tuple[Contender, ...]:
    """Contenders under one load: label to peer."""
    return tuple(Contender(label, peer, load) for label, peer in peers.items())


def row(title: str, load: Load, peers: dict[str, str], *aims: Target, **more) -> Row:
    return Row(title, each(load, peers), aims, **more)


KEPT = Load()
NEW = Load(words=("--no-keep",))
MANY = Load(words=("-m", "64"), connections=4)
PAGE = Load(uri="/page")
BODY = Load(body=1, connections=4)

C = "fastcgi C"
PYTHON = "fastcgi Python"
LUA = "fastcgi Lua"
CANNED = "canned responder"
LIBFCGI = {"libfcgi, 1 thread": "libfcgi-1", "libfcgi, 16 threads": "libfcgi-16"}
FASTCGI = {
    **LIBFCGI,
    "Go net/http/fcgi": "go",
    "PHP-FPM, 16 children": "php-fpm",
    "Perl FCGI": "perl",
}
PYTHONS = {
    "uWSGI FastCGI socket": "uwsgi-fastcgi",
    "flup6": "flup6",
    "flipflop": "flipflop",
}


def behind_nginx(
    kept: dict[str, str], new: dict[str, str], **more: object
) -> tuple[Contender, ...]:
    """nginx keeps its connections to some; the others would serve one of them only."""
    return (
        *each(Load(nginx="kept", **more), kept),
        *each(Load(nginx="new", **more), new),
    )


HTTP = {"gunicorn gthread": "gunicorn-gthread", "uvicorn": "uvicorn"}
UWSGI_PASS = {"uWSGI uwsgi_pass": "uwsgi"}
PHP = {"PHP-FPM, 16 children": "php-fpm"}


def growing(numbers: tuple[int, ...], option: str) -> tuple[Contender, ...]:
    found = []
    for number in numbers:
        load = Load(words=("--params", str(number)))
        if option == "connections":
            load = Load(connections=number)
        peers = {C: "ours-c", PYTHON: "ours-python", "libfcgi, 16 threads": "libfcgi-16"}
        found += [Contender(f"{name}, {number}", peer, load) for name, peer in peers.items()]
    return tuple(found)


# Four workers of one thread, whose handler sleeps 10 ms: they can answer 400 a second.
SHARED = "fastcgi Python, 4 workers"
FOUR = {
    SHARED: "ours-python-workers",
    "fastcgi Python, 4 workers, --no-balance": "ours-python-no-balance",
    "PHP-FPM, 4 children": "php-fpm-4",
}


def four_workers(clients: int) -> tuple[Contender, ...]:
    load = Load(uri="/sleep", connections=clients)
    return each(load, {**FOUR, "uWSGI FastCGI socket, 4 processes": "uwsgi-fastcgi-4"})


# On one processor; the client has the others.
C_PINNED, C_PINNED_8 = "fastcgi C, 1 thread", "fastcgi C, 8 threads"
LUA_PINNED, LUA_PINNED_8 = "fastcgi Lua, 1 thread", "fastcgi Lua, 8 threads"

CGI_FCGIWRAP = "CGI, nginx and fcgiwrap"


def with_cgi(uri: str) -> tuple[Contender, ...]:
    """The same application kept alive and as CGI; all behind a web server."""
    new = Load(nginx="new", uri=uri, connections=4)
    straight = Load(straight=True, uri=uri, connections=4)
    apaches = {"CGI, Apache mod_cgid": "apache-cgid", "CGI, Apache mod_cgi": "apache-cgi"}
    return (
        Contender(PYTHON, "ours-python", Load(nginx="kept", uri=uri, connections=4)),
        Contender(CGI_FCGIWRAP, "cgi-python", new),
        *each(straight, apaches),
    )


ROWS: dict[str, Row] = {
    "hello-kept": row(
        "Hello, 16 kept connections, one thread",
        KEPT,
        {C: "ours-c", CANNED: "canned", **FASTCGI, "Go, a thread a processor": "go-all"},
        Aim(C, CANNED, 0.8),
        Aim(C, "libfcgi, 16 threads", 2, readme=True),
        note="One thread of libfcgi, and Perl, serve one kept connection and let the other 15 "
        "wait until they time out: these are their wrong answers.",
    ),
    "hello-new": row(
        "Hello, a new connection for each request, 16 at once",
        NEW,
        {C: "ours-c", CANNED: "canned", **FASTCGI},
        light=True,
    ),
    "hello-multiplexed": row(
        "Hello, 4 connections with 64 requests in flight on each",
        MANY,
        {
            C: "ours-c",
            CANNED: "canned-sized",
            "Go net/http/fcgi": "go",
            "fastcgi++": "fastcgi++",
        },
        Aim(C, "fastcgi++", 20),
        Aim(C, "Go net/http/fcgi", 60),
        note="The others of this list take one request at a time from a connection.",
    ),
    "python-kept": row(
        "Python WSGI hello, one process, 16 kept connections",
        KEPT,
        {PYTHON: "ours-python", CANNED: "canned", **PYTHONS},
        Aim(PYTHON, "uWSGI FastCGI socket", 2.5, readme=True),
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
        behind_nginx(
            {
                PYTHON: "ours-python",
                **HTTP,
                "granian WSGI": "granian",
                "granian ASGI": "granian-asgi",
                "bjoern": "bjoern",
                **PHP,
            },
            {**UWSGI_PASS, "gunicorn sync": "gunicorn-sync"},
        ),
        (
            Aim(PYTHON, "uWSGI uwsgi_pass", 1.25, readme=True),
            Aim(PYTHON, "gunicorn gthread", 6, readme=True),
            Aim(PYTHON, "uvicorn", 4, readme=True),
            Aim(PYTHON, "PHP-FPM, 16 children", 3, readme=True),
        ),
        note="One process each, PHP-FPM apart. nginx itself takes most of a processor, so that no "
        "ratio here can pass what the canned responder reaches in `nginx-hello`.",
    ),
    "nginx-hello": Row(
        "Hello of the others behind one nginx worker, 16 clients of wrk",
        behind_nginx(
            {
                C: "ours-c",
                LUA: "ours-lua",
                CANNED: "canned",
                "libfcgi, 16 threads": "libfcgi-16",
                "Go net/http/fcgi": "go",
            },
            {"Perl FCGI": "perl", "wsapi-fcgi": "wsapi", "uWSGI FastCGI socket": "uwsgi-fastcgi"},
        ),
        light=True,
    ),
    "lua-kept": row(
        "Lua hello, one process, 16 kept connections",
        KEPT,
        {LUA: "ours-lua", C: "ours-c", "wsapi-fcgi": "wsapi"},
        Aim(LUA, C, 0.85),
        Aim(LUA, "wsapi-fcgi", 4, readme=True),
        note="wsapi-fcgi serves one kept connection and lets the other 15 time out.",
    ),
    "lua-new": row(
        "Lua hello, one process, a new connection for each request",
        NEW,
        {LUA: "ours-lua", C: "ours-c", "wsapi-fcgi": "wsapi"},
        light=True,
    ),
    "page": row(
        "A page of 10 KiB, 16 kept connections",
        PAGE,
        {C: "ours-c", PYTHON: "ours-python", **FASTCGI, **PYTHONS},
        light=True,
    ),
    "page-nginx": Row(
        "A page of 10 KiB behind one nginx worker, 16 clients of wrk",
        behind_nginx(
            {
                C: "ours-c",
                PYTHON: "ours-python",
                **HTTP,
                **PHP,
                "libfcgi, 16 threads": "libfcgi-16",
                "Go net/http/fcgi": "go",
            },
            UWSGI_PASS,
            uri="/page",
        ),
        light=True,
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
        light=True,
    ),
    "body-nginx": Row(
        "A body of 1 MiB in behind one nginx worker, 4 clients of wrk",
        behind_nginx(
            {
                C: "ours-c",
                "fastcgi C, streaming": "ours-c-stream",
                PYTHON: "ours-python",
                "fastcgi Python, streaming": "ours-python-stream",
                **HTTP,
                **PHP,
                "libfcgi, 16 threads": "libfcgi-16",
                "Go net/http/fcgi": "go",
            },
            UWSGI_PASS,
            body=1,
            connections=4,
        ),
        light=True,
    ),
    "threads": row(
        "The C server on 1 and 2 threads",
        KEPT,
        {"fastcgi C, 1 thread": "ours-c", "fastcgi C, 2 threads": "ours-c-2"},
        note="The load generator needs a processor of its own too: where there are two, the second "
        "thread takes turns with it.",
    ),
    "threads-pinned": row(
        "Hello on 1 and 8 threads of one processor, 16 kept connections",
        KEPT,
        {
            C_PINNED: "ours-c-pinned",
            C_PINNED_8: "ours-c-8-pinned",
            LUA_PINNED: "ours-lua-pinned",
            LUA_PINNED_8: "ours-lua-8-pinned",
        },
        Share(C_PINNED_8, C_PINNED, 1.1),
        Share(LUA_PINNED_8, LUA_PINNED, 1.1),
    ),
    "sleep": row(
        "A Python handler that sleeps 10 ms, one process, 1 and 8 threads",
        Load(uri="/sleep"),
        {"fastcgi Python, 1 thread": "ours-python", "fastcgi Python, 8 threads": "ours-python-8"},
        Aim("fastcgi Python, 8 threads", "fastcgi Python, 1 thread", 7),
    ),
    "balance": Row(
        "A handler that sleeps 10 ms, 4 workers of one thread, 4 kept connections",
        four_workers(4),
        (
            Bound(SHARED, "rate", least=380),
            Bound(SHARED, "p50", most=11_000),
            Bound(SHARED, "p99", most=15_000),
        ),
        note="400 a second is all that the workers can answer. `./dev soak balance` shows other "
        "handlers and how evenly the requests are spread over the workers.",
        least=2,
    ),
    "balance-more": Row(
        "A handler that sleeps 10 ms, 4 workers of one thread, 16 kept connections",
        four_workers(16),
        (Bound(SHARED, "rate", least=380),),
        note="Each client waits for three others: 40 ms are the best median.",
        least=2,
    ),
    "balance-nginx": Row(
        "A handler that sleeps 10 ms behind one nginx worker, 4 workers of one thread, 4 clients",
        behind_nginx(
            {**FOUR, "gunicorn gthread, 4 workers": "gunicorn-gthread-4"},
            {"uWSGI uwsgi_pass, 4 processes": "uwsgi-4"},
            uri="/sleep",
            connections=4,
        ),
        (Bound(SHARED, "rate", least=380), Bound(SHARED, "p99", most=15_000)),
        least=2,
    ),
    "cgi-hello": Row(
        "Python hello against CGI",
        (
            *with_cgi("/"),
            Contender("CGI in C, nginx and fcgiwrap", "cgi-c", Load(nginx="new", connections=4)),
        ),
        (Aim(PYTHON, CGI_FCGIWRAP, 500, readme=True),),
        least=2,
    ),
    "cgi-sqlite": Row(
        "One SQLite query: a connection that stays open against CGI",
        with_cgi("/sqlite"),
        (Aim(PYTHON, CGI_FCGIWRAP, 30),),
        needs="sqlite",
        least=2,
    ),
    "cgi-postgres": Row(
        "One PostgreSQL query: a connection that stays open against CGI",
        with_cgi("/postgres"),
        (Aim(PYTHON, CGI_FCGIWRAP, 30, readme=True),),
        needs="postgres",
        least=3,
    ),
    "connections": Row(
        "Hello as connections grow",
        growing((1, 16, 128, 1024, 10000), "connections"),
        axis="connections",
        note="The time includes opening the connections. Each of libfcgi's threads serves one of "
        "them for as long as it is kept; the others time out.",
        light=True,
    ),
    "params": Row(
        "Hello as parameters grow, 16 kept connections",
        growing((10, 27, 100, 400), "params"),
        axis="parameters",
        light=True,
    ),
}
IDLE = {C: "ours-c", PYTHON: "ours-python", LUA: "ours-lua"}
