# SPDX-License-Identifier: MIT
"""Contenders measured in turn, round after round, so that a noisy minute hits all alike."""

import contextlib
import json
import re
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass, replace
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
    body: int = 0  # MiB that a request carries.
    connections: int = 16
    nginx: str = ""  # "kept" or "new": through nginx, with wrk.
    straight: bool = False  # wrk without nginx, for HTTP servers.


@dataclass(frozen=True)
class Contender:
    """A peer under a load."""

    label: str
    peer: str
    load: Load


ANSWER_SECONDS = 15  # For the one answer that is looked at.
PAGES = {
    "/": b"Hello\n",
    "/page": b"x" * 10240,
    "/sleep": b"slept\n",
    "/sqlite": b"page 7\n",
    "/postgres": b"page 7\n",
}


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
        self.check()

    def check(self) -> None:
        """One answer must be the page that is meant; all others are held against it."""
        expected = b"%d\n" % (self.load.body << 20) if self.load.body else PAGES[self.load.uri]
        if self.service.sized:
            return
        found = front.ask(self.url, self.load.body << 20) if self.url else self.call()
        if found != expected:
            raise Failed(f"it answers {found[:40]!r} instead of {expected[:40]!r}")

    def call(self) -> bytes:
        """What `fcgi call` is answered."""
        uri, body = self.load.uri, ["-d", "@-"] if self.load.body else []
        words = [*body, "-p", f"PATH_INFO={uri}", *self.service.params, "--timeout", ANSWER_SECONDS]
        data = bytes(self.load.body << 20)
        done = output(
            [self.site.tool, "call", self.service.address, uri, *words], ANSWER_SECONDS + 5, data
        )
        if done.returncode and not (self.service.lax and done.stdout):
            raise Failed(done.stderr.decode(errors="replace").strip())
        return done.stdout

    def send(self, *limits: object, most: float = 60) -> dict:
        """Requests by `fcgi bench`, until the limits."""
        words = ["-c", self.load.connections, "--uri", self.load.uri, *self.load.words]
        words += ["--body", f"{self.load.body}M"] if self.load.body else []
        words += [*self.service.params, *(["--allow-unclosed"] if self.service.lax else [])]
        command = [self.site.tool, "bench", self.service.address, "--json", "--timeout", "2"]
        done = output([*command, *words, *limits], most)
        if not done.stdout:
            raise Failed(done.stderr.decode().strip())
        result = json.loads(done.stdout)
        if not result["right"]:
            raise Failed(done.stderr.decode().strip())
        return {
            **{key: result[key] for key in ("requests", "right", "rate", "resent")},
            "own_us": result["own_seconds"] / result["requests"] * 1e6,
            "p50": result["latency_us"]["p50"],
            "p99": result["latency_us"]["p99"],
            "wrong": result["requests"] - result["right"],
            "request_bytes": result["request_bytes"],
            "errors": {kind: count for kind, count in result["errors"].items() if count},
        }

    def sample(self, seconds: float) -> dict:
        before = machine.cpu_seconds(self.service.pid)
        if self.url:
            result = front.wrk(self.site, self.url, seconds, self.load)
        else:
            result = self.send("-d", seconds, most=seconds + 60)
        spent = machine.cpu_seconds(self.service.pid) - before
        result["cpu_us"] = None if self.service.blind else spent / max(1, result["right"]) * 1e6
        result["memory"] = machine.memory_bytes(self.service.pid)
        return result

    def system_calls(self, seconds: float) -> float | None:
        """System calls of the whole tree for a request; a run apart, for strace slows it."""
        summary = Path(self.site.path(f"strace-{self.service.pid}"))
        pids = [word for pid in machine.tree(self.service.pid) for word in ("-p", str(pid))]
        command = [program("strace"), "-c", "-f", "-o", str(summary), *pids]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        try:
            if self.url:
                requests = front.wrk(self.site, self.url, seconds, self.load)["requests"]
            else:
                requests = self.send("-n", 500, "-d", 1)["requests"]
        finally:
            end(tracer)
        calls = re.search(r"^100\.00 +\S+ +(?:\d+ +)?(\d+) +(?:\d+ +)?total", read(summary), re.M)
        return int(calls[1]) / requests if calls and requests else None


def output(
    command: list, most: float, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """What a command writes; a command that hangs is a failure."""
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, input=data, capture_output=True, timeout=most)
    except subprocess.TimeoutExpired:
        raise Failed(f"{Path(words[0]).name} {words[1]} did not end in {most:.0f} s") from None


def end(tracer: subprocess.Popen) -> None:
    """strace writes its summary at SIGINT; one that does not end is killed."""
    tracer.send_signal(signal.SIGINT)
    try:
        tracer.wait(10)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.wait()


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@dataclass(frozen=True)
class Pace:
    """How long it takes; rows that no budget hangs on are given less."""

    rounds: int
    seconds: float
    light_rounds: int
    light_seconds: float
    trace: bool = True
    idle: int = 10000  # Connections that rest.
    warm: float = 0.5  # Seconds before the first round.

    def lighter(self) -> "Pace":
        return replace(self, rounds=self.light_rounds, seconds=self.light_seconds)

    def at_least(self, seconds: float) -> "Pace":
        """A round must have room for a few answers."""
        return replace(self, seconds=max(self.seconds, seconds), warm=max(self.warm, seconds))


def run(site: Site, contenders: list[Contender], pace: Pace, say) -> dict:
    """Samples by label, and why some have none."""
    running: dict[str, Running] = {}
    failures: dict[str, str] = {}
    samples: dict[str, list[dict]] = {}
    calls: dict[str, float | None] = {}
    for contender in contenders:
        with guarded(failures, contender.label):
            one = Running(site, contender)
            warm = one.sample(pace.warm)
            site.request_bytes = warm.get("request_bytes", 0) or site.request_bytes
            running[contender.label] = one
    for number in range(pace.rounds):
        turn = list(running.items())
        for label, one in turn if number % 2 == 0 else reversed(turn):
            with guarded(failures, label):
                sample = one.sample(pace.seconds) | {"round": number}
                samples.setdefault(label, []).append(sample)
        say(f"round {number + 1} of {pace.rounds}")
    for label, one in running.items():
        if pace.trace:
            with guarded(failures, f"{label}, system calls"):
                calls[label] = one.system_calls(pace.warm + 1)
    return {"samples": samples, "failures": failures, "system_calls": calls}


@contextlib.contextmanager
def guarded(failures: dict[str, str], label: str):
    """A failure of a peer is a result too."""
    try:
        yield
    except Failed as error:
        failures[label] = str(error) or "it says nothing"
    except Exception as error:
        failures[label] = f"{type(error).__name__}: {error}"


def raise_limits() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def idle(site: Site, peer: str, count: int, pace: Pace) -> list[dict]:
    """Round by round, the memory of `count` kept connections at rest, and the latency of 50
    that work without them and with them. The C library's allocator keeps what is freed, so
    memory is that above the start."""
    service = PEERS[peer](site)
    fresh = busy(site, service, pace.seconds)["memory"]
    rounds = []
    for _ in range(pace.rounds):
        before = busy(site, service, pace.seconds)
        after = busy(site, service, pace.seconds, count)
        rounds.append(
            {
                "p99_before": before["p99"],
                "p99_after": after["p99"],
                "memory": after["memory"] - fresh,
            }
        )
    return rounds


def busy(site: Site, service: Service, seconds: float, resting: int = 0) -> dict:
    """p99 of 50 clients, and the most memory meanwhile."""
    command = [site.tool, "bench", service.address, "--json", "-c", 50, "-d", seconds]
    command += ["--idle", resting]
    end, most = time.monotonic() + seconds + 60, 0
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as bench:
        while bench.poll() is None:
            most = max(most, machine.memory_bytes(service.pid))
            time.sleep(0.1)
            if time.monotonic() > end:
                bench.kill()
        text, complaint = bench.communicate()
    if bench.returncode:
        raise Failed(complaint.strip() or "fcgi bench did not end")
    return {"p99": json.loads(text)["latency_us"]["p99"], "memory": most}


def median(samples: list[dict], key: str) -> float | None:
    """Of what is known."""
    known = [sample[key] for sample in samples if sample.get(key) is not None]
    return statistics.median(known) if known else None


def pairs(ours: list[dict], theirs: list[dict], key: str) -> list[tuple[float, float]]:
    """What both have of the same rounds."""
    other = {sample["round"]: sample[key] for sample in theirs if sample[key] is not None}
    return [
        (sample[key], other[sample["round"]])
        for sample in ours
        if sample[key] is not None and sample["round"] in other
    ]


def ratios(ours: list[dict], theirs: list[dict], key: str = "rate") -> list[float]:
    """Ours over theirs, round by round."""
    return [a / b for a, b in pairs(ours, theirs, key) if b]
