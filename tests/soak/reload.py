# SPDX-License-Identifier: MIT
"""Reload again and again under load, and count what is lost.

`./dev soak reload` runs it: Python and Lua workers behind nginx, with kept and
with new connections, and behind HAProxy, which shares connections. A quarter of
the reloads find a broken new version. One line for each; the last one sums up,
and the exit status is 1 when any request has failed. With --close the workers
close their connections as other programs do, instead of passing them on.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from support.fcgi_client import wait_until
from support.load import Result
from support.reload import FRONTS, Stage, under_load, worker_command


def seen(stage: Stage, text: str) -> int:
    return stage.supervisor.output().count(text)


def hang_up(stage: Stage, text: str) -> None:
    """SIGHUP, and the line of the log that tells how it went."""
    before = seen(stage, text)
    os.kill(stage.supervisor.pid, signal.SIGHUP)
    wait_until(lambda: seen(stage, text) > before, 60, text)


def reload_often(stage: Stage, flag: Path, reloads: int, seconds: float) -> None:
    """So many reloads, spread over the time; each fourth finds the flag."""
    pause = seconds / reloads
    for number in range(reloads):
        end = time.monotonic() + pause
        if number % 4 == 3:
            flag.touch()
            hang_up(stage, "goes on serving")
            flag.unlink()
        else:
            hang_up(stage, " is ready after ")
            wait_until(lambda: len(stage.supervisor.workers()) == 2, 60, "the old ones to stop")
        time.sleep(max(0.0, end - time.monotonic()))


def breakable(directory: Path, command: list[str], flag: Path) -> list:
    """The command, which fails to start while the flag is there."""
    script = directory / "application"
    script.write_text(f'#!/bin/sh\n[ -e "{flag}" ] && exit 1\nexec "$@"\n')
    script.chmod(0o755)
    return [script, *command]


def run(language: str, kind: str, reloads: int, seconds: float, close: bool) -> Result:
    directory = Path(tempfile.mkdtemp(prefix="fastcgi-soak-"))
    flag = directory / "broken"
    command = breakable(directory, worker_command(language), flag)
    if close:
        command = ["env", "-u", "FASTCGI_HANDOVER", *command]
    try:
        with under_load(kind, directory, command, "--log-level", "info") as stage:
            files = stage.supervisor.descriptors()
            reload_often(stage, flag, reloads, seconds)
            result = stage.load.finish()
            assert stage.supervisor.descriptors() == files, "descriptors leak"
            return result
    finally:
        shutil.rmtree(directory)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak reload")
    add = parser.add_argument
    add("--reloads", type=int, default=102, help="in all (102)")
    add("--seconds", type=float, default=300, help="in all (300)")
    add("--requests", type=int, default=1_000_000, help="at least, or it fails (1000000)")
    add("--close", action="store_true", help="do not pass connections on, for comparison")
    args = parser.parse_args()
    cases = [(language, kind) for language in ("python", "lua") for kind in FRONTS]
    share = max(1, args.reloads // len(cases))
    print("workers  front            reloads  requests failed silence ms")
    requests = failed = 0
    for language, kind in cases:
        result = run(language, kind, share, args.seconds / len(cases), args.close)
        requests += result.requests
        failed += result.failed
        print(
            f"{language:8} {kind:16} {share:7} {result.requests:9} {result.failed:6} "
            f"{result.silence_ms:10} {result.first_failure}",
            flush=True,
        )
    print(f"{'all':8} {'':16} {share * len(cases):7} {requests:9} {failed:6}")
    if requests < args.requests:
        print(f"fewer than {args.requests} requests: give it more --seconds", file=sys.stderr)
    return 1 if failed or requests < args.requests else 0


if __name__ == "__main__":
    sys.exit(main())
