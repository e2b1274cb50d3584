# SPDX-License-Identifier: MIT
"""The status page in a browser: its numbers live, and its console is quiet."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.dashboard import PATH, Dashboard, dashboard
from support.fcgi_client import wait_until


@pytest.fixture(scope="module")
def seen(directory: Path) -> Iterator[Dashboard]:
    with dashboard(directory) as it:
        yield it


def test_numbers_change_under_load(seen: Dashboard):
    wait_until(lambda: seen.number("rate") >= 0, 10, "the first rate")
    assert seen.workers() == seen.supervisor.workers()
    with seen.load() as load:
        shown = []
        for _ in range(3):
            before = seen.number("requests")
            wait_until(lambda old=before: seen.number("requests") > old + 10, 10, "more requests")
            shown.append(seen.number("rate"))
        wait_until(lambda: seen.number("open") > 0, 10, "connections that are kept")
        points = seen.browser.evaluate("return document.getElementById('line').points.length")
        result = load.finish()
    assert max(shown) > 10
    assert points >= 3
    assert result.failed == 0
    wait_until(lambda: seen.number("requests") == result.requests, 10, "the last requests")
    wait_until(lambda: seen.number("rate") == 0, 10, "the load to be over")
    assert seen.browser.console() == []


def test_workers_change_with_a_reload(seen: Dashboard):
    old = seen.workers()
    seen.supervisor.reload()
    new = seen.supervisor.wait_for_workers(lambda now: len(now) == 4 and not now & old)
    wait_until(lambda: seen.workers() == new, 10, "the new workers")
    assert seen.number("generation") == 2
    assert seen.number("reloads") == 1
    assert seen.browser.console() == []


def test_a_page_without_an_answer_says_so(seen: Dashboard):
    """Old numbers are marked until there are new ones."""
    stale = "return document.body.className === 'stale'"
    seen.browser.evaluate("const ask = window.fetch; window.fetch = (...given) => "
                          "window.broken ? Promise.reject(Error()) : ask(...given); "
                          "window.broken = true")  # fmt: skip
    wait_until(lambda: seen.browser.evaluate(stale), 10, "old numbers to be marked")
    seen.browser.evaluate("window.broken = false")
    wait_until(lambda: not seen.browser.evaluate(stale), 10, "new numbers")


def test_it_loads_nothing_else(seen: Dashboard):
    loaded = seen.browser.evaluate(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert {name.partition("?")[0] for name in loaded} == {f"http://127.0.0.1:{seen.port}{PATH}"}


def test_a_narrow_window(directory: Path, seen: Dashboard):
    """At 500 pixels no word is broken and the page does not scroll sideways."""
    seen.browser.resize(500, 900)
    try:
        wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert seen.browser.evaluate(wide) <= 0
        heights = seen.browser.evaluate(
            "return [...document.querySelectorAll('#workers td, th')]"
            ".filter(cell => cell.getClientRects().length).map(cell => "
            "cell.getClientRects()[0].height / parseFloat(getComputedStyle(cell).lineHeight))"
        )
        assert max(heights) < 2, "a cell of one word has one line"
    finally:
        seen.browser.resize(1100, 900)


def test_times_fit_their_tiles(seen: Dashboard):
    """Milliseconds below one second, seconds above: never more than seven characters."""
    texts = seen.browser.evaluate("return [0, 999, 99999, 999999, 1e6, 59.4e6, 3.6e9].map(time)")
    assert texts == ["0.00 ms", "1.00 ms", "100.00 ms", "1000 ms", "1.00 s", "59.40 s", "3600 s"]
    cut = seen.browser.evaluate(
        "document.querySelector('[data-k=p99]').textContent = time(3.6e9);"
        "const at = document.querySelector('[data-k=p99]');"
        "return at.scrollWidth > at.clientWidth"
    )
    assert not cut


def test_screenshot(seen: Dashboard, directory: Path):
    """What docs/status.png is made with."""
    picture = directory / "page.png"
    seen.browser.screenshot(picture)
    head = picture.read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", head[16:])
    assert (width, height) >= (1000, 700)
