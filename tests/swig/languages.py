# SPDX-License-Identifier: MIT
"""The languages of the SWIG modules: how each runs a program.

FASTCGI_LANGUAGES chooses among them.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support.paths import BUILD

HERE = Path(__file__).resolve().parent
TREE = BUILD / "swig"


@dataclass
class Language:
    """One language."""

    suffix: str  # Of its programs.
    command: list[str]  # What runs one.
    trace: str  # Is in what it logs of the error that /die raises.
    env: dict[str, str] = field(default_factory=dict)  # Where its module is.


LANGUAGES = {
    "python": Language(".py", [sys.executable], "in die", {"PYTHONPATH": str(TREE / "python")}),
    "lua": Language(".lua", ["lua5.4"], "stack traceback", {"LUA_CPATH": f"{TREE}/lua/?.so;;"}),
    "perl": Language(".pl", ["perl"], "app.pl line", {"PERL5LIB": str(TREE / "perl")}),
    "ruby": Language(".rb", ["ruby"], "app.rb:", {"RUBYLIB": str(TREE / "ruby")}),
    "tcl": Language(".tcl", ["tclsh"], '"path::die', {"TCLLIBPATH": str(TREE / "tcl")}),
    "php": Language(
        ".php", ["php", "-d", f"extension={TREE}/php/fastcgi_swig.so"], "Scenario->die"
    ),
}
CHOSEN = os.environ.get("FASTCGI_LANGUAGES", ",".join(LANGUAGES)).split(",")


def command(language: str, program: Path) -> list[str]:
    """What runs `program`, whose suffix is the language's, with its module."""
    found = LANGUAGES[language]
    settings = [f"{name}={value}" for name, value in found.env.items()]
    return ["env", *settings, *found.command, str(program.with_suffix(found.suffix))]


def app(language: str) -> list[str]:
    """The tests' own program in a language."""
    return command(language, HERE / "app")
