# SPDX-License-Identifier: MIT
"""The roles a server has handlers for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ._types import Handler

Streams = Literal["none", "stdin", "stdin+data"]

STREAMS: dict[str, int] = {"none": 0, "stdin": 1, "stdin+data": 2}
# Name: number and streams, as FastCGI 1.0 has them.
STANDARD: dict[str, tuple[int, Streams]] = {
    "responder": (1, "stdin"),
    "authorizer": (2, "none"),
    "filter": (3, "stdin+data"),
}


class Role(NamedTuple):
    """A custom role: its handler, its number, and the streams that follow its
    parameters: "none", "stdin" or "stdin+data"."""

    handler: Handler
    number: int
    streams: Streams = "stdin"


class Roles:
    """Handlers by role. "responder" is left to the application."""

    def __init__(self) -> None:
        self._roles: dict[str, Role] = {}

    def __bool__(self) -> bool:
        return bool(self._roles)

    def add(self, name: str, role: Handler | Role) -> None:
        """Add a handler for a standard role, or a Role."""
        if not isinstance(role, Role):
            if name not in STANDARD:
                raise ValueError(f"role '{name}' is not a standard one: give its number")
            role = Role(role, *STANDARD[name])
        self._check(name, role)
        self._roles[name] = role

    def _check(self, name: str, role: Role) -> None:
        if not name or not isinstance(name, str):
            raise ValueError("a role needs a name")
        if not callable(role.handler):
            raise TypeError(f"the handler of role '{name}' is not callable: {role.handler!r}")
        if role.streams not in STREAMS:
            raise ValueError(f"role '{name}': streams must be 'none', 'stdin' or 'stdin+data'")
        standard = {number: other for other, (number, _) in STANDARD.items()}
        if standard.get(role.number, name) != name or (
            name in STANDARD and role[1:] != STANDARD[name]
        ):
            raise ValueError(f"role '{name}' does not fit number {role.number} of the standard")
        if not isinstance(role.number, int) or not 0 < role.number < 65536:
            raise ValueError(f"role '{name}': the number must be from 1 to 65535")
        if name in self._roles or role.number in self.handlers():
            raise ValueError(f"role '{name}', number {role.number}, has a handler already")

    def handlers(self) -> dict[int, Handler]:
        """Handlers by number."""
        return {role.number: role.handler for role in self._roles.values()}

    def rows(self, responder: bool) -> list[tuple[int, int, str]]:
        """What the core's set_roles takes; with the responder if asked for."""
        rows = [(role.number, STREAMS[role.streams], name) for name, role in self._roles.items()]
        if responder and "responder" not in self._roles:
            rows.append((1, STREAMS["stdin"], "responder"))
        return rows


def collect(given: Mapping[str, Handler | Role] | None) -> Roles:
    """Roles from a mapping of names to handlers and Roles."""
    roles = Roles()
    for name, role in (given or {}).items():
        roles.add(name, role)
    return roles
