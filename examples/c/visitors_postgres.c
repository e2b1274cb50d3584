/* SPDX-License-Identifier: MIT */
/* Counts visitors in PostgreSQL: `visitors_postgres CONNECTION [address
   [threads]]`, where CONNECTION is what libpq takes, such as "dbname=site".
   Each thread keeps a connection of its own open between requests. */
#include <fastcgi/fastcgi.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct site {
  fcgi_server *server;  /* Where requests come from. */
  fcgi_handler handler; /* What answers them. */
  fcgi_resource *db;    /* Connections to the database. */
  unsigned threads;     /* On how many threads, at least 1. */
} site;

/* Run a statement without a result: 0, or an error. */
static int run_statement(PGconn *db, const char *text) {
  PGresult *result = PQexec(db, text);
  int ran = PQresultStatus(result) == PGRES_COMMAND_OK;
  PQclear(result);
  return ran ? 0 : FCGI_ERR_SYSTEM;
}

/* libpq ends its messages with a newline. The library tries again. */
static int fail(PGconn *db, char *why, size_t len) {
  snprintf(why, len, "%s", PQerrorMessage(db));
  why[strcspn(why, "\n")] = '\0';
  PQfinish(db);
  return FCGI_ERR_CLOSED;
}

static int open_database(void **value, char *why, size_t len, void *user_data) {
  PGconn *db = PQconnectdb(user_data);
  if (PQstatus(db) != CONNECTION_OK ||
      run_statement(db, "set client_min_messages = warning") ||
      run_statement(db, "create table if not exists visit (id bigserial)"))
    return fail(db, why, len);
  *value = db;
  return 0;
}

/* Asked after a rest: the server may have gone in the meantime. */
static int check_database(void *value, void *user_data) {
  (void)user_data;
  return run_statement(value, "");
}

/* Nothing of this request shows in the next one. */
static int reset_database(void *value, void *user_data) {
  (void)user_data;
  if (PQstatus(value) != CONNECTION_OK)
    return FCGI_ERR_CLOSED;
  if (PQtransactionStatus(value) != PQTRANS_IDLE &&
      run_statement(value, "rollback"))
    return FCGI_ERR_CLOSED;
  return run_statement(value, "discard all");
}

static void close_database(void *value, void *user_data) {
  (void)user_data;
  PQfinish(value);
}

/* The client gets 503, and the web server's log the reason. */
static int refuse(fcgi_request *request, fcgi_resource *db, int error) {
  char why[FCGI_RESOURCE_WHY];
  fcgi_resource_message(db, why, sizeof why);
  fcgi_request_write_stderr(request, why, strlen(why));
  return error;
}

/* A statement that fails because the connection is gone has the reset fail too,
   which closes the connection. The next request opens another one. */
static int answer(fcgi_request *request, void *user_data) {
  static const char visit[] = "insert into visit default values returning id";
  fcgi_resource *db = user_data;
  char text[64];
  void *connection;
  PGresult *result;
  int failed = fcgi_resource_get(db, fcgi_request_holder(request), &connection);
  if (failed)
    return refuse(request, db, failed);
  result = PQexec(connection, visit);
  if (PQresultStatus(result) == PGRES_TUPLES_OK)
    snprintf(text, sizeof text, "Hello, visitor %s\n",
             PQgetvalue(result, 0, 0));
  else
    failed = FCGI_ERR_SYSTEM;
  PQclear(result);
  return failed ? failed
                : fcgi_request_reply(request, 200, "text/plain", text,
                                     strlen(text));
}

static int run(void *data) {
  const site *s = data;
  return fcgi_server_run_threads(s->server, &s->handler, s->db, s->threads);
}

static int serve(site *s, const char *address) {
  char why[256];
  int failed = fcgi_server_new(&s->server, NULL, why, sizeof why);
  if (failed) {
    fprintf(stderr, "visitors_postgres: %s\n", why);
    return failed;
  }
  failed = fcgi_server_keep(s->server, s->db);
  if (!failed)
    failed = fcgi_server_listen(s->server, address);
  if (!failed)
    failed = fcgi_serve_signals(s->server, run, s);
  if (failed)
    fprintf(stderr, "visitors_postgres: %s\n", fcgi_server_message(s->server));
  fcgi_server_free(s->server);
  return failed;
}

int main(int argc, char **argv) {
  const fcgi_resource_config config = {.size = sizeof config,
                                       .name = "visitors",
                                       .user_data = argv[1],
                                       .open = open_database,
                                       .check = check_database,
                                       .reset = reset_database,
                                       .close = close_database};
  site s = {.handler = {.size = sizeof s.handler, .on_request = answer},
            .threads = argc > 3 ? (unsigned)atoi(argv[3]) : 1};
  char why[256];
  int failed;
  if (argc < 2 || s.threads < 1) {
    fprintf(stderr,
            "usage: visitors_postgres CONNECTION [ADDRESS [THREADS]]\n");
    return 2;
  }
  if (fcgi_resource_new(&s.db, &config, why, sizeof why)) {
    fprintf(stderr, "visitors_postgres: %s\n", why);
    return 1;
  }
  failed = serve(&s, argc > 2 ? argv[2] : NULL);
  fcgi_resource_free(s.db);
  return failed ? 1 : 0;
}
