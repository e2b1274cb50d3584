# SPDX-License-Identifier: MIT
"""Includes point downwards only, and only the server and above see the system."""

import re
from pathlib import Path

import pytest
from support.paths import CORE, INCLUDE, SOURCE, relative, sources

INCLUDE_LINE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)

# The C library without input, output, clocks, threads and processes.
# sys/types.h is here for uid_t, sys/uio.h for struct iovec, stdatomic.h for a
# count that two threads may lower.
PURE = {
    "assert.h",
    "inttypes.h",
    "limits.h",
    "stdalign.h",
    "stdatomic.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "stdlib.h",
    "string.h",
    "strings.h",
    "sys/types.h",
    "sys/uio.h",
}

# Layer: the folders of core/ whose headers it may include.
LAYERS = {
    "base": {"base"},
    "wire": {"base", "wire"},
    "session": {"base", "wire", "session"},
    "gateway": {"base", "gateway"},
    "options": {"base", "os", "options"},
    "os": {"base", "os"},
    "board": {"base", "os", "board"},
    "shared": {"base", "os", "shared"},
    "parent": {"base", "os", "parent"},
    "observe": {"base", "gateway", "os", "board", "observe"},
    "resource": {"base", "os", "resource"},
    "client": {"base", "os", "client"},
    "cgi": {"base", "os", "cgi"},
    "server": {
        "base",
        "gateway",
        "os",
        "board",
        "parent",
        "observe",
        "cgi",
        "options",
        "resource",
        "server",
    },
    "serve": {"base", "os", "server", "serve"},
    "supervisor": {
        "base",
        "os",
        "board",
        "parent",
        "observe",
        "options",
        "resource",
        "shared",
        "supervisor",
    },
}
MOST_FILES = 45  # Of sources and headers, in a folder.
PURE_LAYERS = {"base", "wire", "session", "include"}

CORE_SOURCES = [p for p in sources(".c", ".h") if p.is_relative_to(CORE)]
OUTER = [SOURCE / name for name in ("bindings", "examples", "swig", "tools")]
OUTER_SOURCES = [
    p for p in sources(".c", ".h") if any(p.is_relative_to(folder) for folder in OUTER)
]


def includes(path: Path) -> list[tuple[bool, str]]:
    """Each include as (with angle brackets, name)."""
    return [(kind == "<", name) for kind, name in INCLUDE_LINE.findall(path.read_text())]


def layer_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0]


def test_every_folder_of_the_core_is_a_layer():
    folders = {path.name for path in CORE.iterdir() if path.is_dir()}
    assert folders <= set(LAYERS) | {"include"}


def test_layers_know_each_other_one_way():
    """Where includes make no circle, no circle of calls crosses a folder."""
    below = {layer: known - {layer} for layer, known in LAYERS.items()}
    while leaves := {layer for layer, known in below.items() if not known}:
        below = {layer: known - leaves for layer, known in below.items() if layer not in leaves}
    assert below == {}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_folder_is_read_in_one_sitting(layer):
    assert len(list((CORE / layer).iterdir())) <= MOST_FILES


@pytest.mark.parametrize("path", CORE_SOURCES, ids=relative)
def test_core_includes(path: Path):
    layer = layer_of(path)
    for angled, name in includes(path):
        if name.startswith("fastcgi/"):
            assert (INCLUDE / name).exists(), f"{name} is no public header"
        elif angled:
            assert layer not in PURE_LAYERS or name in PURE, f"{layer} must not include <{name}>"
        else:
            assert layer in LAYERS, f'a public header must not include "{name}"'
            target = CORE / name if (CORE / name).exists() else path.parent / name
            assert target.exists(), f'"{name}" is not found from core/'
            assert layer_of(target.resolve()) in LAYERS[layer], f'{layer} must not include "{name}"'


@pytest.mark.parametrize("path", OUTER_SOURCES, ids=relative)
def test_only_public_headers_outside_the_core(path: Path):
    for angled, name in includes(path):
        if name.startswith("fastcgi/"):
            assert (INCLUDE / name).exists(), f"{name} is no public header"
        elif not angled:
            assert (path.parent / name).exists(), f'"{name}" does not stand beside it'
        assert not (CORE / name).exists(), f"{name} is internal to the core"
