# SPDX-License-Identifier: MIT
"""The comparison's scripts: bad peers cannot stop or bend it, and the document says what was
measured. Nothing here is a measurement."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import BUILD, EXAMPLES, SOURCE

sys.path.insert(0, str(SOURCE / "bench"))

import budgets
import front
import measure
import report
from peers import PEERS, Service, served
from rows import ROWS, Bound, Cost
from sandbox import Failed, Site

MOMENT = measure.Pace(2, 0.1, 1, 0.1)
LISTEN = (
    "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()"
)


def peer(name: str, *command: object):
    return lambda site: served(site, name, list(command))


BAD = {
    "hangs": peer("hangs", sys.executable, "-c", LISTEN + "; time.sleep(60)", "{path}"),
    "dies": peer("dies", sys.executable, "-c", "raise SystemExit('no luck today')"),
    "wrong page": peer("wrong-page", EXAMPLES / "echo", "unix:{path}"),
    "has a bug": lambda site: Service(None, 1),
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, BUILD, sys.executable)
    yield made
    made.stop()


def test_bad_peers_are_failures_of_their_own(site: Site, monkeypatch: pytest.MonkeyPatch):
    """The good one, which is served last, is measured all the same."""
    monkeypatch.setattr(measure, "ANSWER_SECONDS", 1)
    good = peer("good", EXAMPLES / "hello", "unix:{path}")
    for name, start in {**BAD, "good": good}.items():
        monkeypatch.setitem(PEERS, name, start)
    monkeypatch.setitem(measure.PAGES, "/", page_of(site))
    contenders = [measure.Contender(name, name, measure.Load()) for name in (*BAD, "good")]
    found = measure.run(site, contenders, MOMENT, lambda text: None)
    assert list(found["samples"]) == ["good"]
    assert [sample["round"] for sample in found["samples"]["good"]] == [0, 1]
    assert all(sample["right"] > 0 for sample in found["samples"]["good"])
    assert 2 <= found["system_calls"]["good"] < 20
    why = found["failures"]
    assert list(why) == list(BAD)
    assert "timeout" in why["hangs"].lower() or "no answer" in why["hangs"], why["hangs"]
    assert why["dies"] == "dies does not serve: no luck today"
    assert why["wrong page"].startswith("it answers ")
    assert why["has a bug"]


def page_of(site: Site) -> bytes:
    """What the example answers."""
    service = served(site, "asked", [EXAMPLES / "hello", "unix:{path}"])
    return measure.output([site.tool, "call", service.address, "/"], 10).stdout


def test_command_that_hangs_is_a_failure():
    with pytest.raises(Failed, match="sleep 60 did not end in 0 s"):
        measure.output(["sleep", "60"], 0.2)


WRK = """Running 3s test @ http://127.0.0.1:1/
  Latency Distribution
     50%    1.71s~
     75%    1.71s~
     90%  943.21us
     99%   12.50ms
  4 requests in 3.04s, 616.00B read
  Socket errors: connect 0, read 0, write 0, timeout 1
  Non-2xx or 3xx responses: 2
Requests/sec:      1.31
""".replace("~", " ")


def test_what_wrk_prints_is_understood():
    """It leaves a blank after seconds."""
    found = front.figures(WRK, 3)
    assert (found["requests"], found["right"], found["wrong"]) == (4, 1, 3)
    assert (found["p50"], found["p99"]) == (1.71e6, 12500)
    assert found["rate"] == pytest.approx(1 / 3.04)
    with pytest.raises(Failed, match="no answer came within 3 s"):
        front.figures("  0 requests in 3.04s, 0.00B read\n", 3)


def sample(number: int, rate: float, **more: object) -> dict:
    common = {"p50": 1, "p99": 2, "wrong": 0, "cpu_us": 10.0, "memory": 2**20, "errors": {}}
    common["own_us"] = 3.0
    return {"round": number, "rate": rate, **common, **more}


KEPT = {
    "samples": {
        "fastcgi C": [sample(0, 100, cpu_us=7), sample(1, 300), sample(2, 500)],
        "canned responder": [sample(0, 200), sample(2, 500)],  # It failed in round 1.
        "libfcgi, 16 threads": [
            sample(0, 25),
            sample(1, 100),
            sample(2, 250, wrong=3, errors={"timeout": 3}),
        ],
    },
    "failures": {"Perl FCGI": "it is <gone>"},
    "system_calls": {"fastcgi C": 2.25},
}
IDLE = {
    "idle": {"fastcgi C": [{"memory": 9000, "p99_before": 5, "p99_after": 7}]},
    "count": 10,
    "failures": {},
}
PROOFS = {
    "reload": {"proof": {"reloads": 6, "requests": 9000, "failed": 1}, "failures": {}},
    "long-body": {"proof": {"c": 1 << 20}, "failures": {}},
}
STAMP = {
    "date": "2000-01-01 00:00",
    "commit": "0123456789ab",
    "rounds": 3,
    "seconds": 1.5,
    "load_before": 0.25,
    "machine": "2 x CPU",
    "versions": {"Go": "go 1"},
}


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes\n\n## hello-kept: fastcgi C / canned responder\n\nIt\nparses.\n")
    monkeypatch.setattr(budgets, "NOTES", notes)
    path = tmp_path / "benchmarks.md"
    for name, result in {"hello-kept": KEPT, "idle": IDLE, **PROOFS}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(result | STAMP))
    report.write(tmp_path, path)
    return path


def line(document: Path, start: str) -> str:
    found = [text for text in document.read_text().splitlines() if text.startswith(start)]
    assert len(found) == 1, (start, found)
    return found[0]


def test_ratios_are_taken_within_a_round(document: Path):
    title = ROWS["hello-kept"].title
    wall = line(document, f"| {title}: fastcgi C / canned responder |")
    assert wall.endswith("| ≥ 0.8 | 0.75 (0.50 to 1.00) | **missed** | `hello-kept` |")
    threads = line(document, f"| {title}: fastcgi C / libfcgi, 16 threads |")
    assert threads.endswith("| ≥ 2 | 3.00 (2.00 to 4.00) | met | `hello-kept` |")


def test_every_budget_has_its_line(document: Path):
    aims = [(row, aim) for row in ROWS.values() for aim in row.aims]
    assert len(aims) > 15
    for row, aim in aims:
        sign = " - " if isinstance(aim, Cost) else " / "
        whose = aim.ours if isinstance(aim, Bound) else f"{aim.ours}{sign}{aim.theirs}"
        assert f"| {row.title}: " in document.read_text()
        assert f"{whose} |" in document.read_text()
    for what in ("Instructions", "Memory of 10 of them"):
        line(document, f"| {what}")


def test_proofs(document: Path):
    line(document, "| 4 GiB + 1 byte through, both ways, checksum equal: memory grown, python |")
    reload = line(document, "| Reloads under load behind nginx and HAProxy: failed requests |")
    assert reload.endswith("| 0 | 1 of 9,000 requests in 6 reloads | **missed** | `reload` |")
    body = line(document, "| 4 GiB + 1 byte through, both ways, checksum equal: memory grown, c |")
    assert body.endswith("| ≤ 1,024 KiB | 1,024 KiB | met | `long-body` |")


def test_missed_budgets_say_why(document: Path):
    title = ROWS["hello-kept"].title
    assert line(document, f"- {title}: fastcgi C / canned").endswith("responder: It parses.")


def test_what_does_not_work_is_said(document: Path):
    text = document.read_text()
    assert "- Perl FCGI: it is <gone>" in text
    assert "- libfcgi, 16 threads, answers that were not right: 3 timeout" in text
    assert "| fastcgi C | 300 | 1 | 2 | 10.0 | 3.0 | 1.0 MiB | 2.2 | 0 |" in text
    assert "commit 0123456789ab, 3 rounds of 1.5 s, load 0.2 before." in text


def test_plots_are_svg(document: Path):
    plots = sorted(document.with_suffix("").glob("*.svg"))
    assert [plot.name for plot in plots] == ["hello-kept.svg"]
    ElementTree.parse(plots[0])
    assert f"](benchmarks/{plots[0].name})" in document.read_text()


def test_readme_takes_its_figures_from_the_document(document: Path, tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_readme(document, readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"\n{report.END}\nafter\n")
    assert "fastcgi C / libfcgi, 16 threads | 3.00 (2.00 to 4.00) |" in text
    assert "| Memory of an idle kept connection: fastcgi C | 900 bytes (900 to 900) |" in text
    assert "old" not in text
    report.write_readme(document, readme)
    assert readme.read_text() == text


def test_a_row_from_start_to_end():
    """In a moment, with the real servers; only the figures mean nothing."""
    command = [sys.executable, SOURCE / "bench/run.py", "--try", "threads", "--build", BUILD]
    done = subprocess.run(
        [*command, "--python", sys.executable], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    folder = SOURCE / "build" / "bench-results" / "try"
    result = json.loads((folder / "threads.json").read_text())
    assert result["failures"] == {}
    labels = [one.label for one in ROWS["threads"].contenders]
    assert list(result["samples"]) == labels
    for label in labels:
        assert result["samples"][label][0]["right"] > 0
        assert result["system_calls"][label] >= 2
        assert f"| {label} | " in (folder / "benchmarks.md").read_text()
