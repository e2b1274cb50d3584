# SPDX-License-Identifier: MIT
"""No mutable state of ours in a module. SWIG's own tables are what they are."""

import re
import subprocess

import pytest
from support.paths import BUILD, SOURCE, tool
from swig.languages import CHOSEN, TREE

SHIM = sorted((BUILD / "swig" / "CMakeFiles" / "fcgi_swig_shim.dir").rglob("*.o"))
MODULES = [path for language in CHOSEN for path in sorted((TREE / language).rglob("*.so"))]


def lines(name: str, *arguments: object) -> list[list[str]]:
    words = [tool(name), *map(str, arguments)]
    text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [line.split() for line in text.splitlines()]


def test_all_is_found():
    assert len(SHIM) == len(list((SOURCE / "swig").glob("*.c")))
    assert len(MODULES) == len(CHOSEN)


@pytest.mark.parametrize("path", SHIM, ids=lambda path: path.name)
def test_the_shim_has_none(path):
    sections = [words for words in lines("size", "-A", path) if words[:1] and words[0][0] == "."]
    assert len(sections) > 3
    mutable = re.compile(r"\.(data|bss|tdata|tbss)\b(?!\.rel\.ro)")
    assert [words for words in sections if mutable.match(words[0]) and words[1] != "0"] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.parent.name)
def test_the_glue_has_none(path):
    symbols = [words for words in lines("nm", path) if len(words) == 3]
    ours = [name for _, kind, name in symbols if name.startswith(("fcgi", "shim"))]
    assert len(ours) > 50
    assert [name for _, kind, name in symbols if kind in "bBdD" and name in ours] == []
