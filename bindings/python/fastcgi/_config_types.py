# SPDX-License-Identifier: MIT
"""How the text of an option is read; what is wrong raises ArgumentTypeError."""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ._roles import STANDARD, STREAMS

MOST_WORKERS = 4096
MOST = (1 << 62) - 1  # What a count may be.
MOST_SECONDS = 1e11  # Some 3,000 years.


def refuse(text: str, wanted: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"'{text}' is not {wanted}")


def is_digits(text: str) -> bool:
    """Whether it is digits and nothing else: int() takes signs, spaces, underscores
    and the digits of other scripts too."""
    return text.isascii() and text.isdecimal()


def count(text: str) -> int:
    """A whole number, perhaps 0."""
    if not is_digits(text) or int(text) > MOST:
        raise refuse(text, f"a whole number up to {MOST}")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1, with an optional unit of bytes: 64K, 10M, 1G."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    unit = units.get(text[-1:].upper(), 1)
    digits = text[:-1] if unit > 1 else text
    if not is_digits(digits) or not 1 <= int(digits) <= MOST // unit:
        raise refuse(text, "a whole number from 1")
    return int(digits) * unit


def seconds(text: str) -> float | None:
    """Seconds, or a number with a unit: 30, 0.5, 30s, 5m, 1h; 0 is no limit."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    unit = units.get(text[-1:])
    digits = text[:-1] if unit else text
    whole, point, part = digits.partition(".")
    number = -1.0
    if is_digits(whole) and (is_digits(part) or not point):
        number = float(digits) * (unit or 1.0)
    if not 0 <= number <= MOST_SECONDS:
        raise refuse(text, "a time such as 30, 0.5s or 5m")
    return number or None


def _octal(text: str, least: int) -> int:
    digits = text.removeprefix("0o")
    if not is_digits(digits) or set(digits) & set("89") or not least <= int(digits, 8) <= 0o777:
        raise refuse(text, "an octal mode such as 660")
    return int(digits, 8)


def octal(text: str) -> int:
    """A mode in octal, such as 660."""
    return _octal(text, 1)


def octal_or_none(text: str) -> int:
    """The same for a mask, which may be 0."""
    return _octal(text, 0)


def mount(text: str) -> str:
    """A path that begins with '/'."""
    if text and not text.startswith("/"):
        raise argparse.ArgumentTypeError("must begin with '/'")
    return text


def flag(text: str) -> bool:
    """Yes or no, where an option without a value is given one."""
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    if text.lower() not in words:
        raise refuse(text, "true or false")
    return words[text.lower()]


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise refuse(text, f"one of {', '.join(words)}")
        return text

    return read


def workers(text: str) -> int:
    """A number of processes, or "auto"."""
    if text == "auto":
        return min(available_cpus(), MOST_WORKERS)
    if not is_digits(text) or int(text) > MOST_WORKERS:
        raise refuse(text, f"a whole number up to {MOST_WORKERS}, or auto")
    return int(text)


def available_cpus(root: str = "/") -> int:
    """The processors that this process may use, or fewer where the quota of a
    control group is less than that, rounded up."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:
        cpus = os.cpu_count() or 1
    quotas = [-(-quota // period) for quota, period in _quotas(pathlib.Path(root))]
    return max(1, min([cpus, *quotas]))


def _quotas(root: pathlib.Path) -> list[tuple[int, int]]:
    """Quota and period of every control group that we are in; of version 2 each
    level counts, and a container sees its own group as the root."""
    groups = _read(root / "proc/self/cgroup").splitlines()
    found = []
    for line in groups:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            group = pathlib.PurePosixPath(path.lstrip("/"))
            for level in [group, *group.parents]:
                found.append(_read(root / "sys/fs/cgroup" / level / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for place in (
                root / "sys/fs/cgroup/cpu" / path.lstrip("/"),
                root / "sys/fs/cgroup/cpu",
            ):
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                found.append([_read(place / name).strip() for name in names])
    numbers = [pair for pair in found if len(pair) == 2 and all(one.isdigit() for one in pair)]
    return [(int(quota), int(period)) for quota, period in numbers if int(period) > 0]


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


class RoleArgument(NamedTuple):
    """What --role says."""

    name: str
    number: int | None
    streams: Any
    handler: str


def role(text: str) -> RoleArgument:
    """NAME=MODULE:HANDLER or, for a custom role, NAME:NUMBER[:STREAMS]=MODULE:HANDLER."""
    left, _, handler = text.partition("=")
    name, number, streams, *more = [*left.split(":"), "", ""]
    custom = is_digits(number) and (streams or "stdin") in STREAMS and len(more) <= 2
    standard = name in STANDARD and left == name
    if not handler or not name or not (custom or standard) or any(more):
        example = "authorizer=module:check or lookup:9:stdin=module:find"
        raise refuse(text, f"a role such as {example}")
    return RoleArgument(name, int(number) if custom else None, streams or "stdin", handler)
