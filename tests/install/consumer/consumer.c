/* SPDX-License-Identifier: MIT */
#include <fastcgi/fastcgi.h>
#include <stdio.h>

static int answer(fcgi_request *request, void *user_data) {
  (void)user_data;
  return fcgi_request_reply(request, 200, "text/plain", "installed\n", 10);
}

int main(int argc, char **argv) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = answer};
  if (argc < 2)
    return puts(fcgi_version()) < 0;
  return fcgi_serve(argv[1], &handler, NULL) ? 1 : 0;
}
