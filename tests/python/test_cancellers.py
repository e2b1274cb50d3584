# SPDX-License-Identifier: MIT
"""The thread that calls what requests have given to on_abort."""

from __future__ import annotations

import fastcgi
from fastcgi._abort import Canceller, Watch


class Parent:
    """A server in the process that it was made in."""

    forked = False


def run(request, functions):
    """Let a watch look at the request until it has no canceller left."""
    watch = Watch()
    for function in functions:
        watch._waiting.append(Canceller(request, function, True, print, Parent()))
    watch._run()
    return watch


def test_cancellers_are_called_in_their_order():
    """Though the abort comes between two looks: the second one's call may end the
    request, and the first would never be called."""

    class Late:
        looks = 0

        @property
        def aborted(self):
            self.looks += 1
            return "connection" if self.looks > 1 else None

    called = []
    run(Late(), [lambda: called.append("first"), lambda: called.append("second")])
    assert called == ["first", "second"]


def test_every_canceller_is_called_though_the_first_ends_the_request():
    class Ending:
        ended = False

        @property
        def aborted(self):
            if self.ended:
                raise fastcgi.StateError("the request has ended")
            return "connection"

    request, called = Ending(), []

    def end():
        request.ended = True
        called.append("first")

    run(request, [end, lambda: called.append("second")])
    assert called == ["first", "second"]


def test_one_that_comes_during_a_look_is_called_after_those_before_it():
    called = []
    watch = Watch()

    def add(name):
        function = lambda: called.append(name)  # noqa: E731
        watch._waiting.append(Canceller(request, function, True, print, Parent()))

    class Slow:
        looks = 0

        @property
        def aborted(self):
            self.looks += 1
            if self.looks == 1:
                add("second")
                return None
            return "connection"

    request = Slow()
    add("first")
    watch._run()
    assert called == ["first", "second"]
