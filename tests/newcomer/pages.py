# SPDX-License-Identifier: MIT
"""What a reader of a page does: its code blocks, in order, by the comment above each.

<!-- follow -->         commands that succeed; <!-- follow, fails --> must fail
<!-- serve -->          a command that stays until the next one, or the page, ends
<!-- prints -->         lines that the block before printed; ... stands for anything
<!-- file: PATH -->     a file that is saved, by root where PATH is absolute
<!-- hidden: COMMAND --> what the test does and the reader does not

python3 pages.py PAGE...     writes the bash script that follows the pages
"""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

MARK = re.compile(r"^<!-- (follow|follow, fails|serve|prints|file|hidden)(?:: (.*))? -->$")
FENCE = "```"
TOP = Path(__file__).resolve().parents[2]
END = "END_OF_BLOCK"


@dataclass
class Step:
    kind: str  # Of the list above.
    argument: str  # What follows the colon.
    text: str  # The block; of hidden, nothing.
    language: str  # As the fence says.
    place: str  # PAGE:LINE of the comment.


def block_below(lines: list[str], at: int, place: str) -> tuple[str, str]:
    if at >= len(lines) or not lines[at].startswith(FENCE):
        raise SystemExit(f"{place}: no block follows at once")
    end = lines.index(FENCE, at + 1)
    return lines[at][len(FENCE) :], "".join(line + "\n" for line in lines[at + 1 : end])


def name_of(page: Path) -> str:
    """From the top of the tree, where the page is in it."""
    whole = page.resolve()
    return str(whole.relative_to(TOP)) if whole.is_relative_to(TOP) else page.name


def steps(page: Path) -> list[Step]:
    lines = page.read_text().splitlines()
    found = []
    for at, line in enumerate(lines):
        if not (mark := MARK.match(line)):
            continue
        place = f"{name_of(page)}:{at + 1}"
        kind, argument = mark[1], mark[2] or ""
        language, text = "", ""
        if kind != "hidden":
            language, text = block_below(lines, at + 1, place)
        found.append(Step(kind, argument, text, language, place))
    return found


def here(text: str) -> str:
    return f"<<'{END}'\n{text}{END}\n"


def command(step: Step) -> str:
    place = shlex.quote(step.place)
    if step.kind == "hidden":
        return f"hidden {place} {here(step.argument + chr(10))}"
    if step.kind == "file":
        return f"save {place} {shlex.quote(step.argument)} {here(step.text)}"
    name = {"follow": "follow 0", "follow, fails": "follow 1"}.get(step.kind, step.kind)
    return f"{name} {place} {here(step.text)}"


def script(pages: list[Path]) -> str:
    parts = [(Path(__file__).parent / "reader.sh").read_text()]
    for page in pages:
        parts += [command(step) for step in steps(page)]
        parts.append("leave\n")
    parts.append("summary\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(script([Path(name) for name in sys.argv[1:]]))
