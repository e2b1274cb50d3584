#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The smallest handler.

python hello.py unix:hello.sock      (without an address: the inherited listener)
"""

import fastcgi


def hello(request: fastcgi.Request) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "text/plain"}, b"Hello\n"


if __name__ == "__main__":
    fastcgi.main(hello)
