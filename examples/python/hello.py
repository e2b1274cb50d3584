# SPDX-License-Identifier: MIT
"""The smallest handler.

python hello.py unix:hello.sock      (without an address: the inherited listener)
"""

import sys

import fastcgi


def hello(request: fastcgi.Request) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "text/plain"}, b"Hello\n"


if __name__ == "__main__":
    fastcgi.serve(hello, bind=sys.argv[1] if len(sys.argv) > 1 else None)
