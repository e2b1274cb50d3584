# SPDX-License-Identifier: MIT
"""The probe over the SWIG module: swig_probe.py [ADDRESS [OPTION=VALUE...]]."""

import os
import subprocess
import sys
import time

import fastcgi_swig

TYPE = "text/plain"
BLOCK = b"x" * 100000
FAULT = "a fault of its own"


def tell(line):
    os.write(2, f"probe: {line}\n".encode())


def begin(request, status=200):
    request.header("Content-Type", TYPE)
    request.start(status)


def gate(request):
    tell(f"{request.param('QUERY_STRING')} began")
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    request.reply(200, TYPE, request.param("QUERY_STRING") + "\n")


def write(request):
    begin(request)
    try:
        while True:
            request.write(BLOCK)
    finally:
        tell("write ended")


def fault(request):
    begin(request)
    try:
        while True:
            request.write(BLOCK)
    except fastcgi_swig.Error:
        raise RuntimeError(FAULT) from None


def complain(request):
    count = request.param("QUERY_STRING")
    for number in range(int(count)):
        request.log(f"complaint {number:029}")
    request.reply(200, TYPE, count + "\n")


def reply(request):
    request.reply(int(request.param("QUERY_STRING")), TYPE, b"abc")


def start(request):
    begin(request, int(request.param("QUERY_STRING")))
    request.write(b"abc")


def promise(request):
    request.header("Content-Length", request.param("QUERY_STRING"))
    begin(request)
    request.write(b"a")
    request.flush()
    request.write(b"bc")


def length(request):
    request.reply(200, TYPE, f"{request.content_length()} {len(request.read())}")


def file(request):
    if request.param("LENGTH"):
        request.header("Content-Length", request.param("LENGTH"))
    begin(request)
    request.send_file(request.param("FILE"))


def by_popen(command):
    subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=True)


def by_exec(command):
    child = os.fork()
    if child == 0:
        os.execv("/bin/sh", ["/bin/sh", "-c", command])
    os.waitpid(child, 0)


WAYS = {"popen": by_popen, "system": os.system, "exec": by_exec}


def run(request):
    WAYS[request.param("WAY")](request.param("COMMAND"))
    request.reply(200, TYPE, b"done\n")


def free(request):
    request.reply(200, TYPE, f"QUERY_STRING={request.param('QUERY_STRING')}\n")


PATHS = {f.__name__: f for f in (gate, write, fault, complain, reply, start, promise, length)}
PATHS |= {"file": file, "run": run}

server = fastcgi_swig.Server()
for option in sys.argv[2:]:
    server.set_text(*option.split("=", 1))
if len(sys.argv) > 1:
    server.listen(sys.argv[1])
else:
    server.listen_inherited()
server.serve(lambda request: PATHS.get(request.path().rpartition("/")[2], free)(request))
