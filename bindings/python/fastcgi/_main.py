# SPDX-License-Identifier: MIT
"""A program that serves one application."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from . import _core
from ._say import say
from ._server import Interface, Server, _core_options, check_keywords, share_work
from ._signals import stop_on_signals

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._roles import Role
    from ._types import Application, Handler, ServeOptions

USAGE = 2


def main(
    app: Application | None = None,
    *,
    threads: int = 1,
    interface: Interface = "auto",
    stream: bool = False,
    roles: Mapping[str, Handler | Role] | None = None,
    workers: int | Literal["auto"] = 0,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve ``app`` on the addresses that the command line names, or without
    any on the inherited listener; the arguments are those of ``serve``.

    An address that is wrong, taken or missing ends the program with one line
    on stderr and status 2. A CGI server puts words of the client's on the
    command line (RFC 3875, 4.4): they are never taken for addresses.
    """
    words = _addresses()
    given = _core_options(options)
    own = {"threads": threads, "interface": interface, "stream": stream, "workers": workers}
    check_keywords("main", own | given)
    rest: Any = share_work(workers, words, given)
    if rest is None:
        return
    if workers:
        words = []
    with (
        Server(threads=threads, stream=stream, roles=roles, **rest) as server,
        stop_on_signals(server),
    ):
        _listen(server, words)
        server.serve(app, interface=interface)


def _program() -> str:
    return os.path.basename(sys.argv[0])


def _addresses() -> list[str]:
    words = [] if "GATEWAY_INTERFACE" in os.environ else sys.argv[1:]
    if any(word.startswith("-") for word in words):
        asked = words[0] in ("-h", "--help")
        usage = (
            f"usage: {_program()} [ADDRESS ...]   unix:PATH, HOST:PORT or fd:N; "
            "without one the inherited listener"
        )
        print(usage) if asked else say(f"{usage}\n")
        sys.exit(0 if asked else USAGE)
    return words


def _listen(server: Server, words: Sequence[str]) -> None:
    program = _program()
    try:
        for address in words:
            server.listen(address)
        if not words:
            server.listen(None)
    except OSError as error:
        say(f"{program}: {error.strerror or error}\n")
        sys.exit(USAGE)
    except (_core.Error, ValueError) as error:
        say(f"{program}: {error}\n")
        sys.exit(USAGE)
