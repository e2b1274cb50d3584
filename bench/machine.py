# SPDX-License-Identifier: MIT
"""What the kernel tells of processes and of the machine, and programs of themselves."""

import contextlib
import os
import platform
import re
import subprocess
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int(stat(int(path.name))[1])
        except (OSError, IndexError):
            continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of a tree, of children that have ended too."""
    total = 0
    for pid in tree(root):
        try:
            total += sum(map(int, stat(pid)[11:15]))
        except OSError:
            continue
    return total / TICK


def memory_bytes(root: int) -> int:
    """Memory of a tree; what processes share counts once (PSS)."""
    total = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


def describe() -> str:
    """One line about the machine."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, Linux {platform.release()}, {system}"


def load() -> float:
    return os.getloadavg()[0]


PACKAGES = ("libfcgi-dev", "fcgiwrap", "lua-wsapi-fcgi", "apache2-bin", "wrk", "postgresql")


def said(*command: object) -> str:
    """What a program writes, on one line; nothing when it cannot."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "PATH": path},
        )
        return " ".join((done.stdout or done.stderr).split()).rstrip(",")
    return ""


def versions(python: str) -> dict[str, str]:
    """What the peers call themselves."""
    own = re.compile(r"^(pip|setuptools|wheel|fastcgi)==")
    freeze = said(python, "-m", "pip", "list", "--format", "freeze").split()
    found = {
        "nginx": said("nginx", "-v"),
        "C compiler": said("cc", "--version").partition(" Copyright")[0],
        "Go": said("go", "version"),
        "PHP": said("php", "-r", "echo PHP_VERSION;"),
        "Perl FCGI": said("perl", "-MFCGI", "-e", "print $FCGI::VERSION"),
        "Lua": said("lua5.4", "-v").partition(" Copyright")[0],
        "uWSGI": said("uwsgi-core", "--version"),
        "Python": said(python, "--version"),
        "Python packages": ", ".join(one for one in freeze if not own.match(one)),
        "Debian packages": said("dpkg-query", "-W", "-f", "${Package} ${Version}, ", *PACKAGES),
    }
    return {name: text for name, text in found.items() if text}


def commit(source: Path) -> str:
    """The checkout's commit, with "+" when files of it differ."""
    name = said("git", "-C", source, "rev-parse", "--short=12", "HEAD")
    changed = said("git", "-C", source, "status", "--porcelain", "--", "core", "bindings", "tools")
    return name + ("+" if changed else "")
