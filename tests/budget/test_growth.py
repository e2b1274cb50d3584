# SPDX-License-Identifier: MIT
"""What a request costs grows with its bytes, whatever names a client chooses: twice as many
cost twice the instructions, not four times."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from budget.count import RELEASE, ask, served
from support.fcgi_client import get_params, request

FEW, MANY = 3, 13  # Requests of a run.
NAMES = 500  # And twice as many.
MOST = 2.4  # Times the instructions of half as many names.

PYTHON = """
def application(environ, start_response):
    names = range(int(environ["QUERY_STRING"]))
    start_response("200 OK", [(f"X-Name-{at:04}", "v") for at in names])
    return [b""]
"""
LUA = """
return function(req)
  local headers = {}
  for at = 1, math.tointeger(req.params.QUERY_STRING) do
    headers[("X-Name-%04d"):format(at)] = "v"
  end
  return 200, headers, ""
end
"""
ON_SOCKET = ["--bind", "unix:{path}", "--log-level", "error"]
SERVERS = {
    "c": [RELEASE / "examples/c/hello", "unix:{path}"],
    "wsgi": [sys.executable, "-m", "fastcgi", "growth:application", *ON_SOCKET],
    "lua": ["lua5.4", RELEASE / "lua/bin/fcgi-lua", "growth.lua", *ON_SOCKET],
}


def sent(count: int, name: Callable[[int], str], answers: int) -> bytes:
    """A request with so many headers of a client's, which wants so many in its answer."""
    params = [*get_params("/", str(answers)).items()]
    return request(1, [*params, *((name(at), "v") for at in range(count))])


# What a client may choose: names that differ in the middle, and one name again and again.
CHOSEN = {
    "alike": lambda at: f"HTTP_X_SAME_{at:04}_SAME_SAME",
    "same": lambda at: "HTTP_X_SAME",
}


@pytest.fixture
def cost(tmp_path: Path) -> Callable[[str, bytes], float]:
    """Instructions of one request among several."""
    (tmp_path / "growth.py").write_text(PYTHON)
    (tmp_path / "growth.lua").write_text(LUA)

    def one(server: str, data: bytes) -> float:
        totals = [
            served(tmp_path, f"{server}-{count}", SERVERS[server], partial(send, data, count))
            for count in (FEW, MANY)
        ]
        return (totals[1] - totals[0]) / (MANY - FEW)

    return one


def send(data: bytes, count: int, path: Path) -> None:
    ask(path, [data], count)


@pytest.mark.parametrize(
    ("server", "chosen"),
    [("c", "alike"), ("c", "same"), ("wsgi", "alike"), ("lua", "alike"), ("lua", "same")],
)
def test_names_that_come(cost: Callable[[str, bytes], float], server: str, chosen: str):
    half, whole = (cost(server, sent(count, CHOSEN[chosen], 1)) for count in (NAMES, 2 * NAMES))
    assert whole / half <= MOST, (half, whole)


@pytest.mark.parametrize("server", ["wsgi", "lua"])
def test_names_that_go(cost: Callable[[str, bytes], float], server: str):
    half, whole = (cost(server, sent(0, str, count)) for count in (NAMES, 2 * NAMES))
    assert whole / half <= MOST, (half, whole)
