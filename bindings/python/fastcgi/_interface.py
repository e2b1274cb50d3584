# SPDX-License-Identifier: MIT
"""Tell a native handler, called with a request, from a WSGI or an ASGI application."""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import Any, Literal, NoReturn

HOW = "say which with --interface handler, wsgi or asgi (interface= in Python)"

Interface = Literal["handler", "wsgi", "asgi"]

# Packages whose callables take any arguments, and are WSGI: the adapters
# werkzeug.Request.application and webob.dec.wsgify, and checkers around others.
ADAPTERS = ("paste", "webob", "webtest", "werkzeug", "wsgiref")

# What the first and the second parameter of a WSGI application are called.
ENVIRON = ("environ", "env", "environment")
START = ("start_response", "start_resp", "startresponse")

# What the parameters of an ASGI application are called.
MESSAGES = ["scope", "receive", "send"]

# What the only parameter of a factory is called, and never a request.
FACTORY_NAMES = (
    *("config", "conf", "cfg", "settings", "options"),
    *("global_config", "global_conf", "config_name", "config_object", "config_filename"),
)


class _Shape:
    """How a callable can be called with positional arguments."""

    def __init__(self, app: Any) -> None:
        # What functools.wraps says of a wrapper is true of what it wraps.
        parameters = inspect.signature(app, follow_wrapped=False).parameters.values()
        kinds = inspect.Parameter
        positional = (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        taken = [p for p in parameters if p.kind in positional]
        self.names = [p.name for p in taken]
        self.required = sum(p.default is p.empty for p in taken)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.most = len(taken)
        self.keywords = [
            p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty
        ]

    def takes(self, count: int) -> bool:
        return self.required <= count and (self.variadic or count <= self.most)

    def is_named_wsgi(self) -> bool:
        first, second = [*self.names, "", ""][:2]
        return first in ENVIRON or second in START


def _name(app: Any) -> str:
    name = getattr(app, "__qualname__", None)
    module = getattr(app, "__module__", None)
    if not isinstance(name, str):
        return f"an object of class {type(app).__module__}.{type(app).__qualname__}"
    return f"{module}.{name}" if isinstance(module, str) else name


def _function(app: Any) -> Any:
    """The function that runs when the application is called."""
    while isinstance(app, functools.partial):
        app = app.func
    app = getattr(app, "__func__", app)
    if not hasattr(app, "__globals__"):
        call = getattr(type(app), "__call__", app)  # noqa: B004
        app = getattr(call, "__func__", call)
    return app


def _is_adapter(app: Any) -> bool:
    module = getattr(_function(app), "__globals__", {}).get("__name__", "")
    return str(module).partition(".")[0] in ADAPTERS


def _refuse(app: Any, why: str) -> NoReturn:
    raise TypeError(f"{_name(app)} {why}")


def _refuse_factory(app: Any, why: str) -> NoReturn:
    _refuse(app, f"{why}, like a factory: name its result with (), or {HOW}")


def is_async(app: Any) -> bool:
    """Whether calling it gives a coroutine."""
    function = inner = _function(app)
    with contextlib.suppress(ValueError):  # What has every attribute wraps itself.
        inner = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner)


def _of_async(app: Any) -> Literal["asgi"]:
    """A wrapper that takes any arguments passes on what the coroutine takes."""
    shape = _Shape(app)
    inner = getattr(app, "__wrapped__", None)
    if shape.variadic and shape.required == 0 and callable(inner):
        return _of_async(inner)
    if shape.takes(3) and not shape.keywords:
        return "asgi"
    _refuse(
        app,
        f"is asynchronous and takes {shape.required} argument{'s' * (shape.required != 1)}: an "
        "ASGI application takes three, scope, receive and send",
    )


def _of_class(app: type, shape: _Shape) -> Literal["wsgi", "asgi"]:
    """Called with two arguments it may make the iterable of PEP 3333, with three what
    can be awaited; a handler it is never, for what it makes is no answer."""
    if shape.takes(3) and hasattr(app, "__await__"):
        return "asgi"
    call = app.__dict__.get("__call__")
    if inspect.iscoroutinefunction(call) and _Shape(call).names[1:] == MESSAGES[1:]:
        _refuse(app, "is an application of ASGI 2; asgiref.compatibility makes it one of 3")
    iterable = hasattr(app, "__iter__") or hasattr(app, "__getitem__")
    is_called = any("__call__" in base.__dict__ for base in app.__mro__)
    if shape.takes(2) and (iterable or not is_called):
        return "wsgi"
    _refuse(app, f"is a class: name an instance of it with (), or {HOW}")


def _of_wrapper(app: Any) -> Literal["wsgi"]:
    """It passes any arguments on. Around a WSGI application it can be only that;
    around a function of one argument it may be an adapter or not."""
    inner = getattr(app, "__wrapped__", None)
    if callable(inner):
        with contextlib.suppress(TypeError):
            if detect(inner, wrapped=True) == "wsgi":
                return "wsgi"
    _refuse(
        app,
        "takes any arguments, so that a handler cannot be told from a WSGI application; " + HOW,
    )


def _of_both(app: Any, shape: _Shape) -> Literal["handler", "wsgi"]:
    """It can be called with one argument and with two."""
    if _is_adapter(app) or shape.is_named_wsgi():
        return "wsgi"
    if shape.variadic:
        return _of_wrapper(app)
    if shape.required == 0:
        _refuse_factory(app, "needs no argument")
    return "handler"


def _of_one(app: Any, shape: _Shape, wrapped: bool) -> Literal["handler"]:
    if shape.required == 0:
        _refuse_factory(app, "needs no argument")
    if shape.names and shape.names[0] in FACTORY_NAMES and not wrapped:
        _refuse_factory(app, f"takes '{shape.names[0]}'")
    return "handler"


def _of_neither(app: Any, shape: _Shape) -> NoReturn:
    if shape.most == 0:
        _refuse_factory(app, "takes no argument")
    hint = f"; {HOW}" if shape.takes(3) else ""
    _refuse(app, f"takes {shape.required} arguments: neither a handler nor WSGI{hint}")


def detect(app: Any, wrapped: bool = False) -> Interface:
    """See detect_interface; ``wrapped``: a decorator is around it."""
    try:
        shape = _Shape(app)
    except (TypeError, ValueError):
        if _is_adapter(app):
            return "wsgi"
        _refuse(app, f"does not tell which arguments it takes; {HOW}")
    if isinstance(app, type):
        return _of_class(app, shape)
    if shape.keywords:
        _refuse(app, f"needs the keyword argument '{shape.keywords[0]}': no handler, and not WSGI")
    if shape.takes(3) and shape.names[-3:] == MESSAGES:
        return "asgi"
    if shape.takes(1) and shape.takes(2):
        return _of_both(app, shape)
    if shape.takes(2):
        return "wsgi"
    if shape.takes(1):
        return _of_one(app, shape, wrapped)
    _of_neither(app, shape)


def detect_interface(app: object) -> Interface:
    """Tell a handler, called with one argument, from a WSGI application, called with two,
    and an ASGI application, called with three and awaited.

    What is none of them, such as a factory, and what may be several raises TypeError,
    which says what to do.
    """
    if not callable(app):
        raise TypeError(f"{app!r} is not callable")
    return _of_async(app) if is_async(app) else detect(app)


def check_interface(app: object, interface: str) -> None:
    """Refuse what can never be served so."""
    if interface in ("handler", "wsgi") and callable(app) and is_async(app):
        _refuse(app, f"is asynchronous, which {interface} is not; ASGI is --interface asgi")
