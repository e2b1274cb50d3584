# SPDX-License-Identifier: MIT
"""./dev bench [--quick] [--again] [ROW...]: measure, and write docs/benchmarks.md.

Rows that have results are left out unless they are named, or --again is given.
--quick has three short rounds; --try has one of a moment, writes nothing below
docs/ and is for work on these scripts only.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import data
import machine
import measure
import report
from rows import ROWS
from sandbox import SOURCE, Failed, Site

RESULTS = SOURCE / "build" / "bench-results"
PACES = {
    "full": measure.Pace(9, 3.5),
    "quick": measure.Pace(3, 1),
    "try": measure.Pace(1, 0.2),
}


def say(words: str) -> None:
    print(f"bench: {words}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="what to measure; all")
    parser.add_argument("--quick", action="store_true", help="short rounds, and only three")
    parser.add_argument("--try", action="store_true", dest="trial", help="one moment, no document")
    parser.add_argument("--again", action="store_true", help="measure also what has results")
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    parser.add_argument("--build", type=Path, default=SOURCE / "build/release")
    parser.add_argument("--python", default=str(SOURCE / "build/bench-venv/bin/python"))
    chosen = parser.parse_args()
    wrong = [name for name in chosen.rows if name not in (*ROWS, "idle")]
    if wrong:
        parser.error(f"no row {wrong[0]}; ./dev bench --list shows them")
    return chosen


def in_site(options: argparse.Namespace, work) -> dict:
    """Do `work` in a folder of its own, and stop everything that it has started."""
    folder = Path(tempfile.mkdtemp(prefix="fcgi-bench-"))
    folder.chmod(0o755)
    site = Site(folder, options.build.resolve(), options.python)
    try:
        return work(site)
    finally:
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure_row(site: Site, name: str, pace: measure.Pace) -> dict:
    row = ROWS[name]
    try:
        if row.needs:
            data.MAKE[row.needs](site)
    except Failed as error:
        failed = {"samples": {}, "system_calls": {}}
        return failed | {"failures": {row.needs: str(error)}}
    if not row.axis:
        return measure.run(site, list(row.contenders), pace, lambda text: say(f"{name}: {text}"))
    return measure_along(site, name, pace)


def measure_along(site: Site, name: str, pace: measure.Pace) -> dict:
    """Number by number, each with servers of its own."""
    joined: dict = {"samples": {}, "system_calls": {}, "failures": {}}
    contenders = ROWS[name].contenders
    numbers = dict.fromkeys(one.label.rpartition(", ")[2] for one in contenders)
    for number in numbers:
        some = [one for one in contenders if one.label.endswith(f", {number}")]
        part = Path(site.path(number))
        part.mkdir()
        site.folder, whole = part, site.folder
        found = measure.run(site, some, pace, lambda text, n=number: say(f"{name} {n}: {text}"))
        site.stop()
        site.folder = whole
        for key, values in joined.items():
            values.update(found[key])
    return joined


def measure_idle(site: Site, pace: measure.Pace) -> dict:
    found: dict = {"idle": {}, "failures": {}}
    count = 500 if pace is PACES["try"] else 10000
    for label, peer in {"fastcgi C": "ours-c", "fastcgi Python": "ours-python"}.items():
        with measure.guarded(found["failures"], label):
            found["idle"][label] = measure.idle(site, peer, count, pace.seconds)
    return found


def measure_one(options: argparse.Namespace, name: str, pace: measure.Pace) -> dict:
    if machine.load() > 0.5 and pace is not PACES["try"]:
        say(f"the machine is busy (load {machine.load():.1f}); the figures will be too")
    load = machine.load()

    def work(site: Site) -> dict:
        found = measure_idle(site, pace) if name == "idle" else measure_row(site, name, pace)
        return found | {"versions": measure.versions(site)}

    found = in_site(options, work)
    found |= {"machine": machine.describe(), "load_before": load}
    found |= {"rounds": pace.rounds, "seconds": pace.seconds}
    return found | {"date": time.strftime("%Y-%m-%d %H:%M")}


def main() -> int:
    options = arguments()
    if options.list:
        print("\n".join(f"{name:20} {row.title}" for name, row in ROWS.items()))
        print(f"{'idle':20} 10,000 kept connections at rest")
        return 0
    measure.raise_limits()
    pace = PACES["try" if options.trial else "quick" if options.quick else "full"]
    results = RESULTS / "try" if options.trial else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    for name in options.rows or (*ROWS, "idle"):
        path = results / f"{name}.json"
        if path.exists() and not options.rows and not options.again:
            say(f"{name}: has results; name it to measure it again")
            continue
        found = measure_one(options, name, pace)
        path.write_text(json.dumps(found, indent=1))
        for label, why in found["failures"].items():
            say(f"{name}: {label}: {why}")
    document = results / "benchmarks.md" if options.trial else SOURCE / "docs" / "benchmarks.md"
    report.write(results, document)
    say(f"wrote {document}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
