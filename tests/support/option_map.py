# SPDX-License-Identifier: MIT
"""core/options/map.h, the one list of options, as Python has it."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).resolve().parents[2]
CC = "cc"

# What the words of the map become: items of a Python dictionary.
WORDS = r"""
#define NULL None
#define INT_MAX 2147483647
#define MOST None
#define MOST_SIZE None
#define MOST_TIME None
#define TEXT(value_, unset_) "kind": "text", "value": value_, "unset": unset_
#define USERS(value_, unset_) "kind": "users", "value": value_, "unset": unset_
#define NAMED_SIZE(value_, unset_) "kind": "named_size", "value": value_, "unset": unset_
#define URL_PATH(unset_) "kind": "path", "value": "PATH", "unset": unset_
#define FLAG "kind": "flag"
#define NUMBER(value_, standard_) "value": value_, "standard": standard_
#define RANGE(least_, most_) "least": least_, "most": most_
#define COUNT(value_, standard_, least, most) "kind": "count", NUMBER(value_, standard_), \
  RANGE(least, most)
#define COUNT_OR_AUTO(value_, unset_, least, most) "kind": "processes", NUMBER(value_, None), \
  "unset": unset_, RANGE(least, most)
#define BYTES(value_, standard_, least, most) "kind": "bytes", NUMBER(value_, standard_), \
  RANGE(least, most)
#define SECONDS(value_, standard_, least, most) "kind": "seconds", NUMBER(value_, standard_), \
  RANGE(least, most)
#define MODE(standard_, least) "kind": "mode", NUMBER("MODE", standard_), RANGE(least, 0o777)
#define CHOICE(value_, standard_, words_) "kind": "choice", NUMBER(value_, standard_), \
  "words": words_
#define UNSET(unset_) "unset": unset_
#define STANDARD(standard_) "standard": standard_
#define SERVER "scope": "server"
#define WORKER "scope": "worker"
#define PROCESSES "scope": "processes"
#define COMMAND "scope": "command"
#define PYTHON "launchers": ["python"]
#define RUN "launchers": ["run"]
#define APPS "launchers": ["python", "lua"]
#define EVERYWHERE "launchers": ["python", "lua", "run"]
#define IN_SERVER(type, field) "type": #type, "field": #field
#define IN_SUPERVISOR(type, field) "supervisor_type": #type, "supervisor": #field
#define LETTER(letter_) "letter": letter_
#define REPEATED "repeated": True
#define POSITIONAL "positional": True
#define COMMAS "commas": True
#define LEVELS "levels": True
#define OR_NONE(none_) "none": none_
#define OR_NEVER "never": True
#define EXAMPLE(text_) "example": text_
#define OR_EMPTY "empty": True
#define FIXED "fixed": True
#define RUN_FROM(least_) "run_least": least_
#define GUNICORN "gunicorn": True
#define HELP(help_) "help": help_
#define IN_PYTHON(form_) "python": form_
#define IN_LUA(form_) "lua": form_
#define ROW(name_, ...) @{"name": #name_, __VA_ARGS__}@
#define GROUP(title, map) @{"title": title}@ map(ROW)
#include "options/map.h"
FCGI_OPTION_GROUPS(GROUP)
"""

LAUNCHERS = {"python": "Python", "lua": "Lua", "run": "`fcgi run`"}


class Option(NamedTuple):
    """One option of the map."""

    name: str
    kind: str
    scope: str
    launchers: list[str]
    help: str
    group: str
    value: str | None = None
    standard: str | None = None
    unset: str | None = None
    words: str | None = None
    least: int | None = None
    run_least: int | None = None
    most: int | None = None
    type: str | None = None
    field: str | None = None
    supervisor_type: str | None = None
    supervisor: str | None = None
    letter: str | None = None
    repeated: bool = False
    positional: bool = False
    commas: bool = False
    levels: bool = False
    none: str | None = None
    example: str | None = None
    never: bool = False
    empty: bool = False
    fixed: bool = False
    gunicorn: bool = False
    python: str | None = None
    lua: str | None = None

    @property
    def default(self) -> str:
        return "off" if self.kind == "flag" else self.standard or self.unset or "none"

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def text(self) -> str:
        """The help, with the words of a choice and whether there may be several."""
        forms = (("Python", self.python), ("Lua", self.lua))
        ends = "".join(f" In {language}: {form}." for language, form in forms if form)
        return self.help + ends + self.more

    @property
    def more(self) -> str:
        words = f" One of {self.words}." if self.words else ""
        return words + (" Repeatable." if self.repeated else "")

    def text_in(self, launcher: str) -> str:
        """The text as a user of one launcher reads it."""
        form = {"python": self.python, "lua": self.lua}.get(launcher)
        return (f"{self.help[:-1]}: {form}." if form else self.help) + self.more


def read_map() -> list[Option]:
    command = [CC, "-E", "-P", "-undef", "-I", str(SOURCE / "core"), "-"]
    done = subprocess.run(command, input=WORDS, check=True, capture_output=True, text=True)
    options: list[Option] = []
    group = ""
    for text in re.findall(r"@(\{.*?\})@", done.stdout, re.S):
        row: dict[str, Any] = ast.literal_eval(text)
        if "title" in row:
            group = row["title"]
        else:
            options.append(Option(group=group, **row))
    return options


def groups(options: list[Option]) -> Iterator[tuple[str, list[Option]]]:
    for title in dict.fromkeys(option.group for option in options):
        yield title, [option for option in options if option.group == title]
