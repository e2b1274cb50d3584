# SPDX-License-Identifier: MIT
"""The binary interface of libfastcgi: a baseline in the tree, and what differs.

A program that was linked with the release of the baseline works with today's
library as long as nothing differs but new functions. Run as a program, this
writes the baseline anew: that is what `./dev abi` does.
"""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

from support.paths import BUILD, INCLUDE, SOURCE, relative

MACHINE = "x86_64"
BASELINE = SOURCE / "tests" / "hygiene" / f"libfastcgi-{MACHINE}.abi"
LIBRARY = BUILD / "core" / "libfastcgi.so"
PUBLIC = ["--drop-private-types", "--exported-interfaces-only"]
# What the place and the day of a build would change.
NEUTRAL = ["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--no-parameter-names"]
# Bits of abidiff's exit status.
FAILED, WRONG_USE, CHANGED = 1, 2, 4


def obstacle() -> str | None:
    """Why nothing can be compared here, or None."""
    if platform.machine() != MACHINE or platform.system() != "Linux":
        return f"the baseline is of Linux on {MACHINE}"
    if not shutil.which("abidiff") or not shutil.which("abidw"):
        return "abidiff is not installed; it is in abigail-tools"
    return None


def dump(library: Path, out: Path) -> None:
    """Write the public part of a library's interface."""
    headers = ["--headers-dir", str(INCLUDE)]
    command = ["abidw", *PUBLIC, *NEUTRAL, *headers, "--out-file", str(out), str(library)]
    subprocess.run(command, check=True)


def differences(old: Path, library: Path) -> str:
    """What abidiff reports beyond new functions; "" for nothing."""
    headers = ["--headers-dir2", str(INCLUDE)]
    command = ["abidiff", *PUBLIC, "--no-added-syms", *headers, str(old), str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode & (FAILED | WRONG_USE), done.stdout + done.stderr
    return done.stdout if done.returncode & CHANGED else ""


if __name__ == "__main__":
    reason = obstacle()
    if reason:
        sys.exit(f"abi: {reason}")
    dump(LIBRARY, BASELINE)
    print(f"abi: {relative(BASELINE)} is that of this tree; git diff shows what has changed")
