/* SPDX-License-Identifier: MIT */
/* The smallest application: `hello unix:/run/hello.sock`, or without an
   argument on what it inherits: a listener, or one CGI request. */
#include <fastcgi/fastcgi.h>

static int hello(fcgi_request *request, void *user_data) {
  (void)user_data;
  return fcgi_request_reply(request, 200, "text/plain", "Hello\n", 6);
}

int main(int argc, char **argv) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = hello};
  return fcgi_serve(fcgi_serve_address(argc, argv), &handler, NULL) ? 1 : 0;
}
