# SPDX-License-Identifier: MIT
"""The thread that calls what requests have given to on_abort."""

from __future__ import annotations

from fastcgi._abort import Canceller, Watch


def test_cancellers_are_called_in_their_order():
    """Though the abort comes between two looks: the second one's call may end the
    request, and the first would never be called."""

    class Late:
        looks = 0

        @property
        def aborted(self):
            self.looks += 1
            return "connection" if self.looks > 1 else None

    class Parent:
        forked = False

    request, called = Late(), []
    watch = Watch()
    for name in ("first", "second"):
        canceller = Canceller(request, lambda name=name: called.append(name), True, print, Parent())
        watch._waiting.append(canceller)
    watch._run()
    assert called == ["first", "second"]
