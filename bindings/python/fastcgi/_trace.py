# SPDX-License-Identifier: MIT
"""What a thread is doing, for the slow log."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import traceback

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


def stack(thread: int) -> str:
    """The stack of a thread, with the user's own frames first; "" when it runs
    no Python. Each frame has its depth: 0 is what runs now.
    """
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    calls = list(enumerate(reversed(traceback.extract_stack(frame))))
    libraries = _libraries()
    calls.sort(key=lambda call: not _is_users(call[1], libraries))
    return "\n".join(
        f"#{depth} {call.filename}:{call.lineno}, in {call.name}: {call.line or ''}"
        for depth, call in calls[:FRAMES]
    )
