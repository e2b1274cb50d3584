# SPDX-License-Identifier: MIT
"""What a thread is doing, for the slow log."""

from __future__ import annotations

import sys
import traceback


def stack(thread: int) -> str:
    """The stack of a thread, the innermost call last; "" when it runs no Python."""
    frame = sys._current_frames().get(thread)
    return "" if frame is None else "".join(traceback.format_stack(frame))
