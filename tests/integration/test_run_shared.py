# SPDX-License-Identifier: MIT
"""`fcgi run --shared`: dictionaries that outlive workers and supervisors."""

import os
import re
import signal
from pathlib import Path

import pytest
from support.fcgi_client import fetch, wait_until
from support.paths import BUILD
from support.supervisor import Supervisor

PROGRAM = BUILD / "tests" / "integration" / "sharing"


def ask(address: str, told: str = "") -> tuple[int, int, int]:
    """Process id, result and number."""
    pid, result, number = fetch(address, uri=f"/?{told}").body.decode().split()
    return int(pid), int(result), int(number)


def sharing(directory: Path, *options: object, size: str = "1M", **more) -> Supervisor:
    words = ["--shared", f"cache={size}", *options]
    return Supervisor(directory, [PROGRAM], *words, **more)


def test_it_is_kept_over_reloads_and_kills(directory: Path):
    with sharing(directory, "--shared", "other=64K", name="kept").ready() as supervisor:
        count = 0
        for turn in range(6):
            for _ in range(10):
                count += 1
                pid, result, number = ask(supervisor.address)
                assert (result, number) == (1, count)
            if turn % 2:
                supervisor.reload()
            else:
                before = supervisor.workers()
                os.kill(pid, signal.SIGKILL)
                supervisor.wait_for_workers(lambda now, old=before: len(now) == 2 and now != old)


def test_it_is_kept_over_an_upgrade(directory: Path):
    with sharing(directory, "--shared", "other=64K", name="upgraded").ready() as supervisor:
        for count in range(1, 11):
            assert ask(supervisor.address)[1:] == (1, count)
        for count in range(11, 13):
            supervisor.upgrade()
            assert ask(supervisor.address)[1:] == (1, count)


def test_another_size_makes_another_one(directory: Path):
    config = directory / "fastcgi.toml"
    config.write_text("shared = ['cache=1M']\n")
    command = [PROGRAM]
    with Supervisor(directory, command, "--config", config, name="sized").ready() as supervisor:
        assert ask(supervisor.address)[1:] == (1, 1)
        config.write_text("shared = ['cache=2M']\n")
        supervisor.reload()
        assert "a reload does not change shared" in supervisor.output()
        assert ask(supervisor.address)[1:] == (1, 2)
        supervisor.upgrade()
        assert ask(supervisor.address)[1:] == (1, 1)
        supervisor.wait_for_line("shared dictionary cache has another size now, and is empty")


def test_what_had_to_go_is_logged(directory: Path):
    with sharing(directory, size="64K", name="full").ready() as supervisor:
        assert ask(supervisor.address, "fill")[1] == 1
        line = supervisor.wait_for_line(r"shared dictionary cache is full: (\d+) entries had to go")
        assert int(line[1]) >= 1
        assert ask(supervisor.address)[1] >= 0


def test_damage_is_logged_and_mended(directory: Path):
    """A worker writes over all of it; the others neither crash nor hang."""
    with sharing(directory, "--timeout", "60", name="damaged").ready() as supervisor:
        assert ask(supervisor.address)[1:] == (1, 1)
        workers = supervisor.workers()
        ask(supervisor.address, "damage")
        wait_until(lambda: ask(supervisor.address)[1] == 1, 20, "order")
        supervisor.wait_for_line("shared dictionary cache was damaged")
        assert supervisor.workers() == workers


def test_what_is_not_declared_is_not_there(directory: Path):
    with Supervisor(directory, [PROGRAM], "--shared", "other=1M", name="other") as supervisor:
        assert supervisor.wait() == 3
        assert "cache: STATE" in supervisor.output()


def test_a_lone_program_has_its_own(directory: Path):
    with Supervisor(directory, [PROGRAM], name="none") as supervisor:
        assert supervisor.wait() == 3, "a supervisor that declares none is one all the same"


@pytest.mark.parametrize("kills", [int(os.environ.get("FCGI_SHARED_KILLS", "6"))])
def test_counts_are_exact_although_workers_are_killed(directory: Path, kills: int):
    """Each answer says what the number was, so that none comes twice."""
    with sharing(directory, workers=3, name="counts").ready() as supervisor:
        seen: set[int] = set()
        failed = 0
        for turn in range(kills):
            for _ in range(30):
                try:
                    number = ask(supervisor.address)[2]
                except (OSError, ValueError):
                    failed += 1
                    continue
                assert number not in seen
                seen.add(number)
            os.kill(sorted(supervisor.workers())[turn % len(supervisor.workers())], signal.SIGKILL)
            supervisor.wait_for_workers(lambda now: len(now) == 3, 60)
        assert len(seen) <= max(seen) <= len(seen) + failed
        assert not re.search("was damaged", supervisor.output())
