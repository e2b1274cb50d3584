# SPDX-License-Identifier: MIT
"""serve.py SERVER ADDRESS: wsgi.application on flup6, flipflop, bjoern, or as one CGI request."""

import os
import socket
import sys

from wsgi import application


def flup(address):
    from flup.server.fcgi import WSGIServer

    # Its pool forgets what is queued: a connection in a burst waits for another to close.
    WSGIServer(application, bindAddress=address, minSpare=32, maxSpare=64).run()


def flipflop(address):
    """It serves the listener that it finds at descriptor 0."""
    from flipflop import WSGIServer

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(1024)
    os.dup2(listener.fileno(), 0)
    WSGIServer(application).run()


def bjoern(address):
    import bjoern as server

    server.run(application, "unix:" + address)


def cgi(address):
    from wsgiref.handlers import CGIHandler

    CGIHandler().run(application)


{"flup": flup, "flipflop": flipflop, "bjoern": bjoern, "cgi": cgi}[sys.argv[1]](
    sys.argv[2] if len(sys.argv) > 2 else None
)
