# SPDX-License-Identifier: MIT
"""How the echo application of each language is started."""

import sys

from support.paths import BUILD, EXAMPLES, SOURCE
from support.probe import probe_command

LANGUAGES = ["c", "python", "lua"]


def echo_command(language: str, address: str, threads: int) -> list[str]:
    """The echo example of the language, streaming; of SWIG's the probe, which tells
    the query string as they do."""
    if language == "c":
        return [str(EXAMPLES / "echo"), address, str(threads)]
    if language.startswith("swig_"):
        return probe_command(language, address)
    options = ["--bind", address, "--threads", str(threads)]
    examples = SOURCE / "examples" / language
    if language == "python":
        program = [
            sys.executable,
            "-m",
            "fastcgi",
            "echo:app",
            "--chdir",
            str(examples),
            "--stream",
        ]
        return [*program, *options]
    return [str(BUILD / "lua" / "bin" / "fcgi-lua"), str(examples / "echo.lua"), *options]
