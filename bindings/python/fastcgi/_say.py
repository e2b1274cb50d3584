# SPDX-License-Identifier: MIT
"""A line on standard error, from where no server is to log it."""

from __future__ import annotations

import os
import select
import sys

PATIENCE_MS = 1000  # For whoever reads it, all in all.
PIECE = 4096  # Bytes that a pipe takes at once when it takes any (PIPE_BUF).


def say(text: str, patience_ms: int = PATIENCE_MS) -> None:
    """Write it to standard error; what nobody takes within the time is lost."""
    stream = sys.stderr
    if stream is None:
        return
    if stream is not sys.__stderr__:
        stream.write(text)
        stream.flush()
        return
    data = text.encode(errors="backslashreplace")
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    try:
        while data and poll.poll(patience_ms):
            data = data[os.write(2, data[:PIECE]) :]
    except OSError:
        return
