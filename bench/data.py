# SPDX-License-Identifier: MIT
"""The databases of the rows that ask one."""

import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

from sandbox import Failed, Site

ROWS = [(number, f"page {number}\n") for number in range(100)]
SUPERUSER = "postgres"


def sqlite(site: Site) -> None:
    path = site.path("pages.db")
    with sqlite3.connect(path) as database:
        database.execute("create table pages (id integer primary key, text text)")
        database.executemany("insert into pages values (?, ?)", ROWS)
    os.chmod(path, 0o644)
    site.environment["BENCH_SQLITE"] = path


def as_superuser(*command: object) -> list[str]:
    """PostgreSQL refuses to run as root."""
    words = [str(word) for word in command]
    return ["runuser", "-u", SUPERUSER, "--", *words] if os.geteuid() == 0 else words


def postgres(site: Site) -> None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        raise Failed("postgresql is not installed")
    folder = Path(site.path("postgres"))
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, SUPERUSER)
    init = as_superuser(
        programs[-1] / "initdb", "-D", folder / "data", "-U", "bench", "-A", "trust"
    )
    done = subprocess.run(init, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"initdb: {done.stderr.strip().splitlines()[-1]}")
    where = ["-k", folder, "-c", "listen_addresses="]
    site.start(as_superuser(programs[-1] / "postgres", "-D", folder / "data", *where), "postgres")
    site.wait(f"unix:{folder}/.s.PGSQL.5432")
    site.environment["BENCH_POSTGRES"] = f"host={folder} user=bench dbname=postgres"
    text = "create table pages (id integer primary key, text text);"
    text += "".join(f"insert into pages values ({number}, '{line}');" for number, line in ROWS)
    command = [
        str(programs[-1] / "psql"),
        "-h",
        str(folder),
        "-U",
        "bench",
        "postgres",
        "-q",
        "-c",
        text,
    ]
    end = time.monotonic() + 10
    while (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        if time.monotonic() > end:
            raise Failed(done.stderr.strip().splitlines()[-1])
        time.sleep(0.1)


MAKE = {"sqlite": sqlite, "postgres": postgres}
