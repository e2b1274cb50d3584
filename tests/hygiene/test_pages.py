# SPDX-License-Identifier: MIT
"""The pages that ./dev newcomer follows: each block parses, and they fit together.

What needs neither apt nor systemd runs in integration.readme, integration.docs_deploy
and integration.docs_troubleshooting.
"""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import CC, INCLUDE, SOURCE

sys.path.insert(0, str(SOURCE / "tests" / "newcomer"))
sys.path.insert(0, str(SOURCE / "tests" / "hygiene"))

import pages
from test_layers import LAYERS

PAGES = ["README.md", "docs/deploy.md", "docs/troubleshooting.md", "swig/README.md"]
STEPS = {name: pages.steps(SOURCE / name) for name in PAGES}
ALL = [step for name in PAGES for step in STEPS[name]]
SOCKET = re.compile(r"unix:(/[\w./-]+)")


def run(*command: object, text: str = "") -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def parse_unit(text: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string(text.replace("\\\n", ""))
    return unit


def parse(step: pages.Step, directory: Path) -> None:
    """By what the reader saves or types: a language that is not here is a mistake."""
    if step.language == "sh":
        run("bash", "-n", text=step.text)
    elif step.language == "python":
        compile(step.text, step.place, "exec")
    elif step.language == "lua":
        run("lua5.4", "-e", "assert(load(io.read('a')))", text=step.text)
    elif step.language == "c":
        run(CC, "-Wall", "-Werror", "-fsyntax-only", f"-I{INCLUDE}", "-xc", "-", text=step.text)
    elif step.language == "ini":
        assert parse_unit(step.text).sections() == ["Unit", "Service", "Install"]
    elif step.language == "nginx":
        site = step.text.replace("include fastcgi.conf", "include /etc/nginx/fastcgi.conf")
        file = directory / "nginx.conf"
        file.write_text(f"pid {directory}/pid; events {{}} http {{ access_log off;\n{site}}}\n")
        run("nginx", "-t", "-q", "-c", file, "-g", "error_log stderr;")
    else:
        assert step.language == "text", f"{step.place}: {step.language}"


@pytest.mark.parametrize("step", ALL, ids=lambda step: step.place)
def test_a_block_parses(step: pages.Step, tmp_path: Path):
    if step.kind != "hidden":
        parse(step, tmp_path)


def test_the_pages_are_the_newcomers():
    assert f"readonly pages=({' '.join(PAGES)})" in (SOURCE / "dev").read_text()
    marked = {
        str(page.relative_to(SOURCE))
        for page in [*SOURCE.glob("*.md"), *SOURCE.glob("docs/*.md"), *SOURCE.glob("*/README.md")]
        if re.search(r"^<!-- (follow|serve)", page.read_text(), re.M)
    }
    assert marked == set(PAGES)


def test_a_page_does_something():
    for name in PAGES:
        kinds = [step.kind for step in STEPS[name]]
        assert kinds.count("follow") >= 2, name
        assert kinds.count("prints") >= 1, name


def test_output_is_that_of_a_command():
    for name in PAGES:
        before = ""
        for step in STEPS[name]:
            if step.kind == "prints":
                assert before.startswith("follow"), step.place
            before = step.kind


def test_one_socket_in_all_of_them():
    """The program, its service, nginx and fcgi call name the same path."""
    found = {path for step in ALL for path in SOCKET.findall(step.text)}
    assert found == {"/run/hello/hello.sock"}


def test_the_reader_may_write_where_the_socket_is():
    made = [step.text for step in STEPS["README.md"] if "/run/hello\n" in step.text]
    assert 'sudo install -d -o "$USER" -g www-data -m 2750 /run/hello\n' in "".join(made)


UNITS = [step for step in STEPS["docs/deploy.md"] if step.language == "ini"]


@pytest.mark.parametrize("step", UNITS, ids=lambda step: step.place)
def test_a_unit_names_what_the_page_makes(step: pages.Step):
    service = parse_unit(step.text)["Service"]
    page = STEPS["docs/deploy.md"]
    before = page[: page.index(step)]
    typed = "".join(one.text for one in before if one.kind == "follow")
    saved = {one.argument for one in before if one.kind == "file"}
    assert f"--home-dir {service['WorkingDirectory']} " in typed
    assert typed.split("useradd")[1].split("\n")[0].endswith(" " + service["User"])
    words = service["ExecStart"].split()
    for word in words[:1] + [word for word in words if word.startswith("/srv/")]:
        made = word in saved or word in typed
        installed = word.startswith("/usr/local/") and "sudo cmake --install" in typed
        in_venv = word == "/srv/hello/venv/bin/python" and "venv /srv/hello/venv" in typed
        assert made or installed or in_venv, word
    if "hello:app" in words:
        assert f"{service['WorkingDirectory']}/hello.py" in saved
    at = {name: f"/{place}/{service[key]}" for key, name, place in (
        ("RuntimeDirectory", "socket", "run"),
        ("RuntimeDirectory", "pid", "run"),
        ("LogsDirectory", "log", "var/log"),
    )}  # fmt: skip
    assert f"unix:{at['socket']}/hello.sock" in words
    assert f"{at['pid']}/hello.pid" in words
    assert f"{at['log']}/access.log" in service["ExecStart"] + service.get("Environment", "")
    assert service["SupplementaryGroups"] == words[words.index("--socket-group") + 1] == "www-data"


def test_units_differ_in_what_they_run_only():
    assert len(UNITS) == 3
    ours = {"ExecStart", "Environment"}
    rest = [
        {(part, key): value for part in unit.sections() for key, value in unit[part].items()
         if key not in ours}
        for unit in map(parse_unit, (step.text for step in UNITS))
    ]  # fmt: skip
    assert rest[0] == rest[1] == rest[2]


def test_databases_wait_for_each_other():
    """WAL and a busy timeout, in every example with SQLite."""
    for name in [*PAGES, "docs/python.md", "docs/lua.md", "docs/state.md"]:
        page = (SOURCE / name).read_text()
        for text in re.findall(r"^```(?:python|lua)\n(.*?)^```", page, re.M | re.S):
            if "sqlite3" in text:
                assert re.search(r"timeout=\d|pragma busy_timeout", text), name
            if "insert into" in text:
                assert "pragma journal_mode = wal" in text, name


def test_files_that_are_named_are_there():
    documents = [*SOURCE.glob("*.md"), *SOURCE.glob("docs/*.md"), SOURCE / "swig/README.md"]
    lacking = [
        f"{page.name}: {name}"
        for page in documents
        if page.name != "CHANGELOG.md"
        for name in re.findall(
            r"`((?:core|tests|bindings|swig|tools|bench|deploy)/[\w./-]*\w/?)`", page.read_text()
        )
        if not (SOURCE / name).exists()
        if "NAME" not in name and "FOLDER" not in name and not name.startswith("swig/")
    ]
    assert lacking == []


def test_the_drawing_is_that_of_the_layers():
    """Each folder of core/ stands above those that it may include, in a drawing of a page."""
    page = (SOURCE / "docs" / "architecture.md").read_text()
    assert page.count("\n") <= 85
    drawing = page.split("```")[1].splitlines()
    row = {
        word: at for at, line in enumerate(drawing) for word in line[:30].split() if word in LAYERS
    }
    assert set(row) == {path.name for path in (SOURCE / "core").iterdir()} - {
        "include",
        "CMakeLists.txt",
    }
    upward = [
        f"{layer} includes {below}"
        for layer, allowed in LAYERS.items()
        for below in allowed - {layer}
        if row[below] <= row[layer]
    ]
    assert upward == []


def test_links_lead_somewhere():
    for name in [*PAGES, *(f"docs/{page.name}" for page in (SOURCE / "docs").glob("*.md"))]:
        text = (SOURCE / name).read_text()
        for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
            path, _, part = target.replace("\\", "").partition("#")
            file = ((SOURCE / name).parent / path) if path else SOURCE / name
            assert file.exists(), f"{name}: {target}"
            if part:
                heads = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
                slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
                assert part in slugs, f"{name}: {target}"


def test_options_of_the_build_are_described_with_their_default():
    """In CONTRIBUTING.md: OFF and ON are what `option` says, ${top} both."""
    rows = [
        line.split(" | ")
        for line in (SOURCE / "CONTRIBUTING.md").read_text().splitlines()
        if line.startswith("| `FCGI_")
    ]
    told = {name: row[-1] for row in rows for name in re.findall(r"`(FCGI_\w+)`", row[0])}
    declared = dict(
        re.findall(r'^option\((\w+) "[^"]*" (\S+)\)', (SOURCE / "CMakeLists.txt").read_text(), re.M)
    )
    assert len(declared) >= 8
    for name, default in declared.items():
        first = "ON" if default == "${top}" else default
        assert told[name].startswith(f"`{first}`"), name
