# SPDX-License-Identifier: MIT
"""The echo example with a connection that is kept, for the status page to show."""

import sqlite3
import sys
from pathlib import Path

import fastcgi

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "python"))

import echo

visits = fastcgi.resource(lambda: sqlite3.connect(":memory:"), name="visits")


def app(request):
    with visits as connection:
        connection.execute("SELECT 1")
        echo.app(request)
