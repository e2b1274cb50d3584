# SPDX-License-Identifier: MIT
"""One option says which SWIG modules are built."""

import subprocess
from pathlib import Path

import pytest
from support.paths import CC, SOURCE


def configure(build: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = ["cmake", "-S", SOURCE, "-B", build, f"-DCMAKE_C_COMPILER={CC}"]
    off = [f"-DFCGI_BUILD_{part}=OFF" for part in ("LUA", "TESTS", "EXAMPLES", "TOOLS")]
    return subprocess.run(
        [*command, *off, "-DFCGI_BUILD_SWIG=ON", *arguments], capture_output=True, text=True
    )


def modules(build: Path) -> set[str]:
    done = subprocess.run(
        ["cmake", "--build", build, "--target", "help"], capture_output=True, text=True, check=True
    )
    words = done.stdout.replace(":", " ").split()
    return {w for w in words if w.startswith("fcgi_swig_")} - {"fcgi_swig_shim"}


@pytest.mark.parametrize("languages", ["perl", "lua;perl"])
def test_the_languages_of_the_list_and_no_other(tmp_path: Path, languages: str):
    done = configure(tmp_path, f"-DFCGI_SWIG_LANGUAGES={languages}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert modules(tmp_path) == {f"fcgi_swig_{name}" for name in languages.split(";")}


def test_a_language_that_is_not_there(tmp_path: Path):
    done = configure(tmp_path, "-DFCGI_SWIG_LANGUAGES=cobol")
    assert done.returncode != 0
    assert "there is no language 'cobol'" in done.stderr.replace("\n  ", " ")
