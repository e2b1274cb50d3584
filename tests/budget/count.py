# SPDX-License-Identifier: MIT
"""Instructions in user space for one request, counted by callgrind.

    python tests/budget/count.py            # count and print
    python tests/budget/count.py --renew    # and keep them in budgets.json

A run with many requests minus one with few, over the difference, leaves out
what a program does once. Requests come one at a time on one kept connection, or
64 in flight on it, 27 parameters each, as nginx sends them. For the names that end
in -varied they differ from one to the next, as varied.py makes them. A resource is
taken and given back as often; handler-resource and lua-resource are handlers that do so,
and lua-resource-none is the latter without.
"""

import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from budget.varied import records, varied  # noqa: E402

SOURCE = HERE.parents[1]
RELEASE = Path(os.environ.get("FASTCGI_RELEASE", SOURCE / "build" / "release"))
CC = os.environ.get("FASTCGI_CC", "cc")
BUDGETS = HERE / "budgets.json"
FEW, MANY = 200, 1200
END_REQUEST = 3
PATIENCE = 600  # Seconds; valgrind is slow, and the machine may be busy.
NAMES = ("session", "server", "multiplexed", "python", "handler", "lua", "libfcgi")
RESOURCES = ("resource", "handler-resource", "lua-resource", "lua-resource-none")
VARIED = ("session", "server", "python", "lua")
NAMES += tuple(f"{name}-varied" for name in VARIED) + RESOURCES
APPLICATION = """
import atexit, fastcgi, os
atexit.register(os._exit, 0)  # Tidying up follows addresses, which no run shares.

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello\\n"]

def handler(request):
    return 200, {"Content-Type": "text/plain"}, "Hello\\n"

db = fastcgi.resource(object)

def resourceful(request):
    with db:
        return 200, {"Content-Type": "text/plain"}, "Hello\\n"
"""
LUA_APPLICATION = """
local db = assert(require "fcgi".resource { open = function() return {} end })

return function()
  -- take
  return 200, { ["Content-Type"] = "text/plain" }, "Hello\\n"
end
"""


def environment() -> dict[str, str]:
    """Ours from the release build; hashes that are the same in every run."""
    found = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    found.pop("PYTHONPATH", None)
    if (RELEASE / "python").exists():
        found["PYTHONPATH"] = str(RELEASE / "python")
    lua = RELEASE / "lua"
    found["LUA_PATH"] = f"{lua}/?.lua;{lua}/?/init.lua;;"
    found["LUA_CPATH"] = f"{lua}/?.so;;"
    return found


def callgrind(folder: Path, name: str) -> list[str]:
    words = ["valgrind", "--tool=callgrind", f"--log-file={folder}/{name}.callgrind"]
    return [*words, f"--callgrind-out-file={folder}/{name}.out"]


def collected(folder: Path, name: str) -> int:
    text = (folder / f"{name}.callgrind").read_text()
    found = re.search(r"Collected\s*:\s*(\d+)", text)
    assert found, f"callgrind counted nothing:\n{text}"
    return int(found[1])


def capture(folder: Path) -> bytes:
    """The bytes of one request of `fcgi bench`."""
    address = folder / "capture.sock"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        listener.settimeout(30)  # The command may not connect at all.
        words = [RELEASE / "tools/fcgi", "bench", f"unix:{address}", "-n", "1", "--timeout", "0.5"]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            client, _ = listener.accept()
            with client:
                return client.recv(65536)


def compiled(folder: Path, name: str, *words: object) -> Path:
    out = folder / name
    command = [CC, "-O2", "-DNDEBUG", "-I", SOURCE / "core/include", HERE / f"{name}.c"]
    subprocess.run([*map(str, command), *map(str, words), "-o", str(out)], check=True)
    return out


def count_session(folder: Path, name: str) -> float:
    one = capture(folder)
    request = folder / "request"
    request.write_bytes(b"".join(varied(one)) if name.endswith("-varied") else one)
    program = compiled(folder, "session", RELEASE / "core/libfastcgi.a", "-lpthread")
    totals = []
    for count in (FEW, MANY):
        run = f"{name}-{count}"
        subprocess.run([*callgrind(folder, run), program, request, str(count)], check=True)
        totals.append(collected(folder, run))
    return (totals[1] - totals[0]) / (MANY - FEW)


def count_resource(folder: Path) -> float:
    program = compiled(folder, "resource", RELEASE / "core/libfastcgi.a", "-lpthread")
    totals = []
    for count in (FEW, MANY):
        subprocess.run([*callgrind(folder, f"resource-{count}"), program, str(count)], check=True)
        totals.append(collected(folder, f"resource-{count}"))
    return (totals[1] - totals[0]) / (MANY - FEW)


def wait(path: Path, server: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                time.sleep(0.05)
            else:
                return
    raise AssertionError(f"{server.args} does not serve")


def ask(path: Path, requests: list[bytes], count: int) -> None:
    """Send them one after another, each once the one before is answered."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        for at in range(count):
            client.sendall(requests[at % len(requests)])
            answer = b""
            while not any(kind == END_REQUEST for kind, _, _ in records(answer)):
                part = client.recv(65536)
                assert part, f"request {at} was not answered"
                answer += part


def bench(path: Path, in_flight: int, count: int) -> None:
    words = [RELEASE / "tools/fcgi", "bench", f"unix:{path}"]
    words += ["-c", "1", "-m", str(in_flight), "-n", str(count)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)


def served(folder: Path, name: str, command: list, send: Callable[[Path], None]) -> int:
    """A server in whole, which is asked over its socket and then stopped."""
    path = folder / f"{name}.sock"
    words = [str(word).replace("{path}", str(path)) for word in command]
    traced = [*callgrind(folder, name), *words]
    with subprocess.Popen(traced, env=environment(), cwd=folder) as server:
        try:
            wait(path, server)
            send(path)
        finally:
            server.terminate()
            server.wait(PATIENCE)
    return collected(folder, name)


def count_server(folder: Path, name: str, command: list, in_flight: int = 1) -> float:
    """Both counts at once."""
    requests = varied(capture(folder)) if name.endswith("-varied") else []

    def send(path: Path, count: int) -> None:
        if requests:
            ask(path, requests, count)
        else:
            bench(path, in_flight, count)

    def total(count: int) -> int:
        return served(folder, f"{name}-{count}", command, lambda path: send(path, count))

    with ThreadPoolExecutor(2) as pool:
        few, many = pool.map(total, (FEW, MANY))
    return (many - few) / (MANY - FEW)


def count_all(names: tuple[str, ...] = ()) -> dict[str, int]:
    """Every budget, or those named."""
    with tempfile.TemporaryDirectory(prefix="fastcgi-budget-") as text:
        folder = Path(text)
        (folder / "hello_budget.py").write_text(APPLICATION)
        python = [sys.executable, "-m", "fastcgi", "--bind", "unix:{path}", "--log-level", "error"]
        launcher = ["lua5.4", RELEASE / "lua/bin/fcgi-lua"]
        lua = [*launcher, SOURCE / "examples/lua/hello.lua"]
        taking = LUA_APPLICATION.replace("-- take", "local value <close> = db:get()")
        (folder / "resource.lua").write_text(taking)
        (folder / "none.lua").write_text(LUA_APPLICATION)
        on_socket = ["--bind", "unix:{path}", "--log-level", "warning"]
        servers = {
            "server": [RELEASE / "examples/c/hello", "unix:{path}"],
            "multiplexed": [RELEASE / "examples/c/hello", "unix:{path}"],
            "python": [*python, "hello_budget:application"],
            "handler": [*python, "hello_budget:handler"],
            "handler-resource": [*python, "hello_budget:resourceful"],
            "lua": [*lua, *on_socket],
            "lua-resource": [*launcher, "resource.lua", *on_socket],
            "lua-resource-none": [*launcher, "none.lua", *on_socket],
        }
        found = {}
        for name in names or NAMES:
            what = name.removesuffix("-varied")
            if what == "session":
                found[name] = round(count_session(folder, name))
                continue
            if what == "resource":
                found[name] = round(count_resource(folder))
                continue
            if name == "libfcgi":
                servers[name] = [compiled(folder, name, "-lfcgi"), "{path}"]
            in_flight = 64 if name == "multiplexed" else 1
            found[name] = round(count_server(folder, name, servers[what], in_flight))
        return found


def toolchain() -> str:
    """What the counts depend on beside the sources."""
    words = [[CC, "-dumpfullversion"], ["lua5.4", "-v"]]
    versions = [
        subprocess.run(word, capture_output=True, text=True, check=True).stdout.split()
        for word in words
    ]
    compiler, lua = versions[0][0], versions[1][1]
    family = "clang" if "clang" in os.path.basename(CC) else "gcc"
    libc = " ".join(platform.libc_ver())
    python = platform.python_version()
    return f"{platform.machine()}, {family} {compiler}, {libc}, Python {python}, Lua {lua}"


def main() -> None:
    found = count_all()
    print(json.dumps(found, indent=2))
    if "--renew" in sys.argv[1:]:
        BUDGETS.write_text(
            json.dumps({"toolchain": toolchain(), "instructions": found}, indent=2) + "\n"
        )
        print(f"kept in {BUDGETS}")


if __name__ == "__main__":
    main()
