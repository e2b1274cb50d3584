# SPDX-License-Identifier: MIT
"""What is no ratio: long runs below tests/soak, played with the release build, and a model."""

import re
import shutil
import sys
from pathlib import Path

import model
from measure import output
from sandbox import SOURCE, Failed, Site, compiled

PROOFS = {
    "long-body": "4 GiB + 1 byte through, both ways",
    "reload": "Reloads under load behind nginx and HAProxy",
    "model": "An estimate for 64 processors",
}


def soak(site: Site, name: str, *words: object) -> str:
    """What a script of tests/soak prints."""
    lua = site.build / "lua"
    variables = {
        "FASTCGI_BUILD": site.build,
        "PYTHONPATH": SOURCE / "tests",
        "LUA_PATH": f"{lua}/?.lua;{lua}/?/init.lua;;",
        "LUA_CPATH": f"{lua}/?.so;;",
    }
    settings = [f"{key}={value}" for key, value in variables.items()]
    script = SOURCE / "tests" / "soak" / f"{name}.py"
    done = output(["env", *settings, site.python, script, *words], 600)
    if done.stderr:
        sys.stderr.write(done.stderr.decode(errors="replace"))
    return done.stdout.decode()


def long_body(site: Site, short: bool) -> dict:
    """Growth of memory by language, in bytes; all that goes in comes out again."""
    text = soak(site, "long_body", *(["--length", 200_000_000] if short else []))
    found = dict(re.findall(r"^(\w+) +\d+ +(-?\d+)$", text, re.M))
    if not found:
        raise Failed("a body did not come back as it was sent")
    return {language: int(kibibytes) << 10 for language, kibibytes in found.items()}


def reload(site: Site, short: bool) -> dict:
    """Reloads, requests meanwhile, and how many of them failed."""
    load = Path(compiled("load", "cc", "-O2", "-D_GNU_SOURCE", SOURCE / "tests/support/load.c"))
    place = site.build / "tests" / "integration"
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "load").exists():
        shutil.copy(load, place / "load")
    pace = [6, "--pause", 0.1, 0.5] if short else [24, "--pause", 1, 3]
    text = soak(site, "reload", "--reloads", *pace, "--requests", 1, "--silence", 60_000)
    found = re.search(r"^all +(\d+) +(\d+) +(\d+)", text, re.M)
    if not found:
        raise Failed(f"no result: {text[-200:]}")
    return dict(zip(("reloads", "requests", "failed"), map(int, found.groups()), strict=True))


def prove(site: Site, name: str, short: bool) -> dict:
    """The result of one of PROOFS."""
    if name == "model":
        return model.measure(site)
    return {"long-body": long_body, "reload": reload}[name](site, short)
