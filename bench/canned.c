/* SPDX-License-Identifier: MIT */
/* canned ADDRESS-PATH [REQUEST-BYTES]: the wall. One thread and epoll; it sends
   the same answer for every REQUEST-BYTES that come, or, without them, whenever
   what came ends with an empty STDIN record. It parses nothing but the request
   id at the start of a request. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER = 262144, EVENTS = 256, FILES = 65536 };

static const char page[] = "Content-Type: text/plain\r\n"
                           "Content-Length: 6\r\n\r\nHello\n";
enum { PAGE = sizeof page - 1, ANSWER = 8 + PAGE + 8 + 16 };

/* What is known of a connection. */
typedef struct state {
  size_t have;   /* Bytes of the request at hand. */
  uint8_t id[2]; /* Its id. */
  uint8_t keep;  /* Its FCGI_KEEP_CONN. */
} state;

static size_t make_answer(uint8_t *out, const uint8_t *id) {
  uint8_t records[] = {1, 6, id[0], id[1], 0, PAGE, 0, 0};
  uint8_t ends[] = {1, 6, id[0], id[1], 0, 0, 0, 0, 1, 3, id[0], id[1],
                    0, 8, 0,     0,     0, 0, 0, 0, 0, 0, 0,     0};
  memcpy(out, records, 8);
  memcpy(out + 8, page, PAGE);
  memcpy(out + 8 + PAGE, ends, sizeof ends);
  return 8 + PAGE + sizeof ends;
}

/* Answers for the bytes at hand, when each request has `size` bytes. */
static size_t by_size(state *s, const uint8_t *in, size_t len, size_t size,
                      uint8_t *out) {
  size_t used = 0, made = 0;
  while (used < len) {
    size_t take = size - s->have;
    if (s->have == 0 && len - used > 10) {
      memcpy(s->id, in + used + 2, 2);
      s->keep = in[used + 10];
    }
    if (take > len - used)
      take = len - used;
    used += take;
    s->have += take;
    if (s->have == size) {
      made += make_answer(out + made, s->id);
      s->have = 0;
    }
  }
  return made;
}

static size_t by_end(state *s, const uint8_t *in, size_t len, uint8_t *out) {
  const uint8_t *last = in + len - 8;
  if (s->have == 0 && len > 10) {
    memcpy(s->id, in + 2, 2);
    s->keep = in[10];
  }
  s->have += len;
  if (len < 8 || last[0] != 1 || last[1] != 5 || last[4] || last[5])
    return 0;
  s->have = 0;
  return make_answer(out, s->id);
}

static void serve(int fd, state *s, size_t size, uint8_t *in, uint8_t *out) {
  ssize_t len = recv(fd, in, BUFFER, 0);
  size_t made = 0, sent = 0;
  if (len > 0)
    made = size ? by_size(s, in, (size_t)len, size, out)
                : by_end(s, in, (size_t)len, out);
  while (sent < made) {
    ssize_t n = send(fd, out + sent, made - sent, MSG_NOSIGNAL);
    if (n <= 0)
      break;
    sent += (size_t)n;
  }
  if (len <= 0 || (made && !s->keep))
    close(fd);
}

static int open_listener(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(fd, 4096) != 0) {
    perror(path);
    exit(1);
  }
  return fd;
}

int main(int argc, char **argv) {
  static uint8_t in[BUFFER], out[BUFFER / 24 * ANSWER];
  static state states[FILES];
  struct epoll_event events[EVENTS], event = {.events = EPOLLIN};
  int listener = open_listener(argc > 1 ? argv[1] : "canned.sock");
  size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  int epoll = epoll_create1(0);
  event.data.fd = listener;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd != listener) {
        serve(fd, &states[fd], size, in, out);
        continue;
      }
      fd = accept(listener, NULL, NULL);
      if (fd < 0 || fd >= FILES)
        continue;
      event.data.fd = fd;
      states[fd] = (state){.have = 0};
      epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
  }
}
