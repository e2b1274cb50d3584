# SPDX-License-Identifier: MIT
"""FastCGI for Python: native handlers and WSGI applications.

import fastcgi

def hello(request):
    return 200, {"Content-Type": "text/plain"}, b"Hello\\n"

fastcgi.serve(hello, bind="unix:hello.sock")    # or as a program: fastcgi.main(hello)
"""

from ._core import (
    Aborted,
    Closed,
    Damaged,
    Error,
    FileWrapper,
    LimitError,
    ProtocolError,
    Request,
    StateError,
    Timeout,
    Truncated,
    Unavailable,
    Unsupported,
    WouldBlock,
    __version__,
)
from ._interface import detect_interface
from ._main import main
from ._resource import resource
from ._roles import Role
from ._server import Server, serve
from ._shared import Shared, SharedLock, shared

__all__ = [
    "Aborted",
    "Closed",
    "Damaged",
    "Error",
    "FileWrapper",
    "LimitError",
    "ProtocolError",
    "Request",
    "Role",
    "Server",
    "Shared",
    "SharedLock",
    "StateError",
    "Timeout",
    "Truncated",
    "Unavailable",
    "Unsupported",
    "WouldBlock",
    "__version__",
    "detect_interface",
    "main",
    "resource",
    "serve",
    "shared",
]
