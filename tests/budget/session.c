/* SPDX-License-Identifier: MIT */
/* session FILE COUNT: feeds one request's bytes to a session COUNT times and
   answers each, all in memory. */
#include <fastcgi/session.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char answer[] = "Status: 200\r\nContent-Type: text/plain\r\n"
                             "Content-Length: 6\r\n\r\nHello\n";

/* Everything that is to be sent, as sendmsg would take it: its bytes. */
static size_t send_all(fcgi_session *session) {
  struct iovec parts[16];
  size_t all = 0;
  int count;
  while ((count = fcgi_session_output(session, parts, 16)) > 0) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
      bytes += parts[i].iov_len;
    fcgi_session_output_done(session, bytes);
    all += bytes;
  }
  return all;
}

/* 1 when the request was answered in full. */
static int serve(fcgi_session *session, const char *bytes, size_t len) {
  const fcgi_event *event;
  uint16_t id = 0;
  size_t sent = 0;
  int closed = 0;
  if (fcgi_session_feed(session, bytes, len) != 0)
    return 0;
  while (fcgi_session_next(session, &event) == 1) {
    id = event->id;
    closed |= event->type == FCGI_EVENT_CLOSE;
    if (event->type != FCGI_EVENT_STDIN_END)
      continue;
    if (fcgi_session_write(session, id, FCGI_STREAM_STDOUT, answer,
                           sizeof answer - 1) != 0 ||
        fcgi_session_end(session, id, 0, FCGI_END_COMPLETE) != 0)
      return 0;
    sent += send_all(session);
  }
  return closed && sent >= 8 + sizeof answer - 1 + 8 + 16;
}

int main(int argc, char **argv) {
  static char bytes[65536];
  FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
  size_t len = file ? fread(bytes, 1, sizeof bytes, file) : 0;
  long count = argc == 3 ? atol(argv[2]) : 0;
  fcgi_session *session;
  if (len == 0 || fcgi_session_new(&session, NULL) != 0)
    return 1;
  fclose(file);
  for (long i = 0; i < count; i++)
    if (!serve(session, bytes, len)) {
      fprintf(stderr, "request %ld was not answered\n", i);
      return 1;
    }
  fcgi_session_free(session);
  return 0;
}
