# SPDX-License-Identifier: MIT
"""The smallest application with the SWIG module.

python hello_swig.py unix:hello.sock   (without an address: the inherited listener)
"""

import sys

import fastcgi_swig

server = fastcgi_swig.Server()
if len(sys.argv) > 1:
    server.listen(sys.argv[1])
else:
    server.listen_inherited()
server.serve(lambda request: request.reply(200, "text/plain", b"Hello\n"))
