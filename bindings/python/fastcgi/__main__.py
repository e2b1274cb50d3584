# SPDX-License-Identifier: MIT
"""The command ``fastcgi module:app``, also as ``python -m fastcgi``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from . import _core
from ._app import AppError, add_path, load_app
from ._config import PROCESSES, SERVER, USAGE, ConfigError, RoleArgument, Settings, load
from ._interface import check_interface, detect_interface
from ._loop import NAMES as LOOP
from ._roles import Role
from ._say import say
from ._server import Server, check_alone
from ._signals import stop_on_signals
from ._supervisor import (
    OWN,
    RELOADING,
    SHARED,
    SupervisorError,
    is_worker,
    module_command,
    supervise,
    working_directory,
)
from ._supervisor import check as check_processes

START_FAILED = 1
INTERRUPTED = 130  # As a shell says it of SIGINT.
BASE = "FASTCGI_BASE_DIR"  # Where the supervisor was started: files are named from there.


def fail(line: str) -> int:
    say(f"fastcgi: {line}\n")
    return START_FAILED


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def load_roles(arguments: Sequence[RoleArgument]) -> dict[str, Any]:
    """What Server takes as roles."""
    roles: dict[str, Any] = {}
    for one in arguments:
        handler = load_app(one.handler)
        if one.name in roles:
            raise ValueError(f"--role: role '{one.name}' is there twice")
        custom = one.number is not None
        roles[one.name] = Role(handler, one.number or 0, one.streams) if custom else handler
    return roles


def load_all(settings: Settings) -> tuple[Any, Any, dict[str, Any]]:
    """The application, its interface and the roles."""
    roles = load_roles(settings.roles)
    name = settings.read("app")
    if name is None:
        return None, "handler", roles
    app = load_app(name, settings.read("factory"))
    interface = settings.read("interface")
    try:
        if interface == "auto":
            interface = detect_interface(app)
        check_interface(app, interface)
    except TypeError as error:
        raise AppError(f"{name}: {error}") from None
    if interface == "asgi":
        check_alone(settings.read("threads"), bool(roles))
    return app, interface, roles


def served(settings: Settings, interface: str) -> str:
    """What is served, for a person."""
    name = settings.read("app")
    app = [f"{name} ({interface})"] if name else []
    roles = settings.roles
    return ", ".join([*app, *(f"{one.handler} ({one.name})" for one in roles)])


def make_server(settings: Settings, roles: dict[str, Any]) -> Server:
    given = settings.some([*SERVER, *LOOP, "threads", "stream", "log_level"])
    return Server(roles=roles, **given)


def go_to_directory(settings: Settings) -> None:
    directory = settings.read("chdir")
    if directory:
        os.chdir(directory)
    add_path(settings.read("pythonpath"))


def serve(settings: Settings, addresses: Sequence[str]) -> int:
    """Load the application and serve it until stopped."""
    app, interface, roles = load_all(settings)
    server = make_server(settings, roles)
    with server, stop_on_signals(server):
        for address in addresses:
            server.listen(address)
        if not addresses:
            server.listen(None)
        if settings.read("log_level") in ("info", "debug"):
            server._tell(
                f"fastcgi: serving {served(settings, interface)} on "
                f"{', '.join(server.addresses)} "
                f"with {plural(settings.read('threads'), 'thread')}, pid {os.getpid()}\n",
                False,
            )
        server.serve(app, interface=interface)
    return 0


def settle(settings: Settings) -> None:
    """Where and how a process that no supervisor of ours has started works."""
    go_to_directory(settings)
    if "umask" in settings:
        os.umask(settings.read("umask"))


def serve_alone(settings: Settings) -> int:
    """Without a supervisor."""
    settle(settings)
    return serve(settings, settings.read("bind"))


def serve_as_worker(settings: Settings) -> int:
    """On what the supervisor has opened. Ours has gone where the settings say;
    `fcgi run` does not know them."""
    if os.environ.get(BASE):
        add_path(settings.read("pythonpath"))
    else:
        settle(settings)
    return serve(settings, [])


def serve_with_workers(settings: Settings, workers: int, argv: Sequence[str]) -> int:
    options = settings.some([*OWN, *SHARED, *RELOADING, "chdir"]) | {"workers": workers}
    os.environ[BASE] = working_directory()

    def roots() -> list[str]:
        return [".", *(part for part in (settings.read("pythonpath") or "").split(",") if part)]

    return supervise(
        module_command(argv),
        settings.read("bind"),
        options,
        settings.read("log_level"),
        roots,
        settings.source,
    )


def count_workers(settings: Settings) -> int:
    """How many processes; 0: this one alone."""
    needing = [name for name in PROCESSES if name not in ("allow_root", "workers")]
    asked = [name for name, value in settings.some(needing).items() if value]
    if "workers" not in settings:
        return int(bool(asked))
    workers: int = settings.read("workers")
    if workers == 0 and asked:
        name = asked[0].replace("_", "-")
        raise ConfigError(f"--{name} needs a worker, and --workers is 0; leave one of them out")
    return workers


def try_listening(settings: Settings, roles: dict[str, Any]) -> None:
    """On an address of its own, for what a server looks at only then, such as
    its logs. Those that it makes are removed."""
    mine = f"unix:@fastcgi-check-{os.getpid()}" if sys.platform == "linux" else "127.0.0.1:0"
    paths = settings.some(["access_logfile", "error_logfile"]).values()
    missing = [path for path in paths if path not in ("", "-") and not os.path.lexists(path)]
    try:
        with make_server(settings, roles) as server:
            server.listen(mine)
    finally:
        for path in missing:
            with contextlib.suppress(OSError):
                os.unlink(path)


def check(settings: Settings, workers: int) -> int:
    """Load everything, and serve nothing."""
    options = settings.some([*OWN, *SHARED, "chdir"]) | {"workers": workers or 1}
    if not workers:
        options["allow_root"] = True  # Only workers are kept from being root.
    status = check_processes(settings.read("bind"), options, settings.source)
    if status:
        return status
    go_to_directory(settings)
    _, _, roles = load_all(settings)
    try_listening(settings, roles)
    say("fastcgi: the configuration is fine\n")
    return 0


def tell_doubts(settings: Settings) -> None:
    """What may be a mistake in the environment; who has started a worker has said it."""
    if not is_worker() and "GATEWAY_INTERFACE" not in os.environ:
        for line in settings.source.doubts():
            say(f"fastcgi: {line}\n")


def run(settings: Settings, argv: Sequence[str]) -> int:
    if settings.read("help"):
        sys.stdout.write(settings.help())
        return 0
    if settings.read("version"):
        sys.stdout.write(f"fastcgi {_core.__version__}\n")
        return 0
    workers = count_workers(settings)
    if settings.read("print_config"):
        sys.stdout.write(settings.show())
        return 0
    if settings.read("app") is None and not settings.roles:
        raise ConfigError("no application: name it, as MODULE:APP, or one of --role")
    if settings.read("check_config"):
        return check(settings, workers)
    if is_worker():
        return serve_as_worker(settings)
    if workers and "GATEWAY_INTERFACE" not in os.environ:
        return serve_with_workers(settings, workers, argv)
    return serve_alone(settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if argv is None else argv
    base = os.environ.get(BASE, "") if is_worker() else ""
    try:
        settings = load(words, base or os.getcwd())
        tell_doubts(settings)
        return run(settings, words)
    except KeyboardInterrupt:
        say("fastcgi: interrupted\n")
        return INTERRUPTED
    except ConfigError as error:
        fail(str(error))
        return USAGE
    except AppError as error:
        say(error.details)
        return fail(str(error))
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return fail(f"{name}{error.strerror or error}")
    except (_core.Error, SupervisorError, ValueError, MemoryError) as error:
        return fail(str(error))


if __name__ == "__main__":
    sys.exit(main())
