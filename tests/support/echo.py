# SPDX-License-Identifier: MIT
"""How the echo application of each language is started."""

import sys

from support.paths import BUILD, EXAMPLES, SOURCE

LANGUAGES = ["c", "python", "lua"]


def echo_command(language: str, address: str, threads: int) -> list[str]:
    """The echo example of the language, streaming."""
    if language == "c":
        return [str(EXAMPLES / "echo"), address, str(threads)]
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
