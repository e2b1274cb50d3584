# SPDX-License-Identifier: MIT
"""Stop a server on the signals that ask for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import _core


@contextmanager
def stop_on_signals(server: _core.Server, graceful_timeout: float | None = None) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT stop ``server`` gracefully, a second
    one or the end of ``graceful_timeout`` at once, SIGQUIT at once. SIGUSR1
    reopens its logs, unless the program has a use for it.

    Elsewhere than in the main thread of the main interpreter it does nothing.
    """
    received = 0
    timer: threading.Timer | None = None

    def hurry() -> None:
        server.stop(graceful=False)

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received, timer
        received += 1
        graceful = received == 1 and number != signal.SIGQUIT
        server.stop(graceful=graceful)
        if graceful and graceful_timeout is not None:
            timer = threading.Timer(graceful_timeout, hurry)
            timer.daemon = True
            timer.start()

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
        yield
    finally:
        if timer is not None:
            timer.cancel()
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
