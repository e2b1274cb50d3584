# SPDX-License-Identifier: MIT
"""README's figures are those of docs/benchmarks.md."""

import sys

from support.paths import SOURCE

sys.path.insert(0, str(SOURCE / "bench"))

import report

README = SOURCE / "README.md"
DOCUMENT = SOURCE / "docs" / "benchmarks.md"


def block() -> str:
    _, begin, rest = README.read_text().partition(report.BEGIN)
    found, end, _ = rest.partition(report.END)
    assert begin, f"README.md lacks {report.BEGIN}"
    assert end, f"README.md lacks {report.END}"
    return found.strip()


def test_figures_are_those_of_the_document():
    written = report.readme_block(DOCUMENT.read_text()).strip() if DOCUMENT.exists() else ""
    assert block() == written, "./dev bench writes both"


def test_document_names_every_plot_that_is_there():
    plots = DOCUMENT.with_suffix("").glob("*.svg")
    text = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    assert [plot.name for plot in plots if f"benchmarks/{plot.name})" not in text] == []
