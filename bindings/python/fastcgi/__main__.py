# SPDX-License-Identifier: MIT
"""The command ``fastcgi module:app``, also as ``python -m fastcgi``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from . import __version__, _core
from ._app import AppError, add_path, load_app
from ._roles import STANDARD, STREAMS, Role
from ._server import Server, detect_interface
from ._signals import stop_on_signals

START_FAILED = 1
USAGE = 2
INTERRUPTED = 130  # As a shell says it of SIGINT.


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def positive(text: str) -> int:
    """A whole number from 1, with an optional unit of bytes: 64K, 10M, 1G."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    unit = units.get(text[-1:].upper(), 1)
    digits = text[:-1] if unit > 1 else text
    if not digits.isdecimal() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(digits) * unit


def seconds(text: str) -> float | None:
    """Seconds, or a number with a unit: 30, 0.5, 30s, 5m, 1h; 0 is no limit."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    unit = units.get(text[-1:])
    try:
        number = float(text[:-1] if unit else text) * (unit or 1.0)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a time such as 30, 0.5s or 5m")
    return number or None


def octal(text: str) -> int:
    """A mode in octal, such as 660."""
    digits = text.removeprefix("0o")
    if not digits.isdecimal() or set(digits) & set("89") or not 0 < int(digits, 8) <= 0o777:
        raise argparse.ArgumentTypeError(f"'{text}' is not an octal mode such as 660")
    return int(digits, 8)


def users(text: str) -> list[int | str]:
    """Users by number or name, with commas between."""
    return [int(user) if user.isdigit() else user for user in re.split(r"\s*,\s*", text.strip())]


class RoleArgument(NamedTuple):
    """What --role says."""

    name: str
    number: int | None
    streams: Any
    handler: str


def role(text: str) -> RoleArgument:
    """NAME=MODULE:HANDLER or, for a custom role, NAME:NUMBER[:STREAMS]=MODULE:HANDLER."""
    left, _, handler = text.partition("=")
    name, number, streams, *more = [*left.split(":"), "", ""]
    custom = number.isdecimal() and (streams or "stdin") in STREAMS and len(more) <= 2
    standard = name in STANDARD and left == name
    if not handler or not name or not (custom or standard) or any(more):
        example = "authorizer=module:check or lookup:9:stdin=module:find"
        raise argparse.ArgumentTypeError(f"'{text}' is not a role such as {example}")
    return RoleArgument(name, int(number) if custom else None, streams or "stdin", handler)


def mount(text: str) -> str:
    """A path that begins with '/'."""
    if text and not text.startswith("/"):
        raise argparse.ArgumentTypeError("must begin with '/'")
    return text


# Name, type, placeholder, help: these go to Server as they are.
SERVER_OPTIONS: list[tuple[str, Callable[[str], Any], str, str]] = [
    ("root-path", mount, "PATH", "where the application is mounted, such as /shop"),
    ("backlog", positive, "N", "connections that wait to be accepted (4096)"),
    ("socket-mode", octal, "MODE", "mode of a unix socket (660)"),
    ("limit-params-size", positive, "BYTES", "parameters of a request (256K)"),
    ("limit-params", positive, "N", "parameters of a request (1024)"),
    ("limit-request-body", positive, "BYTES", "body of a request (1G)"),
    ("limit-connections", positive, "N", "connections at once"),
    ("limit-multiplexed", positive, "N", "requests at once on a connection (1024)"),
    ("body-memory", positive, "BYTES", "of a body in memory, more goes to a file (256K)"),
    ("temp-dir", str, "DIR", "directory of those files ($TMPDIR or /tmp)"),
    ("io-timeout", seconds, "TIME", "for one read or write of a request (60s)"),
    ("header-timeout", seconds, "TIME", "for the head of a request (30s)"),
    ("allow-from", str, "LIST", "addresses and blocks that may connect over TCP (loopback)"),
    ("peer-users", users, "LIST", "users who may connect over unix sockets (by its mode)"),
    ("idle-timeout", seconds, "TIME", "of a kept connection without a request (90s)"),
]


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="fastcgi",
        description="Serve a Python application over FastCGI.",
        epilog="Sizes take K, M or G, times s, m or h. SIGTERM and SIGINT finish what runs and "
        "stop, a second one stops at once.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "app",
        metavar="MODULE:APP",
        nargs="?",
        help="the application: module:name, module:factory(); none where --role is enough",
    )
    add(
        "-b",
        "--bind",
        action="append",
        metavar="ADDRESS",
        help="unix:PATH, unix:@NAME, HOST:PORT, [::1]:PORT or fd:N; may be repeated "
        "(the inherited listener)",
    )
    add("--threads", type=positive, default=1, metavar="N", help="threads that serve (1)")
    add(
        "--interface",
        choices=["auto", "handler", "wsgi"],
        default="auto",
        help="how the application is called (auto)",
    )
    add(
        "--role",
        action="append",
        type=role,
        default=[],
        metavar="ROLE=MODULE:HANDLER",
        help="a handler of another role: authorizer=..., filter=..., or a custom one with its "
        "number and streams (none, stdin or stdin+data), NAME:NUMBER[:STREAMS]=...; repeatable",
    )
    add("--factory", action="store_true", help="call the named object for the application")
    add("--stream", action="store_true", help="start a request before its body has come")
    add("--chdir", metavar="DIR", help="change to this directory first")
    add("--pythonpath", metavar="DIRS", help="comma-separated directories to import from")
    add("--graceful-timeout", type=seconds, metavar="TIME", help="to finish what runs (30s)")
    add(
        "--log-level",
        choices=["error", "warning", "info", "debug"],
        default="info",
        help="what goes to stderr (info)",
    )
    for name, kind, placeholder, text in SERVER_OPTIONS:
        add(f"--{name}", type=kind, default=argparse.SUPPRESS, metavar=placeholder, help=text)
    add("--version", action="version", version=f"fastcgi {__version__}")
    parser.set_defaults(graceful_timeout=30.0)
    return parser


def fail(line: str) -> int:
    sys.stderr.write(f"fastcgi: {line}\n")
    return START_FAILED


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def load_roles(arguments: Sequence[RoleArgument]) -> dict[str, Any]:
    """What Server takes as roles."""
    roles: dict[str, Any] = {}
    for one in arguments:
        handler = load_app(one.handler)
        if one.name in roles:
            raise ValueError(f"--role: role '{one.name}' is there twice")
        custom = one.number is not None
        roles[one.name] = Role(handler, one.number or 0, one.streams) if custom else handler
    return roles


def load_all(args: argparse.Namespace) -> tuple[Any, Any, dict[str, Any]]:
    """The application, its interface and the roles."""
    roles = load_roles(args.role)
    if args.app is None:
        return None, "handler", roles
    app = load_app(args.app, args.factory)
    try:
        return app, detect_interface(app) if args.interface == "auto" else args.interface, roles
    except TypeError as error:
        raise AppError(f"{args.app}: {error}") from None


def served(args: argparse.Namespace, interface: str) -> str:
    """What is served, for a person."""
    app = [f"{args.app} ({interface})"] if args.app else []
    return ", ".join([*app, *(f"{one.handler} ({one.name})" for one in args.role)])


def run(args: argparse.Namespace) -> int:
    """Load the application and serve it until stopped."""
    names = [name.replace("-", "_") for name, *_ in SERVER_OPTIONS]
    options = {name: getattr(args, name) for name in names if hasattr(args, name)}
    options["allow"] = options.pop("allow_from", None)
    if args.chdir:
        os.chdir(args.chdir)
    add_path(args.pythonpath)
    app, interface, roles = load_all(args)
    options |= {"threads": args.threads, "stream": args.stream, "log_level": args.log_level}
    server = Server(roles=roles, **options)
    with server, stop_on_signals(server, args.graceful_timeout):
        for address in args.bind or [None]:
            server.listen(address)
        if args.log_level in ("info", "debug"):
            sys.stderr.write(
                f"fastcgi: serving {served(args, interface)} on {', '.join(server.addresses)} "
                f"with {plural(args.threads, 'thread')}, pid {os.getpid()}\n"
            )
        server.serve(app, interface=interface)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.app is None and not args.role:
        parser.error("the following arguments are required: MODULE:APP, or --role")
    try:
        return run(args)
    except KeyboardInterrupt:
        sys.stderr.write("fastcgi: interrupted\n")
        return INTERRUPTED
    except AppError as error:
        sys.stderr.write(error.details)
        return fail(str(error))
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return fail(f"{name}{error.strerror or error}")
    except (_core.Error, ValueError, MemoryError) as error:
        return fail(str(error))


if __name__ == "__main__":
    sys.exit(main())
