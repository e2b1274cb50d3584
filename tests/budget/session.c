/* SPDX-License-Identifier: MIT */
/* session FILE COUNT: feeds the requests of a file to a session, one after
   another and again from the first, COUNT in all, and answers each, all in
   memory. A request ends with the end of its STDIN. */
#include <fastcgi/record.h>
#include <fastcgi/session.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REQUESTS = 64 };

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

/* The bytes of the request at `bytes`. */
static size_t size_of(const char *bytes, size_t len) {
  fcgi_record record = {.type = 0};
  size_t at = 0;
  while (at + FCGI_RECORD_HEADER <= len &&
         (record.type != FCGI_RECORD_STDIN || record.content_len > 0)) {
    fcgi_record_decode(&record, (const uint8_t *)bytes + at);
    at += FCGI_RECORD_HEADER + record.content_len + record.padding_len;
  }
  return at;
}

static size_t split(const char *bytes, size_t len, size_t *sizes) {
  size_t at = 0, count = 0;
  while (at < len && count < MOST_REQUESTS)
    at += sizes[count++] = size_of(bytes + at, len - at);
  return at == len ? count : 0;
}

int main(int argc, char **argv) {
  static char bytes[65536];
  FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
  size_t len = file ? fread(bytes, 1, sizeof bytes, file) : 0, at = 0;
  size_t sizes[MOST_REQUESTS], requests = split(bytes, len, sizes);
  size_t count = argc == 3 ? (size_t)atol(argv[2]) : 0;
  fcgi_session_config config = {.size = sizeof config};
  fcgi_session *session;
  if (requests == 0 || fcgi_spares_new(&config.spares, 1, NULL) != 0 ||
      fcgi_session_new(&session, &config) != 0)
    return 1;
  fclose(file);
  for (size_t i = 0, which = 0; i < count; i++) {
    if (!serve(session, bytes + at, sizes[which])) {
      fprintf(stderr, "request %zu was not answered\n", i);
      return 1;
    }
    at += sizes[which++];
    if (which == requests)
      which = at = 0;
  }
  fcgi_session_free(session);
  fcgi_spares_free(config.spares);
  return 0;
}
