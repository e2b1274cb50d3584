# SPDX-License-Identifier: MIT
"""How the echo application of each language is started."""

import sys

from support.paths import BUILD, EXAMPLES, SOURCE

LANGUAGES = ["c", "python", "lua"]


def echo_command(language: str, address: str, threads: int, stream: bool = False) -> list[str]:
    """The command; with `stream` it answers while a body arrives."""
    if language == "c":
        return [str(EXAMPLES / "echo"), address, str(threads), *(["stream"] if stream else [])]
    here = SOURCE / "tests" / "integration"
    options = ["--bind", address, "--threads", str(threads), *(["--stream"] if stream else [])]
    if language == "python":
        return ["env", "-C", str(here), sys.executable, "-m", "fastcgi", "echo_app:app", *options]
    return [str(BUILD / "lua" / "bin" / "fcgi-lua"), str(here / "echo_app.lua"), *options]
