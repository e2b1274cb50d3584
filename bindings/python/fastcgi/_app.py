# SPDX-License-Identifier: MIT
"""Find the application that ``module:app`` names."""

from __future__ import annotations

import ast
import importlib
import os
import sys
import traceback
from types import ModuleType, TracebackType
from typing import Any


class AppError(Exception):
    """What is wrong, in one line; ``details`` is a traceback, or empty."""

    def __init__(self, line: str, details: str = "") -> None:
        super().__init__(line)
        self.details = details


def load_app(spec: str, factory: bool = False) -> Any:
    """Import ``module:name``, ``module:factory()`` or ``module``, which means
    ``module:application``, and return what it names.

    With ``factory`` the named callable is called for the application. Raises
    AppError.
    """
    module_name, _, expression = spec.partition(":")
    name, call = _split(spec, expression or "application")
    app: Any = _import(spec, module_name)
    for part in name.split("."):
        try:
            app = getattr(app, part)
        except AttributeError:
            where = f"module '{module_name}' has no attribute '{name}'{_meant(app, part)}"
            raise AppError(f"{spec}: {where}") from None
    if call is not None or factory:
        app = _call(spec, app, *(call or ((), {})))
    if not callable(app):
        raise AppError(f"{spec}: '{name}' is not callable but {type(app).__name__}")
    return app


def _meant(owner: object, name: str) -> str:
    """The question that names the attribute which is meant, or nothing."""
    import difflib  # Only who errs waits for it.

    names = [one for one in dir(owner) if one[0] != "_" and callable(getattr(owner, one, None))]
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _split(spec: str, expression: str) -> tuple[str, tuple[Any, dict[str, Any]] | None]:
    """The dotted name, and the literal arguments if it is a call."""
    try:
        tree = ast.parse(expression, mode="eval").body
        call = None
        if isinstance(tree, ast.Call):
            args = tuple(ast.literal_eval(value) for value in tree.args)
            kwargs = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords if k.arg}
            tree, call = tree.func, (args, kwargs)
        name = ast.unparse(tree)
        if all(part.isidentifier() for part in name.split(".")):
            return name, call
    except (SyntaxError, ValueError):
        pass
    raise AppError(f"{spec}: write module:name or module:factory()")


def _import(spec: str, name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise AppError(f"{spec}: '{name}' is not the name of a module")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            where = f"searched from {os.getcwd()}; see --chdir and --pythonpath"
            raise AppError(f"{spec}: no module named '{error.name}' ({where})") from None
        raise _failed(spec, "cannot import", error) from None
    except (Exception, SystemExit) as error:
        raise _failed(spec, "cannot import", error) from None


def _call(spec: str, factory: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if not callable(factory):
        raise AppError(f"{spec}: the factory is not callable but {type(factory).__name__}")
    try:
        return factory(*args, **kwargs)
    except Exception as error:
        raise _failed(spec, "the factory failed", error) from None


def _failed(spec: str, what: str, error: BaseException) -> AppError:
    shown = traceback.TracebackException(type(error), error, _own(error.__traceback__))
    text = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    return AppError(f"{spec}: {what}: {reason}", "".join(shown.format()))


def _own(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is the application's."""
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path != __file__ and "importlib" not in path:
            break
        trace = trace.tb_next
    return trace


def add_path(pythonpath: str | None) -> None:
    """Import from the current directory and from comma-separated others."""
    extra = [part for part in (pythonpath or "").split(",") if part]
    for path in [*reversed(extra), os.getcwd()]:
        if path not in sys.path:
            sys.path.insert(0, os.path.abspath(path))
