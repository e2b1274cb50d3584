# SPDX-License-Identifier: MIT
"""Tell running handlers that their request is aborted."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING

from . import _core, _raise
from ._say import say

if TYPE_CHECKING:
    from typing_extensions import Self

LOOK_SECONDS = 0.05  # From one look at the aborts to the next.
LINGER_SECONDS = 2.0  # The thread outlives its last request so long.
ENDED = "ended"  # What stands for the reason of a request that is over.


class Canceller:
    """One callable to be called when a request is aborted, and once at most."""

    def __init__(
        self,
        request: _core.Request,
        function: Callable[[], object],
        record: bool,
        tell: Callable[[str], None],
        server: _core.Server,
    ) -> None:
        self._tell = tell
        self._server = server
        self._lock = threading.RLock()
        self._request = request
        self._function: Callable[[], object] | None = function
        self._record = record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Do not call it any more; waits until a call under way has returned."""
        if self.forked:  # The lock may be that of a thread which is not there.
            self._function = None
            return
        with self._lock:
            self._function = None

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that serves the request."""
        return self._server.forked

    def _look(self, reasons: Reasons) -> bool:
        """Call it if the time has come; False when nothing is left to wait for."""
        with self._lock:
            function = self._function
            if function is None:
                return False
            reason = reasons.of(self._request)
            if reason is None or (reason == "record" and not self._record):
                return True
            self._function = None
            if reason == ENDED:
                return False
            try:
                function()
            except BaseException:  # Others still count on this thread.
                self._tell(f"fastcgi: the canceller {function!r} failed\n{traceback.format_exc()}")
            return False


class Reasons:
    """Why requests are aborted, each asked once: its cancellers are all called or
    none is, although the call of the first may end the request."""

    def __init__(self) -> None:
        self._known: dict[int, str | None] = {}

    def of(self, request: _core.Request) -> str | None:
        """The reason, None without one, or ENDED."""
        if id(request) not in self._known:
            try:
                self._known[id(request)] = request.aborted
            except _core.StateError:
                self._known[id(request)] = ENDED
        return self._known[id(request)]


class Raiser:
    """Raises Aborted in the thread that is inside ``with``."""

    def __init__(
        self, watch: Watch, request: _core.Request, record: bool, server: _core.Server
    ) -> None:
        self._watch = watch
        self._canceller = Canceller(request, self._raise, record, say, server)
        self._thread = 0
        self._code: CodeType | None = None  # Of the frame that has the ``with``.
        self._raised = False

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        self._code = sys._getframe(1).f_code
        self._watch.add(self._canceller)

    def _raise(self) -> None:
        self._raised = True
        assert self._code is not None
        _raise.raise_aborted(self._thread, self._code)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._canceller.remove()
        if self._raised and (kind is None or not issubclass(kind, _core.Aborted)):
            _raise.cancel(self._thread)
            if kind is None:
                raise _core.Aborted("the request was aborted")


class Watch:
    """Looks at the requests that have cancellers, on a thread of its own which
    runs only while there are some: every other thread may be in a handler."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Canceller] = []
        self._running = False

    def add(self, canceller: Canceller) -> None:
        if canceller.forked:
            raise _core.StateError(
                "this process is a fork of the server's, to which the request belongs"
            )
        with self._changed:
            self._waiting.append(canceller)
            if self._running:
                self._changed.notify()
                return
            self._thread().start()
            self._running = True

    def _thread(self) -> threading.Thread:
        try:
            return threading.Thread(target=self._run, name="fastcgi-abort", daemon=True)
        except RuntimeError:  # Some subinterpreters have no daemon threads.
            return threading.Thread(target=self._run, name="fastcgi-abort")

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._changed.wait(LINGER_SECONDS)
                if not self._waiting:
                    self._running = False
                    return
                waiting, self._waiting = self._waiting, []
            reasons = Reasons()
            left = [canceller for canceller in waiting if canceller._look(reasons)]
            del waiting
            with self._changed:
                new = len(self._waiting) > 0
                self._waiting = left + self._waiting  # In the order of their coming.
                if left and not new:
                    self._changed.wait(LOOK_SECONDS)
            del left
