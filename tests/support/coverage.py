# SPDX-License-Identifier: MIT
"""Lines and branches that the tests of a --coverage build have reached.

python coverage.py BUILD FOLDER...   prints a line for each FOLDER of the
sources and what was not reached in it; fails below what each must reach.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINES, BRANCHES = 100.0, 95.0  # Per cent that a folder must reach.


def percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


@dataclass
class Reached:
    """What is known about the sources of one folder."""

    lines: int = 0
    branches: int = 0
    missed_lines: list[str] = field(default_factory=list)
    missed_branches: list[str] = field(default_factory=list)

    def add(self, source: dict) -> None:
        for line in source["lines"]:
            place = f"{source['file']}:{line['line_number']}"
            self.lines += 1
            self.branches += len(line["branches"])
            if line["count"] == 0:
                self.missed_lines.append(place)
            self.missed_branches += [place for way in line["branches"] if way["count"] == 0]

    @property
    def line_rate(self) -> float:
        return percent(self.lines - len(self.missed_lines), self.lines)

    @property
    def branch_rate(self) -> float:
        return percent(self.branches - len(self.missed_branches), self.branches)

    @property
    def enough(self) -> bool:
        return self.lines > 0 and self.line_rate >= LINES and self.branch_rate >= BRANCHES


def read_counts(counts: Path) -> list[dict]:
    """What gcov says about the sources that one object is made of."""
    command = ["gcov", "--branch-probabilities", "--json-format", "--stdout", counts]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0 or not found.stdout:
        sys.exit(f"coverage: gcov cannot read {counts}: {found.stderr.strip()}")
    return json.loads(found.stdout)["files"]


def reached_in(build: Path, folder: str) -> Reached:
    reached = Reached()
    objects = build / "core/CMakeFiles/fastcgi_objects.dir"
    # core/session/unit.c holds files of other folders too.
    for counts in sorted(objects.glob("*/*.gcda")):
        for source in read_counts(counts):
            path = Path(source["file"])
            path = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            if path.suffix == ".c" and path.is_relative_to(folder):
                reached.add(source | {"file": path})
    return reached


def report(folder: str, reached: Reached) -> None:
    print(
        f"{folder}: {reached.line_rate:.1f} % of {reached.lines} lines, "
        f"{reached.branch_rate:.1f} % of {reached.branches} branches"
    )
    for what, places in (("line", reached.missed_lines), ("branch", reached.missed_branches)):
        for place in places:
            print(f"  {what} never taken: {place}")


def main() -> None:
    build, folders = Path(sys.argv[1]), sys.argv[2:]
    enough = True
    for folder in folders:
        reached = reached_in(build, folder)
        report(folder, reached)
        enough = enough and reached.enough
    if not enough:
        sys.exit(f"coverage: below {LINES:.0f} % of lines or {BRANCHES:.0f} % of branches")


if __name__ == "__main__":
    main()
