# SPDX-License-Identifier: MIT
"""What ends a program, and not only a request."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType
from typing import NoReturn


def end_fork(error: BaseException | None) -> NoReturn:
    """End a child that a handler on a thread has forked, as the main thread's end
    would: there is none."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else error.code is not None
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    elif error is not None:
        status = 1
        sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status & 0xFF)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def traceable_interrupts() -> Iterator[None]:
    """Within the block Python's own KeyboardInterrupt has a frame of Python code,
    by which ``from_signal`` knows it. Other handlers of SIGINT are left alone."""
    installed = False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with suppress(ValueError):  # Not the main thread, where none runs.
            signal.signal(signal.SIGINT, _interrupt)
            installed = True
    try:
        yield
    finally:
        if installed and signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _code(handler: object) -> CodeType | None:
    """The code of a handler: a function, a method, a partial or an object."""
    if not callable(handler):
        return None
    handler = getattr(handler, "func", handler)
    found = getattr(handler, "__code__", None)
    return found or getattr(type(handler).__call__, "__code__", None)


def from_signal(error: BaseException) -> bool:
    """Whether a handler of a signal raised it, or what it was raised from: a
    frame of the handler is in the traceback then. They run in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return False
    codes = {_code(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    seen: set[int] = set()
    chain: BaseException | None = error
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        step = chain.__traceback__
        while step is not None:
            if step.tb_frame.f_code in codes:
                return True
            step = step.tb_next
        chain = chain.__context__
    return False
