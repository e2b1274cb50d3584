# SPDX-License-Identifier: MIT
"""Write docs/conformance.md from the case files.

python table.py           writes it
python table.py --check   exits 1 when it is not current

A number without a case needs a line in reasons.txt, and only such a one.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from conformance.cases import Case, all_cases  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "conformance.md"
# What people wrote below this line, such as results of other programs, stays.
BY_HAND = "<!-- Below this line by hand. -->"
WHOSE = {"A": "", "W": "web server", "I": "open"}
KINDS = ["specification", "web servers", "hardening"]
HEAD = """\
# Conformance

This page lists the project's conformance cases, and what of FastCGI 1.0 each case shows.
`tests/conformance/table.py` makes it from the files below `tests/conformance/cases`; their
[README](../tests/conformance/README.md) describes the format. Every case runs against the
session: as a whole, byte by byte, split at each of its first points and at samples of the
later ones, and with each allocation failing in turn. It also runs over a socket against
servers in C, Python and Lua, if their API has what the case's handler does.
"""


def rows(name: str) -> Iterator[list[str]]:
    """The columns of a table file."""
    for line in (HERE / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield [cell.strip() for cell in line.split("|")]


def reasons(what: str) -> dict[int, str]:
    found = {}
    for line in (HERE / "reasons.txt").read_text().splitlines():
        if line.startswith(f"{what} "):
            number, _, text = line.removeprefix(f"{what} ").partition(": ")
            found[int(number)] = text
    return found


def shown_by(cases: list[Case], what: str, number: int) -> list[str]:
    return [case.name for case in cases if number in case.numbers(f"{what}s")]


def evidence(cases: list[Case], what: str, number: int) -> str:
    """The cases of a statement or an input, or the reason why there is none."""
    names = shown_by(cases, what, number)
    reason = reasons(what).get(number)
    if bool(names) == bool(reason):
        problem = "a case and a reason" if names else "neither case nor reason"
        raise SystemExit(f"{what} {number} has {problem}")
    return ", ".join(f"`{name}`" for name in names) or reason or ""


def counts(cases: list[Case]) -> Iterator[str]:
    found = Counter((case.path.parent.name, case.fields["kind"]) for case in cases)
    yield "| section | " + " | ".join(KINDS) + " | all |"
    yield "|---|" + "---|" * (len(KINDS) + 1)
    for section in sorted({section for section, _ in found}):
        numbers = [found[section, kind] for kind in KINDS]
        yield "| " + " | ".join([section, *map(str, numbers), str(sum(numbers))]) + " |"
    totals = [sum(case.fields["kind"] == kind for case in cases) for kind in KINDS]
    yield "| all | " + " | ".join(map(str, [*totals, sum(totals)])) + " |"


def statements(cases: list[Case]) -> Iterator[str]:
    yield "| no. | section | statement | whose | shown by |"
    yield "|---|---|---|---|---|"
    for number, section, whose, text in rows("statements.txt"):
        shown = evidence(cases, "statement", int(number))
        yield f"| {number} | {section} | {text} | {WHOSE[whose]} | {shown} |"


def inputs(cases: list[Case]) -> Iterator[str]:
    yield "| no. | where | input | cases |"
    yield "|---|---|---|---|"
    for number, where, text in rows("inputs.txt"):
        yield f"| {number} | {where} | {text} | {evidence(cases, 'input', int(number))} |"


def listing(cases: list[Case]) -> Iterator[str]:
    yield "| case | kind | what it shows |"
    yield "|---|---|---|"
    for case in cases:
        yield f"| `{case.name}` | {case.fields['kind']} | {case.fields['title']} |"


def document(by_hand: str) -> str:
    cases = all_cases()
    parts = [
        HEAD,
        "## Cases by section\n",
        *counts(cases),
        "\n## Statements of the specification\n",
        "The statements are in words of our own. An empty *whose* means the application.\n",
        *statements(cases),
        "\n## Inputs\n",
        "Input that some library or server has been seen to handle wrongly.\n",
        *inputs(cases),
        "\n## All cases\n",
        *listing(cases),
        "",
        BY_HAND,
    ]
    return "\n".join(parts) + by_hand


def main() -> int:
    old = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    new = document(old.partition(BY_HAND)[2] or "\n")
    if sys.argv[1:] == ["--check"]:
        if old != new:
            print("docs/conformance.md is not current; run tests/conformance/table.py")
        return old != new
    DOCUMENT.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
