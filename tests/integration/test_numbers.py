# SPDX-License-Identifier: MIT
"""Numbers of the command line and the environment are read whole, or refused."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from support.paths import EXAMPLES
from support.tool import fcgi

# What strtol, strtod, int() or tonumber() would make something of.
WRONG = ["-1", "0x10", " 5", "5 ", "+5", "1e3", "5x", "nan", "inf", "99999999999999999999"]

COUNTS = ["--workers", "--backlog", "--max-requests", "--max-requests-jitter"]
SIZES = ["--max-worker-rss", "--connection-memory", "--server-memory"]
TIMES = [
    "--ready-after",
    "--start-timeout",
    "--graceful-timeout",
    "--timeout",
    "--max-worker-age",
    "--max-worker-age-jitter",
    "--request-timeout",
    "--slow-log",
]
MODES = ["--socket-mode", "--umask"]
OWNERS = ["--user", "--group", "--socket-user", "--socket-group"]


@pytest.mark.parametrize("option", [*COUNTS, *SIZES, *TIMES, *MODES])
def test_run_refuses(option: str):
    for text in WRONG:
        done = fcgi("run", option, text, "--", "true")
        assert done.returncode == 2, (option, text)
        assert done.stderr.decode().startswith(f"fcgi: run: {option}={text}: must be "), (
            done.stderr.decode()
        )


@pytest.mark.parametrize("option", OWNERS)
def test_run_refuses_owners(directory: Path, option: str):
    """4294967296 is 0 in 32 bits, and 4294967295 means nobody in particular."""
    for text in [*WRONG, "4294967295", "4294967296", "18446744073709551616"]:
        words = ["--bind", f"unix:{directory}/owners.sock", "--allow-root", option, text]
        done = fcgi("run", *words, "--", "true")
        assert done.returncode == 1, (option, text)
        line = f"{option.rpartition('-')[2]} {text}: "
        said = done.stderr.decode()
        assert line in said, said
        assert len(said.splitlines()) == 1, said
    assert not (directory / "owners.sock").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("call", "unix:none", "--timeout"),
        ("call", "unix:none", "--keep"),
        ("call", "unix:none", "--role"),
        ("status", "unix:none", "--timeout"),
        ("top", "unix:none", "--interval"),
        ("bench", "unix:none", "--connections"),
        ("bench", "unix:none", "--duration"),
        ("bench", "unix:none", "--body"),
        ("spec", "unix:none", "--timeout"),
    ],
)
def test_other_commands_refuse(words: tuple):
    for text in WRONG:
        done = fcgi(*words, text)
        assert done.returncode == 2, (words, text, done.stderr.decode())
        assert text.strip() in done.stderr.decode()


def test_status_takes_no_process_for_another():
    """4294967297 is 1 in 32 bits."""
    done = fcgi("status", "4294967297")
    assert done.returncode == 2
    assert done.stderr.decode() == "fcgi: status: 4294967297 is not a process id\n"


@pytest.mark.parametrize(
    ("variable", "wanted"),
    [
        (
            "FASTCGI_REQUEST_TIMEOUT",
            "a time above 0 up to 2147483.647s (such as 30, 0.5s, 5m), or 0 for no limit",
        ),
        (
            "FASTCGI_SLOW_LOG",
            "a time above 0 up to 2147483.647s (such as 30, 0.5s, 5m), or 0 for never",
        ),
        ("FASTCGI_MAX_REQUESTS", "a whole number from 1 up, or 0 for never"),
        ("FASTCGI_CONNECTION_MEMORY", "a size from 1 up (such as 4096, 64K, 4M, 1G)"),
        ("FASTCGI_SERVER_MEMORY", "a size from 1 up (such as 4096, 64K, 4M, 1G)"),
    ],
)
def test_environment_of_a_server(directory: Path, variable: str, wanted: str):
    address = f"unix:{directory}/x.sock"
    for text in ["-1", "0x10", " 5", "1e3", "99999999999999999999"]:
        done = subprocess.run(
            [EXAMPLES / "hello", address],
            env=os.environ | {variable: text},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 1
        assert done.stderr.endswith(f"{variable}={text}: must be {wanted}\n")
        assert done.stderr.count("\n") == 1


TOOL_TIMES = [
    ("call", "--timeout"), ("status", "--timeout"), ("top", "--interval"),
    ("bench", "--duration"), ("bench", "--timeout"), ("spec", "--timeout"),
]  # fmt: skip
TOOL_COUNTS = [
    ("call", "--keep"), ("bench", "--connections"), ("bench", "--in-flight"),
    ("bench", "--requests"), ("bench", "--threads"), ("bench", "--idle"), ("bench", "--body"),
]  # fmt: skip
NOWHERE = "unix:/nonexistent/x"


def tool_words(tool: str, option: str, text: str) -> list[str]:
    return [tool, NOWHERE, *(["/"] if tool == "call" else []), option, text]


def is_taken(tool: str, option: str, text: str) -> bool:
    """It gets as far as the address, or says what else it would need with that number."""
    said = fcgi(*tool_words(tool, option, text)).stderr.decode()
    assert said
    return f"{option}={text}: " not in said


@pytest.mark.parametrize(("tool", "option"), TOOL_TIMES)
def test_tools_read_times_as_launchers_do(tool: str, option: str):
    for text in ("3s", "0.5", "0.5s", "1m", "30"):
        assert is_taken(tool, option, text), text
    assert not is_taken(tool, option, "3x")
    assert not is_taken(tool, option, "0")


@pytest.mark.parametrize(("tool", "option"), [*TOOL_TIMES, *TOOL_COUNTS, ("bench", "--rate")])
def test_tools_tell_a_range_that_is_true(tool: str, option: str):
    done = fcgi(*tool_words(tool, option, "x"))
    assert done.returncode == 2
    line = done.stderr.decode()
    assert line.startswith(f"fcgi: {tool}: {option}=x: must be a ")
    assert "e+" not in line
    ends = re.search(r"(?:from ([\d.]+s?|\d+K?) to|above (0) up to) ([\d.]+[sKMG]?)", line)
    first, _, last = ends.groups()
    assert is_taken(tool, option, last)
    assert not is_taken(tool, option, "9" + last)
    if first:
        assert is_taken(tool, option, first)
    examples = re.search(r", such as (.*)", line)
    for example in examples[1].split(", ") if examples else ():
        assert is_taken(tool, option, example)
