# SPDX-License-Identifier: MIT
"""Would the C suites notice? Breaks the core at random places and runs them.

    python tests/support/mutate.py [N] [--seed S] [--only FILE[:LINE]]

Each of N mutants (60) is one change in one line of core/: a condition negated, < for
<=, == for !=, && for ||, another value returned, a statement left out. What compiles to
the same code is no mutant. It is built in a copy below build/mutate and goes through
the unit tests, the conformance cases, the replay of the fuzzers' corpus, and, as its
folder asks for them, tests over sockets against programs in C. The tests of its own
folder come first, then those that take least; the first that fails is the last that
runs. Survivors are printed; fewer than 85 % killed is exit status 1.
"""

import argparse
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
WORK = SOURCE / "build" / "mutate"
COPY, BUILD = WORK / "source", WORK / "build"
FOLDERS = ("core", "cmake", "examples", "tests", "tools", "CMakeLists.txt")
LEAST = 0.85
SECONDS = 40  # For one test, beside ten times what it takes: a mutant may wait for ever.
UNIT = "core/session/unit.c"  # It includes the files that are not compiled alone.
OFF = ("LUA", "PYTHON", "SHARED", "SWIG")
# What runs over sockets too, by the folder of the mutant.
OVER_ALL = ["conformance/test_server.py", "integration/test_direct.py"]
OVER_QUICK = [f"integration/test_{name}.py" for name in ("stderr", "gone", "raw_answers", "roles")]
OVER_RUN = ["integration/test_run.py", "integration/test_run_upgrade.py"]
OVER_SOCKETS = {
    "client": ["integration/test_tool.py"],
    "os": OVER_ALL,
    "observe": OVER_ALL,
    "gateway": OVER_ALL,
    "server": [*OVER_ALL, *OVER_QUICK],
    "serve": [*OVER_ALL, "integration/test_children.py"],
    "parent": OVER_RUN,
    "supervisor": OVER_RUN,
}
REPLACED = [
    (r"(?<![-<>=])<=(?!=)", "<"),
    (r"(?<![-<>=])>=(?!=)", ">"),
    (r"(?<=[\w)\]] )<(?= [\w(*-])", "<="),
    (r"(?<=[\w)\]] )>(?= [\w(*-])", ">="),
    (r"==", "!="),
    (r"!=", "=="),
    (r"&&", "||"),
    (r"\|\|", "&&"),
    (r"(?<=[\w)\]] )\+(?= [\w(*])", "-"),
    (r"(?<=[\w)\]] )-(?= [\w(*])", "+"),
    (r"(?<=return )0(?=;)", "1"),
    (r"(?<=return )1(?=;)", "0"),
    (r"(?<=return )-1(?=;)", "0"),
]
CONDITION = re.compile(r"^(\s*(?:\} else )?(?:if|while) \()(.*)(\)(?: \{)?)$")
STATEMENT = re.compile(r"^\s+[A-Za-z_][\w.\[\]>-]*(?:->|\.|\()?.*(?:\(| = | [-+|&]= |\+\+|--).*;$")
# A lock that is left out is for the thread sanitizer to see.
NO_STATEMENT = re.compile(
    r"^\s+(?:return|goto|break|continue|case|static|const|struct|unsigned|int|long|char|size_t"
    r"|ssize_t|ptrdiff_t|u?int\d+_t|void|else|for|do|if|while|pthread_mutex_(?:lock|unlock))\b"
    r"|^\s+fcgi_\w+ \*?\w+ ="
)


@dataclass(frozen=True)
class Mutant:
    path: str  # Relative to the source.
    line: int  # From 1.
    before: str
    after: str

    def __str__(self) -> str:
        after = self.after.strip() or "(left out)"
        return f"{self.path}:{self.line}: {self.before.strip()}  ->  {after}"


def code_of(line: str) -> str:
    """The line with strings and comments made blank."""
    blank = re.sub(r'"(?:\\.|[^"\\])*"', lambda m: '"' + " " * (len(m[0]) - 2) + '"', line)
    return re.sub(r"/\*.*?\*/", lambda m: " " * len(m[0]), blank)


def balanced(text: str) -> bool:
    return text.count("(") == text.count(")")


def changes(line: str, previous: str) -> list[str]:
    """What this line can become."""
    code, found = code_of(line), []
    if (match := CONDITION.match(line)) and balanced(code_of(match[2])):
        found.append(f"{match[1]}!({match[2]}){match[3]}")
    for pattern, text in REPLACED:
        for match in re.finditer(pattern, code):
            found.append(line[: match.start()] + text + line[match.end() :])
    begins = previous.rstrip().endswith((";", "{", "}", ":", "*/")) or not previous.strip()
    if begins and balanced(code) and STATEMENT.match(code) and not NO_STATEMENT.match(code):
        found.append(re.match(r"\s*", line)[0] + ";")
    return found


def mutants_of(path: Path) -> list[Mutant]:
    name = str(path.relative_to(SOURCE))
    found, comment, previous = [], False, ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        inside = comment or line.lstrip().startswith(("/*", "#"))
        if "/*" in line or comment:
            comment = line.rfind("*/") < line.rfind("/*") or (comment and "*/" not in line)
        if not inside and not line.rstrip().endswith("\\") and line.startswith(" "):
            found += [Mutant(name, number, line, after) for after in changes(line, previous)]
        previous = code_of(line)
    return found


def run(*command: object, seconds: float | None = None, env: dict | None = None):
    try:
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, 124, str(error), "")


def copy_tree() -> None:
    """What differs is copied, so that a second run builds little."""
    wanted = set()
    for name in FOLDERS:
        top = SOURCE / name
        for path in [top] if top.is_file() else top.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                wanted.add(path.relative_to(SOURCE))
    for path in wanted:
        target = COPY / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != (SOURCE / path).read_bytes():
            shutil.copy2(SOURCE / path, target)
            target.touch()
    for path in COPY.rglob("*"):
        if path.is_file() and path.relative_to(COPY) not in wanted:
            path.unlink()


def prepare() -> tuple[dict[str, list[str]], "Suites"]:
    """Copy and build the tree; how each file of the core is compiled, and its tests."""
    copy_tree()
    shared = COPY / "tests" / "support" / "mutate.cmake"
    options = [f"-DFCGI_BUILD_{name}=OFF" for name in OFF]
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options += ["-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_PROJECT_INCLUDE={shared}"]
    done = run("cmake", "-S", COPY, "-B", BUILD, *generator, *options)
    if done.returncode or (done := build("all")).returncode:
        sys.exit(done.stdout + done.stderr)
    suites = Suites()
    if killer := suites.killed_by(""):
        sys.exit(f"mutate: {killer} fails without a change")
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    compiled = {
        str(Path(entry["file"]).relative_to(COPY)): [entry["directory"], entry["command"]]
        for entry in commands
        if entry["file"].startswith(str(COPY / "core")) and "fastcgi_objects" in entry["command"]
    }
    return compiled, suites


def build(target: str = "fastcgi_whole"):
    return run("cmake", "--build", BUILD, "--parallel", os.cpu_count(), "--target", target)


def object_of(directory: str, command: str) -> bytes | None:
    """What the file compiles to when optimised; None when it does not."""
    out = WORK / "object"
    words = [word for word in shlex.split(command) if word not in ("-g", "ccache")]
    words[words.index("-o") + 1] = str(out)
    done = subprocess.run([*words, "-O2", "-w"], cwd=directory, capture_output=True)
    return out.read_bytes() if done.returncode == 0 else None


def passes(command: list[str], seconds: float, stopped: threading.Event) -> bool:
    """A test that is stopped counts as one that passes."""
    words = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": BUILD}
    process = subprocess.Popen(command, start_new_session=True, **words)
    end = time.monotonic() + seconds
    try:
        while process.poll() is None and time.monotonic() < end and not stopped.wait(0.02):
            pass
        return process.poll() == 0 or stopped.is_set()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Suites:
    """The tests in C, and what is known of each."""

    def __init__(self) -> None:
        listed = run("ctest", "--test-dir", BUILD, "--show-only=json-v1").stdout
        self.commands = {test["name"]: test["command"] for test in json.loads(listed)["tests"]}
        self.seconds: dict[str, float] = {}
        self.kills: Counter[str] = Counter()

    def order(self, path: str) -> list[str]:
        """Those named like the file first, then its folder's, then the quick ones."""
        folder = path.split("/")[1] if path else ""
        near = f"unit.{folder}.{Path(path).stem.split('_')[0]}"

        def place(name: str):
            cost = self.seconds.get(name, 0) / (1 + self.kills[name])
            return not name.startswith(near), not name.startswith(f"unit.{folder}."), cost

        return sorted(self.commands, key=place)

    def first_that_fails(self, path: str) -> str:
        todo, failed, stopped = iter(self.order(path)), [], threading.Event()

        def work() -> None:
            while not stopped.is_set() and (name := next(todo, None)):
                began = time.monotonic()
                most = SECONDS + 10 * self.seconds.get(name, SECONDS)
                if not passes(self.commands[name], most, stopped):
                    failed.append(name)
                    stopped.set()
                self.seconds.setdefault(name, time.monotonic() - began)

        threads = [threading.Thread(target=work) for _ in range(os.cpu_count() or 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return failed[0] if failed else ""

    def killed_by(self, path: str) -> str:
        """The first test that fails; over sockets run only those of the folder."""
        if killer := self.first_that_fails(path):
            self.kills[killer] += 1
            return killer
        for name in OVER_SOCKETS.get(path.split("/")[1] if path else "server", ()):
            file = COPY / "tests" / name
            if pytest(file).returncode:
                return file.stem
        return ""


def pytest(file: Path):
    """One file of tests, for C alone."""
    env = {"FASTCGI_BUILD": str(BUILD), "FASTCGI_LANGUAGES": "c", "FASTCGI_CC": "cc"}
    env["PYTHONPATH"] = str(COPY / "tests")
    words = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    return run(sys.executable, *words, file, seconds=5 * SECONDS, env=env)


def attempt(mutant: Mutant, compile_with: list[str], suites: Suites) -> str | None:
    """Who kills it; "" for nobody, None where it is no mutant."""
    path = COPY / mutant.path
    lines = path.read_text().splitlines(keepends=True)
    original = "".join(lines)
    plain = object_of(*compile_with)
    lines[mutant.line - 1] = mutant.after + "\n"
    path.write_text("".join(lines))
    try:
        changed = object_of(*compile_with)
        if changed is None or changed == plain:
            return None
        if build().returncode:
            return None
        return suites.killed_by(mutant.path)
    finally:
        path.write_text(original)


def main() -> int:
    parser = argparse.ArgumentParser(description="Break the core, and see who notices.")
    parser.add_argument("count", nargs="?", type=int, default=60)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**6)))
    parser.add_argument("--only", default="", help="FILE or FILE:LINE, as printed")
    arguments = parser.parse_args()
    sites = [m for path in sorted((SOURCE / "core").glob("*/*.c")) for m in mutants_of(path)]
    if arguments.only:
        sites = [m for m in sites if f"{m.path}:{m.line}:".startswith(arguments.only)]
    random.Random(arguments.seed).shuffle(sites)
    compiled, suites = prepare()
    print(f"{len(sites)} places, seed {arguments.seed}", flush=True)
    tried, survived = 0, []
    for mutant in sites:
        if tried == arguments.count:
            break
        killer = attempt(mutant, compiled.get(mutant.path, compiled[UNIT]), suites)
        if killer is None:
            continue
        tried += 1
        print(f"{'killed by ' + killer if killer else 'SURVIVED'}: {mutant}", flush=True)
        if not killer:
            survived.append(mutant)
    build()
    print(f"\n{tried - len(survived)} of {tried} killed")
    for mutant in survived:
        print(f"survived: {mutant}")
    return int(tried - len(survived) < LEAST * tried)


if __name__ == "__main__":
    sys.exit(main())
