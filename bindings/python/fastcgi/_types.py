# SPDX-License-Identifier: MIT
"""Types for annotations; nothing imports this at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from typing_extensions import Buffer

from ._core import Request

Headers: TypeAlias = Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]] | None
Body: TypeAlias = Buffer | str | Iterable[Buffer | str] | None
Answer: TypeAlias = tuple[int, Headers, Body] | None
Handler: TypeAlias = Callable[[Request], Answer]
WSGI: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]
Application: TypeAlias = Handler | WSGI


class Options(TypedDict, total=False):
    """The options of a server; one left out has the default named here."""

    root_path: str | None  # Where the application is mounted: what the web server says.
    poller: Literal["best", "epoll", "poll"]
    log_level: Literal["error", "warning", "info", "debug"]  # "info".
    limit_params_size: int  # Bytes of parameters of a request: 256 KiB.
    limit_params: int  # Parameters of a request: 1,024.
    limit_request_body: int  # Bytes of a collected body: 1 GiB.
    limit_connections: int  # Open at once: what the limit of files leaves.
    max_multiplexed: int  # Requests at once on a connection: 1,024.
    no_multiplex: bool | None  # Web servers that ask are told to send one request at a time
    # over a connection: they are not, or $FASTCGI_NO_MULTIPLEX.
    body_memory: int  # Of a collected body, the rest goes to a file: 256 KiB.
    temp_dir: str  # Where those files are: $TMPDIR or /tmp.
    input_window: int  # Unread bytes of a streamed body: 256 KiB.
    output_window: int  # Unsent bytes of an answer: 256 KiB.
    connection_memory: int  # What requests of one connection may hold: 4 MiB, or
    # $FASTCGI_CONNECTION_MEMORY.
    server_memory: int  # What those of all connections may: 256 MiB, or $FASTCGI_SERVER_MEMORY.
    io_timeout: float | None  # One read or write of a request: 60.
    header_timeout: float | None  # To the end of a request's head: 30.
    idle_timeout: float | None  # A kept connection without a request: 90.
    drain_silence: float | None  # Until an unread body is given up: 0.5.
    drain_timeout: float | None  # All the time for an unread body: 30.
    drain_bytes: int  # All the bytes of it: 4 GiB.
    backlog: int  # Connections that wait to be accepted: 4,096.
    socket_mode: int  # Mode of a unix socket: 0o660.
    allow_from: str | Iterable[str] | None  # Addresses and CIDR blocks that may connect over
    # TCP. Without it anyone may, but only loopback is listened on.
    peer_users: Iterable[int | str] | None  # Users, by number or name, whose processes may
    # connect over unix sockets: whoever the socket's mode lets.
    status_path: str | None  # Where the server answers with its status; "" for nowhere:
    # $FASTCGI_STATUS_PATH.
    ping_path: str | None  # Where the server answers "pong"; "" for nowhere: $FASTCGI_PING_PATH.
    request_timeout: float | None  # A request may take, then the client gets 504: no limit, or
    # $FASTCGI_REQUEST_TIMEOUT.
    max_requests: int | None  # After so many requests the worker is replaced; without a
    # supervisor the server stops: never, or $FASTCGI_MAX_REQUESTS.
    max_requests_jitter: int | None  # Up to so many more, at random: none.
    slow_log: float | None  # A request that takes longer gets into the log: never, or
    # $FASTCGI_SLOW_LOG.
    access_logfile: str  # A line for each request goes there; "-" is stderr, "" nowhere:
    # $FASTCGI_ACCESS_LOGFILE.
    access_logformat: str  # "common", "combined", "json" or gunicorn's atoms: combined, or
    # $FASTCGI_ACCESS_LOGFORMAT.
    error_logfile: str  # The server's lines go there, and write_stderr's; "-" is stderr:
    # $FASTCGI_ERROR_LOGFILE.


class ServeOptions(Options, total=False):
    """What serve and main take beside them; all need `workers`."""

    user: str  # Become this user, once everything is opened.
    group: str  # Likewise this group: the user's.
    allow_root: bool  # Workers may run as root: False.
    umask: int  # Of files that are made.
    chdir: str  # Workers start in this directory.
    pid: str  # A file for the process id.
    socket_user: str  # Owner of a unix socket.
    socket_group: str  # Group of it.
    timeout: float | None  # Kill a worker that has not come by for so long: no limit.
    start_timeout: float | None  # To become ready: 60.
    max_worker_age: float | None  # Replace a worker then: never.
    max_worker_age_jitter: float | None  # Up to so much earlier, at random.
    max_worker_rss: int | None  # Replace a worker that uses more bytes: never.
    reload: bool  # Replace the workers when the code changes: False.
    reload_extra_file: Iterable[str]  # Look at these files too.
    reload_engine: Literal["auto", "poll"]  # Whether watchfiles is used: "auto".


class ServerOptions(Options, total=False):
    """What Server takes beside them."""

    stream: bool  # Hand requests out before their body has come: False.
