# SPDX-License-Identifier: MIT
"""What is written from the list of known names is current."""

from support.names import SLOTS, known, written


def test_slots_are_current():
    """Run ./dev names."""
    assert SLOTS.read_text() == written()


def test_no_name_comes_twice():
    assert len(known()) == len(set(known()))
