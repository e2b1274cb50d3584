# SPDX-License-Identifier: MIT
"""An estimate, from what two processors show, of what one process does on 64.

Each request changes a few lines of the cache that all threads share, and holds the lock
of the poller's list in the kernel. Both happen one after another, however many processors
there are; everything else is a thread's own.
"""

import json
import textwrap
from statistics import median

from measure import output
from sandbox import APPS, Failed, Site, compiled

PROCESSORS = (1, 2, 4, 8, 16, 32, 64)
# What threads that take a request from the poller change: core/server/loop.c, wait_once.
SHARED = {"the number of threads that wait": 2, "the time of the last look": 1}
MOST_SECONDS = 60


def measure(site: Site) -> dict:
    """Nanoseconds of one change of a shared line, and of the poller's lock."""
    lines = compiled("lines", "cc", "-O2", "-D_GNU_SOURCE", APPS / "lines.c", "-lpthread")
    done = output([lines], MOST_SECONDS)
    if done.returncode:
        raise Failed("it needs two processors")
    return json.loads(done.stdout)


def rates(found: dict, cpu_us: float, processors: int) -> dict[str, float]:
    """Requests a second that each thing allows, by its name."""
    return {
        "the processors": processors / cpu_us * 1e6,
        "shared lines": 1e9 / (sum(SHARED.values()) * found["line_ns"]),
        "the poller's lock": 1e9 / found["epoll_ns"],
    }


def section(found: dict, samples: list[dict]) -> list[str]:
    """Of the document, where there are samples of the CPU of one request."""
    cpu_us = median(sample["cpu_us"] for sample in samples)
    lines = [
        "",
        "## Estimate: one process on 64 processors",
        "",
        "| processors | requests a second, at most | limited by |",
        "|--:|--:|---|",
    ]
    for processors in PROCESSORS:
        allowed = rates(found, cpu_us, processors)
        least = min(allowed, key=allowed.__getitem__)
        lines.append(f"| {processors} | {allowed[least]:,.0f} | {least} |")
    changes = ", ".join(f"{name} ({times})" for name, times in SHARED.items())
    text = (
        "`./dev bench model` calculates this; nobody has measured it. It says what the C server "
        f"could do if only three things held it up: its {cpu_us:.1f} µs of CPU for a request; the "
        f"changes of lines that all threads share ({changes}), of which two processors make one in "
        f"{found['line_ns']:.0f} ns; and the lock of the poller's list in the kernel, which one "
        f"call of epoll_wait(2) holds for at most {found['epoll_ns']:.0f} ns. Lines take longer to "
        "travel between many processors, so real figures are lower. Several processes "
        "(`fcgi run --workers`) share neither."
    )
    return [*lines, "", *textwrap.wrap(text, 95)]
