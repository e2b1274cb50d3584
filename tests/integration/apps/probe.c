/* SPDX-License-Identifier: MIT */
/* What the fault tests ask: `probe ADDRESS [THREADS [NAME=NUMBER...]]`; the
   README beside this folder says how it answers. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <ctype.h>
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SHOUT = 77 }; /* The number of the custom role. */

typedef struct job {
  fcgi_server *server; /* What to run. */
  unsigned threads;    /* On how many threads. */
} job;

static int write_all(fcgi_request *request, const char *data, size_t len) {
  while (len > 0) {
    ptrdiff_t took = fcgi_request_write(request, data, len);
    if (took < 0)
      return (int)took;
    data += took;
    len -= (size_t)took;
  }
  return 0;
}

static int start(fcgi_request *request) {
  const fcgi_header type = {"Content-Type", 12, "text/plain", 10};
  return fcgi_request_start(request, 200, &type, 1);
}

/* One line on the program's own stderr. */
static void tell_abort(fcgi_request *request) {
  static const char *const reasons[] = {"none",     "record",  "connection",
                                        "protocol", "timeout", "stop",
                                        "deadline"};
  const char *query = fcgi_request_param(request, "QUERY_STRING");
  fprintf(stderr, "probe: %s aborted: %s\n", query ? query : "",
          reasons[fcgi_request_aborted(request)]);
}

/* So many bytes, or fewer where the body ends; or an error. */
static ptrdiff_t read_piece(fcgi_request *request, char *data, size_t size) {
  size_t got = 0;
  ptrdiff_t len = 1;
  while (got < size && len > 0) {
    len = fcgi_request_read(request, data + got, size - got);
    got += len > 0 ? (size_t)len : 0;
  }
  return len < 0 ? len : (ptrdiff_t)got;
}

/* In pieces of one size: HAProxy 3 stops reading for good at some others. */
static int echo(fcgi_request *request) {
  char data[16384];
  ptrdiff_t len;
  int failed = start(request);
  while (!failed && (len = read_piece(request, data, sizeof data)) != 0)
    failed = len < 0 ? (int)len : write_all(request, data, (size_t)len);
  if (failed)
    tell_abort(request);
  return failed;
}

/* As many bytes as the query string says. */
static int big(fcgi_request *request, const char *query) {
  char data[16384];
  size_t left = strtoul(query, NULL, 10);
  int failed = start(request);
  memset(data, 'x', sizeof data);
  while (!failed && left > 0) {
    size_t len = left < sizeof data ? left : sizeof data;
    failed = write_all(request, data, len);
    left -= len;
  }
  if (failed)
    tell_abort(request);
  return failed;
}

static int show_query(fcgi_request *request, const char *query) {
  int failed = start(request);
  if (!failed)
    failed = write_all(request, query, strlen(query));
  return failed ? failed : write_all(request, "\n", 1);
}

static void sleep_for_a_second(void) {
  struct timespec left = {.tv_sec = 1};
  while (nanosleep(&left, &left) != 0)
    ;
}

/* Until the file that $GATE names is there. */
static void wait_for_gate(const char *query) {
  const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
  const char *gate = getenv("GATE");
  fprintf(stderr, "probe: %s began\n", query ? query : "");
  while (gate && access(gate, F_OK) != 0)
    nanosleep(&pause, NULL);
}

static int is_at(fcgi_request *request, const char *path) {
  const char *script = fcgi_request_param(request, "SCRIPT_NAME");
  const char *info = fcgi_request_param(request, "PATH_INFO");
  return (script && strcmp(script, path) == 0) ||
         (info && strcmp(info, path) == 0);
}

static int shout(fcgi_request *request) {
  char data[1024];
  ptrdiff_t len;
  int failed = start(request);
  while (!failed && (len = fcgi_request_read(request, data, sizeof data)) > 0) {
    for (ptrdiff_t i = 0; i < len; i++)
      data[i] = (char)toupper((unsigned char)data[i]);
    failed = write_all(request, data, (size_t)len);
  }
  return failed;
}

/* So many messages for the web server's log as the query string says. */
static void complain(fcgi_request *request, int count) {
  char text[64];
  for (int i = 0; i < count; i++) {
    int len = snprintf(text, sizeof text, "complaint %029d", i);
    fcgi_request_write_stderr(request, text, (size_t)len);
  }
}

static int answer(fcgi_request *request, void *user_data) {
  const char *method = fcgi_request_param(request, "REQUEST_METHOD");
  const char *query = fcgi_request_param(request, "QUERY_STRING");
  (void)user_data;
  if (fcgi_request_role(request) == SHOUT)
    return shout(request);
  if (is_at(request, "/stderr"))
    fcgi_request_write_stderr(request, "a line\n", 7);
  if (is_at(request, "/complain"))
    complain(request, atoi(query ? query : "0"));
  if (is_at(request, "/gate"))
    wait_for_gate(query);
  if (is_at(request, "/slow"))
    sleep_for_a_second();
  if (method && strcmp(method, "POST") == 0)
    return echo(request);
  if (is_at(request, "/big"))
    return big(request, query ? query : "0");
  return show_query(request, query ? query : "");
}

static int run(void *data) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = answer};
  const job *work = data;
  return fcgi_server_run_threads(work->server, &handler, NULL, work->threads);
}

static int set_option(fcgi_server_config *config, const char *word) {
  const char *value = strchr(word, '=');
  size_t len = value ? (size_t)(value - word) : 0;
  int number = value ? atoi(value + 1) : 0;
  if (len == 4 && strncmp(word, "poll", len) == 0)
    config->poller = number ? FCGI_POLLER_POLL : FCGI_POLLER_EPOLL;
  else if (len == 7 && strncmp(word, "collect", len) == 0)
    config->body = number ? FCGI_BODY_COLLECT : FCGI_BODY_STREAM;
  else if (len == 14 && strncmp(word, "header_timeout", len) == 0)
    config->header_timeout_ms = number;
  else
    return -1;
  return 0;
}

int main(int argc, char **argv) {
  static const fcgi_role_spec roles[] = {FCGI_ROLE_SPECS,
                                         {SHOUT, FCGI_STREAMS_STDIN, "shout"}};
  fcgi_server_config config = {.size = sizeof config, .body = FCGI_BODY_STREAM};
  job work = {NULL, argc > 2 ? (unsigned)atoi(argv[2]) : 1};
  int failed = 0;
  if (getenv("PROBE_COLLECT"))
    config.body = FCGI_BODY_COLLECT;
  if (getenv("PROBE_TELLS"))
    config.log_levels = ~0u;
  for (int i = 3; i < argc && !failed; i++)
    failed = set_option(&config, argv[i]);
  if (!failed)
    failed = fcgi_server_new(&work.server, &config, NULL, 0);
  if (!failed)
    failed = fcgi_server_set_roles(work.server, roles, 4);
  if (!failed)
    failed = fcgi_server_listen(work.server, argc > 1 ? argv[1] : NULL);
  if (!failed)
    failed = fcgi_serve_signals(work.server, run, &work);
  if (failed)
    fprintf(stderr, "probe: %s\n",
            work.server ? fcgi_server_message(work.server)
                        : fcgi_error_text(failed));
  fcgi_server_free(work.server);
  return failed ? 1 : 0;
}
