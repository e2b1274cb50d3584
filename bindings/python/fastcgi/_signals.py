# SPDX-License-Identifier: MIT
"""Stop a server on the signals that ask for it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import _core


@contextmanager
def _heeded(server: _core.Server) -> Iterator[None]:
    """Within the block a thread that needs no interpreter learns of signals,
    and ends the process where handlers do not let it stop. An application that
    has taken Python's wakeup descriptor keeps it."""
    # A fork has copies, and its signals are written to the same place: a socket
    # tells who has sent it.
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    if hasattr(socket, "SO_PASSCRED"):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        if before != -1:
            signal.set_wakeup_fd(before)
            yield
            return
        server._heed(reader.fileno())
        try:
            yield
        finally:
            server._heed_no_more()
            if (other := signal.set_wakeup_fd(-1)) not in (writer.fileno(), -1):
                signal.set_wakeup_fd(other)
    finally:
        reader.close()
        writer.close()


# What a supervisor, systemd or a starter like them says to this process alone.
PERSONAL = (
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "FASTCGI_HANDOVER",
    "FASTCGI_SCOREBOARD",
    "FASTCGI_SUPERVISOR",
    "FASTCGI_UPGRADE",
    "FASTCGI_UPGRADE_NOTIFY",
    "FASTCGI_BASE_DIR",
    "FASTCGI_FILE_OPTIONS",
)


def forget_starter() -> None:
    """Take that out of the environment of the programs that handlers start; the
    server has heard it."""
    for name in PERSONAL:
        os.environ.pop(name, None)


@contextmanager
def stop_on_signals(server: _core.Server) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT stop ``server`` gracefully, a second
    one or the end of its ``graceful_timeout`` at once, SIGQUIT at once; where
    handlers do not return then, the process ends half a second later. SIGUSR1
    reopens its logs, unless the program has a use for it.

    Elsewhere than in the main thread of the main interpreter it does nothing.
    """
    received = 0
    previous: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if server.forked:
            do_default(number, frame)
            return
        received += 1
        graceful = received == 1 and number != signal.SIGQUIT
        server.stop(graceful=graceful)

    def reopen(number: int, frame: FrameType | None) -> None:
        if server.forked:
            do_default(number, frame)
        else:
            server.reopen_logs()

    def do_default(number: int, frame: FrameType | None) -> None:
        """What a child that a handler has forked does: as without a server."""
        before = previous.get(number, signal.SIG_DFL)
        signal.signal(number, signal.SIG_DFL if before is None else before)
        if callable(before):
            before(number, frame)
        else:
            os.kill(os.getpid(), number)

    supervised = "FASTCGI_SUPERVISOR" in os.environ
    try:
        if supervised and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            # Ignored for its supervisor's sake: what handlers start shall not.
            previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            previous[number] = signal.signal(number, handle)
        if signal.getsignal(signal.SIGUSR1) in (signal.SIG_DFL, signal.SIG_IGN):
            previous[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, reopen)
    except ValueError:  # Not the main thread: its handlers stay as they are.
        pass
    try:
        with _heeded(server) if previous else contextlib.nullcontext():
            yield
    finally:
        for taken, handler in previous.items():
            signal.signal(taken, signal.SIG_DFL if handler is None else handler)
