# SPDX-License-Identifier: MIT
"""Kill workers under load, again and again.

`./dev soak kills` runs it: workers behind nginx, one of them killed every moment.
It says how long it took until another one was started instead, how many
requests failed (those that the worker had) and whether descriptors leak. The
exit status is 1 when one worker in a hundred was not replaced within 100 ms, when
more failed than the workers can have had, or when something leaks.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from support.reload import Stage, under_load, worker_command

WORKERS = 8
CLIENTS = 16
GROWN_UP = 1.1  # Seconds after which a death is no early one.


def kill_one(stage: Stage, ages: dict[int, float]) -> float:
    """Kill the oldest worker once it is grown up; seconds until there is another."""
    workers = stage.supervisor.workers()
    oldest = min(workers, key=lambda pid: ages.setdefault(pid, time.monotonic()))
    time.sleep(max(0.0, ages[oldest] + GROWN_UP - time.monotonic()))
    start = time.monotonic()
    os.kill(oldest, signal.SIGKILL)
    while not (new := stage.supervisor.workers() - workers):
        if time.monotonic() > start + 10:
            sys.exit(f"no worker in the place of {oldest}:\n{stage.supervisor.output()[-2000:]}")
        time.sleep(0.001)
    ages.update(dict.fromkeys(new, time.monotonic()))
    return time.monotonic() - start


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("*f*cgi*")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak kills")
    parser.add_argument("--kills", type=int, default=1000, help="how many (1000)")
    kills = parser.parse_args().kills
    directory = Path(tempfile.mkdtemp(prefix="fastcgi-soak-"))
    options = ["--workers", str(WORKERS), "--log-level", "info"]
    shm = shared_memory()
    try:
        with under_load("nginx closed", directory, worker_command("c"), *options) as stage:
            ages: dict[int, float] = {}
            files = stage.supervisor.descriptors()
            times = sorted(kill_one(stage, ages) for _ in range(kills))
            result = stage.load.finish()
            leaked = stage.supervisor.descriptors() - files
            rss = stage.supervisor.rss_bytes()
    finally:
        shutil.rmtree(directory)
    leaked += len(shared_memory() - shm)
    print(f"{kills} kills, {result.requests} requests, {result.failed} failed")
    median, most, longest = (times[int(kills * part)] for part in (0.5, 0.99, 1 - 1e-9))
    print(
        f"another worker after {median * 1000:.0f} ms (median), {most * 1000:.0f} ms (99 %), "
        f"{longest * 1000:.0f} ms (longest)"
    )
    print(f"{leaked} descriptors and segments leaked, {rss >> 10} KiB in memory")
    return 1 if leaked or most > 0.1 or result.failed > kills * CLIENTS // 2 else 0


if __name__ == "__main__":
    sys.exit(main())
