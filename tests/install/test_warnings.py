# SPDX-License-Identifier: MIT
"""A warning ends no build but a developer's with a compiler that was tried."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.paths import CC, SOURCE


def commands(build: Path, *arguments: str) -> list[str]:
    """How the sources are compiled in a tree that is configured like this."""
    command = ["cmake", "-S", SOURCE, "-B", build, f"-DCMAKE_C_COMPILER={CC}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((build / "compile_commands.json").read_text())
    assert len(found) > 50
    return [entry["command"] for entry in found]


def ends(found: list[str]) -> list[str]:
    return [command for command in found if re.search(r"-Werror\b|-pedantic-errors\b", command)]


def preset(name: str) -> dict:
    presets = json.loads((SOURCE / "CMakePresets.json").read_text())["configurePresets"]
    (found,) = (each for each in presets if each["name"] == name)
    inherited = found.get("inherits")
    return {**(preset(inherited) if inherited else {}), **found.get("cacheVariables", {})}


def test_no_option_and_no_warning_of_the_compiler_ends_a_build(tmp_path: Path):
    assert ends(commands(tmp_path)) == []


def test_a_compiler_that_nobody_has_tried_only_warns(tmp_path: Path):
    compiler = tmp_path / "cc"
    compiler.write_text(
        f"#!/bin/sh\nexec {CC} -Wno-builtin-macro-redefined -U__GNUC__ -D__GNUC__=99"
        ' -U__clang_major__ -D__clang_major__=99 "$@"\n'
    )
    compiler.chmod(0o755)
    found = commands(tmp_path / "build", f"-DCMAKE_C_COMPILER={compiler}", "-DFCGI_WERROR=ON")
    assert ends(found) == []


@pytest.mark.parametrize("name", ["dev", "clang", "asan", "tsan", "fuzz", "coverage"])
def test_a_developers_preset_asks_for_it(name: str):
    assert preset(name)["FCGI_WERROR"] == "ON"


def test_what_users_build_does_not_ask_for_it():
    assert "FCGI_WERROR" not in preset("release")
    for path in (SOURCE / "pyproject.toml", *SOURCE.glob("*.rockspec")):
        assert "werror" not in path.read_text().lower(), path
