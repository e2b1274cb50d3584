# SPDX-License-Identifier: MIT
"""children.c in Python."""

import os
import subprocess
import sys
import time


def be_child(request, way):
    if way == "exit":
        sys.exit(7)
    if way == "_exit":
        os._exit(7)
    if way == "raise":
        raise RuntimeError("in the child")
    if way == "use":
        for call in (
            lambda: request.write(b"child"),
            lambda: request.reply(b"child"),
            lambda: request.flush(),
            lambda: request.fail(),
        ):
            try:
                call()
            except Exception as error:
                if "fork" not in str(error) and "ended" not in str(error):
                    os._exit(1)
            else:
                if not request.ended:
                    os._exit(2)
        os._exit(0)
    while way == "hang":
        time.sleep(1000)
    return 200, {}, b"child"


def with_child(request, way):
    time.sleep(float(request.params.get("DELAY", 0)))
    child = os.fork()
    if child == 0:
        return be_child(request, way)
    if way == "hang":
        return f"pid {child}\n"
    return f"status {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n"


def app(request):
    path, command = request.params["SCRIPT_NAME"], request.params.get("COMMAND")
    if command:
        done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=False)
        return 200, {}, done.stdout
    if path.startswith("/child/"):
        result = with_child(request, path[len("/child/") :])
        return result if isinstance(result, tuple) else (200, {}, result)
    return 200, {}, f"pid {os.getpid()}\n"
