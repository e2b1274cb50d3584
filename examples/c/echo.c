/* SPDX-License-Identifier: MIT */
/* Sends a request's body back while it arrives: `echo [address [threads]]`.
   GET and HEAD list a few parameters instead. Behind nginx the body is kept in
   a file first: nginx stops sending it once it has the head of an answer. */
#define _POSIX_C_SOURCE 200809L /* fileno */
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
  fcgi_server *server;         /* Where requests come from. */
  const fcgi_handler *handler; /* What answers them. */
  unsigned threads;            /* On how many threads, at least 1. */
} job;

static fcgi_header header(const char *name, const char *value) {
  return (fcgi_header){name, strlen(name), value, strlen(value)};
}

static const char *param(const fcgi_request *request, const char *name,
                         const char *otherwise) {
  const char *value = fcgi_request_param(request, name);
  return value && *value ? value : otherwise;
}

/* A write may take fewer bytes than it was given. */
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

static int write_text(fcgi_request *request, const char *text) {
  return write_all(request, text, strlen(text));
}

static int list_params(fcgi_request *request) {
  static const char *const names[] = {
      "REQUEST_METHOD", "SCRIPT_NAME",     "PATH_INFO",   "QUERY_STRING",
      "CONTENT_LENGTH", "SERVER_PROTOCOL", "HTTP_X_TEST",
  };
  const fcgi_header type = header("Content-Type", "text/plain");
  int failed = fcgi_request_start(request, 200, &type, 1);
  for (size_t i = 0; !failed && i < sizeof names / sizeof *names; i++) {
    failed = write_text(request, names[i]);
    if (!failed)
      failed = write_text(request, "=");
    if (!failed)
      failed = write_text(request, param(request, names[i], ""));
    if (!failed)
      failed = write_text(request, "\n");
  }
  return failed;
}

static int stream_body(fcgi_request *request) {
  char data[65536];
  ptrdiff_t len;
  while ((len = fcgi_request_read(request, data, sizeof data)) > 0) {
    int failed = write_all(request, data, (size_t)len);
    if (failed)
      return failed;
  }
  return (int)len;
}

static int keep_body(fcgi_request *request, FILE *file, uint64_t *total) {
  char data[65536];
  ptrdiff_t len;
  while ((len = fcgi_request_read(request, data, sizeof data)) > 0) {
    if (fwrite(data, 1, (size_t)len, file) != (size_t)len)
      return FCGI_ERR_SYSTEM;
    *total += (uint64_t)len;
  }
  return len == 0 && fflush(file) == 0 ? 0 : FCGI_ERR_SYSTEM;
}

static int send_body(fcgi_request *request, FILE *file, uint64_t total) {
  int failed = file ? fcgi_request_send_file(request, fileno(file), 0, total)
                    : stream_body(request);
  if (file)
    fclose(file);
  return failed;
}

static int echo_body(fcgi_request *request) {
  const fcgi_header headers[] = {
      header("Content-Type",
             param(request, "CONTENT_TYPE", "application/octet-stream")),
      header("X-Echo-Length", param(request, "CONTENT_LENGTH", "")),
  };
  const char *server = param(request, "SERVER_SOFTWARE", "");
  FILE *file = strncmp(server, "nginx", 5) == 0 ? tmpfile() : NULL;
  uint64_t total = 0;
  int failed = file ? keep_body(request, file, &total) : 0;
  if (!failed)
    failed = fcgi_request_start(request, 200, headers, 2);
  if (!failed)
    return send_body(request, file, total);
  if (file)
    fclose(file);
  return failed;
}

/* Returning 0 ends the request, a negative error fails it. */
static int echo(fcgi_request *request, void *user_data) {
  const char *method = param(request, "REQUEST_METHOD", "GET");
  (void)user_data;
  if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
    return list_params(request);
  return echo_body(request);
}

static int run(void *data) {
  const job *work = data;
  return fcgi_server_run_threads(work->server, work->handler, NULL,
                                 work->threads);
}

int main(int argc, char **argv) {
  const fcgi_server_config config = {.size = sizeof config,
                                     .body = FCGI_BODY_STREAM};
  const fcgi_handler handler = {.size = sizeof handler, .on_request = echo};
  const char *address = fcgi_serve_address(argc, argv);
  const int threads = address && argc > 2 ? atoi(argv[2]) : 1;
  job work = {NULL, &handler, threads > 0 ? (unsigned)threads : 1};
  char why[256];
  int failed = fcgi_server_new(&work.server, &config, why, sizeof why);
  if (failed) {
    fprintf(stderr, "echo: %s\n", why);
    return 1;
  }
  failed = fcgi_server_listen(work.server, address);
  if (!failed)
    failed = fcgi_serve_signals(work.server, run, &work);
  if (failed)
    fprintf(stderr, "echo: %s\n", fcgi_server_message(work.server));
  fcgi_server_free(work.server);
  return failed ? 1 : 0;
}
