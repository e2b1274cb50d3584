# SPDX-License-Identifier: MIT
"""Every option, once: the command line, the environment, the files,
--print-config and docs/processes.md have it from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from . import _config_types as types

SERVER = "server"  # Goes to Server as it is.
WORKER = "worker"  # For what serves.
PROCESSES = "processes"  # For the supervisor; one given makes it necessary.
COMMAND = "command"  # What to do at all: of the command line alone, but for `config`.

LEVELS = ("error", "warning", "info", "debug")


class Option(NamedTuple):
    """One option."""

    name: str  # As --name; with '_' a key, as FASTCGI_NAME a variable.
    read: Callable[[str], Any]  # What its text means.
    value: str  # What stands for the text in help; "" for a flag.
    default: str  # Shown in help; "" where nothing is meant.
    help: str  # One line.
    scope: str = SERVER  # Whom it is for.
    short: str = ""  # Such as -b.
    several: bool = False  # It may be repeated, and is a list then.

    @property
    def key(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return f"FASTCGI_{self.key.upper()}"


def _flag(name: str, text: str, scope: str) -> Option:
    return Option(name, types.flag, "", "", text, scope)


OPTIONS: tuple[Option, ...] = (
    Option("bind", str, "ADDRESS", "the inherited listener",
           "unix:PATH, unix:@NAME, HOST:PORT, [::1]:PORT or fd:N; repeatable",
           WORKER, "-b", True),
    Option("threads", types.positive, "N", "1", "threads that serve in a process", WORKER),
    Option("interface", types.one_of("auto", "handler", "wsgi"), "KIND", "auto",
           "how the application is called: auto, handler or wsgi", WORKER),
    Option("role", types.role, "ROLE=MODULE:HANDLER", "",
           "a handler of another role: authorizer=..., filter=..., or a custom one with its "
           "number and streams (none, stdin or stdin+data), NAME:NUMBER[:STREAMS]=...; repeatable",
           WORKER, "", True),
    _flag("factory", "call the named object for the application", WORKER),
    _flag("stream", "start a request before its body has come", WORKER),
    Option("chdir", str, "DIR", "", "change to this directory first", WORKER),
    Option("pythonpath", str, "DIRS", "", "comma-separated directories to import from", WORKER),
    Option("umask", types.octal_or_none, "MODE", "", "of files that are made", WORKER, "-m"),
    Option("graceful-timeout", types.seconds, "TIME", "30s", "to finish what runs", WORKER),
    Option("log-level", types.one_of(*LEVELS), "LEVEL", "info",
           "what goes to stderr: error, warning, info or debug", WORKER),
    Option("workers", types.workers, "N", "$WEB_CONCURRENCY, or this process alone",
           "processes that serve, below one that watches them; auto: as many as processors",
           PROCESSES, "-w"),
    Option("max-requests", types.count, "N", "0, never",
           "replace a worker after so many requests"),
    Option("max-requests-jitter", types.count, "N", "0",
           "up to so many more, at random"),
    Option("max-worker-age", types.seconds, "TIME", "0, never", "replace a worker then",
           PROCESSES),
    Option("max-worker-age-jitter", types.seconds, "TIME", "0",
           "up to so much earlier, at random", PROCESSES),
    Option("max-worker-rss", types.positive, "BYTES", "never",
           "replace a worker that uses more memory", PROCESSES),
    Option("timeout", types.seconds, "TIME", "0, no limit",
           "kill a worker that has not come by for so long", PROCESSES, "-t"),
    Option("start-timeout", types.seconds, "TIME", "60s", "for a worker to become ready",
           PROCESSES),
    Option("user", str, "NAME", "", "become this user", PROCESSES, "-u"),
    Option("group", str, "NAME", "the user's", "become this group", PROCESSES, "-g"),
    _flag("allow-root", "let workers run as root", PROCESSES),
    Option("pid", str, "FILE", "", "write the process id to it", PROCESSES, "-p"),
    Option("socket-user", str, "NAME", "", "owner of a unix socket", PROCESSES),
    Option("socket-group", str, "NAME", "", "group of a unix socket", PROCESSES),
    _flag("reload", "replace the workers when the code changes, for development", PROCESSES),
    Option("reload-extra-file", str, "FILE", "", "look at this file too; repeatable",
           PROCESSES, "", True),
    Option("reload-engine", types.one_of("auto", "poll"), "KIND", "auto",
           "poll: look once a second, even where watchfiles is installed", PROCESSES),
    Option("root-path", types.mount, "PATH", "what the web server says",
           "where the application is mounted, such as /shop"),
    Option("backlog", types.positive, "N", "4096", "connections that wait to be accepted"),
    Option("socket-mode", types.octal, "MODE", "660", "mode of a unix socket"),
    Option("limit-params-size", types.positive, "BYTES", "256K", "parameters of a request"),
    Option("limit-params", types.positive, "N", "1024", "parameters of a request"),
    Option("limit-request-body", types.positive, "BYTES", "1G", "body of a request"),
    Option("limit-connections", types.positive, "N", "what the system allows",
           "connections at once"),
    Option("max-multiplexed", types.positive, "N", "1024", "requests at once on a connection"),
    _flag("no-multiplex", "ask web servers for one request at a time on a connection", SERVER),
    Option("connection-memory", types.positive, "BYTES", "4M",
           "what the requests of a connection may hold, more are answered 503"),
    Option("server-memory", types.positive, "BYTES", "256M",
           "what those of all connections of a process may hold"),
    Option("body-memory", types.positive, "BYTES", "256K",
           "of a body in memory, more goes to a file"),
    Option("temp-dir", str, "DIR", "$TMPDIR or /tmp", "directory of those files"),
    Option("io-timeout", types.seconds, "TIME", "60s", "for one read or write of a request"),
    Option("header-timeout", types.seconds, "TIME", "30s", "for the head of a request"),
    Option("allow-from", str, "LIST", "loopback",
           "addresses and blocks that may connect over TCP"),
    Option("peer-users", str, "LIST", "by its mode",
           "users who may connect over unix sockets"),
    Option("idle-timeout", types.seconds, "TIME", "90s",
           "of a kept connection without a request"),
    Option("status-path", types.mount, "PATH", "none", "where the server answers with its status"),
    Option("ping-path", types.mount, "PATH", "none", "where the server answers \"pong\""),
    Option("request-timeout", types.seconds, "TIME", "no limit",
           "for a request, then the client gets 504"),
    Option("slow-log", types.seconds, "TIME", "never", "after which a request gets into the log"),
    Option("access-logfile", str, "FILE", "none", "a line for each request; - is stderr"),
    Option("access-logformat", str, "FORMAT", "combined",
           "of those: common, combined, json or a text with gunicorn's atoms"),
    Option("error-logfile", str, "FILE", "stderr",
           "the server's messages and what requests write to STDERR; - is stderr"),
    Option("config", str, "FILE", "", "a TOML file of options", COMMAND, "-c"),
    _flag("check-config", "load everything, say whether it is fine, and exit", COMMAND),
    _flag("print-config", "print every option with where it comes from, and exit", COMMAND),
)  # fmt: skip

APP = Option(
    "app", str, "MODULE:APP", "",
    "the application: module:name, module:factory(); none where --role is enough", WORKER,
)  # fmt: skip

BY_KEY = {option.key: option for option in (APP, *OPTIONS)}


def keys(*scopes: str) -> list[str]:
    """The keys of the options for these."""
    return [option.key for option in OPTIONS if option.scope in scopes]
