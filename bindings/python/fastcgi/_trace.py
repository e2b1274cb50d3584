# SPDX-License-Identifier: MIT
"""What a thread is doing, for the slow log."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._exchange import Exchange

OURS = os.path.dirname(__file__)
FRAMES = 40  # More of one stack are left out: the log has room for so many lines.


def _libraries() -> tuple[str, ...]:
    """Where code lies that the user has not written."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = {OURS, *paths, *site.getsitepackages(), site.getusersitepackages()}
    return tuple(os.path.join(path, "") for path in found if path)


def _is_users(frame: traceback.FrameSummary, libraries: tuple[str, ...]) -> bool:
    path = os.path.abspath(frame.filename)
    return not (frame.filename.startswith("<") or path.startswith(libraries))


def _awaited(step: Any) -> Iterator[tuple[FrameType, int]]:
    """The frames of a coroutine that waits, the innermost last."""
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None)
        frame = frame or getattr(step, "ag_frame", None)
        if frame is not None:
            yield frame, frame.f_lineno
        for name in ("cr_await", "gi_yieldfrom", "ag_await"):
            if hasattr(step, name):
                step = getattr(step, name)
                break
        else:
            return


def _calls(thread: int, exchange: Exchange | None) -> traceback.StackSummary | None:
    """Of the task of a request that waits, or else of the thread."""
    task = None if exchange is None else exchange.task
    coroutine: Any = None if task is None else task.get_coro()
    if coroutine is not None and not coroutine.cr_running:
        return traceback.StackSummary.extract(_awaited(coroutine))
    frame = sys._current_frames().get(thread)
    return None if frame is None else traceback.extract_stack(frame)


def stack(thread: int, exchange: Exchange | None = None) -> str:
    """The stack of a thread, or of a task that waits in it, with the user's own frames
    first; "" when it runs no Python. Each frame has its depth: 0 is what runs now.
    """
    found = _calls(thread, exchange)
    if found is None:
        return ""
    calls = list(enumerate(reversed(found)))
    libraries = _libraries()
    calls.sort(key=lambda call: not _is_users(call[1], libraries))
    return "\n".join(
        f"#{depth} {call.filename}:{call.lineno}, in {call.name}: {call.line or ''}"
        for depth, call in calls[:FRAMES]
    )
