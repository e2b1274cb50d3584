# SPDX-License-Identifier: MIT
"""The version has one home, and the rock compiles every source."""

import re
import subprocess
from pathlib import Path

from support.paths import CORE, INCLUDE, SOURCE, relative

# Prints the C sources and the Lua files that a rockspec names.
LIST_SOURCES = """
local spec = {}
assert(loadfile(arg[1], "t", spec))()
for _, module in pairs(spec.build.modules) do
  local sources = type(module) == "string" and { module } or module.sources or module
  for _, source in ipairs(sources) do print(source) end
end
"""


def version_header() -> str:
    return (INCLUDE / "fastcgi" / "version.h").read_text()


def rockspec() -> Path:
    (found,) = SOURCE.glob("*.rockspec")
    return found


def test_version_numbers_and_text_agree():
    numbers = re.findall(r"#define FCGI_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", version_header())
    (text,) = re.findall(r'#define FCGI_VERSION_TEXT +"(.*)"', version_header())
    assert text == ".".join(numbers)


def test_python_package_takes_the_version_from_the_header():
    text = (SOURCE / "pyproject.toml").read_text()
    assert re.search(r'^dynamic = \[.*"version".*\]', text, re.M)
    assert "core/include/fastcgi/version.h" in text


def test_rock_names_every_source(tmp_path: Path):
    script = tmp_path / "list.lua"
    script.write_text(LIST_SOURCES)
    command = ["lua5.4", str(script), str(rockspec())]
    named = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    lua = SOURCE / "bindings" / "lua"
    unit = (CORE / "session" / "unit.c").read_text()
    included = {CORE / name for name in re.findall(r'^#include "(.*\.c)"$', unit, re.M)}
    expected = [
        *(set(CORE.glob("*/*.c")) - included),
        *(lua / "src").glob("*.c"),
        *(lua / "fcgi").glob("*.lua"),
    ]
    assert sorted(named) == sorted(relative(path) for path in expected)
