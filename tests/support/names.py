# SPDX-License-Identifier: MIT
"""Writes the table of slots that core/session/names_find.h looks in.

    python tests/support/names.py           # write it
    python tests/support/names.py --check   # 1 when it is not current

The hash takes the length and three bytes of a name. What is looked
for is a factor that gives every known name a slot of its own.
"""

import re
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
NAMES = SOURCE / "core/session/names.h"
SLOTS = SOURCE / "core/session/names_slots.h"
BITS = 9
TEXT = """/* SPDX-License-Identifier: MIT */
/* Written by ./dev names: the number of the known name in each slot. */
#ifndef FCGI_SESSION_NAMES_SLOTS_H
#define FCGI_SESSION_NAMES_SLOTS_H

#include "session/names.h"

enum {{ SLOT_BITS = {bits} }};

/* Gives each name a slot of its own. */
static const uint32_t factor = {factor}u;

static const uint8_t slots[1 << SLOT_BITS] = {{
{rows}
}};

#endif
"""


def known() -> list[str]:
    return re.findall(r"^  X\((\w+)\)", NAMES.read_text(), re.M)


def key(name: str) -> int:
    """As fcgi__name_key of names_find.h."""
    text, size = name.encode(), len(name)
    return text[size - 1] | text[size // 2] << 8 | text[size - 2] << 16 | size << 24


def slot(name: str, factor: int) -> int:
    return (key(name) * factor & 0xFFFFFFFF) >> (32 - BITS)


def factor_of(names: list[str]) -> int:
    """The first of a fixed row of numbers that will do."""
    keys = {key(name) for name in names}
    assert len(keys) == len(names), "two names have one key: let key take another byte"
    factor = 1
    while True:
        factor = (factor * 1664525 + 1013904223) & 0xFFFFFFFF | 1
        if len({slot(name, factor) for name in names}) == len(names):
            return factor


def written() -> str:
    names = known()
    factor = factor_of(names)
    rows = sorted((slot(name, factor), name) for name in names)
    lines = "\n".join(f"    [{at}] = FCGI__NAME_{name}," for at, name in rows)
    return TEXT.format(bits=BITS, factor=factor, rows=lines)


def main() -> int:
    text = written()
    if "--check" in sys.argv[1:]:
        return int(not SLOTS.exists() or SLOTS.read_text() != text)
    SLOTS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
