# SPDX-License-Identifier: MIT
"""What a request costs, by hand and with SWIG: python cost.py [ROUNDS [SECONDS]]

Each smallest example, on one thread, answers `fcgi bench` on four kept
connections, with one request at once on each and then with 64, in rounds that go
through all of them; printed are, for both, the median of its requests a second
and of its own processor time for one. Build with the
preset `release` and FCGI_BUILD_SWIG, and name it in FASTCGI_BUILD.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from support.paths import BUILD, SOURCE
from support.process import Process
from swig.languages import LANGUAGES, TREE, command

EXAMPLES = SOURCE / "examples"
TICK = os.sysconf("SC_CLK_TCK")
BY_HAND = {
    "C": [str(BUILD / "examples" / "c" / "hello")],
    "Python": [
        "env",
        f"PYTHONPATH={BUILD}/python",
        sys.executable,
        str(EXAMPLES / "python/hello.py"),
    ],
    "Lua": ["env", f"LUA_CPATH={BUILD}/lua/?.so", "lua5.4", str(EXAMPLES / "lua/pull.lua")],
}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def measure(address: str, pid: int, seconds: float, depth: int) -> tuple[float, float]:
    """Requests a second, and microseconds of processor time for one."""
    tool = [BUILD / "tools" / "fcgi", "bench", address, "--json"]
    words = [*tool, "-c", "4", "-m", str(depth), "-d", str(seconds)]
    before = cpu_seconds(pid)
    done = subprocess.run(words, capture_output=True, check=True)
    result = json.loads(done.stdout)
    return result["rate"], (cpu_seconds(pid) - before) / result["right"] * 1e6


def programs() -> dict[str, list[str]]:
    found = {f"{name}, by hand": words for name, words in BY_HAND.items()}
    for name in LANGUAGES:
        hello = EXAMPLES / name / ("hello_swig" if name in ("python", "lua") else "hello")
        if (TREE / name).exists():
            found[f"{name.capitalize()}, SWIG"] = command(name, hello)
    return found


def main(rounds: float = 5, seconds: float = 2) -> None:
    found = defaultdict(list)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        running = {}
        for number, (name, words) in enumerate(programs().items()):
            address = f"unix:{folder}/{number}"
            log = Path(folder) / f"{number}.log"
            running[name] = (address, stack.enter_context(Process([*words, address], log)))
            running[name][1].wait_for_address(address)
        for _ in range(int(rounds)):
            for name, (address, process) in running.items():
                found[name].append(
                    measure(address, process.pid, seconds, 1)
                    + measure(address, process.pid, seconds, 64)
                )
    for name, results in found.items():
        rate, cost, deep_rate, deep_cost = map(median, zip(*results, strict=True))
        print(f"{name:20}{rate:9,.0f} /s{cost:7.2f} us{deep_rate:12,.0f} /s{deep_cost:7.2f} us")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
