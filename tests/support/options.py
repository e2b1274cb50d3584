# SPDX-License-Identifier: MIT
"""What is generated from core/options/map.h, the one list of options: the tables of docs, man
pages, the annotations of Python, the types of Lua and the fields of configurations in C.

`./dev options` writes them; with --check the files that are not current are named instead.
"""

import re
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

from support import man
from support.option_map import LAUNCHERS, SOURCE, Option, groups, read_map

__all__ = ["SOURCE", "Option", "read_map", "stale"]


# --- The manual ------------------------------------------------------------------


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def as_typed(option: Option) -> str:
    if option.positional:
        return f"`{option.value}`"
    name = f"{option.flag} {option.value}" if option.value else option.flag
    return f"`-{option.letter}`, `{name}`" if option.letter else f"`{name}`"


def told(option: Option) -> str:
    """The help, and who has the option where not all have it."""
    if len(option.launchers) == len(LAUNCHERS):
        return option.text
    return f"{option.text} ({', '.join(LAUNCHERS[one] for one in option.launchers)})"


def zeros_page(options: list[Option]) -> list[str]:
    """What 0 means for each option that may be without a number, or takes a time."""
    lines = ["", "| option | 0 means | default |", "|---|---|---|"]
    for one in options:
        if one.kind == "seconds" or one.none:
            zero = f"{one.none}"
            if one.never:
                zero = "refused; `never` is the word for it"
            elif one.none is None:
                zero = "refused"
            lines.append(f"| `{one.flag}` | {zero} | {cell(one.default)} |")
    return [*lines, ""]


def processes_page(options: list[Option]) -> list[str]:
    lines = []
    for title, members in groups(options):
        lines += ["", f"### {title}", "", "| option | default | meaning |", "|---|---|---|"]
        lines += [
            f"| {as_typed(one)} | {cell(one.default)} | {cell(told(one))} |" for one in members
        ]
    same = ", ".join(f"`{one.flag}`" for one in options if one.gunicorn)
    fixed = ", ".join(f"`{one.flag}`" for one in options if one.fixed)
    texts = (
        f"A reload does not change {fixed}.",
        f"These options are named as in gunicorn: {same}.",
    )
    for text in texts:
        lines += ["", *textwrap.wrap(text, 80, break_on_hyphens=False)]
    return [*lines, ""]


def run_page(options: list[Option]) -> list[str]:
    lines = ["", "| option | meaning | default |", "|---|---|---|"]
    for one in options:
        if "run" in one.launchers:
            names = f"`{one.flag}`, `-{one.letter}`" if one.letter else f"`{one.flag}`"
            lines.append(f"| {names} | {cell(one.text)} | {cell(one.default)} |")
    return [*lines, ""]


# --- Bindings ---------------------------------------------------------------------


def of_server(option: Option) -> bool:
    return option.scope == "server" or option.name in ("stream", "log_level")


def python_type(option: Option) -> str:
    if option.kind == "choice":
        words = ", ".join(f'"{word}"' for word in (option.words or "").split(", "))
        return f"Literal[{words}]"
    if option.commas:
        return "str | Iterable[int | str]" if option.kind == "users" else "str | Iterable[str]"
    if option.repeated:
        return "str | Iterable[str]"
    kinds = {"flag": "bool", "seconds": "float", "count": "int", "bytes": "int", "mode": "int"}
    return kinds.get(option.kind, "str")


def python_fields(options: list[Option], has: Callable[[Option], bool]) -> list[str]:
    lines = []
    for one in options:
        if "python" in one.launchers and has(one):
            lines += [
                f"    # {line}"
                for line in textwrap.wrap(f"{as_names(one.text)} {default_of(one)}", 90)
            ]
            lines.append(f"    {one.name}: {python_type(one)} | None")
    return lines


def as_names(text: str) -> str:
    """What a program calls the options that a text names."""
    return re.sub(r"--([a-z][a-z-]+)", lambda match: match[1].replace("-", "_"), text)


def default_of(option: Option) -> str:
    return as_names(f"Default: {option.default}.")


def python_server(options: list[Option]) -> list[str]:
    return python_fields(options, lambda one: of_server(one) and one.name != "stream")


def of_processes(option: Option) -> bool:
    shared = option.scope == "processes" and option.name != "workers"
    return shared or option.name in ("chdir", "umask")


def python_processes(options: list[Option]) -> list[str]:
    return python_fields(options, of_processes)


def lua_type(option: Option) -> str:
    if option.kind == "choice":
        return "|".join(f'"{word}"' for word in (option.words or "").split(", "))
    if option.commas:
        return "string|(string|integer)[]"
    kinds = {"flag": "boolean", "seconds": "number", "count": "integer", "bytes": "integer",
             "processes": 'integer|"auto"'}  # fmt: skip
    return kinds.get(option.kind, "string")


def lua_fields(options: list[Option], has: Callable[[Option], bool]) -> list[str]:
    lines = []
    for one in options:
        if "lua" in one.launchers and has(one) and not one.name.startswith("reload"):
            text = f"{as_names(one.help)} {default_of(one)}"
            lines += [f"--- {line}" for line in textwrap.wrap(text, 96)]
            lines.append(f"---@field {one.name}? {lua_type(one)}")
    return lines


def lua_server(options: list[Option]) -> list[str]:
    return lua_fields(options, of_server)


def lua_serve(options: list[Option]) -> list[str]:
    return lua_fields(options, lambda one: one.name in ("threads", "workers") or of_processes(one))


# --- The header -------------------------------------------------------------------


def as_fields(text: str, options: list[Option]) -> str:
    """The same with the names of fields of a configuration."""
    fields = {one.name: one.field or one.supervisor or one.name for one in options}
    return re.sub(r"--([a-z][a-z-]+)", lambda match: fields[match[1].replace("-", "_")], text)


def field(option: Option, options: list[Option], type: str | None, name: str | None) -> list[str]:
    text = as_fields(f"{option.help} Default: {option.default}.", options)
    text = f"/* {text}~*/"  # The end stays with the last word.
    wrapped = textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent="     ")
    space = "" if (type or "").endswith("*") else " "
    return ["", *(line.replace("~", " ") for line in wrapped), f"  {type}{space}{name};"]


def server_header(options: list[Option]) -> list[str]:
    lines = []
    for title, members in groups(options):
        fields = [one for one in members if one.scope == "server" and one.field]
        if fields:
            lines += ["", f"  /* --- {title} --- */"]
        for one in fields:
            lines += field(one, options, one.type, one.field)
    return lines


def supervisor_header(options: list[Option]) -> list[str]:
    """All but those whose number is another in C: "auto", a level, a command's flag."""
    by_hand = ("workers", "log_level", "check_config")
    lines = []
    for title, members in groups(options):
        fields = [one for one in members if one.supervisor and one.name not in by_hand]
        if fields:
            lines += ["", f"  /* --- {title} --- */"]
        for one in fields:
            lines += field(one, options, one.supervisor_type, one.supervisor)
    return lines


# --- Files -------------------------------------------------------------------------

Maker = Callable[[list[Option]], list[str]]


def on_page(page: str, part: str, make: Maker) -> tuple[str, str, str, Maker]:
    """A part of a man page."""
    begin, end = f'.\\" {part}: ./dev options', f'.\\" end of {part}'
    return f"docs/man/{page}", begin, end, make


def tool_pages() -> list[tuple[str, str, str, Maker]]:
    places = []
    for command, _ in man.commands():
        page = f"fcgi-{command}.1"
        places.append(on_page(page, "synopsis", partial(man.tool_synopsis, command)))
        if command != "run":
            places.append(on_page(page, "options", partial(man.tool_options, command)))
        title = "Exit status"
        places.append(on_page(page, "exit status", partial(man.tool_block, command, title)))
    for title in ("Columns", "Phases"):
        make = partial(man.tool_block, "top", title)
        places.append(on_page("fcgi-top.1", title.lower(), make))
    return places


def launcher_pages() -> list[tuple[str, str, str, Maker]]:
    places = []
    pages = {"run": "fcgi-run.1", "lua": "fcgi-lua.1", "python": "fastcgi.1"}
    for launcher, page in pages.items():
        places.append(on_page(page, "options", partial(man.launcher_options, launcher)))
        places.append(on_page(page, "fixed options", partial(man.launcher_fixed, launcher)))
    return places


# Where what stands: a file, the line before it and the one behind it.
PLACES: list[tuple[str, str, str, Maker]] = [
    ("docs/processes.md", "<!-- options: ./dev options -->", "<!-- end of options -->",
     processes_page),
    ("docs/processes.md", "<!-- zeros: ./dev options -->", "<!-- end of zeros -->", zeros_page),
    ("docs/run.md", "<!-- options: ./dev options -->", "<!-- end of options -->", run_page),
    ("bindings/python/fastcgi/_types.py", "    # Of a server: ./dev options writes these.",
     "    # End of these.", python_server),
    ("bindings/python/fastcgi/_types.py", "    # Of processes: ./dev options writes these.",
     "    # End of those.", python_processes),
    ("bindings/lua/types/fcgi.lua", "--- Of a server; ./dev options writes these:",
     "--- End of these.", lua_server),
    ("bindings/lua/types/fcgi.lua", "--- Of processes; ./dev options writes these:",
     "--- End of those.", lua_serve),
    ("core/include/fastcgi/server.h", "  /* `./dev options` writes the following fields. */",
     "  /* End of the fields of options. */", server_header),
    ("core/include/fastcgi/supervisor.h", "  /* `./dev options` writes the following fields. */",
     "  /* End of the fields of options. */", supervisor_header),
    on_page("fcgi.1", "commands", man.tool_commands),
    on_page("fastcgi.toml.5", "keys", man.file_keys),
    *tool_pages(),
    *launcher_pages(),
]  # fmt: skip


def renewed(text: str, begin: str, end: str, lines: list[str]) -> str:
    """The text with these lines between the two."""
    before, found, rest = text.partition(begin + "\n")
    _, closed, after = rest.partition(end + "\n")
    if not found or not closed:
        raise ValueError(f"there is no '{begin}' or no '{end}'")
    return before + found + "".join(f"{line}\n" for line in lines) + closed + after


def stale() -> dict[Path, str]:
    """Files that are not current, and what they should be."""
    options = read_map()
    texts: dict[Path, str] = {}
    for name, begin, end, make in PLACES:
        path = SOURCE / name
        texts[path] = renewed(texts.get(path, path.read_text()), begin, end, make(options))
    return {path: text for path, text in texts.items() if path.read_text() != text}


def main(arguments: list[str]) -> int:
    changed = stale()
    for path, text in changed.items():
        print(path.relative_to(SOURCE))
        if "--check" not in arguments:
            path.write_text(text)
    return 1 if changed and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
