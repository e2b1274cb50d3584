# SPDX-License-Identifier: MIT
"""How connections that `open` may return are checked, reset, closed and found broken: one class for
each, found by the type's name, so that no library is imported for it."""

from __future__ import annotations

from typing import Any


class Adapter:
    """Anything else: it is closed and rolled back where it can be."""

    checks = False  # Whether check looks at anything.
    forgets_settings = False  # Whether reset_session undoes what configure did.
    attributes: tuple[str, ...] = ()  # What a handler may set, and no other sees.

    def __init__(self) -> None:
        self._memory: dict[int, dict[str, Any]] = {}  # Attributes, by the value's id.

    def opened(self, value: Any) -> None:
        """Raise if it does not work yet."""

    def configured(self, value: Any) -> None:
        """It is as each request is to find it."""
        self.settle(value)
        if self.attributes:
            self._memory[id(value)] = {
                name: getattr(value, name) for name in self.attributes if hasattr(value, name)
            }

    def resets(self, value: Any) -> bool:
        """Whether there is anything to undo."""
        return callable(getattr(value, "rollback", None))

    def settle(self, value: Any) -> None:
        """Keep what was done."""

    def check(self, value: Any) -> object:
        """Raise or return False if it does not work."""
        return True

    def reset_transaction(self, value: Any) -> object:
        """Undo what was begun and not finished."""
        value.rollback()
        return True

    def reset_session(self, value: Any) -> object:
        """Undo all that others could see, or return False: it is replaced."""
        self.reset_transaction(value)
        self.restore(value)
        return True

    def restore(self, value: Any) -> None:
        for name, before in self._memory.get(id(value), {}).items():
            if getattr(value, name) is not before:
                setattr(value, name, before)

    def broken(self, error: BaseException, value: Any) -> object:
        """Whether an exception of a handler says that it does not work."""
        return False

    def forget(self, value: Any) -> None:
        """It is about to be closed."""
        self._memory.pop(id(value), None)

    def close(self, value: Any) -> None:
        close = getattr(value, "close", None)
        if callable(close):
            close()


class Sqlite(Adapter):
    """sqlite3. A temporary table or an attached database is nothing to undo: the connection is
    replaced. Pragmas stay as they are."""

    checks = True
    attributes = ("row_factory", "text_factory", "isolation_level")

    def __init__(self) -> None:
        super().__init__()
        self._databases: dict[int, list[Any]] = {}

    def settle(self, value: Any) -> None:
        if value.in_transaction:
            value.commit()
        self._databases[id(value)] = self._databases_of(value)

    @staticmethod
    def _databases_of(value: Any) -> list[Any]:
        cursor = value.execute("PRAGMA database_list")
        cursor.row_factory = None
        return [row[:2] for row in cursor.fetchall()]

    def check(self, value: Any) -> object:
        value.execute("SELECT 1").close()
        return True

    def reset_transaction(self, value: Any) -> object:
        if value.in_transaction:
            value.rollback()
        return True

    def reset_session(self, value: Any) -> object:
        super().reset_session(value)
        return self._databases_of(value) == self._databases.get(id(value))

    def forget(self, value: Any) -> None:
        self._databases.pop(id(value), None)
        super().forget(value)


# What a session of PostgreSQL keeps besides its transaction and prepared statements.
POSTGRES_RESET = (
    "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DISCARD TEMP; DISCARD SEQUENCES; CLOSE ALL; "
    "UNLISTEN *; SELECT pg_advisory_unlock_all()"
)


class Psycopg(Adapter):
    """psycopg 3."""

    checks = True
    forgets_settings = True
    attributes = (
        *("autocommit", "isolation_level", "read_only", "deferrable"),
        *("row_factory", "cursor_factory", "server_cursor_factory"),
        *("prepare_threshold", "prepared_max"),
    )
    FATAL = 7  # libpq's PGRES_FATAL_ERROR.
    IDLE = 0  # libpq's PQTRANS_IDLE.

    def settle(self, value: Any) -> None:
        if value.pgconn.transaction_status != self.IDLE:
            value.commit()

    def _execute(self, value: Any, query: str) -> bool:
        """Beside the connection's transaction, which would begin otherwise."""
        result = value.pgconn.exec_(query.encode())
        return result.status != self.FATAL and not value.closed

    def check(self, value: Any) -> object:
        return self._execute(value, "")

    def reset_transaction(self, value: Any) -> object:
        if value.pgconn.transaction_status != self.IDLE:
            value.rollback()
        return True

    def reset_session(self, value: Any) -> object:
        self.reset_transaction(value)
        if not self._execute(value, POSTGRES_RESET):
            return False
        self.restore(value)
        return True

    def broken(self, error: BaseException, value: Any) -> object:
        return value.closed


class Psycopg2(Adapter):
    """psycopg2."""

    checks = True
    forgets_settings = True
    attributes = ("autocommit", "cursor_factory")
    IDLE = 0  # TRANSACTION_STATUS_IDLE.

    def settle(self, value: Any) -> None:
        if value.info.transaction_status != self.IDLE:
            value.commit()

    def check(self, value: Any) -> object:
        with value.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not value.autocommit:
            value.rollback()
        return True

    def reset_transaction(self, value: Any) -> object:
        if value.closed:
            return False
        if value.info.transaction_status != self.IDLE:
            value.rollback()
        return True

    def reset_session(self, value: Any) -> object:
        if self.reset_transaction(value) is False:
            return False
        value.reset()
        value.autocommit = True
        with value.cursor() as cursor:
            cursor.execute(POSTGRES_RESET)
        self.restore(value)
        return True

    def restore(self, value: Any) -> None:
        super().restore(value)
        autocommit = self._memory.get(id(value), {}).get("autocommit", False)
        if value.autocommit != autocommit:
            value.autocommit = autocommit

    def broken(self, error: BaseException, value: Any) -> object:
        return value.closed != 0


class PyMySQL(Adapter):
    """PyMySQL. A session has much that cannot be asked for, and is begun anew by a command of
    the protocol, which MySQL 5.7 and MariaDB 10.2 know. It leaves the database as it is."""

    checks = True
    forgets_settings = True
    attributes = ("autocommit_mode", "cursorclass", "charset", "encoding", "collation")
    RESET_CONNECTION = 0x1F  # COM_RESET_CONNECTION.

    def __init__(self) -> None:
        super().__init__()
        self._databases: dict[int, Any] = {}

    def settle(self, value: Any) -> None:
        value.commit()
        self._databases[id(value)] = self._database_of(value)

    @staticmethod
    def _database_of(value: Any) -> Any:
        value.query("SELECT DATABASE()")
        return value._result.rows[0][0]

    def check(self, value: Any) -> object:
        value.ping(reconnect=False)
        return True

    @staticmethod
    def _begin(value: Any) -> None:
        """What connect() does with what the connection was made with."""
        collation = getattr(value, "collation", None)  # PyMySQL 1.1 has it.
        value.query(f"SET NAMES {value.charset}" + (f" COLLATE {collation}" if collation else ""))
        with value.cursor() as cursor:
            if value.sql_mode is not None:
                cursor.execute("SET sql_mode = %s", (value.sql_mode,))
            if value.init_command is not None:
                cursor.execute(value.init_command)
        if value.autocommit_mode is not None:
            value.autocommit(value.autocommit_mode)

    def reset_session(self, value: Any) -> object:
        value.rollback()
        value._execute_command(self.RESET_CONNECTION, b"")
        value._read_ok_packet()
        self.restore(value)
        self._begin(value)
        before = self._databases.get(id(value))
        if self._database_of(value) == before:
            return True
        if before is None:
            return False  # No command leaves a database for none.
        value.select_db(before)
        return True

    def forget(self, value: Any) -> None:
        self._databases.pop(id(value), None)
        super().forget(value)

    def broken(self, error: BaseException, value: Any) -> object:
        return not value.open


class Redis(Adapter):
    """redis-py, whose client connects when it is first used, and again after an error."""

    checks = True

    def opened(self, value: Any) -> None:
        value.ping()

    def check(self, value: Any) -> object:
        return value.ping()

    def resets(self, value: Any) -> bool:
        return False

    def broken(self, error: BaseException, value: Any) -> object:
        names = {
            kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith("redis")
        }
        return not names.isdisjoint({"ConnectionError", "TimeoutError"})


ADAPTERS: dict[tuple[str, str], type[Adapter]] = {
    ("sqlite3", "Connection"): Sqlite,
    ("psycopg", "Connection"): Psycopg,
    ("psycopg2.extensions", "connection"): Psycopg2,
    ("pymysql.connections", "Connection"): PyMySQL,
    ("redis.client", "Redis"): Redis,
}


def adapter_of(value: object) -> type[Adapter]:
    """By the names of its class and those that this is made of."""
    for kind in type(value).__mro__:
        found = ADAPTERS.get((kind.__module__, kind.__qualname__))
        if found is not None:
            return found
    return Adapter
