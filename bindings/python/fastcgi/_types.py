# SPDX-License-Identifier: MIT
"""Types for annotations; nothing imports this at run time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from typing_extensions import Buffer

from ._core import Request

Headers: TypeAlias = Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]] | None
Body: TypeAlias = Buffer | str | Iterable[Buffer | str] | None
Answer: TypeAlias = tuple[int, Headers, Body] | None
Handler: TypeAlias = Callable[[Request], Answer]
WSGI: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]
ASGI: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Application: TypeAlias = Handler | WSGI | ASGI
SharedValue: TypeAlias = bytes | str | int | float | bool


class Options(TypedDict, total=False):
    """The options of a server. Times are seconds. None or 0 is "no limit" or "never"
    where an option may be without one; None leaves any other to its default."""

    # Of a server: ./dev options writes these.
    # Least important level of message that goes to stderr. One of error, warning, info, debug.
    # Default: info.
    log_level: Literal["error", "warning", "info", "debug"] | None
    # Most bytes in the parameters of a request; a larger one gets 431. Default: 256K.
    limit_params_size: int | None
    # Most parameters of a request; one with more gets 431. Default: 1024.
    limit_params: int | None
    # Largest body that is collected; a longer one gets 413. Default: 1G.
    limit_request_body: int | None
    # Most connections that a process has open at once; others wait. Default: what the limit of
    # open files leaves, at most 65536.
    limit_connections: int | None
    # Most requests that are open at once on a connection; others get 503. Default: 1024.
    max_multiplexed: int | None
    # Tell web servers that ask (GET_VALUES) that a connection takes one request at a time.
    # Default: off.
    no_multiplex: bool | None
    # Most bytes of a collected body in memory; the rest goes to a temporary file. Default:
    # 256K.
    body_memory: int | None
    # Most bytes of memory that the requests of a connection hold; beyond that, new requests get
    # 503. Default: 4M.
    connection_memory: int | None
    # Most bytes of memory that all requests of a process hold; beyond that, new requests get
    # 503. Default: 256M.
    server_memory: int | None
    # Most bytes of a streamed body that wait for the handler; then reading from the connection
    # pauses. Default: 256K.
    input_window: int | None
    # Most unsent bytes of an answer; then the handler that writes it waits. Default: 256K.
    output_window: int | None
    # Most bytes of an unread body that are received and dropped; then the connection is closed.
    # Default: 4G.
    drain_bytes: int | None
    # Directory for temporary files. Default: $TMPDIR, or /tmp.
    temp_dir: str | None
    # Longest time from the first byte of a request to the end of its parameters. Default: 30s.
    header_timeout: float | None
    # Longest wait of one read or write of a request; a collected body that makes no progress
    # for this long gets 408. Default: 60s.
    io_timeout: float | None
    # Longest time that a kept connection stays open without a request. Default: 90s.
    idle_timeout: float | None
    # Longest time that a request may take; then the client gets 504. Default: no limit.
    request_timeout: float | None
    # Longest pause in the unread rest of a body; then the server stops waiting for it. Default:
    # 0.5s.
    drain_silence: float | None
    # Longest time that the server waits for the unread rest of a body. Default: 30s.
    drain_timeout: float | None
    # Addresses and CIDR blocks that may connect over TCP, separated by commas. Default:
    # loopback.
    allow_from: str | Iterable[str] | None
    # Users whose processes may connect over unix sockets, by name or number, separated by
    # commas. Default: anyone whom the mode of the socket allows.
    peer_users: str | Iterable[int | str] | None
    # Mode of the unix sockets that are created, in octal. Default: 660.
    socket_mode: int | None
    # Most connections that wait to be accepted. Default: 4096.
    backlog: int | None
    # URL path that the application is mounted at, such as /shop; an empty path is the root of
    # the site. Default: what the web server says.
    root_path: str | None
    # System call that the server waits with: epoll is for Linux, poll for every system; best is
    # epoll where it exists. One of best, epoll, poll. Default: best.
    poller: Literal["best", "epoll", "poll"] | None
    # URL path of the status page. Default: none.
    status_path: str | None
    # URL path that the server answers with "pong". Default: none.
    ping_path: str | None
    # Time after which a running request is logged, with the stack of its handler. Default:
    # never.
    slow_log: float | None
    # File for the access log, which has a line for each request; - is stderr. Default: none.
    access_logfile: str | None
    # Format of the access log: common, combined, json, or a text with gunicorn's atoms, such as
    # %(h)s. Default: combined.
    access_logformat: str | None
    # Most bytes of lines that wait to be written to a log file; further lines are dropped and
    # counted. Default: 1M.
    log_queue: int | None
    # File for the error log: messages of the server, and what requests write to STDERR; - is
    # stderr. Default: stderr.
    error_logfile: str | None
    # Number of requests after which a worker is replaced; without a supervisor, the server
    # stops then. Default: never.
    max_requests: int | None
    # Largest random number that is added to max_requests. Default: 0.
    max_requests_jitter: int | None
    # Longest time that a graceful stop waits for running requests; then they are aborted.
    # Default: 30s.
    graceful_timeout: float | None
    # End of these.


class LoopOptions(Options, total=False):
    """What concerns ASGI applications."""

    # Whether the application is told of start and stop. Default: auto.
    lifespan: Literal["auto", "on", "off"] | None
    # Most requests that run at once in each process; others wait. Default: no limit.
    limit_concurrency: int | None
    # Longest time that a request whose client has left goes on. Default: 3s.
    disconnect_grace: float | None
    # Event loop; auto is uvloop where it is installed, else asyncio. Default: auto.
    loop: Literal["auto", "asyncio", "uvloop"] | None


class ServeOptions(LoopOptions, total=False):
    """What serve and main take beside them; all need `workers`."""

    # Of processes: ./dev options writes these.
    # Directory to change to before anything is loaded. Default: the current directory.
    chdir: str | None
    # Permission bits that new files do not get, in octal. Default: inherited.
    umask: int | None
    # Keep each connection at the worker that has accepted it, even while that is busy and
    # another one is idle. Default: off.
    no_balance: bool | None
    # User that workers run as, by name or number. Default: unchanged.
    user: str | None
    # Group that workers run as, by name or number. Default: the user's.
    group: str | None
    # Let workers run as root. Default: off.
    allow_root: bool | None
    # File that the supervisor writes its process id to, and locks. Default: none.
    pid: str | None
    # Owner of the unix sockets that are created, by name or number. Default: unchanged.
    socket_user: str | None
    # Group of the unix sockets that are created, by name or number. Default: unchanged.
    socket_group: str | None
    # Longest time that a worker may take to become ready. Default: 60s.
    start_timeout: float | None
    # Longest time without a sign of life from a worker; then it is killed. Default: no limit.
    timeout: float | None
    # Replace the workers when the code changes; for development. Default: off.
    reload: bool | None
    # Further file whose changes replace the workers. Repeatable. Default: none.
    reload_extra_file: str | Iterable[str] | None
    # How changes are noticed: poll looks once a second; auto uses watchfiles where it is
    # installed. One of auto, poll. Default: auto.
    reload_engine: Literal["auto", "poll"] | None
    # Age at which a worker is replaced. Default: never.
    max_worker_age: float | None
    # Longest random time that is subtracted from max_worker_age. Default: 0.
    max_worker_age_jitter: float | None
    # Most resident memory that a worker may use; a larger worker is replaced. Default: no
    # limit.
    max_worker_rss: int | None
    # Dictionary that all workers share, and the memory that it may take, from 64K up, such as
    # cache=16M. Repeatable. Default: none.
    shared: str | Iterable[str] | None
    # End of those.


class ServerOptions(LoopOptions, total=False):
    """What Server takes beside them."""

    stream: bool  # Hand requests out before their body has come: False.
