# SPDX-License-Identifier: MIT
"""A body of 4 GiB and 1 byte through the echo application of each language.

`./dev soak long_body` runs it: one line for each language with the growth of its
memory over that of shorter bodies. A body that does not come back as it was sent
ends it with an error; the exit status is 1 where memory grows too far.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from support.echo import LANGUAGES, echo_command
from support.long_body import LENGTH, MOST_GROWTH, growth
from support.process import Process


def grown(language: str, length: int) -> int:
    directory = Path(tempfile.mkdtemp(prefix="fastcgi-soak-"))
    address = f"unix:{directory}/echo.sock"
    try:
        with Process(echo_command(language, address, threads=2), directory / "log") as app:
            return growth(app.wait_for_address(address), address, length)
    finally:
        shutil.rmtree(directory)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak long_body")
    parser.add_argument("--length", type=int, default=LENGTH, help=f"bytes ({LENGTH})")
    length = parser.parse_args().length
    print("language      bytes growth KiB")
    found = {}
    for language in LANGUAGES:
        found[language] = grown(language, length)
        print(f"{language:8} {length:10} {found[language] >> 10:10}", flush=True)
    return int(any(found[language] > most for language, most in MOST_GROWTH.items()))


if __name__ == "__main__":
    sys.exit(main())
