# SPDX-License-Identifier: MIT
"""The status page under load in a browser, for as long as one likes.

`./dev soak dashboard` runs it and writes docs/status.png, the picture in
docs/status.md. The exit status is 1 when a request failed or the page's console
says anything.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from support.dashboard import dashboard
from support.paths import SOURCE


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak dashboard")
    parser.add_argument("--seconds", type=float, default=20, help="how long (20)")
    parser.add_argument("--screenshot", type=Path, default=SOURCE / "docs" / "status.png")
    given = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="fastcgi-soak-"))
    try:
        with dashboard(directory) as seen, seen.load() as load:
            time.sleep(given.seconds)
            seen.browser.screenshot(given.screenshot)
            console = seen.browser.console()
            result = load.finish()
    finally:
        shutil.rmtree(directory)
    print(f"{result.requests} requests, {result.failed} failed; {given.screenshot}")
    print(*console, sep="\n", end="\n" if console else "")
    return 1 if console or result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
