/* SPDX-License-Identifier: MIT */
/* Answers with raw CGI output: `raw ADDRESS`; the query string is the number of
   a shape, and how many of its bytes go in the first write. */
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <string.h>

static const char *const shapes[] = {
    "Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nbody",
    "Content-Type: text/plain\r\nStatus: 404 Not Found\r\n\r\nbody",
    "Content-Type: text/plain\nstatus:503 Busy\n\nStatus: 200\n",
    "Content-Type: text/plain\r\n\r\nStatus: 404\r\n",
    "Location: http://127.0.0.1/elsewhere\r\n\r\n",
    "Location: http://127.0.0.1/elsewhere\r\nStatus: 307 Away\r\n\r\n",
    "Status: 201\r\nContent-Type: text/plain\r\nLocation: "
    "http://127.0.0.1/new\r\n\r\nmade",
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static int answer(fcgi_request *request, void *user_data) {
  const char *query = fcgi_request_param(request, "QUERY_STRING");
  unsigned shape = 0, split = 0;
  size_t len;
  (void)user_data;
  if (!query || sscanf(query, "%u,%u", &shape, &split) != 2 ||
      shape >= SHAPES || split > strlen(shapes[shape]))
    return -1;
  len = strlen(shapes[shape]);
  if (fcgi_request_write(request, shapes[shape], split) < 0 ||
      fcgi_request_write(request, shapes[shape] + split, len - split) < 0)
    return -1;
  return 0;
}

int main(int argc, char **argv) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = answer};
  return argc == 2 ? fcgi_serve(argv[1], &handler, NULL) : 2;
}
