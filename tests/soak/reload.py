# SPDX-License-Identifier: MIT
"""Reload again and again under load, and count what is lost and who waits.

`./dev soak reload` runs it: Python and Lua workers behind nginx, with kept and
with new connections, and behind HAProxy, which shares connections, with 1, 2, 6
and 16 clients each. A quarter of the reloads find a broken new version. One line
for each, with the longest time that each client was without a right answer; the
last one sums up. The exit status is 1 when any request has failed, or when a
client was without an answer for longer than --silence, which is meant for a quiet
machine. With --close the workers close their connections as other programs do,
instead of passing them on.
"""

import argparse
import itertools
import os
import random
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


def reload_often(stage: Stage, flag: Path, reloads: int, pauses: tuple[float, float]) -> None:
    """So many reloads, each a random time after the one before; each fourth
    finds the flag."""
    for number in range(reloads):
        end = time.monotonic() + random.uniform(*pauses)
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


def run(language: str, kind: str, clients: int, reloads: int, args: argparse.Namespace) -> Result:
    directory = Path(tempfile.mkdtemp(prefix="fastcgi-soak-"))
    flag = directory / "broken"
    command = breakable(directory, worker_command(language), flag)
    if args.close:
        command = ["env", "-u", "FASTCGI_HANDOVER", *command]
    try:
        with under_load(kind, directory, command, "--log-level", "info", clients=clients) as stage:
            files = stage.supervisor.descriptors()
            reload_often(stage, flag, reloads, args.pause)
            result = stage.load.finish()
            assert stage.supervisor.descriptors() == files, "descriptors leak"
            return result
    finally:
        shutil.rmtree(directory)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev soak reload")
    add = parser.add_argument
    add("--reloads", type=int, default=216, help="in all (216)")
    add("--pause", type=float, nargs=2, default=(1, 7), help="seconds between them (1 7)")
    add("--clients", type=int, nargs="+", default=[1, 2, 6, 16], help="at once (1 2 6 16)")
    add("--requests", type=int, default=1_000_000, help="at least, or it fails (1000000)")
    add("--silence", type=int, default=100, help="ms without an answer at most (100)")
    add("--close", action="store_true", help="do not pass connections on, for comparison")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    cases = list(itertools.product(("python", "lua"), FRONTS, args.clients))
    share = max(1, args.reloads // len(cases))
    print("workers  front           clients reloads  requests failed  silence of each client, ms")
    requests = failed = silence = 0
    for language, kind, clients in cases:
        result = run(language, kind, clients, share, args)
        requests += result.requests
        failed += result.failed
        silence = max(silence, *result.silences_ms)
        print(
            f"{language:8} {kind:15} {clients:7} {share:7} {result.requests:9} {result.failed:6}  "
            f"{' '.join(map(str, result.silences_ms))} {result.first_failure}",
            flush=True,
        )
    print(f"{'all':32} {share * len(cases):7} {requests:9} {failed:6}  {silence} at most")
    if requests < args.requests:
        print(f"fewer than {args.requests} requests: give it longer pauses", file=sys.stderr)
    if silence > args.silence:
        print(f"a client had no answer for more than {args.silence} ms", file=sys.stderr)
    return 1 if failed or requests < args.requests or silence > args.silence else 0


if __name__ == "__main__":
    sys.exit(main())
