# SPDX-License-Identifier: MIT
"""The budgets: what was aimed at, what was measured, and whether that is enough.

A budget is one line of the document's first table. Why one is missed stands in
notes.md, below a heading that is the budget's key.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from measure import pairs, ratios
from proofs import PROOFS
from rows import IDLE, ROWS, Aim, Bound, Cost, Share
from sandbox import SOURCE

NOTES = SOURCE / "bench" / "notes.md"
COUNTS = SOURCE / "tests" / "budget" / "budgets.json"
MEBIBYTE = 2**20
TABLE = ["| what | needed | measured | | by |", "|---|---|---|---|---|"]


@dataclass(frozen=True)
class Budget:
    key: str  # Its heading in notes.md.
    what: str  # Of what, in words.
    needed: str
    measured: str
    met: bool | None  # None: not measured.
    by: str  # What measures it.
    readme: bool = False  # README shows it too.

    def line(self) -> str:
        verdict = {True: "met", False: "**missed**", None: "not measured"}[self.met]
        cells = (self.what, self.needed, self.measured, verdict, self.by)
        return "| " + " | ".join(cells) + " |"


def spread(values: list[float], form: str, unit: str = "") -> str:
    """The median, with the least and the most."""
    middle, least, most = (
        format(value, form) for value in (median(values), min(values), max(values))
    )
    return f"{middle}{unit} ({least} to {most})"


def why_not(result: dict, *labels: str) -> str:
    """The failure that left a budget without figures."""
    reasons = [result["failures"][label] for label in labels if label in result["failures"]]
    return reasons[0] if reasons else ""


def of_ratio(name: str, result: dict, aim: Aim) -> Budget:
    samples = result.get("samples", {})
    found = ratios(samples.get(aim.ours, []), samples.get(aim.theirs, []))
    what = f"{aim.ours} / {aim.theirs}"
    return Budget(
        f"{name}: {what}",
        f"{ROWS[name].title}: {what}",
        f"≥ {aim.least:g}",
        spread(found, ".2f") if found else why_not(result, aim.ours, aim.theirs),
        median(found) >= aim.least if found else None,
        f"`{name}`",
        aim.readme,
    )


def of_cost(name: str, result: dict, aim: Cost) -> Budget:
    samples = result.get("samples", {})
    both = pairs(samples.get(aim.ours, []), samples.get(aim.theirs, []), "cpu_us")
    found = [ours - theirs for ours, theirs in both]
    what = f"CPU of {aim.ours} - {aim.theirs}"
    return Budget(
        f"{name}: {what}",
        f"{ROWS[name].title}: {what}",
        f"≤ {aim.most:g} µs",
        spread(found, ".1f", " µs") if found else why_not(result, aim.ours, aim.theirs),
        median(found) <= aim.most if found else None,
        f"`{name}`",
    )


def of_share(name: str, result: dict, aim: Share) -> Budget:
    samples = result.get("samples", {})
    both = pairs(samples.get(aim.ours, []), samples.get(aim.theirs, []), "cpu_us")
    found = [ours / theirs for ours, theirs in both if theirs > 0]
    what = f"CPU of {aim.ours} / {aim.theirs}"
    return Budget(
        f"{name}: {what}",
        f"{ROWS[name].title}: {what}",
        f"≤ {aim.most:g}",
        spread(found, ".2f") if found else why_not(result, aim.ours, aim.theirs),
        median(found) <= aim.most if found else None,
        f"`{name}`",
    )


FIGURES = {"rate": ("requests a second", 1, ""), "p50": ("median latency", 1000, " ms")}
FIGURES["p99"] = ("latency at 99 %", 1000, " ms")


def of_bound(name: str, result: dict, aim: Bound) -> Budget:
    words, divisor, unit = FIGURES[aim.key]
    samples = result.get("samples", {}).get(aim.ours, [])
    found = [sample[aim.key] / divisor for sample in samples if sample[aim.key] is not None]
    sign, bound = ("≤", aim.most) if aim.least is None else ("≥", aim.least)
    limit = (bound or 0) / divisor
    fits = (lambda value: value <= limit) if sign == "≤" else (lambda value: value >= limit)
    what = f"{words} of {aim.ours}"
    return Budget(
        f"{name}: {what}",
        f"{ROWS[name].title}: {what}",
        f"{sign} {limit:g}{unit}",
        spread(found, ",.1f", unit) if found else why_not(result, aim.ours),
        fits(median(found)) if found else None,
        f"`{name}`",
    )


MAKE = {Aim: of_ratio, Cost: of_cost, Share: of_share, Bound: of_bound}


def of_instructions() -> Budget:
    counts = json.loads(COUNTS.read_text())["instructions"]
    ratio = counts["session"] / counts["libfcgi"]
    return Budget(
        "instructions",
        "Instructions for parsing and replying: the session / libfcgi",
        "≤ 0.5",
        f"{ratio:.2f}",
        ratio <= 0.5,
        "`tests/budget`",
    )


def of_idle(result: dict) -> list[Budget]:
    """Of one connection of each server, and of all for the C server."""
    found = []
    for label in IDLE:
        memory = [one["memory"] for one in result.get("idle", {}).get(label, [])]
        each = [value / result["count"] for value in memory]
        found.append(
            Budget(
                f"idle: {label}",
                f"Memory of an idle kept connection: {label}",
                "≤ 1,024 bytes",
                spread(each, ",.0f", " bytes") if each else why_not(result, label),
                median(each) <= 1024 if each else None,
                "`idle`",
                label == "fastcgi C",
            )
        )
        if label != "fastcgi C":
            continue
        all_of = [value / MEBIBYTE for value in memory]
        found.append(
            Budget(
                "idle: all",
                f"Memory of {result.get('count', 10000):,} of them: {label}",
                "≤ 10 MiB",
                spread(all_of, ".1f", " MiB") if all_of else why_not(result, label),
                median(all_of) <= 10 if all_of else None,
                "`idle`",
            )
        )
    return found


def of_long_body(result: dict) -> list[Budget]:
    """Each language; what does not come back as it was sent has no figure."""
    found = result.get("proof", {})
    return [
        Budget(
            f"long-body: {language}",
            f"{PROOFS['long-body']}, checksum equal: memory grown, {language}",
            "≤ 1,024 KiB",
            f"{found[language] / 1024:,.0f} KiB" if language in found else why_not(result, "all"),
            found[language] <= MEBIBYTE if language in found else None,
            "`long-body`",
        )
        for language in ("c", "python", "lua")
    ]


def of_reload(result: dict) -> Budget:
    found = result.get("proof")
    measured = why_not(result, "all")
    if found:
        measured = (
            f"{found['failed']} of {found['requests']:,} requests in {found['reloads']} reloads"
        )
    return Budget(
        "reload",
        f"{PROOFS['reload']}: failed requests",
        "0",
        measured,
        found["failed"] == 0 if found else None,
        "`reload`",
        readme=True,
    )


def notes() -> dict[str, str]:
    """The paragraphs of notes.md by heading."""
    parts = re.split(r"^## (.+)$", NOTES.read_text(), flags=re.M)
    return {
        key.strip(): " ".join(text.split())
        for key, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def read(results: Path, name: str) -> dict:
    path = results / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {"failures": {}}


def every(results: Path) -> list[Budget]:
    found = []
    for name, row in ROWS.items():
        result = read(results, name)
        for aim in row.aims:
            found.append(MAKE[type(aim)](name, result, aim))
    return [
        *found,
        of_instructions(),
        *of_idle(read(results, "idle")),
        *of_long_body(read(results, "long-body")),
        of_reload(read(results, "reload")),
    ]


def table(budgets: list[Budget]) -> list[str]:
    """The table, and a line for each budget that is missed."""
    noted = notes()
    missed = [one for one in budgets if one.met is False]
    reasons = [f"- {one.what}: {noted.get(one.key, 'no reason is noted yet.')}" for one in missed]
    lines = [*TABLE, *(one.line() for one in budgets)]
    return [*lines, "", "Missed:", "", *reasons] if missed else lines
