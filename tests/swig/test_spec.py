# SPDX-License-Identifier: MIT
"""`fcgi spec` against the application of each language."""

import subprocess
from pathlib import Path

import pytest
from support.paths import BUILD
from support.process import Process
from swig.languages import CHOSEN, app


@pytest.mark.parametrize("language", CHOSEN)
def test_spec(language: str, tmp_path: Path):
    address = f"unix:{tmp_path}/spec.sock"
    command = [str(BUILD / "tools" / "fcgi"), "spec", address, "--echo", "--strict"]
    with Process([*app(language), "spec", address], tmp_path / "log") as running:
        running.wait_for_address(address)
        found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert found.returncode == 0, found.stdout + found.stderr
        assert running.running(), running.output()
