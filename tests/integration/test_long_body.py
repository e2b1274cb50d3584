# SPDX-License-Identifier: MIT
"""A body of 4 GiB and 1 byte goes in and comes out while memory stays flat."""

from support.long_body import MOST_GROWTH, growth
from support.process import Process


def test_memory_stays_flat(language: str, echo: tuple[Process, str]):
    grown = growth(*echo)
    assert grown <= MOST_GROWTH[language], f"RSS grew by {grown >> 10} KiB"
