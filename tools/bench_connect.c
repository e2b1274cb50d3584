/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

uint64_t bench_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* unix:/path, or unix:@name in the abstract namespace. */
static int resolve_unix(bench_plan *plan, const char *path) {
  struct sockaddr_un *peer = (struct sockaddr_un *)&plan->peer;
  size_t len = strlen(path);
  if (len == 0 || len >= sizeof peer->sun_path)
    return tool_complain(TOOL_USAGE,
                         "bench: %s: a path of 1 to %zu bytes is needed",
                         plan->address, sizeof peer->sun_path - 1);
  peer->sun_family = AF_UNIX;
  memcpy(peer->sun_path, path, len + 1);
  plan->peer_len =
      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
  if (path[0] == '@') {
    peer->sun_path[0] = '\0';
    plan->peer_len--;
  }
  return 0;
}

static int look_up(bench_plan *plan, const char *host, const char *port) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  int error = getaddrinfo(*host ? host : "127.0.0.1", port, &hints, &found);
  if (error)
    return tool_complain(TOOL_TRANSPORT, "bench: %s: %s", plan->address,
                         gai_strerror(error));
  memcpy(&plan->peer, found->ai_addr, found->ai_addrlen);
  plan->peer_len = found->ai_addrlen;
  freeaddrinfo(found);
  return 0;
}

int bench_resolve(bench_plan *plan) {
  const char *text = plan->address, *colon = strrchr(text, ':');
  char host[256];
  size_t len;
  if (strncmp(text, "unix:", 5) == 0)
    return resolve_unix(plan, text + 5);
  len = colon ? (size_t)(colon - text) : 0;
  if (!colon || !colon[1] || len >= sizeof host)
    return tool_complain(TOOL_USAGE,
                         "bench: address \"%s\": give unix:/path, "
                         "unix:@name, host:port, [v6]:port",
                         text);
  if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
    text++;
    len -= 2;
  }
  memcpy(host, text, len);
  host[len] = '\0';
  return look_up(plan, host, colon + 1);
}

int bench_connect(const bench_plan *plan) {
  int one = 1, saved;
  int fd = socket(plan->peer.ss_family,
                  SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  if (plan->peer.ss_family != AF_UNIX)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  errno = 0;
  if (connect(fd, (const struct sockaddr *)&plan->peer, plan->peer_len) == 0 ||
      errno == EINPROGRESS)
    return fd;
  saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

/* One whole answer on a blocking socket. */
static bench_error converse(bench_connection *c, bench_slot *slot) {
  const bench_bytes *bytes = slot->bytes;
  for (size_t at = 0; at < bytes->len;) {
    ssize_t n = send(c->fd, bytes->at + at, bytes->len - at, MSG_NOSIGNAL);
    if (n <= 0)
      return BENCH_CLOSED;
    at += (size_t)n;
  }
  while (slot->busy) {
    uint8_t data[4096];
    ssize_t n = recv(c->fd, data, sizeof data, 0);
    bench_error error = n > 0 ? bench_scan(c, data, (size_t)n) : BENCH_CLOSED;
    if (error != BENCH_OK)
      return error;
  }
  return BENCH_OK;
}

/* Connect, waiting while the backlog is full. */
static int connect_blocking(const bench_plan *plan) {
  struct timeval most = {.tv_sec = (time_t)plan->timeout + 1};
  struct timespec pause = {.tv_nsec = 1000000};
  int fd;
  while ((fd = bench_connect(plan)) < 0 && errno == EAGAIN)
    nanosleep(&pause, NULL);
  if (fd < 0)
    return fd;
  fcntl(fd, F_SETFL, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
  return fd;
}

int bench_rest(bench_shared *shared, int *fds) {
  const bench_plan *plan = shared->plan;
  bench_worker worker;
  int status = TOOL_OK;
  bench_worker_make(&worker, shared, 1, 0);
  for (unsigned i = 0; i < plan->idle && !status; i++) {
    bench_connection *c = &worker.connections[0];
    bench_slot *slot = &c->slots[0];
    c->fd = fds[i] = connect_blocking(plan);
    *slot = (bench_slot){.bytes = &plan->bytes[0], .busy = 1};
    worker.free_len = 0;
    if (c->fd < 0)
      status =
          tool_complain(TOOL_TRANSPORT, "bench: %s: idle connection %u: %s",
                        plan->address, i + 1, strerror(errno));
    else if (converse(c, slot) != BENCH_OK || worker.counts.right != i + 1)
      status = tool_complain(TOOL_TRANSPORT,
                             "bench: %s: idle connection %u got no answer",
                             plan->address, i + 1);
    free(slot->gathered);
    *slot = (bench_slot){.busy = 0};
    c->fd = -1;
  }
  bench_worker_free(&worker);
  return status;
}

unsigned bench_resting(const bench_plan *plan, const int *fds) {
  unsigned open = 0;
  for (unsigned i = 0; i < plan->idle; i++) {
    struct pollfd one = {.fd = fds[i], .events = POLLIN};
    open += poll(&one, 1, 0) == 0;
  }
  return open;
}
