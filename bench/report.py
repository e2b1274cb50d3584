# SPDX-License-Identifier: MIT
"""docs/benchmarks.md and its plots, from the results of each row."""

import json
from pathlib import Path

import plot
from measure import median, ratios
from rows import ROWS, Aim, Cost, Row
from sandbox import SOURCE

HEAD = """# Benchmarks

Written by `./dev bench`, which starts every server on one machine and measures
them in turn, round after round. Read ratios, not absolute figures: each is taken
round by round, and shown as the median with the least and the most of the rounds.

- **req/s**: right answers a second. `fcgi bench` checks each answer, wrk only its
  status. *wrong* counts answers that were late (2 s), lost or broken; what each
  was stands below the table, in the words of `fcgi bench`.
- **p50, p99**: microseconds as the client sees them, of right answers, with
  every connection always busy.
- **CPU**: microseconds of processor time for a request, of the server's own
  processes, neither of nginx nor of the load generator.
- **memory**: of those processes after the last round; shared pages count once.
- **calls**: system calls for a request, counted by strace in a run apart.

`./dev bench ROW` measures one row again; `bench/peers.py` shows how each server
is set up.
"""


def cell(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def memory(value: float) -> str:
    return f"{value / 2**20:.1f} MiB"


def table(result: dict) -> list[str]:
    lines = ["| | req/s | p50 | p99 | CPU | memory | calls | wrong |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|--:|")
    for label, samples in result["samples"].items():
        if not samples:
            continue
        values = [
            cell(median(samples, "rate")),
            cell(median(samples, "p50")),
            cell(median(samples, "p99")),
            cell(median(samples, "cpu_us"), 1),
            memory(samples[-1]["memory"]),
            cell(result["system_calls"].get(label), 1),
            cell(sum(sample["wrong"] for sample in samples)),
        ]
        lines.append(f"| {label} | " + " | ".join(values) + " |")
    return lines


def verdict(result: dict, aim: Aim) -> str:
    ours, theirs = (result["samples"].get(label) for label in (aim.ours, aim.theirs))
    words = f"{aim.ours} / {aim.theirs}, at least {aim.least:g}"
    found = ratios(ours, theirs) if ours and theirs else []
    if not found:
        return f"| {words} | not measured | |"
    middle = sorted(found)[len(found) // 2]
    spread = f"{middle:.2f} ({min(found):.2f} to {max(found):.2f})"
    return f"| {words} | {spread} | {'met' if middle >= aim.least else '**missed**'} |"


def cost(result: dict, aim: Cost) -> str:
    ours, theirs = (result["samples"].get(label) for label in (aim.ours, aim.theirs))
    words = f"CPU of {aim.ours} - {aim.theirs}, at most {aim.most:g} us"
    if not ours or not theirs:
        return f"| {words} | not measured | |"
    found = sorted(a["cpu_us"] - b["cpu_us"] for a, b in zip(ours, theirs, strict=False))
    middle = found[len(found) // 2]
    spread = f"{middle:.2f} us ({found[0]:.2f} to {found[-1]:.2f})"
    return f"| {words} | {spread} | {'met' if middle <= aim.most else '**missed**'} |"


def wrong(samples: list[dict]) -> str:
    """How many answers were wrong, by kind."""
    kinds: dict[str, int] = {}
    for sample in samples:
        for kind, count in sample.get("errors", {"wrong": sample["wrong"]}).items():
            kinds[kind] = kinds.get(kind, 0) + count
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)


def failures(result: dict) -> list[str]:
    """What did not work; nothing of it is hidden."""
    lines = [f"- {label}: {why}" for label, why in result["failures"].items()]
    for label, samples in result.get("samples", {}).items():
        if text := wrong(samples):
            lines.append(f"- {label}, answers that were not right: {text}")
    return ["", "What did not work:", "", *lines] if lines else []


def section(name: str, row: Row, result: dict, image: str | None) -> list[str]:
    lines = ["", f"## {row.title}", "", f"`./dev bench {name}`"]
    if row.note:
        lines += ["", row.note]
    lines += ["", *table(result)]
    if row.aims:
        lines += ["", "| ratio | measured | |", "|---|---|---|"]
        lines += [
            cost(result, aim) if isinstance(aim, Cost) else verdict(result, aim) for aim in row.aims
        ]
    lines += failures(result)
    if image:
        lines += ["", f"![{row.title}]({image})"]
    return lines


def picture(row: Row, result: dict) -> str | None:
    rates = {
        label: tuple(pick(sample["rate"] for sample in samples) for pick in (min, middle, max))
        for label, samples in result["samples"].items()
        if samples
    }
    if not rates:
        return None
    if not row.axis:
        return plot.bars(row.title, rates, "req/s")
    series: dict[str, list[tuple[float, float]]] = {}
    for label, (_, rate, _) in rates.items():
        name, _, at = label.rpartition(", ")
        series.setdefault(name, []).append((float(at), rate))
    return plot.lines(row.title, series, row.axis, "req/s")


def middle(values) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def idle(result: dict) -> list[str]:
    lines = ["", "## Idle connections", "", "`./dev bench idle`", ""]
    lines += [
        "50 busy clients before and while many kept connections rest.",
        "",
        "| | idle | memory for one | p99 before | p99 with them |",
        "|---|--:|--:|--:|--:|",
    ]
    for label, found in result["idle"].items():
        each = found["memory"] / found["count"]
        before, after = found["p99_before"], found["p99_after"]
        cells = (f"{found['count']:,}", f"{each:,.0f} bytes", f"{before:.0f} us", f"{after:.0f} us")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines + failures(result)


def instructions() -> list[str]:
    """What tests/budget keeps; no clock is involved."""
    kept = json.loads((SOURCE / "tests/budget/budgets.json").read_text())
    counts = kept["instructions"]
    ratio = counts["session"] / counts["libfcgi"]
    names = {
        "session": "the session alone: parse, reply",
        "server": "the C server",
        "python": "a Python WSGI application",
        "lua": "a Lua application",
        "libfcgi": "libfcgi, the whole program",
    }
    return [
        "",
        "## Instructions",
        "",
        "User-space instructions for one hello with 27 parameters on a kept connection, by",
        f"callgrind ({kept['toolchain']}). A test of `./dev test` holds ours to these figures.",
        "",
        "| | instructions |",
        "|---|--:|",
        *(f"| {words} | {counts[name]:,} |" for name, words in names.items()),
        "",
        "| ratio | counted | |",
        "|---|---|---|",
        f"| session / libfcgi, at most 0.5 | {ratio:.2f} | "
        f"{'met' if ratio <= 0.5 else '**missed**'} |",
    ]


def about(result: dict) -> list[str]:
    lines = ["", "## Machine and versions", "", f"- {result['machine']}"]
    lines += [f"- {name}: {text}" for name, text in result["versions"].items()]
    return lines


def write(results: Path, document: Path) -> None:
    """The document and, in a folder of its name beside it, the plots."""
    plots = document.with_suffix("")
    plots.mkdir(parents=True, exist_ok=True)
    lines = [HEAD.rstrip()]
    newest = None
    for name, row in ROWS.items():
        path = results / f"{name}.json"
        if not path.exists():
            lines += ["", f"## {row.title}", "", f"Not measured yet: `./dev bench {name}`"]
            continue
        result = json.loads(path.read_text())
        newest = result if newest is None or result["date"] > newest["date"] else newest
        image = picture(row, result)
        if image:
            (plots / f"{name}.svg").write_text(image)
        shown = f"{plots.name}/{name}.svg" if image else None
        lines += section(name, row, result, shown)
        lines += ["", f"{result['date']}, {result['rounds']} rounds of {result['seconds']:g} s."]
    path = results / "idle.json"
    if path.exists():
        lines += idle(json.loads(path.read_text()))
    lines += instructions()
    if newest:
        lines += about(newest)
    document.write_text("\n".join(lines) + "\n")
