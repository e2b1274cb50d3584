/* SPDX-License-Identifier: MIT */
/* A program that does as it is told by the query string: "fail", "loop" without
   end, "call" what does not return, or answer. told.py, told.lua and
   swig_told.* are the same in other languages. */
#include <fastcgi/fastcgi.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file $MARK says that a handler has begun. */
static void mark(void) {
  close(open(getenv("MARK"), O_CREAT | O_WRONLY, 0600));
}

static int answer(fcgi_request *request, void *user_data) {
  const char *told = fcgi_request_param(request, "QUERY_STRING");
  volatile int on = 1;
  (void)user_data;
  if (told && strcmp(told, "fail") == 0)
    return -1;
  if (told && strcmp(told, "loop") == 0)
    for (mark(); on;)
      ;
  if (told && strcmp(told, "call") == 0)
    for (mark(); on;)
      pause();
  return fcgi_request_reply(request, 200, "text/plain", "fine\n", 5);
}

int main(int argc, char **argv) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = answer};
  return fcgi_serve(fcgi_serve_address(argc, argv), &handler, NULL) ? 1 : 0;
}
