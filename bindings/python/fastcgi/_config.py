# SPDX-License-Identifier: MIT
"""The options that apply: of pyproject.toml, the file, the environment and the
command line, the later ones before the earlier. The core knows them all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from . import _core
from ._roles import STANDARD, STREAMS

USAGE = 2
SERVER = _core.Options.names("server")
PROCESSES = _core.Options.names("processes")

HEAD = """\
usage: fastcgi [OPTIONS] MODULE:APP

Serve a Python application over FastCGI.

"""
FOOT = """
Sizes take K, M or G, times s, m, h or d. Each option may also be in the
environment, as FASTCGI_NAME, in the file of --config or in [tool.fastcgi] of
pyproject.toml, as name. SIGTERM and SIGINT finish what runs and stop, a second
one stops at once; with --workers SIGHUP replaces the workers, and no request is
lost.
"""


class ConfigError(Exception):
    """What is wrong, in one line."""


class RoleArgument(NamedTuple):
    """What --role says."""

    name: str
    number: int | None
    streams: Any
    handler: str


class Settings:
    """What was given, and the defaults of the rest."""

    def __init__(self) -> None:
        self.source = _core.Options()
        self._given: set[str] = set()
        self.roles: list[RoleArgument] = []

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def read(self, name: str) -> Any:
        """The value, or the default; None where there is none."""
        return self.source.value(name)

    def some(self, names: Iterable[str]) -> dict[str, Any]:
        """The values of those that were given."""
        return {name: self.read(name) for name in names if name in self._given}

    def show(self) -> str:
        """A TOML file of all options, with where each value comes from."""
        return self.source.show()

    def help(self) -> str:
        return HEAD + self.source.help() + FOOT

    def load(self, words: Sequence[str], directory: str) -> None:
        """Read all of them; files are looked for in `directory`."""
        options = self.source
        used = options.read_words([os.fsencode(word) for word in words])
        if used < len(words) and "GATEWAY_INTERFACE" not in os.environ:
            raise ConfigError(f"unexpected argument: {words[used]}")
        options.read_environment()
        path = options.value("config")
        if path:
            options.read_file(directory, path, None)
        options.read_file(directory, "pyproject.toml", "tool.fastcgi")
        self._given = set(options.given())
        self.roles = [read_role(text) for text in options.value("role")]


def load(words: Sequence[str], directory: str) -> Settings:
    """All that is said. Raises ConfigError."""
    settings = Settings()
    try:
        settings.load(words, directory)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return settings


def read_role(text: str) -> RoleArgument:
    """NAME=MODULE:HANDLER or, for a custom role, NAME:NUMBER[:STREAMS]=MODULE:HANDLER."""
    left, _, handler = text.partition("=")
    name, number, streams, *more = [*left.split(":"), "", ""]
    is_number = number.isascii() and number.isdecimal()
    custom = is_number and (streams or "stdin") in STREAMS and len(more) <= 2
    standard = name in STANDARD and left == name
    if not handler or not name or not (custom or standard) or any(more):
        raise ConfigError(
            f"role={text}: must be a role such as authorizer=module:check or "
            "lookup:9:stdin=module:find"
        )
    return RoleArgument(name, int(number) if custom else None, streams or "stdin", handler)
