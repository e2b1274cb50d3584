# SPDX-License-Identifier: MIT
"""How the probe, the application of the fault tests, is started."""

import sys

from swig.languages import command as swig_command

from support.paths import BUILD, SOURCE

APPS = SOURCE / "tests" / "integration" / "apps"


def probe_command(language: str, address: str, threads: int = 1, *options: str) -> list[str]:
    """The probe of the language; `options` are NAME=NUMBER, for C's alone. Those of
    SWIG, such as swig_perl, have one thread."""
    if language == "c":
        program = BUILD / "tests" / "integration" / "probe"
        return [str(program), address, str(threads), *options]
    assert not options
    if language.startswith("swig_"):
        return [*swig_command(language.removeprefix("swig_"), APPS / "swig_probe"), address]
    if language == "python":
        return [sys.executable, str(APPS / "probe.py"), address, str(threads)]
    launcher = BUILD / "lua" / "bin" / "fcgi-lua"
    return [
        str(launcher),
        str(APPS / "probe.lua"),
        "--bind",
        address,
        "--threads",
        str(threads),
    ]
