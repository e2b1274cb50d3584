# SPDX-License-Identifier: MIT
"""What is made from the case files is current."""

import runpy
import subprocess
import sys
from pathlib import Path

from conformance.cases import all_cases

HERE = Path(__file__).resolve().parent


def test_every_case_is_complete():
    for case in all_cases():
        assert case.fields["title"], case.name
        assert case.fields["kind"] in ("specification", "web servers", "hardening"), case.name
        assert set(case.sections) == {"send", "events", "answer"}, case.name
        gone = any(action in ("close", "reset") for action, _ in case.steps())
        assert case.end or gone, f"{case.name} does not say what becomes of the connection"


def test_document_is_current():
    subprocess.run([sys.executable, HERE / "table.py", "--check"], check=True)


def test_fuzz_seeds_are_current():
    seed = runpy.run_path(str(HERE.parent / "fuzz" / "seed.py"))
    folder = seed["CORPUS"]
    kept = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/case-*")}
    assert kept == seed["wanted"](), "run tests/fuzz/seed.py"
