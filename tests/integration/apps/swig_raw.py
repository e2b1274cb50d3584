# SPDX-License-Identifier: MIT
"""A program over the SWIG module that answers as raw.c does."""

import sys
import tempfile

import fastcgi_swig


def answer(request):
    data = request.read()
    query = request.param("QUERY_STRING")
    if query == "file":
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            request.send_file(file.name)
        return
    first = int(query)
    request.write(data[:first])
    request.write(data[first:])


server = fastcgi_swig.Server()
server.listen(sys.argv[1])
server.serve(answer)
