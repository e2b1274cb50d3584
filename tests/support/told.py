# SPDX-License-Identifier: MIT
"""One program in every language, alone and below each supervisor, which fails, hangs
or answers as the query string says (integration/apps/told.c)."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from swig.languages import LANGUAGES
from swig.languages import command as swig_command

from support.fcgi_client import connect, wait_until
from support.paths import BUILD, SOURCE

APPS = SOURCE / "tests" / "integration" / "apps"
TOLD = BUILD / "tests" / "integration" / "told"
LAUNCHER = BUILD / "lua" / "bin" / "fcgi-lua"
TOOL = BUILD / "tools" / "fcgi"

SWIG = [f"swig-{name}" for name in LANGUAGES if (BUILD / "swig" / name).exists()]
ALONE = ["c", "python", "python-module", "lua", "lua-threads", *SWIG]
SUPERVISED = ["python-workers", "lua-workers", "run"]
NAMES = [*ALONE, *SUPERVISED]
AS_CGI = ["c", "python", "lua", *SWIG]


def command(name: str, address: str, limit: str = "") -> list[str]:
    """What serves at the address; its graceful stop may take `limit` seconds."""
    limited = ["--graceful-timeout", limit] if limit else []
    options = [*limited, "--bind", address]
    workers = ["--workers", "2", "--allow-root", *options]
    python = [sys.executable, "-m", "fastcgi", "told:app", "--pythonpath", APPS]
    lua = [LAUNCHER, APPS / "told.lua"]
    words = {
        "python-module": [*python, "--threads", "2", *options],
        "python-workers": [*python, *workers],
        "lua": [*lua, *options],
        "lua-threads": [*lua, "--threads", "2", *options],
        "lua-workers": [*lua, *workers],
        "run": [TOOL, "run", *workers, "--", TOLD],
    }
    return [str(word) for word in words.get(name) or [*program(name), address]]


def program(name: str) -> list[str]:
    """What a CGI server starts."""
    if name.startswith("swig-"):
        return swig_command(name.removeprefix("swig-"), APPS / "swig_told")
    words = {"c": [TOLD], "python": [sys.executable, APPS / "told.py"]}
    return [str(word) for word in words.get(name, [LAUNCHER, APPS / "told.lua"])]


def limits(limit: str) -> dict[str, str]:
    """The variables that say it to those which have no options."""
    return {"LIMIT": limit, "FASTCGI_GRACEFUL_TIMEOUT": limit}


@contextlib.contextmanager
def running(words: list[str], **options) -> Iterator[subprocess.Popen]:
    """A child in a process group of its own, which is killed at last."""
    options = {"stdin": subprocess.DEVNULL, **options}
    child = subprocess.Popen(words, start_new_session=True, **options)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextlib.contextmanager
def started(words: list[str], address: str, **options) -> Iterator[subprocess.Popen]:
    """The same, once it accepts connections at the address."""
    with running(words, **options) as child:
        wait_until(lambda: accepts(child, address), 40, f"{words} listening")
        yield child


def accepts(child: subprocess.Popen, address: str) -> bool:
    assert child.poll() is None, f"{child.args} ended"
    return is_open(address)


def is_open(address: str) -> bool:
    try:
        connect(address).close()
    except OSError:
        return False
    return True
