# SPDX-License-Identifier: MIT
"""Instructions for one request stay what budgets.json says.

They hardly depend on the load of the machine. A change that costs more fails
here; one that is worth it, or that costs less, renews the file:

    python tests/budget/count.py --renew

With another compiler, libc or interpreter than the file names, the tolerance is
wide; the ratio to libfcgi is one of the same machine and holds everywhere.
"""

import functools
import json

import pytest
from budget.count import BUDGETS, NAMES, VARIED, count_all, toolchain

SAME, OTHER = 0.03, 0.35  # Tolerance with the toolchain of the file, and another.
MOST_OF_LIBFCGI = 0.505  # Half, but for what compilers differ in.
MOST_OF_RESOURCE = 600  # In C, for a thread that takes its own and gives it back,
MOST_OF_BLOCK = 2000  # and what a block in Python adds to a request,
MOST_OF_GET = 1500  # and a variable of Lua's that is closed.
MOST_OF_SAME = 1.15  # Where headers vary, of what they cost where they do not.
# Equal names leave nothing to do in Python's dict; others go in and out of it. Values
# alone cost 12 % more, another order nothing, names that come and go 21 %.
MOST_OF_SAME_IN_PYTHON = 1.3
KEPT = json.loads(BUDGETS.read_text())


@functools.cache
def counted(path: str) -> int:
    return count_all((path,))[path]


@pytest.fixture(scope="module")
def tolerance() -> float:
    return SAME if KEPT["toolchain"] == toolchain() else OTHER


@pytest.mark.parametrize("path", NAMES)
def test_instructions(path: str, tolerance: float):
    found, budget = counted(path), KEPT["instructions"][path]
    assert found <= budget * (1 + tolerance), (
        f"{path}: {found} instructions a request, {budget} allowed"
    )
    assert found >= budget * (1 - tolerance), (
        f"{path}: only {found} instructions a request, {budget} before: renew budgets.json"
    )


def test_session_takes_half_of_libfcgi():
    ratio = counted("session") / counted("libfcgi")
    assert ratio <= MOST_OF_LIBFCGI, f"{ratio:.2f} of libfcgi's instructions"


def test_a_resource_costs_little(tolerance: float):
    more = 1 if tolerance == SAME else 1 + OTHER
    assert counted("resource") <= MOST_OF_RESOURCE * more
    assert counted("handler-resource") - counted("handler") <= MOST_OF_BLOCK * more
    assert counted("lua-resource") - counted("lua-resource-none") <= MOST_OF_GET * more


@pytest.mark.parametrize("path", VARIED)
def test_headers_may_vary(path: str):
    most = MOST_OF_SAME_IN_PYTHON if path == "python" else MOST_OF_SAME
    ratio = counted(f"{path}-varied") / counted(path)
    assert ratio <= most, f"{path}: {ratio:.2f} times the instructions of equal headers"
