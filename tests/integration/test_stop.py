# SPDX-License-Identifier: MIT
"""A stop is one, whatever handlers do: in a loop without end, in a call that
blocks, or in C code that the interpreter does not get back from."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fcgi_client import Client, connect, get_params, wait_until
from support.paths import BUILD

LAUNCHER = BUILD / "lua" / "bin" / "fcgi-lua"
SECONDS = 30  # For what takes one on a machine with nothing else to do.

PYTHON = """
import os, sys, time
import fastcgi

def app(request):
    open(os.environ["MARK"], "w").close()
    kind = request.params["QUERY_STRING"]
    while kind == "loop":
        pass
    if kind == "call":
        time.sleep(1000)
    if kind == "code":
        sum(range(10 ** 15))
    return 200, {}, b""

if __name__ == "__main__":
    limit = os.environ.get("LIMIT")
    fastcgi.serve(app, bind=sys.argv[1], graceful_timeout=float(limit) if limit else None)
"""
LUA = """
return function(req)
  io.open(os.getenv("MARK"), "w"):close()
  local kind = req.params.QUERY_STRING
  while kind == "loop" do end
  if kind == "call" then require("socket").sleep(1000) end
  if kind == "code" then string.find(("a"):rep(100000), ("a-"):rep(20) .. "b") end
  return 200, {}, ""
end
"""
C = """
#include <fastcgi/fastcgi.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
static int hang(fcgi_request *request, void *data) {
  close(open(getenv("MARK"), O_CREAT | O_WRONLY, 0600));
  for (volatile int i = 1; i; )
    if (data) pause();
  return fcgi_request_end(request, 0);
}
int main(int argc, char **argv) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = hang};
  return fcgi_serve(fcgi_serve_address(argc, argv), &handler, NULL) ? 1 : 0;
}
"""
SWIG = """
import os, sys
import fastcgi_swig

def answer(request):
    open(os.environ["MARK"], "w").close()
    while True:
        pass

server = fastcgi_swig.Server()
server.listen(sys.argv[1])
server.serve(answer)
"""


@pytest.fixture(scope="module")
def apps(directory: Path) -> Path:
    (directory / "app.py").write_text(PYTHON)
    (directory / "app.lua").write_text(LUA)
    (directory / "swig_app.py").write_text(SWIG)
    (directory / "app.c").write_text(C)
    compiler = os.environ.get("FASTCGI_CC", "cc")
    headers = Path(__file__).resolve().parents[2] / "core" / "include"
    library = next(BUILD.rglob("libfastcgi.a"))
    words = [compiler, "-o", "app", "app.c", f"-I{headers}", library, "-lpthread"]
    subprocess.run([str(word) for word in words], cwd=directory, check=True)
    return directory


def command(apps: Path, name: str, address: str, limit: str | None = None) -> list[str]:
    python, lua = [sys.executable, "-m", "fastcgi", "app:app"], [LAUNCHER, apps / "app.lua"]
    limited = ["--graceful-timeout", limit] if limit else []
    workers = ["--workers", "2", "--allow-root"]
    words = {
        "c": [apps / "app", address],
        "python": [sys.executable, apps / "app.py", address],
        "python-module": [*python, *limited, "--threads", "2", "--bind", address],
        "python-workers": [*python, *limited, *workers, "--bind", address],
        "lua": [*lua, *limited, "--bind", address],
        "lua-threads": [*lua, *limited, "--threads", "2", "--bind", address],
        "lua-workers": [*lua, *limited, *workers, "--bind", address],
        "run": [BUILD / "tools" / "fcgi", "run", "--allow-root", *limited, "--bind", address, "--",
                apps / "app"],
        "swig": [sys.executable, apps / "swig_app.py", address],
    }  # fmt: skip
    return [str(word) for word in words[name]]


ALONE = ["c", "python", "python-module", "lua", "lua-threads", "swig"]
SUPERVISED = ["python-workers", "lua-workers", "run"]
KINDS = {"loop": [*ALONE, *SUPERVISED], "call": ["python", "python-module", "lua"]}
KINDS["code"] = ["python", "python-workers", "lua"]
ALL = [(kind, name) for kind, names in KINDS.items() for name in names]


@contextlib.contextmanager
def hanging(apps: Path, name: str, kind: str, limit: str | None = None) -> Iterator:
    """The program with a request in its handler."""
    address = f"unix:{apps}/{name}-{kind}.sock"
    mark = apps / "entered"
    mark.unlink(missing_ok=True)
    env = {**os.environ, "MARK": str(mark), "PYTHONPATH": f"{BUILD}/python:{apps}"}
    if name == "swig":
        env["PYTHONPATH"] = f"{BUILD}/swig/python"
    if limit:
        env |= {"LIMIT": limit, "FASTCGI_GRACEFUL_TIMEOUT": limit}
    with open(apps / "stderr", "wb") as output:
        child = subprocess.Popen(
            command(apps, name, address, limit),
            cwd=apps, env=env, start_new_session=True, stdin=subprocess.DEVNULL, stderr=output,
        )  # fmt: skip
    try:
        wait_until(lambda: accepts(child, address), 60, f"{name} listening")
        with Client(address) as client:
            client.send_request(params=get_params(query=kind))
            wait_until(mark.exists, 60, "the handler")
            yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def accepts(child: subprocess.Popen, address: str) -> bool:
    assert child.poll() is None, f"{child.args} ended"
    try:
        connect(address).close()
    except OSError:
        return False
    return True


def skip_without_swig(name: str) -> None:
    if name == "swig" and not (BUILD / "swig" / "python").exists():
        pytest.skip("the SWIG modules are not built")


@pytest.mark.parametrize(("kind", "name"), ALL)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal(apps: Path, number: int, kind: str, name: str):
    skip_without_swig(name)
    with hanging(apps, name, kind) as child:
        child.send_signal(number)
        sees_the_stop(apps, name, kind)
        assert child.poll() is None
        child.send_signal(number)
        child.wait(SECONDS)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_quit(apps: Path, kind: str, name: str):
    skip_without_swig(name)
    with hanging(apps, name, kind) as child:
        child.send_signal(signal.SIGQUIT)
        child.wait(SECONDS)


@pytest.mark.parametrize("name", [name for name in [*ALONE, *SUPERVISED] if name != "swig"])
def test_the_graceful_timeout(apps: Path, name: str):
    with hanging(apps, name, "loop", "1") as child:
        child.send_signal(signal.SIGTERM)
        child.wait(SECONDS)


def sees_the_stop(apps: Path, name: str, kind: str) -> None:
    """Two signals that come together are one."""
    path = apps / f"{name}-{kind}.sock"

    def refuses() -> bool:
        try:
            connect(f"unix:{path}").close()
        except OSError:
            return True
        return False

    def tells() -> bool:
        return "stopping" in (apps / "stderr").read_text()

    wait_until(refuses if name in ALONE else tells, SECONDS, "the stop")
