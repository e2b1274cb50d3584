# SPDX-License-Identifier: MIT
"""Stop a server on the signals that ask for it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import _core

MOST_MS = 2**31 - 1
_pipes: set[int] = set()  # The ends that signals are written to.


def _forget() -> None:
    """In a forked child: what it is sent is not for its parent."""
    if not _pipes:
        return
    with contextlib.suppress(ValueError):
        other = signal.set_wakeup_fd(-1)
        if other not in _pipes and other != -1:
            signal.set_wakeup_fd(other)


os.register_at_fork(after_in_child=_forget)


@contextmanager
def _heeded(server: _core.Server, graceful_timeout: float | None) -> Iterator[None]:
    """Within the block a thread that needs no interpreter learns of signals,
    and ends the process where handlers do not let it stop. An application that
    has taken Python's wakeup descriptor keeps it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        if before != -1:
            signal.set_wakeup_fd(before)
            yield
            return
        most = 0 if graceful_timeout is None else graceful_timeout * 1000
        server._heed(reader, math.ceil(min(max(most, 0), MOST_MS)))
        _pipes.add(writer)
        try:
            yield
        finally:
            server._heed_no_more()
            _pipes.discard(writer)
            if (other := signal.set_wakeup_fd(-1)) not in (writer, -1):
                signal.set_wakeup_fd(other)
    finally:
        os.close(reader)
        os.close(writer)


@contextmanager
def stop_on_signals(server: _core.Server, graceful_timeout: float | None = None) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT stop ``server`` gracefully, a second
    one or the end of ``graceful_timeout`` at once, SIGQUIT at once; where
    handlers do not return then, the process ends half a second later. SIGUSR1
    reopens its logs, unless the program has a use for it.

    Elsewhere than in the main thread of the main interpreter it does nothing.
    """
    received = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        graceful = received == 1 and number != signal.SIGQUIT
        server.stop(graceful=graceful)

    def reopen(number: int, frame: FrameType | None) -> None:
        server.reopen_logs()

    previous = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            previous[number] = signal.signal(number, handle)
        if signal.getsignal(signal.SIGUSR1) in (signal.SIG_DFL, signal.SIG_IGN):
            previous[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, reopen)
    except ValueError:  # Not the main thread: its handlers stay as they are.
        pass
    try:
        with _heeded(server, graceful_timeout) if previous else contextlib.nullcontext():
            yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
