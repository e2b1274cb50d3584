# SPDX-License-Identifier: MIT
"""PostgreSQL, Redis and MariaDB of Debian, each in a folder of its own below /tmp and on a Unix
socket there, which a test starts, stops and starts again."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.fcgi_client import patient, wait_until


def _user(name: str) -> dict[str, Any]:
    """Servers that refuse to be root run as the user of their package."""
    return {"user": name, "group": name, "extra_groups": []} if os.geteuid() == 0 else {}


class Database:
    """Use it as a context manager: it is started, and gone afterwards."""

    program = ""  # The server's name.
    owner = ""  # The user that it runs as, where the test is root.

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.program}-", dir="/tmp"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.owner, self.owner)
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def lacks(cls) -> str | None:
        """Why it cannot be started here, or None."""
        return None if cls.find() else f"{cls.program} is not installed"

    @classmethod
    def find(cls) -> str | None:
        return shutil.which(cls.program, path=f"{os.environ['PATH']}:/usr/sbin")

    def __enter__(self) -> Any:
        self.make()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def make(self) -> None:
        """Make its files."""

    def command(self) -> Sequence[object]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self._child = subprocess.Popen(
                [str(word) for word in self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **_user(self.owner),
            )
        wait_until(self._is_up, what=self.program)

    def _is_up(self) -> bool:
        log = self.folder / "log"
        assert self._child is not None
        assert self._child.poll() is None, log.read_text(errors="replace")
        return self.answers()

    def stop(self, how: int = signal.SIGINT) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(how)
            self._child.wait(patient(30))
        self._child = None

    def restart(self, how: int = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def run(self, *command: object) -> None:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            capture_output=True,
            text=True,
            **_user(self.owner),
        )
        assert done.returncode == 0, done.stdout + done.stderr


class Postgres(Database):
    """SIGINT stops it as `pg_ctl -m fast` does, SIGQUIT as `-m immediate`."""

    program = "postgres"
    owner = "postgres"

    @classmethod
    def find(cls) -> str | None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        return str(found[-1]) if found else shutil.which("postgres")

    @property
    def dsn(self) -> str:
        return f"host={self.folder} user=postgres dbname=postgres connect_timeout=10"

    def make(self) -> None:
        program = Path(self.find() or "postgres").with_name("initdb")
        data = self.folder / "data"
        self.run(program, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync")

    def command(self) -> Sequence[object]:
        return [
            *(self.find() or "postgres", "-D", self.folder / "data", "-k", self.folder),
            *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50"),
        ]

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.dsn).close()
        except psycopg.OperationalError:
            return False
        return True

    def ask(self, query: str) -> Any:
        """The first column of the first row, over a connection of its own."""
        import psycopg

        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(query)
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def backends(self) -> int:
        """Connections of others."""
        return self.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        )

    def kill_backends(self) -> None:
        self.ask(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
            "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        wait_until(lambda: self.backends() == 0, what="the end of the backends")


class Redis(Database):
    program = "redis-server"
    owner = "redis"

    @property
    def socket(self) -> str:
        return str(self.folder / "redis.sock")

    def command(self) -> Sequence[object]:
        return [
            *(self.find() or self.program, "--port", 0, "--unixsocket", self.socket),
            *("--unixsocketperm", 777, "--save", "", "--dir", self.folder),
        ]

    def answers(self) -> bool:
        import redis

        try:
            with redis.Redis(unix_socket_path=self.socket) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


class MariaDB(Database):
    program = "mariadbd"
    owner = "mysql"

    @property
    def socket(self) -> str:
        return str(self.folder / "mysql.sock")

    def make(self) -> None:
        self.run(
            *("mariadb-install-db", "--no-defaults", f"--datadir={self.folder}/data"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        )

    def command(self) -> Sequence[object]:
        return [
            *(self.find() or self.program, "--no-defaults", f"--datadir={self.folder}/data"),
            *(f"--socket={self.socket}", "--skip-networking", f"--pid-file={self.folder}/pid"),
        ]

    def connect(self, **options: Any) -> Any:
        import pymysql

        return pymysql.connect(unix_socket=self.socket, user="root", database="mysql", **options)

    def answers(self) -> bool:
        import pymysql

        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True


def started(kind: type[Database]) -> Iterator[Any]:
    """What a fixture yields."""
    why = kind.lacks()
    if why:
        pytest.skip(why)
    with kind() as database:
        yield database


def one(connection: Any, query: str) -> Any:
    """The first column of the first row, in whichever way it is asked for."""
    cursor = connection.cursor()
    cursor.execute(query)
    row = cursor.fetchone()
    cursor.close()
    return row[0] if row else None


def do(connection: Any, *queries: str) -> None:
    cursor = connection.cursor()
    for query in queries:
        cursor.execute(query)
    cursor.close()
