# SPDX-License-Identifier: MIT
"""Parts of the man pages below docs/man: options from the map, and what the tools say in their
own help. `./dev options` writes them; all of it is mdoc(7)."""

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from support.option_map import LAUNCHERS, SOURCE, Option, groups

TOOLS = SOURCE / "tools"
BLANKS = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")


# --- Text -------------------------------------------------------------------------


def escaped(text: str) -> str:
    """What roff would take for something else. Dashes of options stay what one types."""
    text = text.replace("\\", "\\e")
    return re.sub(r"(?<![\w-])--?(?=\w)|(?<=\w)-(?=\w)", lambda m: m[0].replace("-", "\\-"), text)


def lines_of(text: str) -> list[str]:
    """Lines of roff, where each sentence begins a line."""
    found = []
    for sentence in BLANKS.split(text):
        for line in textwrap.wrap(escaped(sentence), 80, break_on_hyphens=False):
            found.append(f"\\&{line}" if line[0] in ".'" else line)
    return found


def sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def argument(text: str) -> str:
    """Of a macro: roff takes a quote and some letters for its own."""
    text = text.replace('"', "")
    return f'"{text}"' if " " in text else text


def flag(name: str) -> str:
    return "Fl " + name.removeprefix("-")


def listed(items: Iterable[tuple[str, list[str]]], width: str = "Ds") -> list[str]:
    lines = [f".Bl -tag -width {width}"]
    for head, body in items:
        lines += [f".It {head}", *body]
    return [*lines, ".El"]


# --- The map ----------------------------------------------------------------------


def bytes_of(number: int) -> str:
    for letter, unit in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if number % unit == 0:
            return f"{number // unit}{letter}"
    return str(number)


def range_of(option: Option, launcher: str | None = None) -> str:
    """The numbers that it may have, where the kind alone does not say it."""
    least, most = option.least, option.most
    if launcher == "run" and option.run_least is not None:
        least = option.run_least
    if least is None or option.kind not in ("count", "processes", "bytes"):
        return ""
    shown = bytes_of if option.kind == "bytes" else str
    if most is None:
        return f"At least {shown(least)}." if least > 1 else ""
    run_least = option.run_least if launcher is None else None
    but = f", for fcgi run from {shown(run_least)}" if run_least is not None else ""
    return f"From {shown(least)} to {shown(most)}{but}."


def facts_of(option: Option, launcher: str | None = None) -> list[str]:
    """The help, then the values, then the default, each time in this order."""
    text = option.text_in(launcher) if launcher else option.text
    texts = [text, range_of(option, launcher)]
    if option.none:
        texts.append(f"0 means {option.none}.")
    if option.kind != "flag" and not option.positional:
        texts.append(f"Default: {option.default}.")
    return [line for text in texts if text for line in lines_of(text)]


def head_of(option: Option) -> str:
    if option.positional:
        return f"Ar {option.value}"
    head = flag(option.flag)
    if option.letter:
        head = f"{flag('-' + option.letter)} , {head.removeprefix('Fl ')}"
    return f"{head} Ar {argument(option.value)}" if option.value else head


def launcher_options(launcher: str, options: list[Option]) -> list[str]:
    lines = []
    for title, members in groups([one for one in options if launcher in one.launchers]):
        lines += [
            f".Ss {title}",
            *listed((head_of(one), facts_of(one, launcher)) for one in members),
        ]
    return lines


def launcher_fixed(launcher: str, options: list[Option]) -> list[str]:
    names = [one.flag for one in options if one.fixed and launcher in one.launchers]
    return [f".{flag(name)}" + (" ," if name != names[-1] else " .") for name in names]


TYPES = {
    "flag": "true or false",
    "count": "whole number",
    "processes": 'whole number or "auto"',
    "bytes": "size",
    "seconds": "time",
    "mode": "octal mode as a text",
    "choice": "word",
    "path": "path of URLs",
    "users": "list of users in a text",
    "named_size": "name and size in a text",
}


def file_keys(options: list[Option]) -> list[str]:
    """Every key of a file."""
    lines = []
    for title, members in groups([one for one in options if one.scope != "command"]):
        items = []
        for one in members:
            kind = "text, or list of them" if one.repeated else TYPES.get(one.kind, "text")
            whose = [LAUNCHERS[name].strip("`") for name in one.launchers]
            only = (
                [] if len(whose) == len(LAUNCHERS) else lines_of(f"Only for {' and '.join(whose)}.")
            )
            items.append((f"Ic {one.name} No ({kind})", [*facts_of(one), *only]))
        lines += [f".Ss {title}", *listed(items)]
    return lines


# --- The tools --------------------------------------------------------------------


class Item(NamedTuple):
    """A line of a block of --help, and those that continue it."""

    head: str
    text: str


def help_of(command: str) -> str:
    """The text that the tool prints for --help, from its source."""
    name = "spec/spec" if command == "spec" else command
    source = (TOOLS / f"{name}.c").read_text()
    body = source.partition("static int help(")[2].partition("\n}\n")[0]
    texts = []
    for call in re.findall(r'puts\(((?:\s*"(?:[^"\\]|\\.)*")+)\s*\)', body):
        literals = re.findall(r'"((?:[^"\\]|\\.)*)"', call)
        text = "".join(literals).replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        texts.append(text + "\n")
    return "".join(texts)


def blocks(text: str) -> list[list[str]]:
    return [part.split("\n") for part in re.split(r"\n\n+", text.strip("\n"))]


def items_of(lines: list[str]) -> list[Item]:
    """Heads stand before two blanks, and continued lines far to the right."""
    items: list[Item] = []
    for line in lines:
        head = re.match(r" {2}(?: {4}(?=-))?(\S+(?: \S+)*?) {2,}(\S.*)$", line)
        if head and len(line) - len(line.lstrip()) <= 6:
            items.append(Item(head[1], head[2]))
        elif items:
            items[-1] = Item(items[-1].head, f"{items[-1].text} {line.strip()}")
    return items


def option_items(command: str) -> list[Item]:
    found: list[Item] = []
    for block in blocks(help_of(command)):
        found += [item for item in items_of(block) if item.head.startswith("-")]
    return found


def option_head(head: str) -> str:
    """ "-p, --param NAME=VALUE" as mdoc."""
    words = re.match(r"((?:-\S+, )*-\S+)(?: (.*))?$", head)
    assert words, head
    names = words[1].split(", ")
    shown = flag(names[0]) + "".join(f" , {name.removeprefix('-')}" for name in names[1:])
    return f"{shown} Ar {argument(words[2])}" if words[2] else shown


def tool_options(command: str, _: list[Option]) -> list[str]:
    return listed(
        (option_head(item.head), lines_of(sentence(item.text))) for item in option_items(command)
    )


def tool_block(command: str, title: str, _: list[Option]) -> list[str]:
    """The items below a title that ends in a colon."""
    for block in blocks(help_of(command)):
        if block[0].startswith(title) and block[0].endswith(":"):
            return listed(
                (argument(item.head), lines_of(sentence(item.text))) for item in items_of(block[1:])
            )
    raise ValueError(f"fcgi {command} --help has no '{title}'")


def words_of(text: str) -> str:
    """Words of a usage line as one line of macros."""
    shown = []
    for word in text.split():
        if word == "|":
            shown.append("|")
        elif word.startswith("-"):
            shown.append(flag(word))
        else:
            shown.append("Ar " + " | ".join(word.split("|")))
    return " ".join(shown)


def tool_synopsis(command: str, _: list[Option]) -> list[str]:
    usage = next(block for block in blocks(help_of(command)) if block[0].startswith("usage:"))
    lines = []
    for line in usage:
        rest = line.partition(f"fcgi {command}")[2]
        lines.append(f".Nm fcgi {command}")
        for part in re.findall(r"\[[^]]*\]|[^\[]+", rest):
            if part.startswith("["):
                lines.append(f".Op {words_of(part[1:-1])}")
            elif part.strip():
                lines.append(f".{words_of(part)}")
    return lines


def commands() -> list[tuple[str, str]]:
    """The sub-commands and what they do, from the table of tools/main.c."""
    return re.findall(r'\{"(\w+)", tool_\w+,\s*"([^"]*)"\}', (TOOLS / "main.c").read_text())


def tool_commands(_: list[Option]) -> list[str]:
    return listed((f"Xr fcgi\\-{name} 1", lines_of(sentence(text))) for name, text in commands())


# --- Pages ------------------------------------------------------------------------


def pages() -> list[Path]:
    return sorted((SOURCE / "docs" / "man").glob("*.[1-8]"))
