# SPDX-License-Identifier: MIT
"""Kept connections, workers and handlers that take their time: who waits for whom.

`./dev soak balance` runs it. One line for each load: right answers a second and which
part they are of what the handlers allow, latency at the median and at 99 %, and how far
the busiest worker is above the mean. The connections are opened one after another, so
that they begin at few workers. With --no-balance they stay there. Where others use the
processors every figure is worse.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

from support.share import nap_command
from support.supervisor import Supervisor
from support.tool import fcgi

# Workers, connections, the handler's word and its milliseconds.
LOADS = [
    (4, 4, "sleep", 20),
    (4, 16, "sleep", 20),
    (8, 32, "sleep", 20),
    (4, 4, "sleep", 5),
    (4, 16, "sleep", 5),
    (4, 16, "sleep", 1),
    (2, 8, "spin", 20),
    (2, 8, "spin", 1),
    (2, 8, "quick", 0),
]


def requests(supervisor: Supervisor) -> list[int]:
    """How many each worker has had."""
    status = json.loads(fcgi("status", "--json", supervisor.pid).stdout)["fastcgi"]
    return [worker["requests"] for worker in status["workers"]]


def moved(supervisor: Supervisor) -> int:
    status = json.loads(fcgi("status", "--json", supervisor.pid).stdout)["fastcgi"]
    return status["total"]["moved"]


def measure(supervisor: Supervisor, workers: int, connections: int, uri: str, seconds: float):
    """One load after a moment of it: what `fcgi bench` says, and requests by worker."""
    words = ("--json", "--any-answer", "-c", connections, "--uri", uri)
    fcgi("bench", supervisor.address, *words, "-d", 0.5)
    before = requests(supervisor)
    result = json.loads(fcgi("bench", supervisor.address, *words, "-d", seconds).stdout)
    counts = [after - first for after, first in zip(requests(supervisor), before, strict=True)]
    return result, counts


def run(load: tuple, options: argparse.Namespace) -> dict:
    workers, connections, word, ms = load
    directory = Path(tempfile.mkdtemp(prefix="fastcgi-soak-"))
    extra = ["--no-balance"] if options.no_balance else []
    command = nap_command("c")
    try:
        with Supervisor(directory, command, *extra, workers=workers) as supervisor:
            supervisor.ready()
            uri = f"/?{word}={ms}"
            result, counts = measure(supervisor, workers, connections, uri, options.seconds)
            moves = moved(supervisor)
    finally:
        shutil.rmtree(directory)
    busy = min(connections, workers)
    if word == "spin":
        busy = min(busy, os.cpu_count() or 1)
    ideal = 1000 * busy / ms if ms else None
    latency = result["latency_us"]
    return {
        "workers": workers,
        "connections": connections,
        "handler": word,
        "ms": ms,
        "rate": result["rate"],
        "part": result["rate"] / ideal if ideal else None,
        "p50": latency["p50"] / 1000,
        "p99": latency["p99"] / 1000,
        "spread": max(counts) * len(counts) / sum(counts) - 1,
        "moved": moves,
        "wrong": result["requests"] - result["right"],
    }


HEAD = "workers connections handler    ms     req/s   part   p50 ms   p99 ms  spread  moved  wrong"


def line(found: dict) -> str:
    part = f"{found['part']:.2f}" if found["part"] is not None else ""
    return (
        f"{found['workers']:7} {found['connections']:11} {found['handler']:8} {found['ms']:4} "
        f"{found['rate']:9,.0f} {part:>6} {found['p50']:8.1f} {found['p99']:8.1f} "
        f"{found['spread']:7.1%} {found['moved']:6} {found['wrong']:6}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--no-balance", action="store_true")
    options = parser.parse_args()
    print(HEAD)
    for load in LOADS:
        print(line(run(load, options)), flush=True)


if __name__ == "__main__":
    main()
