/* SPDX-License-Identifier: MIT */
/* Numbers the lines of a file that the web server sends along:
   `filter [address]`. A filter is a responder with a second input, DATA: the
   file, with its length and the time it was modified. It need not be read:
   where the browser has that version already, nothing is sent. */
#define _POSIX_C_SOURCE 200809L /* gmtime_r */
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

/* Bytes of the file, with a number before each line; `*line` counts them, and
   `*begun` is 1 within one. */
static int number_lines(fcgi_request *request, const char *data, size_t len,
                        unsigned long *line, int *begun) {
  int failed = 0;
  while (!failed && len > 0) {
    const char *end = memchr(data, '\n', len);
    size_t part = end ? (size_t)(end - data) + 1 : len;
    char number[32];
    if (!*begun) {
      int digits = snprintf(number, sizeof number, "%6lu  ", ++*line);
      failed = write_all(request, number, (size_t)digits);
    }
    if (!failed)
      failed = write_all(request, data, part);
    *begun = !end;
    data += part;
    len -= part;
  }
  return failed;
}

/* Returning 0 ends the request, a negative error fails it. */
static int number_file(fcgi_request *request) {
  char data[65536];
  unsigned long line = 0;
  int begun = 0, failed = 0;
  ptrdiff_t len;
  while (!failed &&
         (len = fcgi_request_read_data(request, data, sizeof data)) != 0)
    failed = len < 0 ? (int)len
                     : number_lines(request, data, (size_t)len, &line, &begun);
  return !failed && begun ? write_all(request, "\n", 1) : failed;
}

/* The value of Last-Modified, "" when the web server does not know. */
static void format_time(int64_t seconds, char *out, size_t len) {
  time_t when = (time_t)seconds;
  struct tm parts;
  out[0] = '\0';
  if (seconds >= 0 && gmtime_r(&when, &parts))
    strftime(out, len, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static int answer(fcgi_request *request, void *user_data) {
  char modified[64];
  const char *known = fcgi_request_param(request, "HTTP_IF_MODIFIED_SINCE");
  fcgi_header headers[] = {{"Content-Type", 12, "text/plain", 10},
                           {"Last-Modified", 13, modified, 0}};
  int fresh, failed;
  (void)user_data;
  format_time(fcgi_request_data_modified(request), modified, sizeof modified);
  headers[1].value_len = strlen(modified);
  fresh = *modified && known && strcmp(known, modified) == 0;
  failed = fcgi_request_start(request, fresh ? 304 : 200, headers,
                              *modified ? 2 : 1);
  return failed || fresh ? failed : number_file(request);
}

static int run(void *server) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = answer};
  return fcgi_server_run(server, &handler, NULL);
}

int main(int argc, char **argv) {
  const fcgi_server_config config = {.size = sizeof config,
                                     .body = FCGI_BODY_STREAM};
  const fcgi_role_spec roles[] = {FCGI_ROLE_SPEC_FILTER};
  fcgi_server *server = NULL;
  int failed = fcgi_server_new(&server, &config, NULL, 0);
  if (!failed)
    failed = fcgi_server_set_roles(server, roles, 1);
  if (!failed)
    failed = fcgi_server_listen(server, fcgi_serve_address(argc, argv));
  if (!failed)
    failed = fcgi_serve_signals(server, run, server);
  if (failed)
    fprintf(stderr, "filter: %s\n",
            server && *fcgi_server_message(server) ? fcgi_server_message(server)
                                                   : fcgi_error_text(failed));
  fcgi_server_free(server);
  return failed ? 1 : 0;
}
