#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The smallest WSGI application.

python -m fastcgi hello_wsgi --bind unix:hello.sock --threads 4
"""

from collections.abc import Callable, Iterable
from typing import Any

import fastcgi


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello\n"]


if __name__ == "__main__":
    fastcgi.main(application)
