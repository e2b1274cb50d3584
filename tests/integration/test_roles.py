# SPDX-License-Identifier: MIT
"""Filters and custom roles, asked by `fcgi call --role`."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.paths import BUILD, EXAMPLES, SOURCE
from support.probe import probe_command
from support.process import Process
from support.tool import fcgi

Call = Callable[..., CompletedProcess]


def filter_command(language: str, address: str) -> list[str]:
    examples = SOURCE / "examples" / language
    if language == "c":
        return [str(EXAMPLES / "filter"), address]
    if language == "python":
        return [sys.executable, str(examples / "filter.py"), address]
    launcher = str(BUILD / "lua" / "bin" / "fcgi-lua")
    return [launcher, str(examples / "filter.lua"), "--bind", address]


@pytest.fixture(scope="module")
def filtered(language: str, directory: Path) -> Iterator[Call]:
    """filtered(file, ...): the example filter's answer to a file."""
    address = f"unix:{directory}/{language}-filter.sock"
    with Process(filter_command(language, address), directory / f"{language}-filter.log") as app:
        app.wait_for_address(address)

        def call(file: Path, *words: str) -> CompletedProcess:
            return fcgi("call", address, "/", "--role", "filter", "--file", file, *words)

        yield call


@pytest.fixture(scope="module")
def probe(language: str, directory: Path) -> Iterator[str]:
    """The address of an application with a role of its own, 77."""
    address = f"unix:{directory}/{language}-probe.sock"
    command = probe_command(language, address)
    with Process(command, directory / f"{language}-probe.log") as app:
        app.wait_for_address(address)
        yield address


def test_the_filter_numbers_lines(filtered: Call, directory: Path):
    file = directory / "lines.txt"
    file.write_text("one\n\nthree")
    done = filtered(file)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"     1  one\n     2  \n     3  three\n"


def test_the_filter_takes_a_long_file(filtered: Call, directory: Path):
    file = directory / "long.txt"
    file.write_text("".join(f"line {number}\n" for number in range(1, 200_001)))
    lines = filtered(file).stdout.splitlines()
    assert len(lines) == 200_000
    assert lines[::50_000] == [b"%6d  line %d" % (n, n) for n in range(1, 200_001, 50_000)]


def test_the_filter_takes_an_empty_file(filtered: Call, directory: Path):
    file = directory / "empty.txt"
    file.touch()
    done = filtered(file)
    assert (done.returncode, done.stdout) == (0, b"")


def test_the_filter_knows_what_the_browser_has(filtered: Call, directory: Path):
    file = directory / "known.txt"
    file.write_text("one\n")
    first = filtered(file, "-i").stdout.splitlines()
    modified = next(line for line in first if line.startswith(b"Last-Modified: "))
    value = modified.decode().partition(": ")[2]
    again = filtered(file, "-i", "-p", f"HTTP_IF_MODIFIED_SINCE={value}").stdout
    assert b"Status: 304" in again
    assert modified in again
    assert b"one" not in again


def test_the_filter_is_no_responder(filtered: Call, directory: Path):
    done = filtered(directory / "lines.txt", "--role", "responder")
    assert done.returncode != 0
    assert b"FCGI_UNKNOWN_ROLE" in done.stderr


def test_a_custom_role_is_asked_by_its_number(probe: str):
    done = fcgi("call", probe, "/", "--role", 77, "-d", "quiet words")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"QUIET WORDS", b"")


def test_the_responder_is_still_served(probe: str):
    done = fcgi("call", probe, "/?question", "--role", "responder")
    assert (done.returncode, done.stdout) == (0, b"question\n")


@pytest.mark.parametrize("role", [4, 76, 78, 65535])
def test_a_role_that_nobody_serves_is_refused(probe: str, role: int):
    done = fcgi("call", probe, "/", "--role", role)
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"FCGI_UNKNOWN_ROLE" in done.stderr
    assert fcgi("call", probe, "/?still-there").stdout == b"still-there\n"
