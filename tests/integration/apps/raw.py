# SPDX-License-Identifier: MIT
"""An application that answers as raw.c does."""

import sys
import tempfile

import fastcgi


def app(request):
    data = request.read()
    if request.query == "file":
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            request.send_file(file, 0)
        return
    first = int(request.query)
    request.write(data[:first])
    request.write(data[first:])


if __name__ == "__main__":
    fastcgi.serve(app, bind=sys.argv[1])
