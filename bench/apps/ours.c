/* SPDX-License-Identifier: MIT */
/* ours ADDRESS [THREADS [stream]]: hello; /page is 10 KiB; a body is counted,
   with "stream" while it comes. */
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each way ends the request and the callback with it. */
static int answer(fcgi_request *request, void *user_data) {
  const char *path = fcgi_request_param(request, "PATH_INFO");
  const char *length = fcgi_request_param(request, "CONTENT_LENGTH");
  fcgi_request_gather(request);
  if (path && strcmp(path, "/page") == 0)
    return fcgi_request_reply(request, 200, "text/html", user_data, 10240);
  if (length && *length) {
    char data[65536], text[32];
    long long total = 0;
    ptrdiff_t n;
    while ((n = fcgi_request_read(request, data, sizeof data)) > 0)
      total += n;
    snprintf(text, sizeof text, "%lld\n", total);
    return fcgi_request_reply(request, 200, "text/plain", text, strlen(text));
  }
  return fcgi_request_reply(request, 200, "text/plain", "Hello\n", 6);
}

static const fcgi_handler handler = {.size = sizeof handler,
                                     .on_request = answer};
static char page[10240];

int main(int argc, char **argv) {
  fcgi_server_config config = {.size = sizeof config};
  fcgi_server *server;
  int threads = argc > 2 ? atoi(argv[2]) : 1;
  config.body = argc > 3 ? FCGI_BODY_STREAM : FCGI_BODY_COLLECT;
  memset(page, 'x', sizeof page);
  if (argc < 2 || threads < 1 ||
      fcgi_server_new(&server, &config, NULL, 0) != 0) {
    fprintf(stderr, "no server can be made\n");
    return 1;
  }
  if (fcgi_server_listen(server, argv[1]) != 0) {
    fprintf(stderr, "%s\n", fcgi_server_message(server));
    return 1;
  }
  return fcgi_server_run_threads(server, &handler, page, (unsigned)threads) !=
         0;
}
