# SPDX-License-Identifier: MIT
"""The same as nap.c, in Python."""

import os
import time
from pathlib import Path


def app(request):
    word, _, value = request.params.get("QUERY_STRING", "").partition("=")
    if word == "gate":
        Path(f"{value}.{os.getpid()}").touch()
        while not os.path.exists(value):
            time.sleep(0.005)
    elif word == "sleep":
        time.sleep(float(value) / 1000)
    elif word == "spin":
        end = time.thread_time() + float(value) / 1000
        while time.thread_time() < end:
            pass
    request.reply(str(os.getpid()))
