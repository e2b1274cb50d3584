# SPDX-License-Identifier: MIT
"""Server with threads and signals on top of the C core."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from . import _core
from ._signals import stop_on_signals

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._types import Application, Options, ServerOptions

Interface = Literal["auto", "handler", "wsgi"]


def detect_interface(app: object) -> Literal["handler", "wsgi"]:
    """Tell a handler, called with one argument, from a WSGI application.

    What cannot be inspected is taken for WSGI. An asynchronous application
    raises TypeError.
    """
    if not callable(app):
        raise TypeError(f"{app!r} is not callable")
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        raise TypeError(f"{app!r} is asynchronous; this needs a handler or WSGI")
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return "wsgi"
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in positional and p.default is p.empty]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and len(required) < 2:
        return "wsgi"
    if len(required) > 2:
        raise TypeError(f"{app!r} takes {len(required)} arguments: neither a handler nor WSGI")
    return "handler" if len(required) == 1 else "wsgi"


class Server(_core.Server):
    """A FastCGI server: listen, then serve an application or take requests.

    ``bind`` is an address or several; ``threads`` is how many threads
    ``serve`` uses. Times are seconds as floats, None for no limit; sizes are
    bytes. Any number of threads may use one server.
    """

    def __init__(
        self,
        bind: str | Iterable[str] | None = None,
        *,
        threads: int = 1,
        **options: Unpack[ServerOptions],
    ) -> None:
        if not isinstance(threads, int) or threads < 1:
            raise ValueError("threads must be 1 or more")
        super().__init__(**options)
        self.threads = threads
        for address in [bind] if isinstance(bind, str) else bind or ():
            self.listen(address)

    def __enter__(self) -> Self:
        return self

    def serve(self, app: Application, *, interface: Interface = "auto") -> None:
        """Serve ``app`` until stopped, on the calling thread alone or, with
        more threads than one, on as many others while this one waits.

        Without an address it serves the inherited listener. What the
        application raises ends its own request; SystemExit and
        KeyboardInterrupt stop the server and are raised here.
        """
        chosen = detect_interface(app) if interface == "auto" else interface
        if not self.addresses:
            self.listen(None)
        if self.threads == 1:
            self.run(app, interface=chosen)
        else:
            self._serve_threads(app, chosen)

    def _serve_threads(self, app: Application, interface: Literal["handler", "wsgi"]) -> None:
        raised: list[BaseException] = []

        def work() -> None:
            try:
                self.run(app, interface=interface, multithread=True)
            except BaseException as error:
                raised.append(error)
                self.stop()

        workers = [
            threading.Thread(target=work, name=f"fastcgi-{number}")
            for number in range(1, self.threads + 1)
        ]
        started: list[threading.Thread] = []
        try:
            for worker in workers:
                worker.start()
                started.append(worker)
            for worker in started:
                worker.join()
        except BaseException:
            self.stop(graceful=False)
            for worker in started:
                worker.join()
            raise
        if raised:
            raise raised[0]


def serve(
    app: Application,
    bind: str | Iterable[str] | None = None,
    *,
    threads: int = 1,
    interface: Interface = "auto",
    stream: bool = False,
    graceful_timeout: float | None = None,
    **options: Unpack[Options],
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT, which let running requests
    finish; a second signal, or ``graceful_timeout`` seconds, stops at once.

    ``app`` is ``def handler(request)`` or a WSGI application. Signals are
    handled when the main thread calls; their handlers are put back.
    """
    with (
        Server(bind, threads=threads, stream=stream, **options) as server,
        stop_on_signals(server, graceful_timeout),
    ):
        server.serve(app, interface=interface)
