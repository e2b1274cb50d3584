/* SPDX-License-Identifier: MIT */
/* Counts visitors in SQLite: `visitors_sqlite DATABASE [address [threads]]`.
   Each thread keeps a connection of its own open between requests. */
#include <fastcgi/fastcgi.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct site {
  fcgi_server *server;  /* Where requests come from. */
  fcgi_handler handler; /* What answers them. */
  fcgi_resource *db;    /* Connections to the database. */
  unsigned threads;     /* On how many threads, at least 1. */
} site;

/* What a connection needs once. The table is made by whoever comes first. */
static const char prepare[] =
    "pragma journal_mode = wal;"
    "create table if not exists visit (id integer primary key)";

static int open_database(void **value, char *why, size_t len, void *user_data) {
  const char *path = user_data;
  sqlite3 *db;
  int failed = sqlite3_open(path, &db);
  if (!failed) {
    sqlite3_busy_timeout(db, 10000);
    failed = sqlite3_exec(db, prepare, NULL, NULL, NULL);
  }
  if (failed) {
    snprintf(why, len, "%s: %s", path, sqlite3_errmsg(db));
    sqlite3_close(db);
    return FCGI_ERR_CLOSED; /* It is tried again. */
  }
  *value = db;
  return 0;
}

/* A transaction that a handler has left open is not the next one's. */
static int reset_database(void *value, void *user_data) {
  (void)user_data;
  return sqlite3_get_autocommit(value)
             ? 0
             : sqlite3_exec(value, "rollback", NULL, NULL, NULL);
}

static void close_database(void *value, void *user_data) {
  (void)user_data;
  sqlite3_close_v2(value);
}

/* The client gets 503, and the web server's log the reason. */
static int refuse(fcgi_request *request, fcgi_resource *db, int error) {
  char why[FCGI_RESOURCE_WHY];
  fcgi_resource_message(db, why, sizeof why);
  fcgi_request_write_stderr(request, why, strlen(why));
  return error;
}

/* The end of the request gives the connection back. */
static int answer(fcgi_request *request, void *user_data) {
  fcgi_resource *db = user_data;
  char text[64];
  void *connection;
  int len;
  int failed = fcgi_resource_get(db, fcgi_request_holder(request), &connection);
  if (failed)
    return refuse(request, db, failed);
  if (sqlite3_exec(connection, "insert into visit default values", NULL, NULL,
                   NULL))
    return FCGI_ERR_SYSTEM;
  len = snprintf(text, sizeof text, "Hello, visitor %lld\n",
                 (long long)sqlite3_last_insert_rowid(connection));
  return fcgi_request_reply(request, 200, "text/plain", text, (size_t)len);
}

static int run(void *data) {
  const site *s = data;
  return fcgi_server_run_threads(s->server, &s->handler, s->db, s->threads);
}

static int serve(site *s, const char *address) {
  char why[256];
  int failed = fcgi_server_new(&s->server, NULL, why, sizeof why);
  if (failed) {
    fprintf(stderr, "visitors_sqlite: %s\n", why);
    return failed;
  }
  failed = fcgi_server_keep(s->server, s->db);
  if (!failed)
    failed = fcgi_server_listen(s->server, address);
  if (!failed)
    failed = fcgi_serve_signals(s->server, run, s);
  if (failed)
    fprintf(stderr, "visitors_sqlite: %s\n", fcgi_server_message(s->server));
  fcgi_server_free(s->server);
  return failed;
}

int main(int argc, char **argv) {
  const fcgi_resource_config config = {.size = sizeof config,
                                       .name = "visitors",
                                       .user_data = argv[1],
                                       .open = open_database,
                                       .reset = reset_database,
                                       .close = close_database};
  site s = {.handler = {.size = sizeof s.handler, .on_request = answer},
            .threads = argc > 3 ? (unsigned)atoi(argv[3]) : 1};
  char why[256];
  int failed;
  if (argc < 2 || s.threads < 1) {
    fprintf(stderr, "usage: visitors_sqlite DATABASE [ADDRESS [THREADS]]\n");
    return 2;
  }
  if (fcgi_resource_new(&s.db, &config, why, sizeof why)) {
    fprintf(stderr, "visitors_sqlite: %s\n", why);
    return 1;
  }
  failed = serve(&s, argc > 2 ? argv[2] : NULL);
  fcgi_resource_free(s.db);
  return failed ? 1 : 0;
}
