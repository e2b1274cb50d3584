# SPDX-License-Identifier: MIT
"""What the slow log says of a handler in C: where the kernel has it, and in which functions."""

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fcgi_client import Client, get_params, wait_until
from support.paths import BUILD
from support.process import Process
from support.supervisor import Supervisor

NAP = BUILD / "tests" / "integration" / "nap"
# A function and its file, or a file and the place in it where no name is known.
FRAME = re.compile(r"  #(\d+) (?:(\S+) \((\S+)\)|(\S+)\+0x[0-9a-f]+)$")


def slow_log(directory: Path, name: str, supervised: bool) -> tuple[Process, str]:
    """The program with a slow log, alone or as one worker."""
    if supervised:
        app = Supervisor(directory, [NAP], "--slow-log", "0.2", name=name, workers=1)
        return app.ready(), app.address
    address = f"unix:{directory}/{name}.sock"
    app = Process([NAP, address], directory / f"{name}.log", env={"FASTCGI_SLOW_LOG": "0.2"})
    return app.wait_for_address(address), address


def entry(app: Process, query: str, end: Callable[[], None], address: str) -> list[str]:
    """The lines of the slow log for a request that lasts until `end` is called."""
    body: list[bytes] = []

    def ask() -> None:
        with Client(address) as client:
            body.append(client.ask(get_params("/nap", query)).body)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        pattern = r"slow request: GET /nap, for \d+\.\d s; its handler:\n((?:.*  .*\n)+)"
        wait_until(lambda: re.search(pattern, app.output()), 60, f"an entry:\n{app.output()}")
    finally:
        end()
        thread.join()
    assert body[0].isdigit(), "it is answered all the same"
    assert app.output().count("slow request") == 1, "one entry"
    return re.search(pattern, app.output())[1].splitlines()


def where_it_waits(pid: int) -> set[str]:
    """The places in the kernel where threads of the process sleep."""
    return {path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/wchan")}


@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
def test_a_handler_that_waits(directory: Path, supervised: bool):
    name = f"waits-{supervised}"
    door = directory / f"{name}.door"
    os.mkfifo(door)
    app, address = slow_log(directory, name, supervised)
    with app:
        places: set[str] = set()

        def open_door() -> None:
            (pid,) = app.workers() if supervised else {app.pid}
            places.update(where_it_waits(pid))
            os.close(os.open(door, os.O_WRONLY))

        lines = entry(app, f"door={door}", open_door, address)
    waits = re.search(r"  waits in the kernel, in (\S+)$", lines[0])
    assert waits, lines
    assert waits[1] in places
    found = [FRAME.search(line).groups() for line in lines[1:]]
    frames = [(number, function, file or other) for number, function, file, other in found]
    functions = [function for _, function, file in frames if file == "nap"]
    assert functions[0] == "wait_at_door", lines
    assert "answer" in functions[1:3], lines
    inner = next(frame for frame in frames if frame[0] == "0")
    assert inner[2].startswith("libc"), lines
    assert frames.index(inner) > functions.index("answer"), "the program's own come first"
    assert sorted(int(depth) for depth, *_ in frames) == list(range(len(frames)))


@pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
def test_a_handler_that_computes(directory: Path, supervised: bool):
    """Its stack would have to be looked at while it runs."""
    name = f"computes-{supervised}"
    gate = directory / f"{name}.gate"
    app, address = slow_log(directory, name, supervised)
    with app:
        lines = entry(app, f"work={gate}", gate.touch, address)
    assert len(lines) == 1, lines
    assert lines[0].endswith("  runs, or does not say where it waits")
