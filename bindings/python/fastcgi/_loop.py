# SPDX-License-Identifier: MIT
"""The options of a server that concern its event loop, without asyncio, which takes long to
import and which most programs do not need."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from . import _core

NAMES = ("lifespan", "limit_concurrency", "disconnect_grace", "loop")
SHARED = ("io_timeout", "graceful_timeout")  # The core heeds them too.


class Settings(NamedTuple):
    """Times are seconds, None for no limit."""

    lifespan: str
    limit_concurrency: int | None
    disconnect_grace: float | None
    loop: str
    io_timeout: float | None
    graceful_timeout: float | None


def take_options(options: dict[str, Any]) -> _core.Options:
    """What a server is given of them; those that the core does not know are taken out."""
    source = _core.Options()
    for name in (*NAMES, *SHARED):
        if name in options:
            source.give(name, options[name])
    for name in NAMES:
        options.pop(name, None)
    return source


def settle(source: _core.Options) -> Settings:
    """With what the environment says of the others."""
    with contextlib.suppress(ValueError):  # The server has complained.
        source.read_environment()
    values = {name: source.value(name) for name in (*NAMES, *SHARED)}
    values["limit_concurrency"] = values["limit_concurrency"] or None
    return Settings(**values)
