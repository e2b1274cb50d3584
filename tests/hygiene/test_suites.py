# SPDX-License-Identifier: MIT
"""ctest runs every file of tests that there is."""

import json
import subprocess
from pathlib import Path

from support.paths import BUILD, SOURCE, tool

TESTS = SOURCE / "tests"


def registered() -> set[str]:
    """The files that the commands of ctest name."""
    command = [tool("ctest"), "--test-dir", BUILD, "--show-only=json-v1"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    words = [word for test in json.loads(text)["tests"] for word in test.get("command", [])]
    return {word for word in words if word.endswith((".py", ".lua"))}


def written() -> set[str]:
    """The files by their names, relative to tests/."""
    paths: list[Path] = [*TESTS.rglob("test_*.py"), *TESTS.rglob("*_spec.lua")]
    return {str(path.relative_to(TESTS)) for path in paths}


def test_every_file_is_registered():
    """A build without SWIG has none of its tests."""
    run = registered()
    assert len(run) > 50, "ctest names hardly any file"
    missing = written() - run
    if not any(name.startswith("swig/") for name in run):
        missing = {name for name in missing if not name.startswith("swig/")}
    assert missing == set(), "name them in a list of tests/suites.cmake"
