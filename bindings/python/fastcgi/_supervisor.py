# SPDX-License-Identifier: MIT
"""Several processes: the supervisor, and the commands that it executes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import _core
from ._config import PROCESSES
from ._reload import Watcher

# What the supervisor takes beside its own.
SHARED = ("backlog", "socket_mode", "allow_from", "umask", "graceful_timeout")
RELOADING = ("reload", "reload_extra_file", "reload_engine")
OWN = [key for key in PROCESSES if key not in RELOADING]


class SupervisorError(RuntimeError):
    """What is wrong, in one line."""


def is_worker() -> bool:
    """Whether a supervisor has started this process to serve."""
    pid, _, _ = os.environ.get("FASTCGI_HANDOVER", "").partition(":")
    return pid.isascii() and pid.isdecimal() and int(pid) == os.getpid()


def module_command(arguments: Sequence[str]) -> list[str]:
    """`python -m fastcgi ...` with the interpreter's own options."""
    head = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    # Otherwise it ends in -mfastcgi, or the program that pip has made.
    head = head[:-2] if head[-2:] == ["-m", "fastcgi"] else head[:-1]
    return [_interpreter(), *head, "-m", "fastcgi", *arguments]


def working_directory() -> str:
    """As the shell has it, with its links: they may lead to another release
    when the workers are replaced."""
    name = os.environ.get("PWD", "")
    try:
        if os.path.isabs(name) and os.path.samefile(name, "."):
            return name
    except OSError:
        pass
    return os.getcwd()


def program_command() -> list[str]:
    """The running program once more. Raises SupervisorError when there is no
    way to execute it."""
    words = sys.orig_argv[1:]
    script = len(words) - len(sys.argv)
    if hasattr(sys, "ps1") or not words or sys.argv[0] in ("", "-"):
        raise SupervisorError(
            "workers are this program, executed again, and what was typed cannot be: put it into "
            "a file, or name the application: python -m fastcgi --workers N MODULE:APP"
        )
    if 0 <= script < len(words) and os.path.exists(words[script]):
        words[script] = os.path.join(working_directory(), words[script])
    return [_interpreter(), *words]


def _interpreter() -> str:
    if not sys.executable:
        raise SupervisorError("there is no Python interpreter to execute; sys.executable is empty")
    return sys.executable


def split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the supervisor, and those of a server."""
    ours = {*OWN, *RELOADING, "umask", "chdir"}
    processes = {key: value for key, value in options.items() if key in ours}
    return processes, {key: value for key, value in options.items() if key not in ours}


def run_program(
    workers: Any,
    addresses: Iterable[str],
    processes: Mapping[str, Any],
    rest: Mapping[str, Any],
) -> None:
    """Run the calling program as workers. A failure ends it with the exit
    status, after its line."""
    options = dict(processes) | {"workers": workers}
    shared = ("backlog", "socket_mode", "graceful_timeout")
    options |= {key: rest[key] for key in shared if key in rest}
    allow = rest.get("allow_from")
    if allow is not None:
        options["allow_from"] = allow if isinstance(allow, str) else ",".join(allow)
    level = rest.get("log_level") or "info"
    place = os.path.dirname(os.path.abspath(sys.argv[0]))
    status = supervise(program_command(), list(addresses), options, level, lambda: [place])
    if status:
        sys.exit(status)


def _own(options: Mapping[str, Any], *more: str) -> dict[str, Any]:
    """The keywords of the core."""
    return {key: options[key] for key in (*OWN, *SHARED, *more) if key in options}


def check(addresses: Sequence[str], options: Mapping[str, Any], source: _core.Options) -> int:
    """Say on stderr what would keep a supervisor from starting: 1; 0 when
    nothing would."""
    return _core.supervise(
        command=[_interpreter()],
        bind=list(addresses),
        check_config=True,
        options=source,
        **_own(options, "chdir"),
    )


def supervise(
    command: Sequence[str],
    addresses: Sequence[str],
    options: Mapping[str, Any],
    log_level: str = "info",
    roots: Callable[[], Iterable[str]] = lambda: (),
    source: _core.Options | None = None,
) -> int:
    """Run a supervisor of `command` until it is stopped: its exit status.

    `options` are those of OWN, SHARED and RELOADING, by their keys, without
    those that were not given; `roots` says which directories --reload watches,
    once the working directory is the right one. A reload reads `source` again.
    """
    if threading.active_count() > 1 or threading.current_thread() is not threading.main_thread():
        raise SupervisorError(
            "workers need the main thread, and no other that runs: a supervisor takes the signals "
            "of the whole process"
        )
    own = _own(options)
    if source is not None:
        own["options"] = source
    directory = options.get("chdir")
    if directory:
        own["chdir"] = directory
    watcher = None
    if options.get("reload"):
        base = os.path.abspath(directory or ".")
        extra = options.get("reload_extra_file") or ()
        watcher = Watcher(
            [os.path.join(base, root) for root in roots()],
            [os.path.join(base, path) for path in ((extra,) if isinstance(extra, str) else extra)],
            options.get("reload_engine") or "auto",
        )
        watcher.start()
    try:
        return _core.supervise(
            command=list(command),
            restart=list(command),
            bind=list(addresses),
            log_level=log_level,
            **own,
        )
    finally:
        if watcher is not None:
            watcher.stop()
