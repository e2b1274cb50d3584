# SPDX-License-Identifier: MIT
"""docs/benchmarks.md and its plots, from the results of each row; README's figures from it."""

import json
import re
from pathlib import Path
from statistics import median as middle

import budgets
import model
import plot
from measure import median
from proofs import PROOFS
from rows import C_PINNED_8, ROWS, Row

HEAD = """# Benchmarks

`./dev bench` writes this page. It starts every server on one machine and measures the
servers in turn, round after round.

## Budgets

Unless a line says otherwise, its figure is a ratio of right answers a second. The ratio is
taken in each round; the table shows the median, with the least and the most of the rounds.
`./dev bench NAME` measures a row again.
"""

METHOD = """## Method

All contenders of a row start first, and each must answer one request with exactly the
expected page. A round measures each contender once. Every second round runs in reverse
order, so that a noisy minute affects all alike. Absolute figures belong to this machine at
that time; compare ratios.

- **req/s**: right answers a second. Like all figures, it is the median of the rounds.
  `fcgi bench` compares each answer with the first one; wrk checks its status. Both keep every
  connection busy: the next request leaves when an answer has come.
- **wrong**: answers that were late (2 s), lost or broken, in all rounds. The text below the
  table says what each one was.
- **p50, p99**: latency of right answers as the client sees it, in microseconds.
- **CPU**: processor time for a request, user and system, in microseconds. It counts the
  server's own processes, not nginx and not the load generator. It is empty if a server does
  not account for its children.
- **client**: processor time of `fcgi bench` for a request, in microseconds; wrk does not
  report it.
- **memory**: memory of the server's processes after the last round; shared pages count once
  (PSS).
- **calls**: system calls for a request, counted by strace in a separate run.

The load generator runs on the same machine as the servers, with one thread. A request costs
it about 900 instructions and two system calls. On two processors it uses one, and a server
with one thread uses the other; a server with more threads has one processor too few. nginx has
one worker, for which the same is true. If a server needs less CPU than the client, req/s shows
the client's speed as much as the server's, and CPU says more. All connections are unix sockets,
except those of nginx and wrk, which use TCP on the loopback. `fcgi bench` sends what nginx sends
for 16 browsers: 27 parameters, which differ in address, browser and cookie. `bench/peers.py`
shows how each server is set up, `bench/rows.py` the load of each row.
"""


def cell(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def memory(value: float) -> str:
    return f"{value / 2**20:.1f} MiB"


def table(result: dict) -> list[str]:
    lines = ["| | req/s | p50 | p99 | CPU | client | memory | calls | wrong |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for label, samples in result["samples"].items():
        if not samples:
            continue
        values = [
            cell(median(samples, "rate")),
            cell(median(samples, "p50")),
            cell(median(samples, "p99")),
            cell(median(samples, "cpu_us"), 1),
            cell(median(samples, "own_us"), 1),
            memory(samples[-1]["memory"]),
            cell(result["system_calls"].get(label), 1),
            cell(sum(sample["wrong"] for sample in samples)),
        ]
        lines.append(f"| {label} | " + " | ".join(values) + " |")
    return lines


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


def section(name: str, row: Row, result: dict, images: dict[str, str], note: str) -> list[str]:
    lines = ["", f"## {row.title}", "", *table(result)]
    lines += ["", f"`./dev bench {name}`. {row.note}".rstrip()]
    lines += ["", note] if note else []
    lines += failures(result)
    for image, title in images.items():
        lines += ["", f"![{title}]({image})"]
    return [*lines, "", taken(result)]


def taken(result: dict) -> str:
    """When and how the figures were taken."""
    rounds = f"{result['rounds']} round{'s' if result['rounds'] > 1 else ''}"
    return (
        f"{result['date']}, commit {result['commit']}, {rounds} of "
        f"{result['seconds']:g} s, load {result['load_before']:.1f} before."
    )


def figures(result: dict, key: str) -> dict[str, tuple[float, float, float]]:
    """The least, the median and the most of each contender."""
    found = {}
    for label, samples in result["samples"].items():
        known = [sample[key] for sample in samples if sample[key] is not None]
        if known:
            found[label] = (min(known), middle(known), max(known))
    return found


def pictures(row: Row, result: dict) -> dict[str, tuple[str, str]]:
    """SVG and title by what is to be added to the row's name."""
    rates = figures(result, "rate")
    if not rates:
        return {}
    if not row.axis:
        return {"": (plot.bars(row.title, rates, "req/s"), row.title)}
    found = {}
    kinds = (("", "rate", "req/s"), ("-cpu", "cpu_us", "µs of CPU a request"))
    for added, key, unit in kinds:
        series: dict[str, list[tuple[float, float]]] = {}
        for label, (_, value, _) in figures(result, key).items():
            name, _, at = label.rpartition(", ")
            series.setdefault(name, []).append((float(at), value))
        title = f"{row.title}: {unit}"
        if any(y > 0 for points in series.values() for _, y in points):
            found[added] = (plot.lines(title, series, row.axis), title)
    return found


def idle(result: dict) -> list[str]:
    lines = ["", "## Idle connections", ""]
    lines += ["| | idle | memory of one | p99 before | p99 with them |", "|---|--:|--:|--:|--:|"]
    for label, rounds in result["idle"].items():
        cells = [f"{result['count']:,}"]
        each = [one["memory"] / result["count"] for one in rounds]
        cells.append(budgets.spread(each, ",.0f", " bytes"))
        for key in ("p99_before", "p99_after"):
            cells.append(budgets.spread([one[key] for one in rounds], ",.0f", " µs"))
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "`./dev bench idle`. 50 busy clients before and while many kept connections rest, each of",
        "which has had an answer and is still open at the end. Memory is what the busy server has",
        "grown by since before the first of them came.",
    ]
    return [*lines, *failures(result), "", taken(result)]


NAMES = {
    "session": "the session alone: parse, reply",
    "server": "the C server",
    "multiplexed": "the C server, 64 requests in flight on a connection",
    "python": "a Python WSGI application",
    "handler": "a native Python handler",
    "lua": "a Lua application",
    "libfcgi": "libfcgi, the whole program",
}


def instructions() -> list[str]:
    """What tests/budget keeps; no clock is involved."""
    kept = json.loads(budgets.COUNTS.read_text())
    counts = kept["instructions"]
    return [
        "",
        "## Instructions",
        "",
        "| | instructions |",
        "|---|--:|",
        *(f"| {words} | {counts[name]:,} |" for name, words in NAMES.items() if name in counts),
        "",
        "In user space for one hello with 27 parameters on a kept connection, by callgrind",
        f"({kept['toolchain']}). A test of `./dev test` holds ours to these figures.",
    ]


def estimate(results: Path) -> list[str]:
    measured = budgets.read(results, "model").get("proof")
    samples = budgets.read(results, "threads-pinned").get("samples", {}).get(C_PINNED_8)
    return model.section(measured, samples) if measured and samples else []


def about(result: dict) -> list[str]:
    lines = ["", "## Machine and versions", "", f"- {result['machine']}"]
    return lines + [f"- {name}: {text}" for name, text in result["versions"].items()]


def written(plots: Path, name: str, row: Row, result: dict) -> dict[str, str]:
    """The row's plots as files: title by path."""
    images = {}
    for added, (svg, title) in pictures(row, result).items():
        (plots / f"{name}{added}.svg").write_text(svg)
        images[f"{plots.name}/{name}{added}.svg"] = title
    return images


def write(results: Path, document: Path) -> None:
    """The document and, in a folder of its name beside it, the plots."""
    plots = document.with_suffix("")
    plots.mkdir(parents=True, exist_ok=True)
    noted = budgets.notes()
    lines = [HEAD, *budgets.table(budgets.every(results)), "", METHOD.rstrip()]
    found = []
    for name, row in ROWS.items():
        result = budgets.read(results, name)
        if "date" not in result:
            lines += ["", f"## {row.title}", "", f"Not measured yet: `./dev bench {name}`"]
            continue
        found.append(result)
        images = written(plots, name, row, result)
        lines += section(name, row, result, images, noted.get(name, ""))
    resting = budgets.read(results, "idle")
    if "date" in resting:
        lines += idle(resting)
    lines += estimate(results)
    lines += instructions()
    if found:
        lines += about(max(found, key=lambda result: result["date"]))
    document.write_text("\n".join(lines) + "\n")


# --- README -------------------------------------------------------------------

BEGIN, END = "<!-- figures of docs/benchmarks.md, by ./dev bench -->", "<!-- end of figures -->"
LEAD = """
## How fast

Requests per second that were answered correctly, as a ratio of two servers on the same
machine, unless a row says otherwise: 1.84 means 84 % more than the second one. The two of
a pair were measured in turn. [docs/benchmarks.md](docs/benchmarks.md) has all figures and
the method.
"""


def readme_block(document: str) -> str:
    """What README says of the figures, from the document's first table alone."""
    wanted = [
        f"{row.title}: {aim.ours} / {aim.theirs}"
        for row in ROWS.values()
        for aim in row.aims
        if getattr(aim, "readme", False)
    ]
    wanted += [
        "Memory of an idle kept connection: fastcgi C",
        f"{PROOFS['reload']}: failed requests",
    ]
    lines = re.findall(
        r"^\| (.+?) \| [≥≤0].*? \| (.+?) \| (?:met|\*\*missed\*\*) \|", document, re.M
    )
    measured = dict(lines)
    rows = [f"| {what} | {measured[what]} |" for what in wanted if what in measured]
    return "\n".join([LEAD, "| | median (lowest to highest) |", "|---|---|", *rows, ""])


def write_readme(document: Path, readme: Path) -> None:
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    block = readme_block(document.read_text())
    readme.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}")
