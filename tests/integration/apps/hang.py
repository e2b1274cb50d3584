# SPDX-License-Identifier: MIT
"""An application whose handlers hang until a file is there, or answer at once."""

import os
import time
from pathlib import Path

GATE = Path(os.environ["GATE"])


def wait_for_the_gate():
    while not GATE.exists():
        time.sleep(0.01)


def app(request):
    if request.path.endswith("/hang"):
        wait_for_the_gate()
    if request.path.endswith("/busy"):
        sum(range(10**12))  # In C, without ever giving the interpreter up.
    request.reply(f"{request.aborted}\n")
