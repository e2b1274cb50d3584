# SPDX-License-Identifier: MIT
"""Each public header compiles alone, as C and C++, and beside libfcgi's; contracts are short."""

import re
import subprocess
from pathlib import Path

import pytest
from support.paths import CC, HEADERS, INCLUDE, tool

STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only"]
LANGUAGES = {"c11": [CC, "-x", "c", "-std=c11"], "c++17": ["g++", "-x", "c++", "-std=c++17"]}
LIBFCGI = ["fcgi_config.h", "fcgiapp.h", "fastcgi.h"]


def compile_text(language: str, text: str) -> None:
    command = [*LANGUAGES[language], *STRICT, f"-I{INCLUDE}", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def include(*names: str) -> str:
    return "".join(f"#include <{name}>\n" for name in names)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_alone(header: Path, language: str):
    name = f"fastcgi/{header.name}"
    compile_text(language, include(name, name) + "int unused;\n")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "theirs first"])
def test_beside_libfcgi(language: str, ours_first: bool):
    ours = ["fastcgi/fastcgi.h"]
    names = ours + LIBFCGI if ours_first else LIBFCGI + ours
    use = "int both(void);\nint both(void) { return FCGI_STDIN + FCGI_RECORD_STDIN; }\n"
    compile_text(language, include(*names) + use)


def test_umbrella_includes_every_header():
    text = (INCLUDE / "fastcgi" / "fastcgi.h").read_text()
    missing = [
        p.name for p in HEADERS if p.name not in ("fastcgi.h", "export.h") and p.name not in text
    ]
    assert missing == []


# A comment right above an exported function, and the name of that.
CONTRACT = re.compile(
    r"(/\*(?:[^*]|\*(?!/))*\*/)\n(?:#define[^\n]*\n)?FCGI_EXPORT[^;]*?\b(fcgi_\w+)\(", re.M
)
MOST_LINES = 8
# "Reads", and "Return" for two functions; no noun, such as "Bytes".
VERB = re.compile(r"/\* (?!Bytes\b|This\b)([A-Z][a-z]+s|Return|Set|Copy)[ ,]")


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_contracts_are_short_and_begin_with_what_the_function_does(header: Path):
    found = CONTRACT.findall(header.read_text())
    long = [name for text, name in found if text.count("\n") >= MOST_LINES]
    odd = [f"{name}: {text[:40]}" for text, name in found if not VERB.match(text)]
    assert (long, odd) == ([], [])


def test_every_exported_function_has_a_contract():
    """One comment may be that of two functions, which then follow each other."""
    assert sum(len(CONTRACT.findall(header.read_text())) for header in HEADERS) > 100
    bare = [
        f"{header.name}: {line}"
        for header in HEADERS
        for block in header.read_text().split("\n\n")
        for line in block.splitlines()
        if line.startswith("FCGI_EXPORT") and "/*" not in block
    ]
    assert bare == []


def test_compilers_reject_a_broken_header():
    """The checks above can fail."""
    for language in LANGUAGES:
        with pytest.raises(AssertionError):
            compile_text(
                language, include("fastcgi/fastcgi.h") + "int f(void) { int unused; return 0; }\n"
            )
    assert tool("g++")
