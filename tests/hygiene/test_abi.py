# SPDX-License-Identifier: MIT
"""Programs linked with the last release work with this library unchanged."""

import re
import subprocess
from pathlib import Path

import pytest
from support.abi import BASELINE, LIBRARY, differences, dump, obstacle
from support.paths import BUILD, INCLUDE, relative, tool

reason = obstacle()
needs_abigail = pytest.mark.skipif(reason is not None, reason=str(reason))

ADVICE = f"""
The binary interface differs from {relative(BASELINE)}. Programs that were linked
with that release keep working when structs and enums have only grown at their
ends; anything else needs another SOVERSION. When it is meant, run ./dev abi and
commit the new baseline.
"""


def version() -> str:
    text = (INCLUDE / "fastcgi" / "version.h").read_text()
    return re.search(r'FCGI_VERSION_TEXT\s+"([\d.]+)"', text)[1]


@pytest.fixture(scope="module")
def today(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("abi") / "today.abi"
    dump(LIBRARY, out)
    return out


@needs_abigail
def test_interface_is_that_of_the_baseline(today: Path):
    found = differences(BASELINE, today)
    assert found == "", found + ADVICE


CHANGES = {
    "a field renamed": ('name="server_memory"', 'name="all_memory"'),
    "an event renumbered": ('"FCGI_EVENT_CLOSE" value="8"', '"FCGI_EVENT_CLOSE" value="9"'),
    "a function gone": ('name="fcgi_client_begin"', 'name="fcgi_client_start"'),
    "another soname": ('soname="libfastcgi.so', 'soname="libfastcgi.so.9'),
}


@needs_abigail
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: str, today: Path, tmp_path: Path):
    """The test above can fail."""
    text = today.read_text()
    before, after = CHANGES[change]
    assert before in text
    old = tmp_path / "old.abi"
    old.write_text(text.replace(before, after))
    assert differences(old, today) != ""


def test_the_baseline_has_no_path_of_a_machine():
    paths = set(re.findall(r' path="([^"]*)"', BASELINE.read_text()))
    assert paths
    assert all(path.startswith("core/") for path in paths), paths


def test_soname_and_package_agree():
    """Until 1.0 each minor version has an interface of its own."""
    major, minor, _ = version().split(".")
    soversion = major if int(major) else f"{major}.{minor}"
    text = subprocess.run(
        [tool("readelf"), "-d", str(LIBRARY)], check=True, capture_output=True, text=True
    ).stdout
    assert f"[libfastcgi.so.{soversion}]" in text
    package = (BUILD / "core" / "fastcgi-config-version.cmake").read_text()
    compares_minor = "CVF_VERSION_MINOR" in package
    assert compares_minor == (major == "0")
