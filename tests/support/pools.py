# SPDX-License-Identifier: MIT
"""Resources of pools that other libraries have, with a real PostgreSQL behind them."""

from __future__ import annotations

from typing import Any

import fastcgi
import psycopg
import psycopg_pool
import sqlalchemy

from support.databases import Postgres


def url_of(database: Postgres) -> str:
    return f"postgresql+psycopg://postgres@/postgres?host={database.folder}"


def make_engine(database: Postgres, size: int = 4, wait: float = 30, **options: Any) -> Any:
    return sqlalchemy.create_engine(
        url_of(database), pool_size=size, max_overflow=0, pool_timeout=wait, **options
    )


def make_pool(database: Postgres, size: int = 4, wait: float = 30, **options: Any) -> Any:
    options = {"min_size": 1, "max_size": size, "timeout": wait, "open": False} | options
    return psycopg_pool.ConnectionPool(database.dsn, **options)


class Kind:
    """One of the two libraries: a resource of it, and how its connections are used."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.made: list[Any] = []

    def make(self, database: Postgres, size: int = 4, wait: float = 30, **options: Any) -> Any:
        """A resource whose pool has at most ``size`` and waits for ``wait`` seconds."""
        db: Any
        if self.name == "sqlalchemy":
            db = fastcgi.resource.sqlalchemy(make_engine(database, size, wait), **options)
        else:
            options.pop("acquire_timeout", None)
            db = fastcgi.resource.psycopg_pool(make_pool(database, size, wait), **options)
        self.made.append(db)
        return db

    def end(self) -> None:
        """As the end of a program does."""
        for db in self.made:
            db._tidy("all")
        self.made.clear()

    def run(self, connection: Any, query: str) -> Any:
        """The first column of the first row, if there are any."""
        if self.name == "sqlalchemy":
            result = connection.execute(sqlalchemy.text(query))
            return result.scalar() if result.returns_rows else None
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    @property
    def late(self) -> type[Exception]:
        """What its pool raises where none is free in time."""
        if self.name == "sqlalchemy":
            return sqlalchemy.exc.TimeoutError
        return psycopg_pool.PoolTimeout

    @property
    def error(self) -> type[Exception]:
        """What it raises where the connection broke."""
        return sqlalchemy.exc.DBAPIError if self.name == "sqlalchemy" else psycopg.OperationalError


KINDS = {name: Kind(name) for name in ("sqlalchemy", "psycopg_pool")}
