# SPDX-License-Identifier: MIT
"""The adapter of PyMySQL: what a handler leaves does not show in the next request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fastcgi
import pymysql
import pytest
from support.databases import MariaDB, do, one, started


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    yield from started(MariaDB)


class TestPyMySQL:
    def test_transactions(self, mariadb: MariaDB) -> None:
        db = fastcgi.resource(mariadb.connect)
        with db as first:
            do(first, "CREATE TABLE IF NOT EXISTS visits (n int)", "DELETE FROM visits")
            first.commit()
            do(first, "INSERT INTO visits VALUES (1)")
        with db as second:
            assert second is first
            assert one(second, "SELECT count(*) FROM visits") == 0
        db.drain()

    @pytest.mark.parametrize("autocommit", [True, False])
    def test_sessions(self, mariadb: MariaDB, autocommit: bool) -> None:
        db = fastcgi.resource(
            lambda: mariadb.connect(autocommit=autocommit, charset="utf8mb4"),
            configure=lambda connection: do(connection, "SET @shop = 7"),
        )
        with db as first:
            do(
                first,
                "SET SESSION sort_buffer_size = 262144",
                "SET @mine = 1, @shop = 8",
                "CREATE TEMPORARY TABLE t (n int)",
                "SET autocommit = " + ("0" if autocommit else "1"),
            )
        with db as second:
            assert second is first
            assert one(second, "SELECT @mine") is None
            assert one(second, "SELECT @shop") == 7
            assert one(second, "SELECT @@autocommit") == int(autocommit)
            assert one(second, "SELECT @@character_set_client") == "utf8mb4"
            assert one(second, "SELECT @@sort_buffer_size") != 262144
            with pytest.raises(pymysql.err.ProgrammingError, match="doesn't exist"):
                do(second, "SELECT * FROM t")
        db.drain()

    @pytest.mark.parametrize("how", ["select_db", "USE"])
    def test_the_database(self, mariadb: MariaDB, how: str) -> None:
        db = fastcgi.resource(mariadb.connect)
        with db as first:
            if how == "USE":
                do(first, "USE information_schema")
            else:
                first.select_db("information_schema")
        with db as second:
            assert second is first
            assert one(second, "SELECT DATABASE()") == "mysql"
        db.drain()

    def test_a_database_where_there_was_none(self, mariadb: MariaDB) -> None:
        db = fastcgi.resource(lambda: pymysql.connect(unix_socket=mariadb.socket, user="root"))
        with db as first:
            first.select_db("mysql")
        with db as second:
            assert one(second, "SELECT DATABASE()") is None
            assert second is not first
        assert db.stats()["closed_reset"] == 1
        db.drain()

    def test_what_configure_has_chosen(self, mariadb: MariaDB) -> None:
        def configure(connection: Any) -> None:
            connection.select_db("information_schema")
            connection.autocommit(True)
            connection.cursorclass = pymysql.cursors.SSDictCursor

        db = fastcgi.resource(mariadb.connect, configure=configure)
        for _ in range(3):
            with db as connection:
                cursor = connection.cursor()
                cursor.execute("SELECT DATABASE() AS name, @@autocommit AS commits")
                assert cursor.fetchone() == {"name": "information_schema", "commits": 1}
                cursor.close()
                connection.select_db("mysql")
                connection.autocommit(False)
                connection.cursorclass = pymysql.cursors.Cursor
        assert db.stats()["opened"] == 1
        db.drain()

    @pytest.mark.parametrize("autocommit", [True, False, None])
    def test_attributes(self, mariadb: MariaDB, autocommit: bool | None) -> None:
        db = fastcgi.resource(lambda: mariadb.connect(autocommit=autocommit))
        names = ("autocommit_mode", "cursorclass", "charset", "encoding")
        with db as first:
            before = [getattr(first, name) for name in names]
            commits = one(first, "SELECT @@autocommit")
            first.autocommit(not commits)
            first.cursorclass = pymysql.cursors.DictCursor
            first.query("SET NAMES latin1")
            first.charset, first.encoding = "latin1", "cp1252"
        with db as second:
            assert second is first
            assert [getattr(second, name) for name in names] == before
            assert one(second, "SELECT @@autocommit") == commits
            assert second.get_autocommit() == bool(commits)
            assert one(second, "SELECT @@character_set_client") == before[2]
        db.drain()

    def test_what_it_was_opened_with(self, mariadb: MariaDB) -> None:
        options = {"charset": "utf8mb4", "collation": "utf8mb4_polish_ci"}
        query = "SELECT CONCAT_WS(' ', @@sql_mode, @@wait_timeout, @@collation_connection)"
        db = fastcgi.resource(
            lambda: mariadb.connect(
                sql_mode="ANSI", init_command="SET SESSION wait_timeout = 777", **options
            )
        )
        with db as first:
            before = one(first, query)
            assert before.endswith(" 777 utf8mb4_polish_ci")
            do(first, "SET sql_mode = '', wait_timeout = 7", "SET NAMES latin1")
        with db as second:
            assert second is first
            assert one(second, query) == before
        db.drain()

    def test_a_dead_one(self, mariadb: MariaDB) -> None:
        db = fastcgi.resource(mariadb.connect, check_after=0)
        with db as first:
            number = first.thread_id()
        killer = mariadb.connect()
        killer.kill(number)
        killer.close()
        with db as second:
            assert second is not first
            assert one(second, "SELECT 1") == 1
        db.drain()
