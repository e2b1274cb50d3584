# SPDX-License-Identifier: MIT
"""docs/state.md: its examples run, and its tables and figures are those of the code."""

import inspect
import os
import re
import sys
from pathlib import Path

import fastcgi
import pytest
from support.fcgi_client import fetch
from support.paths import BUILD, CORE, INCLUDE, SOURCE
from support.process import Process

TEXT = (SOURCE / "docs" / "state.md").read_text()
RESOURCES, PAGE = TEXT.split("## A dictionary that all workers share")
HEADER = (INCLUDE / "fastcgi" / "shared.h").read_text()
LAYOUT = (CORE / "shared" / "layout.h").read_text()
ROOT = ["--allow-root"] if os.geteuid() == 0 else []


def block(language: str, section: str = PAGE) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)
    return text


LAUNCHERS = {
    "python": ("app.py", [sys.executable, "-m", "fastcgi", "app:app"]),
    "lua": ("app.lua", [str(BUILD / "lua" / "bin" / "fcgi-lua"), "app.lua"]),
}


@pytest.mark.parametrize("language", LAUNCHERS)
def test_the_example_runs(directory: Path, language: str):
    name, command = LAUNCHERS[language]
    place = directory / f"state-{language}"
    place.mkdir()
    (place / name).write_text(block(language))
    address = f"unix:{place}/s"
    given = re.search(r"--workers \d+ --shared \S+", block("sh"))[0].split()
    words = [*command, "--chdir", place, "--bind", address, *given, *ROOT]
    with Process(words, place / "log") as app:
        app.wait_for_address(address)
        for hits in range(1, 21):
            body = fetch(address).body.decode()
            assert body == f"made once a minute, asked {hits} times\n"


@pytest.mark.parametrize("language", LAUNCHERS)
def test_the_example_of_a_resource_runs(directory: Path, language: str):
    name, command = LAUNCHERS[language]
    place = directory / f"resource-{language}"
    place.mkdir()
    (place / name).write_text(block(language, RESOURCES))
    address = f"unix:{place}/s"
    words = [*command, "--chdir", place, "--bind", address, "--threads", "2", *ROOT]
    with Process(words, place / "log") as app:
        app.wait_for_address(address)
        for number in range(1, 11):
            assert fetch(address).body.decode() == f"visit {number}\n"


def test_every_option_of_a_resource_is_in_the_table():
    rows = re.findall(r"^\| (`.*?) \| (.*?) ?\| .*\|$", RESOURCES, re.M)
    python = {name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)}
    lua = {name for _, cell in rows for name in re.findall(r"`(\w+)`", cell)}
    assert python == set(inspect.signature(fastcgi.resource).parameters) - {"open"}
    source = (SOURCE / "bindings" / "lua" / "fcgi" / "adapters.lua").read_text()
    kinds = source.partition("local kinds = {")[2].partition("\n}")[0]
    assert lua == set(re.findall(r"^  (\w+) =", kinds, re.M)) - {"open"}


def test_every_operation_is_in_the_table():
    rows = re.findall(r"^\| (.*?) \| (.*?) \| .* \|$", PAGE, re.M)
    python = {name for cell, _ in rows for name in re.findall(r"`(\w+)\(", cell)}
    lua = {name for _, cell in rows for name in re.findall(r"`(\w+)\(", cell)}
    public = {name for name in dir(fastcgi.Shared) if not name.startswith("_")}
    assert python == public - {"name", "private"}
    source = (SOURCE / "bindings" / "lua" / "src" / "shared.c").read_text()
    methods = source.partition("static const luaL_Reg methods")[2].partition("};")[0]
    assert lua == set(re.findall(r'\{"(\w+)"', methods)) - {"name", "private"}


def test_every_count_is_in_the_table():
    listed = PAGE.partition("| `counts()` | |")[2].partition("\n\n")[0]
    names = re.findall(r"`(\w+)`", listed)
    assert names == re.findall(r"^  X\([A-Z]+, (\w+),", HEADER, re.M)
    assert list(fastcgi.shared("docs").counts()) == names


def number(name: str, text: str) -> int:
    return int(re.search(rf"\b{name} = (\d+)", text)[1])


def test_the_figures_are_those_of_the_code():
    block_size, first = number("FCGI__SHARED_BLOCK", LAYOUT), number("FCGI__SHARED_FIRST", LAYOUT)
    assert f"A key has 1 to {number('FCGI_SHARED_KEY', HEADER):,} bytes." in PAGE
    assert f"{block_size - first} bytes, rounded up to blocks of {block_size} bytes" in PAGE
