# SPDX-License-Identifier: MIT
"""Number the lines of a file that the web server sends along.

python filter.py unix:filter.sock        (without an address: the inherited listener)

A filter is a responder with a second input, DATA: the file, with its length
and the time it was modified. It need not be read: where the browser has that
version already, nothing is sent.
"""

from collections.abc import Iterator
from email.utils import formatdate

import fastcgi


def lines(request: fastcgi.Request) -> Iterator[bytes]:
    """The lines of the file as it comes, in little memory."""
    rest = b""
    while piece := request.read_data(65536):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if rest:
        yield rest + b"\n"


def number(request: fastcgi.Request) -> tuple[int, dict[str, str], Iterator[bytes]]:
    headers = {"Content-Type": "text/plain"}
    if request.data_modified is not None:
        headers["Last-Modified"] = formatdate(request.data_modified, usegmt=True)
    if request.params.get("HTTP_IF_MODIFIED_SINCE") == headers.get("Last-Modified", ""):
        return 304, headers, iter(())
    return 200, headers, (b"%6d  %s" % pair for pair in enumerate(lines(request), 1))


if __name__ == "__main__":
    fastcgi.main(roles={"filter": number}, stream=True)
