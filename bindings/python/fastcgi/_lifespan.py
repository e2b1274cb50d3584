# SPDX-License-Identifier: MIT
"""The lifespan of an ASGI application: what it does before it serves, and after."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _core
from ._exits import from_signal

if TYPE_CHECKING:
    from ._types import ASGI

ANSWERS = {
    f"lifespan.{when}.{how}" for when in ("startup", "shutdown") for how in ("complete", "failed")
}


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


class Lifespan:
    """A task that runs the application with this scope as long as it serves."""

    def __init__(self, app: ASGI, mode: str, complain: Callable[[str], None]) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._complain = complain
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None  # What ended the task.
        self._told: asyncio.Queue[str] = asyncio.Queue()
        self._answers: dict[str, dict[str, Any]] = {}
        self._heard = asyncio.Event()  # An answer, or the end.

    async def start(self) -> None:
        """Raises fastcgi.Error where the application does not start."""
        if self._mode == "off":
            return
        self._task = asyncio.ensure_future(self._run())
        await self._tell("startup")
        if "lifespan.startup.failed" in self._answers:
            self._fail(self._answers["lifespan.startup.failed"].get("message", ""))
        if "lifespan.startup.complete" not in self._answers and self._mode == "on":
            self._fail_unanswered()

    def _fail(self, message: str) -> None:
        """Frameworks put a traceback there."""
        lines = message.strip().splitlines()
        if len(lines) > 1:
            self._complain(message.strip() + "\n")
        reason = f": {lines[-1]}" if lines else ""
        raise _core.Error(f"the application's startup has failed{reason}")

    def _fail_unanswered(self) -> None:
        if self._error is None:
            raise _core.Error("the application returned from its lifespan, and has not started")
        self._complain("".join(traceback.format_exception(self._error)))
        raise _core.Error(f"the application's lifespan has failed: {_line(self._error)}")

    async def stop(self) -> None:
        """Have the application end what it began."""
        if self._task is None or self._task.done():
            return
        await self._tell("shutdown")
        failed = self._answers.get("lifespan.shutdown.failed")
        if failed is not None:
            self._complain(f"the application's shutdown has failed: {failed.get('message', '')}\n")
        elif self._error is not None:
            lines = "".join(traceback.format_exception(self._error))
            self._complain(f"the application's shutdown has failed\n{lines}")

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _tell(self, what: str) -> None:
        self._heard.clear()
        if self._task is not None and not self._task.done():
            self._told.put_nowait(f"lifespan.{what}")
            await self._heard.wait()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException as error:
            self._error = error
            if from_signal(error):
                raise
        finally:
            self._heard.set()

    async def _receive(self) -> dict[str, Any]:
        return {"type": await self._told.get()}

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind not in ANSWERS or kind in self._answers:
            raise RuntimeError(f"{kind!r} is not expected of a lifespan now")
        self._answers[kind] = message
        self._heard.set()
