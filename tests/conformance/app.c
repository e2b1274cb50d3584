/* SPDX-License-Identifier: MIT */
/* The applications that cases name in `handler`, over a server:
   `app HANDLER ADDRESS [LIMIT=NUMBER...]`. README.md says what each does.
   HANDLER `spec` is all of them: each request's SPEC_HANDLER chooses. */
#include <fastcgi/fastcgi.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  THREADS = 8
}; /* Of `spec`: more than the cases hold requests at once. */

/* Growable bytes. Zero-initialised is empty. */
typedef struct text {
  char *data; /* The bytes. */
  size_t len; /* Number of bytes. */
} text;

static const char page_head[] = "Content-type: text/html\r\n\r\n";
static const char page_body[] = "<html>\n<head> ... ";

static void add(text *to, const void *data, size_t len) {
  char *grown = realloc(to->data, to->len + len + 1);
  if (!grown)
    abort();
  to->data = grown;
  if (len > 0)
    memcpy(to->data + to->len, data, len);
  to->len += len;
}

static int put(fcgi_request *request, const char *data, size_t len) {
  while (len > 0) {
    ptrdiff_t took = fcgi_request_write(request, data, len);
    if (took < 0)
      return (int)took;
    data += took;
    len -= (size_t)took;
  }
  return 0;
}

static int say(fcgi_request *request, const char *what) {
  return put(request, what, strlen(what));
}

static int respond(fcgi_request *request, const void *body, size_t len) {
  say(request, "Content-Type: text/plain\r\n\r\n");
  put(request, body, len);
  return fcgi_request_end(request, 0);
}

static int refuse(fcgi_request *request, int status, const char *reason) {
  return fcgi_request_reply(request, status, "text/plain", reason,
                            strlen(reason));
}

typedef ptrdiff_t (*reader)(fcgi_request *, void *, size_t);

static int read_all(fcgi_request *request, reader read, text *body) {
  char data[65536];
  ptrdiff_t len;
  while ((len = read(request, data, sizeof data)) > 0)
    add(body, data, (size_t)len);
  return (int)len;
}

static int answer_body(fcgi_request *request, const text *body, int failed) {
  if (failed == FCGI_ERR_TRUNCATED)
    return refuse(request, 400, "400 Bad Request\n");
  if (failed)
    return failed;
  return respond(request, body->data, body->len);
}

static int echo(fcgi_request *request, void *data) {
  text body = {0};
  int result = read_all(request, fcgi_request_read, &body);
  (void)data;
  result = answer_body(request, &body, result);
  free(body.data);
  return result;
}

static int filter(fcgi_request *request, void *data) {
  text body = {0};
  int result = read_all(request, fcgi_request_read, &body);
  (void)data;
  add(&body, "|", 1);
  if (result == 0)
    result = read_all(request, fcgi_request_read_data, &body);
  result = answer_body(request, &body, result);
  free(body.data);
  return result;
}

static int seen_before(const fcgi_params *params, size_t index) {
  fcgi_param this, earlier;
  fcgi_params_at(params, index, &this);
  for (size_t i = 0; i < index; i++)
    if (fcgi_params_at(params, i, &earlier) == 0 &&
        earlier.name_len == this.name_len &&
        memcmp(earlier.name, this.name, this.name_len) == 0)
      return 1;
  return 0;
}

static int list(fcgi_request *request, void *data) {
  const fcgi_params *params = fcgi_request_params(request);
  text lines = {0};
  fcgi_param at;
  (void)data;
  for (size_t i = 0; fcgi_params_at(params, i, &at) == 0; i++) {
    size_t len = 0;
    if (seen_before(params, i))
      continue;
    add(&lines, at.name, at.name_len);
    add(&lines, "=", 1);
    const char *value = fcgi_params_get(params, at.name, at.name_len, &len);
    add(&lines, value, len);
    add(&lines, "\n", 1);
  }
  int result = respond(request, lines.data, lines.len);
  free(lines.data);
  return result;
}

static int early(fcgi_request *request, void *data) {
  (void)data;
  return respond(request, "early\n", 6);
}

static int page(fcgi_request *request, void *data) {
  (void)data;
  say(request, page_head);
  say(request, page_body);
  return fcgi_request_end(request, 0);
}

static int fault(fcgi_request *request, void *data) {
  (void)data;
  say(request, page_head);
  say(request, "<ht");
  fcgi_request_write_stderr(request, "config error: missing SI_UID\n", 29);
  say(request, "ml>\n<head> ... ");
  return fcgi_request_end(request, 938);
}

/* `data` is where the request is held that waits for another. */
static int swap(fcgi_request *request, void *data) {
  _Atomic(fcgi_request *) *held = data;
  fcgi_request *other = atomic_exchange(held, NULL);
  if (!other) {
    say(request, page_head);
    atomic_store(held, request);
    fcgi_request_flush(request);
    return FCGI_PENDING;
  }
  page(request, NULL);
  say(other, page_body);
  fcgi_request_end(other, 0);
  return 0;
}

static int hold(fcgi_request *request, void *data) {
  (void)request;
  (void)data;
  return FCGI_PENDING;
}

static int let_go(fcgi_request *request, void *data) {
  (void)data;
  return respond(request, "aborted\n", 8);
}

static int big(fcgi_request *request, void *data) {
  static const char part[] = "xxxxxxxxxxxxxxxxxxxx";
  (void)data;
  say(request, "Content-Type: text/plain\r\n\r\n");
  for (int i = 0; i < 10000; i++)
    say(request, part);
  return fcgi_request_end(request, 0);
}

static int authorize(fcgi_request *request, void *data) {
  const char *pass = fcgi_request_param(request, "PASS");
  (void)data;
  if (!pass || strcmp(pass, "yes") != 0)
    return refuse(request, 403, "403 Forbidden\n");
  say(request, "Variable-AUTH: yes\r\n\r\n");
  return fcgi_request_end(request, 0);
}

static const struct {
  const char *name;         /* As cases say it. */
  fcgi_body_mode body;      /* What it needs. */
  fcgi_callback on_request; /* Called for each request. */
  fcgi_callback on_abort;   /* What ends a request it holds. */
} handlers[] = {
    {"echo", FCGI_BODY_COLLECT, echo, NULL},
    {"params", FCGI_BODY_COLLECT, list, NULL},
    {"early", FCGI_BODY_STREAM, early, NULL},
    {"page", FCGI_BODY_COLLECT, page, NULL},
    {"fault", FCGI_BODY_COLLECT, fault, NULL},
    {"swap", FCGI_BODY_COLLECT, swap, NULL},
    {"hold", FCGI_BODY_COLLECT, hold, let_go},
    {"big", FCGI_BODY_COLLECT, big, NULL},
    {"data", FCGI_BODY_COLLECT, filter, NULL},
    {"authorize", FCGI_BODY_COLLECT, authorize, NULL},
};
enum { HANDLERS = sizeof handlers / sizeof *handlers };

/* The one that SPEC_HANDLER names, as `fcgi spec --echo` has it. */
static size_t chosen(const fcgi_request *request) {
  const char *name = fcgi_request_param(request, "SPEC_HANDLER");
  size_t i = 0;
  while (name && i < HANDLERS && strcmp(handlers[i].name, name) != 0)
    i++;
  return i;
}

static int choose(fcgi_request *request, void *data) {
  size_t i = chosen(request);
  return i < HANDLERS ? handlers[i].on_request(request, data)
                      : refuse(request, 501, "501 Not Implemented\n");
}

static int choose_abort(fcgi_request *request, void *data) {
  size_t i = chosen(request);
  return i < HANDLERS && handlers[i].on_abort
             ? handlers[i].on_abort(request, data)
             : 0;
}

static int set_limit(fcgi_options *options, const char *limit) {
  const char *equals = strchr(limit, '=');
  char name[64];
  if (!equals || snprintf(name, sizeof name, "%.*s", (int)(equals - limit),
                          limit) >= (int)sizeof name)
    return -1;
  return fcgi_options_set(options, FCGI_ORIGIN_PROGRAM, name, equals + 1);
}

static int serve(const fcgi_server_config *config, const char *address,
                 const fcgi_handler *handler, unsigned threads) {
  _Atomic(fcgi_request *) held = NULL;
  fcgi_server *server;
  if (fcgi_server_new(&server, config, NULL, 0))
    return 1;
  if (fcgi_server_listen(server, address) ||
      fcgi_server_run_threads(server, handler, &held, threads)) {
    fprintf(stderr, "app: %s\n", fcgi_server_message(server));
    return 1;
  }
  fcgi_server_free(server);
  return 0;
}

int main(int argc, char **argv) {
  fcgi_server_config config = {.size = sizeof config, .drain_silence_ms = 200};
  fcgi_handler handler = {.size = sizeof handler};
  fcgi_options *limits;
  const int all = argc > 2 && strcmp(argv[1], "spec") == 0;
  if (all) {
    config.body = FCGI_BODY_STREAM;
    handler.on_request = choose;
    handler.on_abort = choose_abort;
  }
  for (size_t i = 0; argc > 2 && i < HANDLERS; i++) {
    if (strcmp(handlers[i].name, argv[1]) != 0)
      continue;
    config.body = handlers[i].body;
    handler.on_request = handlers[i].on_request;
    handler.on_abort = handlers[i].on_abort;
  }
  if (fcgi_options_new(&limits, FCGI_LAUNCHER_RUN))
    return 1;
  for (int i = 3; i < argc; i++)
    if (set_limit(limits, argv[i]))
      handler.on_request = NULL;
  fcgi_options_server(limits, &config);
  if (!handler.on_request) {
    fprintf(stderr, "usage: app HANDLER ADDRESS [LIMIT=NUMBER...]\n");
    return 2;
  }
  int status = serve(&config, argv[2], &handler, all ? THREADS : 1);
  fcgi_options_free(limits);
  return status;
}
