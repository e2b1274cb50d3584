# SPDX-License-Identifier: MIT
"""The man pages are right mdoc(7), and have every command and option with its default."""

import re
import subprocess
from pathlib import Path

import pytest
from support import man
from support.option_map import SOURCE, Option, read_map
from support.paths import BUILD, tool

OPTIONS = read_map()
PAGES = man.pages()
LAUNCHERS = {"run": "fcgi-run.1", "lua": "fcgi-lua.1", "python": "fastcgi.1"}
COMMANDS = [name for name, _ in man.commands()]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def rendered(page: Path) -> str:
    """What a reader sees, with single blanks."""
    command = [tool("mandoc"), "-T", "ascii", "-O", "width=200", str(page)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"\s+", " ", re.sub(".\x08", "", text))


@each_page
def test_page_is_right(page: Path):
    command = [tool("mandoc"), "-T", "lint", "-W", "warning", str(page)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@each_page
def test_page_is_plain_english(page: Path):
    text = rendered(page)
    assert not re.search(r"likewise|for so long|whoever|theirs", text, re.I)
    assert " ." not in text.replace(" ...", "")


@each_page
def test_pages_that_it_names_are_there(page: Path):
    names = re.findall(r"^\.Xr (\S+) (\d)", page.read_text().replace("\\-", "-"), re.M)
    ours = [f"{name}.{section}" for name, section in names if name.startswith(("fcgi", "fastcgi"))]
    assert ours
    for name in ours:
        assert (page.parent / name).exists(), name


def test_every_command_has_a_page():
    overview = rendered(SOURCE / "docs" / "man" / "fcgi.1")
    assert {f"fcgi-{name}.1" for name in COMMANDS} < {page.name for page in PAGES}
    for name, text in man.commands():
        assert f"fcgi-{name}(1) {man.sentence(text)}" in overview


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_page_of_a_launcher_has_its_options(launcher: str):
    text = rendered(SOURCE / "docs" / "man" / LAUNCHERS[launcher])
    for one in OPTIONS:
        has = launcher in one.launchers
        assert one.positional or (re.search(rf" {one.flag}(?![\w-])", text) is not None) == has
        if has:
            assert one.text_in(launcher) in text
            shows = one.kind != "flag" and not one.positional
            assert not shows or f"Default: {one.default}." in text


def test_page_of_a_launcher_names_no_other_kind_of_application():
    python, lua = (rendered(SOURCE / "docs" / "man" / LAUNCHERS[one]) for one in ("python", "lua"))
    app = next(one for one in OPTIONS if one.name == "app")
    assert app.python
    assert app.lua
    assert app.python in python
    assert app.lua not in python
    assert app.lua in lua
    assert app.python not in lua


def test_page_of_files_has_every_key():
    text = rendered(SOURCE / "docs" / "man" / "fastcgi.toml.5")
    for one in OPTIONS:
        assert (re.search(rf" {one.name} \(", text) is not None) == (one.scope != "command")


def declared(command: str) -> dict[str, tuple[str, bool]]:
    """The long options of a tool, from its own table: the letter, and whether it takes a value."""
    name = "spec/spec" if command == "spec" else command
    source = (man.TOOLS / f"{name}.c").read_text()
    table = source.partition("static const struct option options[] = {")[2].partition("};")[0]
    letters = re.search(r'tool_next_option\(argc, argv, ":([^"]*)"', source)
    assert letters, command
    rows = re.findall(r'\{"([\w-]+)", (\w+), NULL, (\'.\'|\w+)\}', table)
    assert rows, command
    found = {}
    for long, takes, letter in rows:
        short = letter.strip("'") if letter.strip("'") in letters[1].replace(":", "") else ""
        found[f"--{long}"] = (f"-{short}" if short else "", takes == "required_argument")
    return found


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "run"])
def test_help_of_a_tool_has_its_options(command: str):
    """The page follows the help, and the help the table that getopt reads."""
    shown: dict[str, tuple[str, bool]] = {}
    for item in man.option_items(command):
        words = re.match(r"((?:-\S+, )*-\S+)( .*)?$", item.head)
        names = words[1].split(", ")
        short = next((name for name in names if not name.startswith("--")), "")
        for name in names:
            if name.startswith("--"):
                shown[name] = (short, words[2] is not None)
    assert shown == declared(command)


@pytest.mark.parametrize(
    "option",
    [one for one in OPTIONS if "run" in one.launchers and one.kind in ("count", "processes")],
    ids=lambda option: option.name,
)
def test_range_is_told_as_the_library_tells_it(option: Option):
    """Where a page has one, a wrong value gets the same words."""
    command = [str(BUILD / "tools" / "fcgi"), "run", f"{option.flag}=@"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    said = man.range_of(option, "run").removesuffix(".").lower()
    assert said in done.stderr
    assert said or "from 1 up" in done.stderr
