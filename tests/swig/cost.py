# SPDX-License-Identifier: MIT
"""What a request costs its process, by hand and with SWIG: python cost.py [REQUESTS]

Each smallest example answers requests on one kept connection, 100 at a time;
printed is its own processor time for one, the best of five runs. Build with
the preset `release` and FCGI_BUILD_SWIG, and name it in FASTCGI_BUILD.
"""

import os
import sys
import tempfile
from pathlib import Path

from support.fcgi_client import Client, get_params, request
from support.paths import BUILD, SOURCE
from support.process import Process
from swig.languages import LANGUAGES, TREE, command

EXAMPLES = SOURCE / "examples"
TICK = os.sysconf("SC_CLK_TCK")
BATCH, RUNS = 100, 5
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


def ask(client: Client, count: int) -> None:
    ids = range(1, BATCH + 1)
    data = b"".join(request(i, get_params()) for i in ids)
    for _ in range(count // BATCH):
        client.send(data)
        client.responses(ids)


def cost(words: list[str], count: int) -> float:
    """Microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/x"
        with Process([*words, address], Path(folder) / "log") as running:
            running.wait_for_address(address)
            with Client(address) as client:
                ask(client, count // 10)
                found = []
                for _ in range(RUNS):
                    before = cpu_seconds(running.pid)
                    ask(client, count)
                    found.append((cpu_seconds(running.pid) - before) / count * 1e6)
    return min(found)


def main(count: int = 50_000) -> None:
    programs = {f"{name}, by hand": words for name, words in BY_HAND.items()}
    for name in LANGUAGES:
        hello = EXAMPLES / name / ("hello_swig" if name in ("python", "lua") else "hello")
        if (TREE / name).exists():
            programs[f"{name.capitalize()}, SWIG"] = command(name, hello)
    for name, words in programs.items():
        print(f"{name:20}{cost(words, count):6.2f} us", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
