# SPDX-License-Identifier: MIT
"""ASGI 3.0: one event loop, which takes what a server has and runs a task for each request."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib.util
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _core
from ._exchange import Exchange, refuse_websocket
from ._exits import from_signal
from ._lifespan import Lifespan

if TYPE_CHECKING:
    from ._loop import Settings
    from ._server import Server
    from ._types import ASGI

TEMPLATE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "extensions": {"http.response.pathsend": {}},
}

LOOK_SECONDS = 0.1  # Between two looks at a stop while the application starts or ends.
MERCY_SECONDS = 0.2  # For what is told to end at once.


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "asyncio" or (kind == "auto" and importlib.util.find_spec("uvloop") is None):
        return asyncio.new_event_loop()
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError as error:
        raise ValueError(f"loop=uvloop: {error}; pip install uvloop") from None
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _set_wakeup_fd(descriptor: int) -> int:
    """As signal has it, and the one from before; -1 where that is none of this thread's."""
    if threading.current_thread() is not threading.main_thread():
        return -1
    try:
        return signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
    except ValueError:  # Not the main interpreter.
        return -1


class Serving:
    """An application, a server and the loop that they share."""

    def __init__(self, server: Server, app: ASGI, settings: Settings) -> None:
        self.loop = new_loop(settings.loop)
        self.io_timeout = settings.io_timeout
        self._server = server
        self._app = app
        self._settings = settings
        self._running: set[Exchange] = set()
        self._most = settings.limit_concurrency
        self._withholds = False
        self._state: dict[str, Any] = {}
        self._context = contextvars.copy_context()  # Of no request.
        self._timer: asyncio.TimerHandle | None = None
        self._stopped_at: float | None = None
        self._over: asyncio.Future[None] = self.loop.create_future()

    def complain(self, text: str) -> None:
        with contextlib.suppress(_core.Closed):
            self._server._tell(f"fastcgi: {text}", True)

    def run(self) -> None:
        """Serve until the server is stopped."""
        wakeup = _set_wakeup_fd(-1)
        asyncio.set_event_loop(self.loop)
        try:
            self._drive(self.loop.create_task(self._serve(wakeup)))
        finally:
            if not self._server.forked:  # A fork shares what its loop waits with.
                self._close()
            asyncio.set_event_loop(None)
            _set_wakeup_fd(wakeup)

    def _drive(self, task: asyncio.Task[None]) -> None:
        """Run the loop until the task ends. That another task of the application exits does
        not end it; what a signal raises does."""
        while not task.done():
            try:
                self.loop.run_until_complete(task)
            except BaseException as error:
                if task.done() or from_signal(error):
                    raise
                self.complain(f"a task of the application has ended with {error!r}\n")

    def _close(self) -> None:
        """Nothing of the application goes on."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=MERCY_SECONDS))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    async def _serve(self, wakeup: int) -> None:
        if wakeup != -1:  # uvloop has taken it, and then no server stops by it.
            _set_wakeup_fd(wakeup)
        lifespan = Lifespan(self._app, self._settings.lifespan, self.complain)
        if not await self._start(lifespan):
            return
        self._state = lifespan.state
        self._server._open_loop()
        descriptor = self._server.fileno()
        self.loop.add_reader(descriptor, self._turn)
        self.loop.call_soon(self._turn, context=self._context)
        await self._over
        if not self._server.forked:
            self.loop.remove_reader(descriptor)
            await self._finish(lifespan)

    async def _start(self, lifespan: Lifespan) -> bool:
        """Before the server takes anything, and says that it is ready."""
        task = self.loop.create_task(lifespan.start())
        while not task.done():
            await asyncio.wait([task], timeout=LOOK_SECONDS)
            if not task.done() and self._server._stopping:
                return False
        task.result()
        return True

    async def _finish(self, lifespan: Lifespan) -> None:
        """What still runs has answered, and may end; then the application does."""
        await self._wait_for({exchange.task for exchange in self._running})
        for exchange in self._running:
            exchange.cancel()
        if self._running:
            await asyncio.sleep(0)
        task = self.loop.create_task(lifespan.stop())
        await asyncio.wait([task], timeout=MERCY_SECONDS)
        await self._wait_for({task})
        if not task.done():
            self.complain("the application's shutdown takes too long; it is not waited for\n")

    async def _wait_for(self, tasks: set[Any]) -> None:
        """Until they end, the graceful timeout has passed, or the server is to stop at once."""
        limit = self._settings.graceful_timeout
        end = None if limit is None else (self._stopped_at or self.loop.time()) + limit
        while tasks and not self._server._hurried and (end is None or self.loop.time() < end):
            _, tasks = await asyncio.wait(tasks, timeout=LOOK_SECONDS)

    def _turn(self) -> None:
        """Take what the server has."""
        try:
            seconds = self._server._turn(self._begin)
            if self._stopped_at is None and self._server._stopping:
                self._stopped_at = self.loop.time()
        except _core.Closed:
            seconds = False
        except Exception as error:
            if not self._over.done():
                self._over.set_exception(error)
            return
        if seconds is False:
            self._end()
        elif seconds is not None:
            self._turn_within(seconds)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._over.done():
            self._over.set_result(None)

    def _turn_within(self, seconds: float) -> None:
        due = self.loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(due, self._turn_in_time, context=self._context)

    def _turn_in_time(self) -> None:
        self._timer = None
        self._turn()

    def _begin(self, request: _core.Request) -> Exchange | None:
        """Have a task run it, which an eager factory of the application's does at once."""
        try:
            scope = request._scope(TEMPLATE, self._state)
            if scope is None:
                refuse_websocket(request)
                return None
            exchange = Exchange(self, request)
            self._running.add(exchange)
            exchange.task = self.loop.create_task(exchange.run(self._app, scope))
        except Exception as error:
            request._failed(error, "a request cannot begin\n")
            return None
        if self._most is not None and len(self._running) >= self._most:
            self._withholds = True
            self._server._withhold(True)
        return exchange

    def leave(self, exchange: Exchange) -> None:
        """Its task is over."""
        self._running.discard(exchange)
        if self._withholds and not self._over.done():
            self._withholds = False
            with contextlib.suppress(_core.Closed):
                self._server._withhold(False)
            self.loop.call_soon(self._turn, context=self._context)

    def after_grace(self, cancel: Callable[[], None], reason: str) -> asyncio.Handle | None:
        """Call it when what runs for a client that has left has had its time."""
        grace = self._settings.disconnect_grace
        if reason == "stop":
            return self.loop.call_soon(cancel, context=self._context)
        if grace is None:
            return None
        return self.loop.call_later(grace, cancel, context=self._context)
