# SPDX-License-Identifier: MIT
"""Contenders measured in turn, round after round, so that a noisy minute hits all alike."""

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import front
import machine
from peers import PEERS, Service
from sandbox import Failed, Site, program


@dataclass(frozen=True)
class Load:
    """What is asked, of whom directly or through nginx."""

    words: tuple[str, ...] = ()  # Options of `fcgi bench`.
    uri: str = "/"
    connections: int = 16
    nginx: str = ""  # "kept" or "new": through nginx, with wrk.
    straight: bool = False  # wrk without nginx, for HTTP servers.


@dataclass(frozen=True)
class Contender:
    """A peer under a load."""

    label: str
    peer: str
    load: Load


class Running:
    """A contender that has been started."""

    def __init__(self, site: Site, contender: Contender):
        self.site, self.load = site, contender.load
        self.service: Service = PEERS[contender.peer](site)
        self.url = ""
        if self.load.nginx:
            self.url = front.start_nginx(site, self.service, self.load.nginx == "kept")
        elif self.load.straight:
            self.url = f"http://127.0.0.1:{self.service.address}"
        if self.url:
            self.url += self.load.uri
            front.check(self.url)

    def send(self, *limits: object) -> dict:
        """Requests by `fcgi bench`, until the limits."""
        words = ["-c", self.load.connections, "--uri", self.load.uri, *self.load.words]
        words += [*self.service.params, *(["--allow-unclosed"] if self.service.lax else [])]
        command = [self.site.tool, "bench", self.service.address, "--json", "--timeout", "2"]
        done = subprocess.run(
            [*command, *map(str, words), *map(str, limits)], capture_output=True, text=True
        )
        if not done.stdout:
            raise Failed(done.stderr.strip())
        result = json.loads(done.stdout)
        if not result["right"]:
            raise Failed(done.stderr.strip())
        return {
            **{key: result[key] for key in ("requests", "right", "rate", "resent")},
            "p50": result["latency_us"]["p50"],
            "p99": result["latency_us"]["p99"],
            "wrong": result["requests"] - result["right"],
            "request_bytes": result["request_bytes"],
            "errors": {kind: count for kind, count in result["errors"].items() if count},
        }

    def sample(self, seconds: float) -> dict:
        before = machine.cpu_seconds(self.service.pid)
        if self.url:
            result = front.wrk(self.url, seconds, self.load.connections)
        else:
            result = self.send("-d", seconds)
        spent = machine.cpu_seconds(self.service.pid) - before
        result["cpu_us"] = None if self.service.blind else spent / max(1, result["right"]) * 1e6
        result["memory"] = machine.memory_bytes(self.service.pid)
        return result

    def system_calls(self) -> float | None:
        """System calls of the whole tree for a request; a run apart, for strace slows it."""
        if self.url:
            return None
        summary = Path(self.site.path(f"strace-{self.service.pid}"))
        pids = [word for pid in machine.tree(self.service.pid) for word in ("-p", str(pid))]
        command = [program("strace"), "-c", "-f", "-o", str(summary), *pids]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        try:
            requests = self.send("-n", 500, "-d", 1)["requests"]
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
        calls = re.search(r"^100\.00 +\S+ +(?:\d+ +)?(\d+) +(?:\d+ +)?total", read(summary), re.M)
        return int(calls[1]) / requests if calls else None


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@dataclass
class Pace:
    """How long it takes."""

    rounds: int
    seconds: float
    trace: bool = True


def run(site: Site, contenders: list[Contender], pace: Pace, say) -> dict:
    """Samples by label, and why some have none."""
    running: dict[str, Running] = {}
    failures: dict[str, str] = {}
    samples: dict[str, list[dict]] = {}
    calls: dict[str, float | None] = {}
    for contender in contenders:
        with guarded(failures, contender.label):
            one = Running(site, contender)
            warm = one.sample(min(0.5, pace.seconds))
            site.request_bytes = warm.get("request_bytes", 0) or site.request_bytes
            running[contender.label] = one
    for number in range(pace.rounds):
        turn = list(running.items())
        for label, one in turn if number % 2 == 0 else reversed(turn):
            with guarded(failures, label):
                samples.setdefault(label, []).append(one.sample(pace.seconds))
        say(f"round {number + 1} of {pace.rounds}")
    for label, one in running.items():
        if pace.trace:
            with guarded(failures, f"{label}, system calls"):
                calls[label] = one.system_calls()
    return {"samples": samples, "failures": failures, "system_calls": calls}


@contextlib.contextmanager
def guarded(failures: dict[str, str], label: str):
    """A failure of a peer is a result too."""
    try:
        yield
    except Failed as error:
        failures[label] = str(error)


def raise_limits() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def idle(site: Site, peer: str, count: int, seconds: float) -> dict:
    """Memory of `count` kept connections at rest, and the latency of 50 that work."""
    service = PEERS[peer](site)
    command = [site.tool, "bench", service.address, "--json", "-c", "50"]

    def latency(*words: object) -> tuple[float, int]:
        with subprocess.Popen(
            [*command, "-d", str(seconds), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as bench:
            most = 0
            while bench.poll() is None:
                most = max(most, machine.memory_bytes(service.pid))
                time.sleep(0.1)
            text, complaint = bench.communicate()
        if bench.returncode:
            raise Failed(complaint.strip())
        return json.loads(text)["latency_us"]["p99"], most

    latency()
    before, memory = latency()
    after, more = latency("--idle", count)
    return {"count": count, "p99_before": before, "p99_after": after, "memory": more - memory}


def median(samples: list[dict], key: str) -> float | None:
    """Of what is known."""
    known = [sample[key] for sample in samples if sample[key] is not None]
    return statistics.median(known) if known else None


def ratios(ours: list[dict], theirs: list[dict], key: str = "rate") -> list[float]:
    """Ours over theirs, round by round."""
    return [a[key] / b[key] for a, b in zip(ours, theirs, strict=False) if b[key]]


def versions(site: Site) -> dict[str, str]:
    """What the peers call themselves."""
    asked = {
        "nginx": ["nginx", "-v"],
        "Go": ["go", "version"],
        "PHP": ["php", "-r", "echo PHP_VERSION;"],
        "Perl FCGI": ["perl", "-MFCGI", "-e", "print $FCGI::VERSION"],
        "uWSGI": ["uwsgi-core", "--version"],
        "Python": [site.python, "--version"],
        "Python packages": [site.python, "-m", "pip", "list", "--format", "freeze"],
        "Debian packages": [
            "dpkg-query",
            "-W",
            "-f",
            "${Package} ${Version}, ",
            *("libfcgi-dev", "fcgiwrap", "lua-wsapi-fcgi", "apache2-bin", "wrk", "postgresql"),
        ],
    }
    found = {}
    for name, command in asked.items():
        path = os.environ.get("PATH", "") + ":/usr/sbin"
        with contextlib.suppress(OSError):
            done = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, "PATH": path}
            )
            found[name] = " ".join((done.stdout or done.stderr).split()).rstrip(",")
    return found
