# SPDX-License-Identifier: MIT
"""Server with threads and signals on top of the C core."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from . import _core
from ._abort import Canceller, Raiser, Watch
from ._django import closing_connections
from ._exits import end_fork, traceable_interrupts
from ._interface import check_interface, detect_interface
from ._loop import settle, take_options
from ._resource import close_all, prepare
from ._roles import Role, Streams, collect
from ._signals import forget_starter, stop_on_signals

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._types import ASGI, Application, Handler, ServeOptions, ServerOptions

Interface = Literal["auto", "handler", "wsgi", "asgi"]
Chosen = Literal["handler", "wsgi", "asgi"]
F = TypeVar("F", bound="Handler")

SIGNAL_SECONDS = 0.5  # From one look for signals to the next.


def _core_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the core's Server takes them."""
    core = dict(options)
    for name in ("allow_from", "peer_users"):
        value = core.get(name)
        if isinstance(value, Iterable) and not isinstance(value, str | bytes):
            core[name] = ",".join(map(str, value))
    return core


def _addresses(bind: str | Iterable[str] | None) -> Iterable[str]:
    if bind is None:
        return ()
    if isinstance(bind, str):
        return (bind,)
    if isinstance(bind, bytes) or not isinstance(bind, Iterable):
        raise TypeError(f"bind must be an address or several, not {type(bind).__name__}")
    return bind


class Server(_core.Server):
    """A FastCGI server: listen, then serve an application or take requests.

    ``bind`` is an address or several; ``threads`` is how many threads
    ``serve`` uses. Times are seconds as floats, None for no limit; sizes are
    bytes. Any number of threads may use one server.

    ``roles`` has handlers for other roles than the responder's; so has the
    decorator ``role``. Where there are some, a role without any is refused as
    the protocol says. Where there are none, requests of all three standard
    roles go to the application, which can tell them by ``request.role``.
    """

    def __init__(
        self,
        bind: str | Iterable[str] | None = None,
        *,
        threads: int | None = 1,
        roles: Mapping[str, Handler | Role] | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        _core.Options().give("threads", threads)
        given = _core_options(options)
        self._loop_options = take_options(given)
        super().__init__(**given)
        self.threads = 1 if threads is None else threads
        self._watch = Watch()
        self._roles = collect(roles)
        if self._roles:
            self.set_roles(self._roles.rows(responder=True))
        self._listening = False
        for address in _addresses(bind):
            self.listen(address)

    def listen(self, address: str | None, /) -> None:
        super().listen(address)
        self._listening = True

    listen.__doc__ = _core.Server.listen.__doc__

    def __enter__(self) -> Self:
        return self

    def role(
        self, name: str, *, number: int | None = None, streams: Streams = "stdin"
    ) -> Callable[[F], F]:
        """Decorate the handler of a role: "authorizer", "filter", or a custom
        one with its number, 1 to 65535, and the streams that follow its
        parameters. Before anything is served.
        """

        def add(handler: F) -> F:
            self._roles.add(name, handler if number is None else Role(handler, number, streams))
            self.set_roles(self._roles.rows(responder=True))
            return handler

        return add

    def run(
        self,
        app: Application | None = None,
        *,
        interface: Chosen = "handler",
        multithread: bool = False,
        roles: dict[int, Handler] | None = None,
    ) -> None:
        """Serve ``app`` on the calling thread until stopped; other threads may
        call it too, but for ASGI. ``roles`` has handlers by number: those of the
        server.
        """
        handlers = self._roles.handlers() if roles is None else roles
        forget_starter()
        prepare(self)
        with traceable_interrupts(), closing_connections(self):
            if interface == "asgi":
                from ._asgi import Serving

                Serving(self, cast("ASGI", app), settle(self._loop_options)).run()
                return
            super().run(app, interface=interface, multithread=multithread, roles=handlers or None)

    def serve(self, app: Application | None = None, *, interface: Interface = "auto") -> None:
        """Serve ``app``, which may be None where there are roles, until
        stopped, on the calling thread alone or, with more threads than one, on
        as many others while this one waits.

        Without an address it serves the inherited listener. Whatever the
        application raises, SystemExit too, ends its own request. What a
        handler of a signal raises, KeyboardInterrupt on SIGINT, is raised here.
        """
        chosen = self._choose(app, interface)
        if not self._listening:
            self.listen(None)
        if self.threads == 1:
            self.run(app, interface=chosen)
        else:
            self._serve_threads(app, chosen)
        if not self.forked:
            close_all()

    def _choose(self, app: Application | None, interface: Interface) -> Chosen:
        if app is None and self._roles:
            self.set_roles(self._roles.rows(responder=False))
            return "handler"
        if 1 in self._roles.handlers():
            raise ValueError("give an application or a handler of role 'responder', not both")
        chosen = detect_interface(app) if interface == "auto" else interface
        check_interface(app, chosen)
        if chosen == "asgi":
            check_alone(self.threads, bool(self._roles))
            self.set_roles([(1, 1, "responder")])
        return chosen

    def _on_abort(
        self, request: _core.Request, canceller: Callable[[], object], record: int
    ) -> Canceller:
        """What Request.on_abort calls."""
        _ = request.aborted  # Raises when the request has ended.
        made = Canceller(request, canceller, bool(record), self._complain, self)
        self._watch.add(made)
        return made

    def _complain(self, text: str) -> None:
        with contextlib.suppress(_core.Closed):
            self._tell(text, True)

    def _raise_on_abort(self, request: _core.Request, record: int) -> Raiser:
        """What Request.raise_on_abort calls."""
        return Raiser(self._watch, request, bool(record), self)

    def _serve_threads(self, app: Application | None, interface: Chosen) -> None:
        raised: list[BaseException] = []

        def work() -> None:
            try:
                self.run(app, interface=interface, multithread=True)
            except BaseException as error:
                if self.forked:
                    end_fork(error)
                raised.append(error)
                self.stop()
            if self.forked:
                end_fork(None)

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
                _wait_for(worker)
        except BaseException:
            self.stop(graceful=False)
            for worker in started:
                worker.join()
            raise
        if raised:
            raise raised[0]


def check_alone(threads: int, has_roles: bool) -> None:
    """An event loop serves HTTP requests of one ASGI application, and nothing beside it."""
    if threads != 1:
        raise ValueError(
            f"threads={threads} is for handlers and WSGI: an ASGI application has one event loop "
            "in each process; give more workers instead"
        )
    if has_roles:
        raise ValueError("roles have handlers beside a handler or WSGI, and not beside ASGI")


def _wait_for(worker: threading.Thread) -> None:
    """Join it. The system may give a signal to any thread, and Python's handler
    runs in the main one, which has to come by for that."""
    while worker.is_alive():
        worker.join(SIGNAL_SECONDS)


def share_work(
    workers: int | Literal["auto"],
    addresses: Iterable[str],
    options: Mapping[str, Any],
) -> dict[str, Any] | None:
    """The options that are left for Server without workers, in a worker, and
    when a CGI server has started it. Elsewhere watch over workers until they are
    stopped: None; a failure ends the program."""
    from ._supervisor import is_worker, run_program, split

    processes, rest = split(options)
    if not workers:
        for name, value in processes.items():
            if value not in (None, False):
                raise ValueError(f"option '{name}' needs workers: give workers=1 or more with it")
        return rest
    if is_worker() or "GATEWAY_INTERFACE" in os.environ:
        return rest
    run_program(workers, addresses, processes, rest)
    return None


def check_keywords(call: str, options: Mapping[str, Any]) -> None:
    """Refuse a name or a value here, and not in each worker."""
    known = _core.Options()
    for name, value in options.items():
        known.give(name, value, call)


def serve(
    app: Application | None = None,
    bind: str | Iterable[str] | None = None,
    *,
    threads: int | None = 1,
    interface: Interface = "auto",
    stream: bool = False,
    roles: Mapping[str, Handler | Role] | None = None,
    workers: int | Literal["auto"] = 0,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve ``app`` until SIGTERM or SIGINT, which let running requests
    finish; a second signal, or the end of ``graceful_timeout``, stops at once.

    ``app`` is ``def handler(request)``, or a WSGI or ASGI application; ``roles`` has
    handlers of other roles by name, and with them ``app`` may be None. Signals are
    handled when the main thread calls; their handlers are put back.

    With ``workers`` this process only watches so many others. Each is the same
    program, executed again, which serves when it comes to this call. SIGHUP
    replaces them. See docs/processes.md for that and the options.
    """
    given = _core_options(options)
    own = {"threads": threads, "interface": interface, "stream": stream, "workers": workers}
    check_keywords("serve", own | given)
    rest: Any = share_work(workers, _addresses(bind), given)
    if rest is None:
        return
    if workers:
        bind = None
    with (
        Server(bind, threads=threads, stream=stream, roles=roles, **rest) as server,
        stop_on_signals(server),
    ):
        server.serve(app, interface=interface)
