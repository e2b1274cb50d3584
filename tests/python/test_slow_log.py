# SPDX-License-Identifier: MIT
"""The slow log names the user's own code first."""

from __future__ import annotations

import json
import os
import threading
import time

from support.fcgi_client import fetch


def told(log, what):
    """The lines after "slow request", once they have come."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        _, found, rest = log.read_text().partition("slow request: ")
        if found and what in rest and rest.count("#") > 3:
            return [line.partition("  #")[2] for line in rest.splitlines() if "  #" in line]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def descend(depth, wait):
    return wait() if depth == 0 else descend(depth - 1, wait)


def test_the_users_frames_come_first(serve, tmp_path):
    done = threading.Event()

    class Slow:
        def __str__(self):
            descend(2, lambda: done.wait(60))
            return "slow"

    def handler(request):
        return 200, {}, json.dumps(Slow(), default=str)

    log = tmp_path / "error.log"
    log.touch()
    serving = serve(handler, slow_log=0.1, error_logfile=str(log))
    thread = threading.Thread(target=fetch, args=(serving.address,))
    thread.start()
    try:
        lines = told(log, "in handler")
    finally:
        done.set()
        thread.join()
    mine = [line for line in lines if os.path.dirname(__file__) in line]
    assert lines[: len(mine)] == mine, "the user's frames are first"
    names = [line.partition(", in ")[2].partition(":")[0] for line in mine]
    assert names[:6] == ["<lambda>", "descend", "descend", "descend", "__str__", "handler"]
    assert mine[0].endswith("in <lambda>: descend(2, lambda: done.wait(60))")
    depths = [int(line.split()[0]) for line in lines]
    assert depths[: len(mine)] == sorted(depths[: len(mine)])
    assert "threading.py" in lines[len(mine)], "what it waits in"
    assert depths[len(mine)] == 0


def test_a_deep_stack_is_cut_at_its_far_end(serve, tmp_path):
    done = threading.Event()

    def handler(request):
        descend(300, lambda: done.wait(60))
        return 200, {}, b""

    log = tmp_path / "error.log"
    log.touch()
    serving = serve(handler, slow_log=0.1, error_logfile=str(log))
    thread = threading.Thread(target=fetch, args=(serving.address,))
    thread.start()
    try:
        lines = told(log, "<lambda>")
    finally:
        done.set()
        thread.join()
    assert "in <lambda>" in lines[0]
