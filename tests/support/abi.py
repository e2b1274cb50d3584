# SPDX-License-Identifier: MIT
"""The binary interface of libfastcgi: a baseline in the tree, and what differs.

A program that was linked with the release of the baseline works with today's
library as long as nothing differs but new functions. Run as a program, this
writes the baseline anew: that is what `./dev abi` does.
"""

import platform
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

from support.paths import BUILD, HEADERS, SOURCE, relative

MACHINE = "x86_64"
BASELINE = SOURCE / "tests" / "hygiene" / f"libfastcgi-{MACHINE}.abi"
LIBRARY = BUILD / "core" / "libfastcgi.so"
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
    written, read = formats()
    if written != read:
        return f"the baseline has abidw's format {read}; the one installed writes {written}"
    return None


def formats() -> tuple[str, str]:
    """The format that abidw writes here and that of the baseline; abidiff reads
    only one of them."""
    here = subprocess.run(["abidw", "--abixml-version"], capture_output=True, text=True).stdout
    kept = re.search(r'<abi-corpus version="(\d+)', BASELINE.read_text())
    writes = re.search(r"(\d+)\.", here)  # "abidw: 2.1"
    return writes[1] if writes else "none", kept[1] if kept else "none"


def public_structs() -> set[str]:
    """Those whose members the public headers show."""
    text = "".join(header.read_text() for header in HEADERS)
    return set(re.findall(r"^typedef struct (\w+) \{", text, re.M))


def hide(root: xml.Element) -> None:
    """Leave of an opaque struct no more than its name. abidw's own way goes by
    the names of header files, and some of ours have one name twice."""
    shown = public_structs()
    for struct in root.iter("class-decl"):
        name = struct.get("name", "")
        if name.startswith("fcgi_") and name not in shown:
            struct[:] = []
            struct.attrib.pop("size-in-bits", None)
            struct.set("is-declaration-only", "yes")


def shorten(root: xml.Element) -> None:
    """Name each file from the tree's root, wherever the tree lies."""
    for unit in root.iter("abi-instr"):
        unit.set("path", "/".join(Path(unit.get("path", "")).parts[-3:]))


def prune(root: xml.Element) -> None:
    """Leave out types that no function leads to."""
    types = {at.get("id"): at for unit in root.iter("abi-instr") for at in unit if at.get("id")}
    wanted: set[str] = set()
    new = [at for at in root.iter("function-decl") if at.get("elf-symbol-id")]
    while new:
        used = {part.get("type-id") for at in new for part in at.iter()} & types.keys() - wanted
        wanted |= used
        new = [types[one] for one in used]
    for unit in root.iter("abi-instr"):
        unit[:] = [at for at in unit if not at.get("id") or at.get("id") in wanted]


def dump(library: Path, out: Path) -> None:
    """Write the public part of a library's interface."""
    command = ["abidw", "--exported-interfaces-only", "--type-id-style", "hash", *NEUTRAL]
    subprocess.run([*command, "--out-file", str(out), str(library)], check=True)
    tree = xml.parse(out)
    hide(tree.getroot())
    shorten(tree.getroot())
    prune(tree.getroot())
    xml.indent(tree)
    tree.write(out)


def differences(old: Path, new: Path) -> str:
    """What abidiff reports between two dumps beyond new functions; "" for nothing."""
    command = [
        "abidiff",
        "--leaf-changes-only",
        "--harmless",
        "--no-added-syms",
        str(old),
        str(new),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode & (FAILED | WRONG_USE), done.stdout + done.stderr
    return done.stdout if done.returncode & CHANGED else ""


if __name__ == "__main__":
    reason = obstacle()
    if reason:
        sys.exit(f"abi: {reason}")
    dump(LIBRARY, BASELINE)
    print(f"abi: {relative(BASELINE)} is that of this tree; git diff shows what has changed")
