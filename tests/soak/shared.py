# SPDX-License-Identifier: MIT
"""Kill what writes into a shared dictionary, again and again.

`./dev soak shared` runs it: processes of C that write values, one of them killed
every few milliseconds; 4 processes of 4 threads that count to a million, one of
them killed each 100 ms; then workers of a supervisor that count, killed while
clients ask. The exit status is 1 when a value is not whole, a sum is not exact
but for what the killed were doing, or somebody waits.
"""

import argparse
import os
import subprocess
import sys

from support.paths import BUILD, SOURCE


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak shared")
    parser.add_argument("--kills", type=int, default=1000, help="of writers (1000)")
    parser.add_argument("--increments", type=int, default=1000000, help="at least (1000000)")
    parser.add_argument("--workers", type=int, default=50, help="workers to kill (50)")
    given = parser.parse_args()
    env = {
        **os.environ,
        "FCGI_SHARED_KILLS": str(given.kills),
        "FCGI_SHARED_INCREMENTS": str(given.increments),
    }
    status = subprocess.run([BUILD / "tests" / "unit" / "unit_shared_kills"], env=env).returncode
    env["FCGI_SHARED_KILLS"] = str(given.workers)
    words = [sys.executable, "-m", "pytest", "-q", "-k", "killed", "integration/test_run_shared.py"]
    status |= subprocess.run(words, env=env, cwd=SOURCE / "tests").returncode
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
