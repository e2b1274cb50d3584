# SPDX-License-Identifier: MIT
"""./dev bench [--quick] [--again] [ROW...]: measure, and write docs/benchmarks.md.

Rows whose results are of this commit are left out unless they are named, or --again
is given. --quick has short rounds; --try has one of a moment, writes nothing below
docs/ and is for work on these scripts only; --report measures nothing and writes the
document anew, with new notes. The exit status is 1 when a contender of
this project could not be measured.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import data
import machine
import measure
import report
from proofs import PROOFS, prove
from rows import IDLE, ROWS
from sandbox import SOURCE, Failed, Site

RESULTS = SOURCE / "build" / "bench-results"
NAMES = (*ROWS, "idle", *PROOFS)
PACES = {
    "full": measure.Pace(7, 3, 5, 1),
    "quick": measure.Pace(3, 0.5, 1, 0.5, trace=False),
    "try": measure.Pace(1, 0.2, 1, 0.2, idle=500, warm=0.2),
}


def say(words: str) -> None:
    print(f"bench: {words}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="what to measure; all")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--try", action="store_true", dest="trial", help="one moment, no document")
    parser.add_argument("--again", action="store_true", help="measure also what has results")
    parser.add_argument("--report", action="store_true", help="only write what results there are")
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    parser.add_argument("--build", type=Path, default=SOURCE / "build/release")
    parser.add_argument("--python", default=str(SOURCE / "build/bench-venv/bin/python"))
    chosen = parser.parse_args()
    wrong = [name for name in chosen.rows if name not in NAMES]
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
    pace = (pace.lighter() if row.light else pace).at_least(row.least)
    try:
        if row.needs:
            data.MAKE[row.needs](site)
    except Failed as error:
        failed = {"samples": {}, "system_calls": {}}
        return failed | {"failures": {row.needs: str(error)}}
    if row.axis:
        found = measure_along(site, name, pace)
    else:
        found = measure.run(site, list(row.contenders), pace, lambda text: say(f"{name}: {text}"))
    return found | {"rounds": pace.rounds, "seconds": pace.seconds}


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
    pace = pace.lighter()
    found: dict = {"idle": {}, "failures": {}, "rounds": pace.rounds, "seconds": pace.seconds}
    found["count"] = pace.idle
    for label, peer in IDLE.items():
        with measure.guarded(found["failures"], label):
            found["idle"][label] = measure.idle(site, peer, found["count"], pace)
        say(f"idle: {label}")
    return found


def prove_one(site: Site, name: str, pace: measure.Pace) -> dict:
    found: dict = {"failures": {}, "rounds": 1, "seconds": 0}
    with measure.guarded(found["failures"], "all"):
        found["proof"] = prove(site, name, pace is PACES["try"])
    return found


def measure_one(options: argparse.Namespace, name: str, pace: measure.Pace) -> dict:
    started = time.monotonic()
    if machine.load() > 0.5 and pace is not PACES["try"]:
        say(f"the machine is busy (load {machine.load():.1f}); the figures will be too")
    load = machine.load()

    def work(site: Site) -> dict:
        if name in PROOFS:
            found = prove_one(site, name, pace)
        else:
            found = measure_idle(site, pace) if name == "idle" else measure_row(site, name, pace)
        return found | {"versions": machine.versions(options.python)}

    found = in_site(options, work)
    found |= {"machine": machine.describe(), "load_before": load}
    found["took"] = round(time.monotonic() - started)
    say(f"{name}: took {found['took']} s")
    return found | {"date": time.strftime("%Y-%m-%d %H:%M")}


def is_known(path: Path, pace_name: str, commit: str) -> bool:
    """Its results are of this commit, and no coarser than what is asked for."""
    if not path.exists():
        return False
    found = json.loads(path.read_text())
    same = found.get("commit") == commit
    return same and found.get("pace") in ("full", pace_name)


def measure_rows(options: argparse.Namespace, pace_name: str, results: Path) -> list[str]:
    """What of ours has failed."""
    ours = []
    commit = machine.commit(SOURCE)
    for name in options.rows or NAMES:
        path = results / f"{name}.json"
        if not options.rows and not options.again and is_known(path, pace_name, commit):
            say(f"{name}: has results; name it to measure it again")
            continue
        found = measure_one(options, name, PACES[pace_name])
        found |= {"pace": pace_name, "commit": commit}
        path.write_text(json.dumps(found, indent=1))
        for label, why in found["failures"].items():
            say(f"{name}: {label}: {why}")
            ours += [f"{name}: {label}"] if label.startswith(("fastcgi ", "all")) else []
    return ours


def leave(*_: object) -> None:
    """A signal ends everything that was started."""
    sys.exit(1)


def main() -> int:
    options = arguments()
    if options.list:
        print("\n".join(f"{name:20} {row.title}" for name, row in ROWS.items()))
        print(f"{'idle':20} 10,000 kept connections at rest")
        print("\n".join(f"{name:20} {title}" for name, title in PROOFS.items()))
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    measure.raise_limits()
    pace_name = "try" if options.trial else "quick" if options.quick else "full"
    results = RESULTS / "try" if options.trial else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    failed = [] if options.report else measure_rows(options, pace_name, results)
    document = results / "benchmarks.md" if options.trial else SOURCE / "docs" / "benchmarks.md"
    report.write(results, document)
    if not options.trial:
        report.write_readme(document, SOURCE / "README.md")
    say(f"wrote {document} after {(time.monotonic() - started) / 60:.1f} min")
    for what in failed:
        say(f"{what} could not be measured")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
