/* SPDX-License-Identifier: MIT */
/* Answers with the body of the request as raw CGI output: `raw ADDRESS`; the
   query string is how many of its bytes go in the first write, or "file". */
#define _POSIX_C_SOURCE 200809L /* fileno */
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 400000 };

/* As bytes come: -1 for a body that is too long. */
static ptrdiff_t read_all(fcgi_request *request, char *data) {
  size_t len = 0;
  ptrdiff_t got;
  while ((got = fcgi_request_read(request, data + len, MOST - len)) > 0)
    len += (size_t)got;
  return got < 0 || len == MOST ? -1 : (ptrdiff_t)len;
}

static int send_as_file(fcgi_request *request, const char *data, size_t len) {
  FILE *file = tmpfile();
  int error;
  if (!file)
    return -1;
  fwrite(data, 1, len, file);
  fflush(file);
  error = fcgi_request_send_file(request, fileno(file), 0, FCGI_TO_END);
  fclose(file);
  return error;
}

static int answer(fcgi_request *request, void *user_data) {
  const char *query = fcgi_request_param(request, "QUERY_STRING");
  char *data = user_data;
  ptrdiff_t len = read_all(request, data);
  size_t first = query ? strtoul(query, NULL, 10) : 0;
  if (len < 0 || (size_t)len < first)
    return -1;
  if (query && strcmp(query, "file") == 0)
    return send_as_file(request, data, (size_t)len);
  if (fcgi_request_write(request, data, first) < 0 ||
      fcgi_request_write(request, data + first, (size_t)len - first) < 0)
    return -1;
  return 0;
}

int main(int argc, char **argv) {
  static const fcgi_handler handler = {.size = sizeof handler,
                                       .on_request = answer};
  static char data[MOST];
  return argc == 2 ? fcgi_serve(argv[1], &handler, data) : 2;
}
