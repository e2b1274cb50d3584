# SPDX-License-Identifier: MIT
"""Where the sources, the build and the tools are.

ctest sets the environment read here; without it the preset `dev` is meant.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
CORE = SOURCE / "core"
INCLUDE = CORE / "include"
HEADERS = sorted((INCLUDE / "fastcgi").glob("*.h"))
BUILD = Path(os.environ.get("FASTCGI_BUILD", SOURCE / "build" / "dev"))
EXAMPLES = BUILD / "examples" / "c"
CC = os.environ.get("FASTCGI_CC", "cc")


def tool(name: str) -> str:
    """The path of a program, also of one in /usr/sbin."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    found = shutil.which(name, path=path)
    assert found, f"{name} is not installed"
    return found


def is_open_to_all(path: Path) -> bool:
    """Whether every user may reach it."""
    return all(folder.stat().st_mode & 0o001 for folder in path.parents)


def sources(*suffixes: str) -> Iterator[Path]:
    """Every source of the project with one of the suffixes."""
    for top in ("core", "bindings", "examples", "swig", "tests", "tools"):
        for path in sorted((SOURCE / top).rglob("*")):
            hidden = any(
                part in ("__pycache__", "build", "vendor") or part.endswith(".egg-info")
                for part in path.parts
            )
            if path.suffix in suffixes and path.is_file() and not hidden:
                yield path


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCE))
