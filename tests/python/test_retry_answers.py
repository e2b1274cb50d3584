# SPDX-License-Identifier: MIT
"""Answers that wait until it is known whether their request is repeated, and what
a first run leaves behind."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastcgi
import pytest
from support.fcgi_client import Client, fetch, wait_until
from support.retrying import Gone, Scene

INTERFACES = ["handler", "wsgi"]
LONG = [b"%06d\n" % number for number in range(20000)]


@pytest.fixture(params=INTERFACES)
def interface(request: Any) -> str:
    return str(request.param)


class Page:
    """An error page: what its blocks are, and how often it was closed."""

    def __init__(self, blocks: Any, fails: bool = False) -> None:
        self.blocks = blocks
        self.fails = fails
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.blocks)

    def close(self) -> None:
        self.closed += 1
        if self.fails:
            raise ValueError("it cannot be closed")


def begin(scene: Scene, interface: str, page: Callable[[], Any], **options: Any) -> None:
    """Serve what makes a page with 500 of an error, as frameworks do."""

    def handler(request: Any) -> Any:
        try:
            return 200, None, scene.work()
        except Gone:
            return 500, None, page()

    def app(environ: Any, start_response: Any) -> Any:
        status, _, body = handler(None)
        start_response("200 OK" if status == 200 else "500 NO", [])
        return [body.encode()] if isinstance(body, str) else body

    scene.begin(handler if interface == "handler" else app, interface=interface, **options)


def begin_unknown(scene: Scene, interface: str, page: Callable[[], Any], breaks: bool) -> None:
    """The same, but only the end of the request shows whether something broke."""

    def handler(request: Any) -> Any:
        value = scene.db.get()
        scene.had.append(value)
        value.works = not breaks
        return 500, None, page()

    def app(environ: Any, start_response: Any) -> Any:
        _, _, body = handler(None)
        start_response("500 NO", [])
        return body

    scene.begin(handler if interface == "handler" else app, interface=interface)


class TestKnown:
    """It is known at once that what the request had is broken."""

    @pytest.mark.parametrize("fails", [False, True])
    def test_a_long_page_is_dropped(
        self, serve: Callable[..., Any], interface: str, fails: bool
    ) -> None:
        scene = Scene(serve)
        pages: list[Page] = []

        def page() -> Page:
            pages.append(Page(LONG, fails))
            return pages[-1]

        begin(scene, interface, page)
        answer = fetch(scene.served.address)
        assert (answer.status, answer.body) == (200, b"run 2")
        assert [page.closed for page in pages] == [1]

    def test_a_page_without_end_is_dropped(self, serve: Callable[..., Any], interface: str) -> None:
        """It is neither collected nor waited for."""
        scene = Scene(serve)
        waits = threading.Event()

        def page() -> Iterator[bytes]:
            yield b"one moment"
            waits.wait(60)
            pytest.fail("nobody wants a second block")

        begin(scene, interface, page)
        assert fetch(scene.served.address).body == b"run 2"
        waits.set()

    def test_once_and_then_the_page_is_whole(
        self, serve: Callable[..., Any], interface: str
    ) -> None:
        scene = Scene(serve, fails=9)
        pages: list[Page] = []

        def page() -> Page:
            pages.append(Page(LONG))
            return pages[-1]

        begin(scene, interface, page)
        answer = fetch(scene.served.address)
        assert (answer.status, answer.body) == (500, b"".join(LONG))
        assert len(pages) == 2
        wait_until(lambda: pages[1].closed > 0, what="its close()")  # After the answer.
        assert [page.closed for page in pages] == [1, 1]
        assert (len(scene.had), scene.retried()) == (2, 1)

    def test_a_file(self, serve: Callable[..., Any], tmp_path: Path) -> None:
        scene = Scene(serve)
        path = tmp_path / "page.html"
        path.write_text("an error page")

        def app(environ: Any, start_response: Any) -> Any:
            try:
                text = scene.work().encode()
            except Gone:
                start_response("500 NO", [])
                return environ["wsgi.file_wrapper"](open(path, "rb"))
            start_response("200 OK", [])
            return [text]

        scene.begin(app, interface="wsgi")
        assert fetch(scene.served.address).body == b"run 2"
        scene.had.clear()
        scene.fails = 9
        answer = fetch(scene.served.address)
        assert (answer.status, answer.body) == (500, b"an error page")


class TestUnknown:
    """The end of the request shows what broke."""

    def test_a_long_page_streams(self, serve: Callable[..., Any], interface: str) -> None:
        """It is not held back without a limit, and is whole."""
        scene = Scene(serve)
        begin_unknown(scene, interface, lambda: iter(LONG), breaks=True)
        answer = fetch(scene.served.address)
        assert (answer.status, answer.body) == (500, b"".join(LONG))
        assert (len(scene.had), scene.retried()) == (1, 0)

    def test_one_long_block_is_held(self, serve: Callable[..., Any], interface: str) -> None:
        """It is in memory in any case."""
        scene = Scene(serve)
        begin_unknown(scene, interface, lambda: iter([b"".join(LONG)]), breaks=True)
        assert fetch(scene.served.address).body == b"".join(LONG)
        assert (len(scene.had), scene.retried()) == (2, 1)

    def test_blocks_may_share_memory(self, serve: Callable[..., Any], interface: str) -> None:
        scene = Scene(serve)

        def page() -> Iterator[bytearray]:
            block = bytearray(4)
            for number in range(40):
                block[:] = b"%04d" % number
                yield block

        begin_unknown(scene, interface, page, breaks=False)
        answer = fetch(scene.served.address)
        assert answer.body == b"".join(b"%04d" % number for number in range(40))
        assert (len(scene.had), scene.retried()) == (1, 0)

    @pytest.mark.parametrize("count", [2, 40])
    def test_str(self, serve: Callable[..., Any], count: int) -> None:
        scene = Scene(serve)
        begin_unknown(scene, "handler", lambda: ("\u00e4" for _ in range(count)), breaks=False)
        answer = fetch(scene.served.address)
        assert (answer.status, answer.body) == (500, "\u00e4".encode() * count)

    @pytest.mark.parametrize("count", [1, 40])
    def test_what_is_no_block(self, serve: Callable[..., Any], interface: str, count: int) -> None:
        scene = Scene(serve)
        begin_unknown(scene, interface, lambda: iter([7] * count), breaks=False)
        answer = fetch(scene.served.address)
        assert (answer.status, b"7" in answer.body) == (500, False)


class TestFirstRun:
    """What a first run leaves behind does not meet the second one."""

    def test_its_request_has_ended(self, serve: Callable[..., Any]) -> None:
        scene = Scene(serve)
        kept: list[Any] = []

        def handler(request: Any) -> Any:
            kept.append(request)
            return 200, None, scene.work()

        def app(environ: Any, start_response: Any) -> Any:
            kept.append(start_response)
            text = handler(environ["fastcgi.request"])[2].encode()
            start_response("200 OK", [])
            return [text]

        for one, interface in ((handler, "handler"), (app, "wsgi")):
            kept.clear()
            scene.had.clear()
            scene.begin(one, interface=interface)
            assert fetch(scene.served.address).body == b"run 2"
            assert len(set(map(id, kept))) == len(kept)
            request = next(item for item in kept if isinstance(item, fastcgi.Request))
            with pytest.raises(fastcgi.StateError, match="has ended"):
                request.read()

    def test_its_cancellers_are_not_called(self, serve: Callable[..., Any]) -> None:
        scene = Scene(serve)
        called: list[int] = []
        began, done = threading.Event(), threading.Event()

        def handler(request: Any) -> Any:
            run = len(scene.had) + 1

            def cancel() -> None:
                called.append(run)
                if run == 2:
                    done.set()

            request.on_abort(cancel)
            text = scene.work()
            began.set()
            assert done.wait(60)
            return 200, None, text

        scene.begin(handler, threads=2)
        client = Client(scene.served.address)
        client.send_request()
        assert began.wait(60)
        client.close()
        assert done.wait(60)
        assert called == [2]

    def test_what_ends_a_program_is_no_failure(
        self, serve: Callable[..., Any], interface: str
    ) -> None:
        scene = Scene(serve)

        def leave() -> Any:
            raise SystemExit(1)

        begin(scene, interface, leave)
        assert fetch(scene.served.address).status == 500
        assert (len(scene.had), scene.retried()) == (1, 0)

    def test_a_close_that_exits_is_no_failure(
        self, serve: Callable[..., Any], interface: str
    ) -> None:
        scene = Scene(serve)

        class Leaving(Page):
            def close(self) -> None:
                raise SystemExit(1)

        begin(scene, interface, lambda: Leaving([b"no"]))
        assert fetch(scene.served.address).status == 500
        assert len(scene.had) == 1

    def test_it_is_one_request(
        self, serve: Callable[..., Any], interface: str, tmp_path: Path
    ) -> None:
        """One line in the access log, and one that tells of the repetition in that
        of errors, in place of a traceback."""
        scene = Scene(serve)
        access, errors = tmp_path / "access.log", tmp_path / "error.log"
        begin(
            scene,
            interface,
            lambda: iter([b"no"]),
            access_logfile=str(access),
            error_logfile=str(errors),
        )
        fetch(scene.served.address, "GET", "/page")
        page = fetch(scene.served.address, "GET", "/status?openmetrics").body.decode()
        counted = re.search(r"^fastcgi_responses_total\{class=\"2xx\"\} (\d+)$", page, re.M)
        refused = re.search(r"^fastcgi_responses_total\{class=\"5xx\"\} (\d+)$", page, re.M)
        assert counted
        assert refused
        assert (counted[1], refused[1]) == ("1", "0")
        wait_until(lambda: "/page" in access.read_text(), what="the line")
        lines = [line for line in access.read_text().splitlines() if "/page" in line]
        assert len(lines) == 1
        assert " 200 " in lines[0]
        text = errors.read_text()
        assert text.count("it is run once more") == 1
        assert "Traceback" not in text
