# SPDX-License-Identifier: MIT
"""Raise an exception in another thread, where that thread's own code catches it.

``PyThreadState_SetAsyncExc`` raises at the next look at the eval breaker, which
may be the jump back of a loop. CPython 3.11 to 3.13 leave some of these jumps
out of the exception table (python/cpython issues 108214 and 130279): what is
raised there passes by the ``except``, ``finally`` and ``with`` around the loop.
Where a frame has such a jump, `sys.monitoring` raises at another instruction.
"""

from __future__ import annotations

import dis
import os
import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from . import _core

LOOKS = 50  # For a better place, where there is no sys.monitoring.
LOOK_SECONDS = 0.001  # From one of them to the next.
TOOLS = (4, 3)  # Numbers of sys.monitoring that no kind of tool has for itself.

monitoring: Any = getattr(sys, "monitoring", None)  # Since CPython 3.12.
_lock = threading.Lock()
_armed: dict[int, _Armed] = {}  # By thread.


def _renew_lock() -> None:
    """In a fork, where the thread that has it may be missing."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _numbers(table: bytes) -> Iterator[int]:
    """The numbers of an exception table: six bits a byte, 0x40 if more follow."""
    value = 0
    for byte in table:
        value = value << 6 | byte & 0x3F
        if not byte & 0x40:
            yield value
            value = 0


def _handlers(code: CodeType) -> list[tuple[range, int]]:
    """Which instructions have which handler, by their offsets in bytes."""
    numbers = _numbers(getattr(code, "co_exceptiontable", b""))
    return [
        (range(2 * start, 2 * (start + length)), 2 * target)
        for start, length, target, _ in zip(numbers, numbers, numbers, numbers, strict=False)
    ]


def bare_jumps(code: CodeType) -> dict[int, range]:
    """The loops whose jump back has another handler than their beginning has: the
    offset of each jump, and what it jumps over."""
    handlers = _handlers(code)

    def handler(offset: int) -> int | None:
        return next((target for covered, target in handlers if offset in covered), None)

    jumps = (i for i in dis.get_instructions(code) if i.opcode in (*dis.hasjrel, *dis.hasjabs))
    return {
        jump.offset: range(jump.argval, jump.offset)
        for jump in (jumps if handlers else ())
        if jump.argval <= jump.offset and handler(jump.argval) not in (None, handler(jump.offset))
    }


def _frames(thread: int, outermost: CodeType) -> list[FrameType]:
    """The frames of a thread, the innermost first, up to the one of that code."""
    frames = []
    frame = sys._current_frames().get(thread)
    while frame is not None:
        frames.append(frame)
        if frame.f_code is outermost:
            return frames
        frame = frame.f_back
    return []


class _Armed:
    """A thread that is to raise at the next instruction that is good for it."""

    def __init__(self, tool: int, frames: list[FrameType]) -> None:
        self._tool = tool
        self._bad = {frame.f_code: bare_jumps(frame.f_code) for frame in frames}

    def raises_at(self, code: CodeType, offset: int) -> bool:
        return code in self._bad and offset not in self._bad[code]

    def watch(self) -> None:
        for code in self._bad:
            monitoring.set_local_events(self._tool, code, monitoring.events.INSTRUCTION)

    def unwatch(self) -> None:
        for code in self._bad:
            monitoring.set_local_events(self._tool, code, 0)
        for other in _armed.values():
            other.watch()


def _on_instruction(code: CodeType, offset: int) -> None:
    thread = threading.get_ident()
    armed = _armed.get(thread)
    if armed is not None and armed.raises_at(code, offset):
        cancel(thread)
        raise _core.Aborted


def _tool() -> int | None:
    """Our number in sys.monitoring; None where none is free."""
    for number in TOOLS:
        name = monitoring.get_tool(number)
        if name is None:
            monitoring.use_tool_id(number, __name__)
            monitoring.register_callback(number, monitoring.events.INSTRUCTION, _on_instruction)
            return number
        if name == __name__:
            return number
    return None


def _arm(thread: int, frames: list[FrameType]) -> bool:
    with _lock:
        tool = _tool()
        if tool is None:
            return False
        _armed[thread] = armed = _Armed(tool, frames)
        armed.watch()
        return True


def _is_stuck(frame: FrameType) -> bool:
    """Whether it is in a loop that is a jump to itself and nothing to raise at."""
    over = bare_jumps(frame.f_code).get(frame.f_lasti)
    return over is not None and len(over) == 0


def raise_aborted(thread: int, outermost: CodeType) -> None:
    """Raise Aborted in the thread, inside the frame of ``outermost``."""
    for _ in range(LOOKS):
        frames = _frames(thread, outermost)
        if not any(bare_jumps(frame.f_code) for frame in frames) or _is_stuck(frames[0]):
            break
        if monitoring is not None and _arm(thread, frames):
            return
        if frames[0].f_lasti not in bare_jumps(frames[0].f_code):
            break
        time.sleep(LOOK_SECONDS)
    _core.raise_in_thread(thread, _core.Aborted)


def cancel(thread: int) -> None:
    """Raise nothing any more in the thread by which this is called."""
    _core.raise_in_thread(thread, None)
    with _lock:
        armed = _armed.pop(thread, None)
        if armed is not None:
            armed.unwatch()
