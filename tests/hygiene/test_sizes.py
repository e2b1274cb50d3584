# SPDX-License-Identifier: MIT
"""Functions of at most 60 lines, files of at most 500, a licence line in each; no comment beside a
field that says nothing."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.paths import SOURCE, relative, sources, tool

MOST_FUNCTION_LINES = 60
MOST_FILE_LINES = 500
SCRIPTS = [SOURCE / "dev", SOURCE / ".ci" / "run"]
C_SOURCES = list(sources(".c", ".h"))
ALL_SOURCES = [*sources(".c", ".h", ".py", ".pyi", ".lua", ".sh"), *SCRIPTS]


def functions(paths: list[Path]) -> list[dict]:
    """ctags' entry of every C function."""
    command = [
        tool("ctags"),
        "--languages=C",
        "--langmap=C:.c.h",
        "--kinds-C=f",
        "--fields=+ne",
        "--output-format=json",
        "-f",
        "-",
        *map(str, paths),
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in text.splitlines()]


def test_function_lengths():
    found = functions(C_SOURCES)
    assert len(found) > 50, "ctags finds hardly any function"
    long = [
        f"{relative(Path(tag['path']))}:{tag['line']} {tag['name']} has {lines} lines"
        for tag in found
        if (lines := tag["end"] - tag["line"] + 1) > MOST_FUNCTION_LINES
    ]
    assert long == []


def test_file_lengths():
    lengths = {relative(path): len(path.read_text().splitlines()) for path in ALL_SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_FILE_LINES} == {}


@pytest.mark.parametrize("path", ALL_SOURCES, ids=relative)
def test_licence_line(path: Path):
    first_lines = path.read_text().splitlines()[:2]
    assert any("SPDX-License-Identifier: MIT" in line for line in first_lines)


def test_comments_beside_fields_say_something():
    empty = re.compile(r"/\* (How (many|much)|It|They|That|Those|These|Likewise|See above)\.? \*/")
    found = [
        f"{relative(path)}:{number}: {match[0]}"
        for path in C_SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := empty.search(line))
    ]
    assert found == []
