# SPDX-License-Identifier: MIT
"""The options that apply: of the file, pyproject.toml, the environment and the
command line, the later ones before the earlier."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from . import __version__
from ._config_table import APP, BY_KEY, COMMAND, OPTIONS, Option

USAGE = 2
EPILOG = """\
Sizes take K, M or G, times s, m, h or d. Each option may also be in the environment, as
FASTCGI_NAME, in the file of --config or in [tool.fastcgi] of pyproject.toml, as name. SIGTERM and
SIGINT finish what runs and stop, a second one stops at once; with --workers SIGHUP replaces the
workers, and no request is lost."""


class ConfigError(Exception):
    """What is wrong, in one line."""


class Value(NamedTuple):
    """What an option has been given."""

    text: Any  # As it was written: a text, or a list of them; True or False.
    value: Any  # What that means.
    source: str  # Where it was written, for a person.


class Settings(dict[str, Value]):
    """Values by key; only those that were given."""

    def read(self, key: str, default: Any = None) -> Any:
        return self[key].value if key in self else default

    def some(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those that were given."""
        return {key: self[key].value for key in keys if key in self}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


# gunicorn's options that are not here, and what is instead.
ELSEWHERE = {
    "preload": "workers load the application themselves, and a reload needs no preloading",
    "worker-class": "--threads says how many requests a worker serves at once",
    "worker-connections": "--limit-connections limits them",
    "keep-alive": "--idle-timeout is how long an idle connection is kept",
    "daemon": "let a service manager such as systemd start it",
    "env": "set variables in the environment",
    "name": "the process keeps its name",
    "forwarded-allow-ips": "--allow-from says which web servers may connect",
    "proxy-protocol": "the web server sends the client's address",
    "limit-request-line": "--limit-params-size limits all parameters",
    "limit-request-fields": "--limit-params limits them",
    "limit-request-field_size": "--limit-params-size limits all parameters",
    "worker-tmp-dir": "--temp-dir is where bodies go",
    "statsd-host": "--status-path has the numbers, for Prometheus too",
    "log-file": "--error-logfile is the log",
    "certfile": "the web server does TLS",
    "keyfile": "the web server does TLS",
    "reuse-port": "workers share one listener",
    "capture-output": "what goes to stderr stays there",
}


def nearest(name: str, known: Iterable[str], before: str = "") -> str:
    """; did you mean 'workers'? Or what is instead of an option of gunicorn's, or
    nothing. Who errs in a letter seldom errs in the first."""
    instead = ELSEWHERE.get(name.replace("_", "-")) or ELSEWHERE.get(name)
    if instead:
        return f": {instead}"
    close = difflib.get_close_matches(name, [one for one in known if one[:1] == name[:1]], 1, 0.7)
    return f"; did you mean '{before}{close[0]}'?" if close else ""


# --- The command line ----------------------------------------------------------


def _typed(option: Option) -> Any:
    def read(text: str) -> tuple[Any, Any]:
        return text, option.read(text)

    return read


def make_parser() -> Parser:
    parser = Parser(
        prog="fastcgi",
        description="Serve a Python application over FastCGI.",
        epilog=EPILOG,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("app", metavar=APP.value, nargs="?", help=APP.help)
    for option in OPTIONS:
        names = [option.short, f"--{option.name}"] if option.short else [f"--{option.name}"]
        text = f"{option.help} ({option.default})" if option.default else option.help
        how: dict[str, Any] = {"help": text.replace("%", "%%"), "dest": option.key}
        if option.value:
            how |= {"type": _typed(option), "metavar": option.value}
            how |= {"action": "append"} if option.several else {}
        else:
            how |= {"action": "store_const", "const": (True, True)}
        parser.add_argument(*names, **how)
    parser.add_argument("--version", action="version", version=f"fastcgi {__version__}")
    return parser


def _from_command_line(argv: Sequence[str]) -> Settings:
    parser = make_parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        word = unknown[0]
        name = word.removeprefix("--").partition("=")[0]
        hint = nearest(name, (option.name for option in OPTIONS), "--")
        parser.error(f"unrecognized argument: {word}{hint if word.startswith('--') else ''}")
    given = Settings()
    for key, item in vars(args).items():
        if key == "app":
            item = (item, item)
        if isinstance(item, list):
            item = ([text for text, _ in item], [value for _, value in item])
        text, value = item
        given[key] = Value(text, value, "command line")
    return given


# --- The environment and the files ---------------------------------------------


def _read_text(option: Option, text: str, where: str) -> Any:
    try:
        return option.read(text)
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"{where}: {error}") from None


def _from_environment(environ: Mapping[str, str]) -> Settings:
    given = Settings()
    for option in (APP, *OPTIONS):
        name = option.variable
        text = environ.get(name)
        if not text or (option.scope == COMMAND and option.key != "config"):
            continue
        if option.several:
            texts = text.split()
            values = [_read_text(option, one, name) for one in texts]
            given[option.key] = Value(texts, values, f"${name}")
        else:
            given[option.key] = Value(text, _read_text(option, text, name), f"${name}")
    return given


def _toml(path: str) -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ConfigError(f"{path}: Python before 3.11 reads TOML with the package tomli; install it")


def _parse_toml(path: str, needed: bool) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: {reason}") from None
    if not needed and "tool.fastcgi" not in text:
        return {}
    try:
        table: dict[str, Any] = _toml(path).loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return table


def _plain(option: Option, item: Any, where: str) -> str:
    """What a TOML value is as the text of the command line."""
    if isinstance(item, str):
        return item
    octal = option.value == "MODE"
    if isinstance(item, bool) or not isinstance(item, int | float) or octal:
        example = f' = "{option.default or "022"}"' if octal else ""
        raise ConfigError(f"{where}: must be a text{example}, not {json.dumps(item, default=str)}")
    return str(item)


def _from_table(table: Mapping[str, Any], source: str) -> Settings:
    given = Settings()
    for name, item in table.items():
        key = name.replace("-", "_")
        where = f"{source}: {name}"
        option = BY_KEY.get(key)
        if option is None or option.scope == COMMAND:
            known = (one.key for one in (APP, *OPTIONS) if one.scope != COMMAND)
            raise ConfigError(f"{source}: there is no option '{name}'{nearest(key, known)}")
        if not option.value:
            if not isinstance(item, bool):
                raise ConfigError(f"{where}: must be true or false")
            given[key] = Value(item, item, source)
        elif option.several:
            items = item if isinstance(item, list) else [item]
            texts = [_plain(option, one, where) for one in items]
            given[key] = Value(texts, [_read_text(option, one, where) for one in texts], source)
        else:
            text = _plain(option, item, where)
            given[key] = Value(text, _read_text(option, text, where), source)
    return given


def _from_pyproject(directory: str) -> Settings:
    path = os.path.join(directory, "pyproject.toml")
    if not os.path.exists(path):
        return Settings()
    tool = _parse_toml(path, False).get("tool", {})
    table = tool.get("fastcgi", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.fastcgi must be a table")
    return _from_table(table, "pyproject.toml")


def load(argv: Sequence[str], directory: str, environ: Mapping[str, str]) -> Settings:
    """All of them; files are looked for in `directory`. Raises ConfigError; a
    wrong command line ends the program."""
    line = _from_command_line(argv)
    variables = _from_environment(environ)
    settings = Settings()
    path = line.read("config", variables.read("config"))
    if path:
        settings.update(_from_table(_parse_toml(os.path.join(directory, path), True), path))
    settings.update(_from_pyproject(directory))
    settings.update(variables)
    settings.update(line)
    return settings


# --- What they are, for a person -----------------------------------------------


def _as_toml(item: Any) -> str:
    if isinstance(item, list):
        return f"[{', '.join(_as_toml(one) for one in item)}]"
    return json.dumps(item)


def show(settings: Settings) -> str:
    """A TOML file of what was given, and the built-in defaults as comments."""
    lines = []
    for option in (APP, *OPTIONS):
        if option.scope == COMMAND:
            continue
        given = settings.get(option.key)
        if given is not None:
            lines.append(f"{option.key} = {_as_toml(given.text)}  # {given.source}")
        else:
            default = option.default or ("false" if not option.value else "none")
            lines.append(f"# {option.key}: {default}  (built-in)")
    return "\n".join(lines) + "\n"
