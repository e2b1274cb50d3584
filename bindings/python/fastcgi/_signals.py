# SPDX-License-Identifier: MIT
"""Stop a server on the signals that ask for it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from . import _core


@contextmanager
def _heeded(server: _core.Server) -> Iterator[bool]:
    """Within the block a thread that needs no interpreter learns of signals,
    and ends the process where handlers do not let it stop: True. An application
    that has taken Python's wakeup descriptor keeps it, and there is no such
    thread: False."""
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
            yield False
            return
        server._heed(reader.fileno())
        try:
            yield True
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


class _Forks(threading.local):
    """What a child that a handler forks does about the signals of a server.

    Nothing is left to the handlers of Python: they run between two instructions
    of an interpreter, and a child that begins to wait in C just then would never
    hear of its SIGTERM. So its dispositions are those from before the server from
    its first instruction on, and until then the signals wait. Python's hooks have
    no end, so they are registered once.
    """

    previous: ClassVar[dict[int, Any]] = {}  # What servers have replaced, of all threads.
    mask: Any = None  # Of the thread that forks.

    def take(self, previous: dict[int, Any]) -> list[int]:
        """Note what was there before; of servers within servers, the outermost."""
        taken = [number for number in previous if number not in self.previous]
        for number in taken:
            # SIGHUP was ignored for the sake of a supervisor, which the child has not.
            before = signal.SIG_DFL if number == signal.SIGHUP else previous[number]
            self.previous[number] = before
        return taken

    def give_back(self, taken: list[int]) -> None:
        for number in taken:
            self.previous.pop(number, None)

    def before(self) -> None:
        if self.previous:
            self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.previous.keys())

    def in_parent(self) -> None:
        mask, self.mask = self.mask, None
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def in_child(self) -> None:
        with contextlib.suppress(ValueError):  # In an interpreter that is not the main one.
            for number, handler in self.previous.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self.previous.clear()
        self.in_parent()


_forks = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_forks.before,
        after_in_parent=_forks.in_parent,
        after_in_child=_forks.in_child,
    )


@contextmanager
def stop_on_signals(server: _core.Server) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT stop ``server`` gracefully, a second
    one or the end of its ``graceful_timeout`` at once, SIGQUIT at once; where
    handlers do not return then, the process ends half a second later. SIGUSR1
    reopens its logs, unless the program has a use for it.

    Elsewhere than in the main thread of the main interpreter it does nothing.
    """
    received = 0
    heeded = False
    previous: dict[int, Any] = {}

    # The thread knows which signals are a second wish: the kernel sends several
    # where a supervisor with several threads is killed.
    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        first = received == 1 or heeded
        server.stop(graceful=first and number != signal.SIGQUIT)

    def reopen(_number: int, _frame: FrameType | None) -> None:
        server.reopen_logs()

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
    taken = _forks.take(previous)
    try:
        with _heeded(server) if previous else contextlib.nullcontext(False) as heeded:
            yield
    finally:
        _forks.give_back(taken)
        for replaced, handler in previous.items():
            signal.signal(replaced, signal.SIG_DFL if handler is None else handler)
