# SPDX-License-Identifier: MIT
# Keeps a connection to SQLite: kept.py ADDRESS BUILD; README.md says what each path does.
import os
import sqlite3
import sys

from fastcgi_swig import Error, Resource, Server

database = sys.argv[1][5:] + ".db"
state = {"opened": 0, "sick": False, "runs": 0}


def open_one():
    if os.path.exists(database + ".away"):
        raise OSError("it is away")
    state["opened"] += 1
    return sqlite3.connect(database, isolation_level=None)


def check(connection):
    sick, state["sick"] = state["sick"], False
    return not sick


def close(connection):
    with open(database + ".closed", "a") as file:
        file.write("x")
    connection.close()


db = Resource(open_one)
db.on("configure", lambda c: c.execute("create table if not exists rows (text)"))
db.on("check", check)
db.on("reset", lambda c: c.rollback())
db.on("close", close)
db.set_text("name", "db")
db.set_text("retry", "safe")
db.set("acquire_timeout", 0.3)
db.set("check_after", 0)
db.set("eager", 1)


def code(call):
    try:
        call()
    except Error as error:
        return error.code
    return "none"


def same(r):
    alone = db.take()
    db.give()
    alike = alone is db.take(r) is db.get(r) is db.take(r)
    db.give(r)
    db.give(r)
    return f"{alike} {state['opened']}"


def leave(r):
    c = db.get(r)
    c.execute("begin")
    c.execute("insert into rows values ('left')")


def fail(r):
    leave(r)
    raise RuntimeError("after an insert")


def retry(r):
    db.get(r)
    state["runs"] += 1
    if state["runs"] == 1:
        db.invalidate(r)
        raise RuntimeError("it is gone")
    return f"run {state['runs']}"


def many(r):
    for _ in range(10000):
        db.take(r)
        db.give(r)


def fork(r):
    db.get(r)
    child = os.fork()
    if child == 0:
        os._exit(3 if code(lambda: db.get(r)) == "STATE" else 1)
    return f"status {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"


def wrong(r):
    return " ".join(
        code(call)
        for call in (
            lambda: db.give(r),
            lambda: db.get(None),
            lambda: db.set("max_age", 1),
            lambda: db.on("other", check),
            lambda: db.count("other"),
            lambda: db.invalidate(r),
        )
    )


PAGES = {
    "/same": same,
    "/leave": leave,
    "/fail": fail,
    "/retry": retry,
    "/many": many,
    "/fork": fork,
    "/wrong": wrong,
    "/rows": lambda r: db.get(r).execute("select count(*) from rows").fetchone()[0],
    "/add": lambda r: db.get(r).execute("insert into rows values ('added')") and None,
    "/break": lambda r: db.get(r) and db.invalidate(r),
    "/sick": lambda r: state.update(sick=True),
    "/spoil": lambda r: db.get(r).close(),
    "/keep": lambda r: db.take(r) and None,
    "/drain": lambda r: db.drain(),
    "/caught": lambda r: code(lambda: db.get(r)),
    "/counts": lambda r: " ".join(
        str(db.count(name))
        for name in (
            "open",
            "in_use",
            "opened",
            "unended",
            "closed_invalidated",
            "closed_check",
            "closed_reset",
        )
    ),
}
server = Server()
server.set_text("status_path", "/status")
server.listen(sys.argv[1])
server.keep(db)
server.serve(lambda r: r.reply(200, "text/plain", str(PAGES[r.path()](r))))
