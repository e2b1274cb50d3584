# SPDX-License-Identifier: MIT
"""What the compiled library holds, exports and asks of the system."""

import re
import subprocess
from pathlib import Path

import pytest
from support.paths import BUILD, HEADERS, relative, tool

OBJECT_ROOT = BUILD / "core" / "CMakeFiles" / "fastcgi_objects.dir"
OBJECTS = sorted(OBJECT_ROOT.rglob("*.o"))
PURE_OBJECTS = [
    p for p in OBJECTS if p.relative_to(OBJECT_ROOT).parts[0] in ("base", "wire", "session")
]

# Sections whose bytes a program can change while it runs.
MUTABLE = re.compile(r"^\.(data|bss|tdata|tbss)(\.|$)")
CONSTANT = re.compile(r"^\.data\.rel\.ro(\.|$)")

# What the part without input and output may take from the C library.
MEMORY_FUNCTIONS = {
    "memchr",
    "memcmp",
    "memcpy",
    "memmem",
    "memmove",
    "memset",
    "strcmp",
    "strlen",
    "strncmp",
    "strncasecmp",
    "calloc",
    "free",
    "malloc",
    "realloc",
    "abort",
    "__assert_fail",
    "__stack_chk_fail",
    "_GLOBAL_OFFSET_TABLE_",
}


def nm(path: Path, *options: str) -> set[str]:
    text = subprocess.run(
        [tool("nm"), *options, str(path)], check=True, capture_output=True, text=True
    ).stdout
    return {line.split()[-1].split("@")[0] for line in text.splitlines() if line.split()}


def declared() -> set[str]:
    """The functions that the public headers mark FCGI_EXPORT."""
    names = set()
    for header in HEADERS:
        if header.name != "export.h":
            names |= set(re.findall(r"^FCGI_EXPORT\b[^;(]*?(\w+)\s*\(", header.read_text(), re.M))
    return names


def object_id(path: Path) -> str:
    return str(path.relative_to(OBJECT_ROOT))


def test_objects_are_found():
    names = {path.relative_to(OBJECT_ROOT).parts[0] for path in OBJECTS}
    assert {"base", "wire", "session", "server"} <= names, (
        f"no objects below {relative(OBJECT_ROOT)}"
    )


@pytest.mark.parametrize("path", OBJECTS, ids=object_id)
def test_no_mutable_globals(path: Path):
    text = subprocess.run(
        [tool("size"), "-A", str(path)], check=True, capture_output=True, text=True
    ).stdout
    sections = {
        words[0]: int(words[1]) for line in text.splitlines()[2:] if len(words := line.split()) == 3
    }
    mutable = {
        name: size
        for name, size in sections.items()
        if size and MUTABLE.match(name) and not CONSTANT.match(name)
    }
    assert mutable == {}
    assert ".text" in sections


def test_exports_are_the_declared_functions():
    exported = nm(BUILD / "core" / "libfastcgi.so", "--dynamic", "--defined-only")
    assert exported == declared()


def test_session_needs_no_system():
    defined = set().union(*(nm(path, "--defined-only") for path in PURE_OBJECTS))
    for path in PURE_OBJECTS:
        foreign = nm(path, "--undefined-only") - defined - MEMORY_FUNCTIONS
        assert foreign == set(), f"{object_id(path)} asks for {sorted(foreign)}"
