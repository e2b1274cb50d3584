# SPDX-License-Identifier: MIT
"""A program over the SWIG module that does as told.c says."""

import os
import sys
import time
from pathlib import Path

import fastcgi_swig


def answer(request):
    told = request.param("QUERY_STRING")
    if told == "fail":
        raise RuntimeError("x" * 500)
    if told:
        Path(os.environ["MARK"]).touch()
    while told == "loop":
        pass
    if told == "call":
        time.sleep(1000)
    if told == "code":  # A call in C that keeps the GIL.
        sum(range(10**15))
    request.reply(200, "text/plain", b"fine\n")


server = fastcgi_swig.Server()
if len(sys.argv) > 1:
    server.listen(sys.argv[1])
else:
    server.listen_inherited()
server.serve(answer)
