# SPDX-License-Identifier: MIT
"""One request of an ASGI application: what it receives, and what it sends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

from . import _core
from ._exits import from_signal

if TYPE_CHECKING:
    from ._asgi import Serving
    from ._types import ASGI

SILENT, HEAD, BODY, DONE = range(4)  # How far the answer is.
STAGES = ("before the head of an answer", "after a head", "within a body", "after a whole answer")
START, PART, FILE = "http.response.start", "http.response.body", "http.response.pathsend"

UNYIELDED = 262144  # Bytes that one task may send before others run,
PER_PIECE = 1024  # where each piece counts as so many more.

WEBSOCKET = (
    "501 Not Implemented\nFastCGI carries requests and answers; a WebSocket cannot pass through "
    "it. Have the web server pass this path to an HTTP server.\n"
)


def refuse_websocket(request: _core.Request) -> None:
    request.reply(WEBSOCKET, 501, content_type="text/plain; charset=utf-8")


def is_disconnect(error: BaseException | None) -> bool:
    """Whether it follows from what send() raises once nobody can read the answer."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        parts = getattr(error, "exceptions", ())
        if isinstance(error, _core.Aborted) or (parts and all(map(is_disconnect, parts))):
            return True
        error = error.__cause__ or error.__context__
    return False


class Exchange:
    """Its methods are called on the thread of the event loop alone."""

    __slots__ = (
        *("_cancelled", "_gone", "_heard", "_request", "_serving"),
        *("_stage", "_timer", "_unyielded", "_waiters", "task"),
    )

    def __init__(self, serving: Serving, request: _core.Request) -> None:
        self.task: asyncio.Task[None] | None = None
        self._serving = serving
        self._request = request
        self._stage = SILENT
        self._gone = False  # Nobody can read the answer.
        self._heard = False  # The body has been received to its end.
        self._cancelled = False  # By us.
        self._waiters: list[asyncio.Future[bool]] = []
        self._timer: asyncio.Handle | None = None  # Of the cancelling.
        self._unyielded = 0

    async def run(self, app: ASGI, scope: dict[str, Any]) -> None:
        """The task of the request."""
        try:
            await app(scope, self.receive, self.send)
        except BaseException as error:
            if not isinstance(error, Exception) and from_signal(error):
                self._request._failed(None, "")
                raise
            self._fail(error, scope)
        else:
            if self._stage != DONE:
                self._fail_unanswered(scope)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._serving.leave(self)

    def _fail(self, error: BaseException, scope: dict[str, Any]) -> None:
        """The client gets 500, or a cut connection, unless it has its answer."""
        quiet = (self._cancelled and isinstance(error, asyncio.CancelledError)) or (
            self._gone and is_disconnect(error)
        )
        what = f"{scope['method']!r} {scope['path']!r}: the application failed\n"
        self._request._failed(None if quiet else error, what)
        self._finish()

    def _fail_unanswered(self, scope: dict[str, Any]) -> None:
        if not self._gone:
            when = "without an answer" if self._stage == SILENT else "before its answer was whole"
            self._serving.complain(
                f"{scope['method']!r} {scope['path']!r}: the application returned {when}\n"
            )
        self._request._failed(None, "")
        self._finish()

    def _finish(self) -> None:
        self._stage = DONE
        self._wake()

    def stir(self) -> None:
        """There is more of the body, or room for more of the answer."""
        self._wake()

    def abort(self) -> None:
        """The request is aborted. ABORT_REQUEST is a hint, which comes although the client may
        wait: it means nothing, but to who waits for the rest of the body."""
        reason = None if self._request.ended else self._request.aborted
        if reason is not None and reason != "record" and not self._gone:
            self._gone = True
            self._timer = self._serving.after_grace(self.cancel, reason)
        self._wake()

    def cancel(self) -> None:
        """Nobody waits for the application any more."""
        if self.task is not None and not self.task.done():
            self._cancelled = True
            self.task.cancel()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(True)

    @staticmethod
    def _give_up(waiter: asyncio.Future[bool]) -> None:
        if not waiter.done():
            waiter.set_result(False)

    async def _wait(self, seconds: float | None) -> bool:
        """Wait for what stirs it, aborts it or ends it; False when the time has passed."""
        loop = self._serving.loop
        waiter: asyncio.Future[bool] = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, self._give_up, waiter)
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            self._waiters.remove(waiter)
            if timer is not None:
                timer.cancel()

    async def receive(self) -> dict[str, Any]:
        while self._stage != DONE and not self._gone:
            if self._heard:
                await self._wait(None)
                continue
            try:
                piece = self._request._receive()
            except (_core.Aborted, _core.Truncated):
                break  # The rest of the body cannot come.
            if piece is not None:
                body, more = piece
                self._heard = not more
                return {"type": "http.request", "body": body, "more_body": more}
            if not await self._wait(self._serving.io_timeout):
                break
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self._gone:
            raise _core.Aborted("the client is gone")
        if kind == PART and (self._stage == HEAD or self._stage == BODY):
            data = message.get("body", b"")
            more = message.get("more_body", False)
            at = self._send(data, 0, more)
            if at >= 0:
                await self._send_rest(data, at, more)
            if not more:
                self._finish()
            else:
                self._unyielded += len(data) + PER_PIECE
                if self._unyielded > UNYIELDED:
                    self._unyielded = 0
                    await asyncio.sleep(0)
        elif kind == START and self._stage == SILENT:
            self._request._head(message["status"], message.get("headers", ()))
            self._stage = HEAD
        elif kind == FILE and self._stage == HEAD:
            self._send_file(message["path"])
        else:
            self._refuse(kind)

    def _send(self, data: Any, at: int, more: bool) -> int:
        """Where the rest begins, -1 for none."""
        try:
            at = self._request._send(data, at, more)
            self._stage = BODY
            return at
        except BaseException as error:
            self._note(error)
            raise

    def _note(self, error: BaseException) -> None:
        """What the answer is after that."""
        self._gone = self._gone or isinstance(error, _core.Aborted)
        if self._request.ended:
            self._finish()

    async def _send_rest(self, data: Any, at: int, more: bool) -> None:
        """As there is room for it. Who stops in the middle has cut the answer off."""
        try:
            while at >= 0:
                if not await self._wait(self._serving.io_timeout):
                    raise _core.Timeout("the web server takes no more of the answer")
                if self._gone:
                    raise _core.Aborted("the client is gone")
                at = self._send(data, at, more)
        except BaseException:
            self._request._failed(None, "")
            self._finish()
            raise

    def _send_file(self, path: str) -> None:
        try:
            self._request._send_path(path)
        except BaseException as error:
            self._note(error)
            raise
        self._finish()

    def _refuse(self, kind: object) -> NoReturn:
        if kind not in (START, PART, FILE):
            raise ValueError(f"an HTTP answer has no message of type {kind!r}")
        raise RuntimeError(f"{kind!r} was sent {STAGES[self._stage]}")
