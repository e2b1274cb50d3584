# SPDX-License-Identifier: MIT
"""An application that does as told.c says; "code" is a call in C that keeps the GIL."""

import os
import sys
import time
from pathlib import Path

import fastcgi


def app(request):
    told = request.query
    if told == "fail":
        raise RuntimeError("x" * 500)
    if told:
        Path(os.environ["MARK"]).touch()
    while told == "loop":
        pass
    if told == "call":
        time.sleep(1000)
    if told == "code":
        sum(range(10**15))
    return 200, {"Content-Type": "text/plain"}, b"fine\n"


if __name__ == "__main__":
    limit = os.environ.get("LIMIT")
    if len(sys.argv) > 1:
        fastcgi.serve(app, bind=sys.argv[1], graceful_timeout=float(limit) if limit else None)
    else:
        fastcgi.main(app)
