/* SPDX-License-Identifier: MIT */
#include "support/serving.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TAKE_MS = 20000 }; /* Never reached where something happens. */

int serving_connect(serving *f) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  char address[160];
  assert_int_equal(fcgi_server_address(f->server, 0, address, sizeof address),
                   0);
  assert_memory_equal(address, "unix:@", 6);
  size_t len = strlen(address + 6);
  memcpy(to.sun_path + 1, address + 6, len);
  int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(client >= 0);
  socklen_t size =
      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
  assert_int_equal(connect(client, (struct sockaddr *)&to, size), 0);
  return client;
}

static void close_all(serving *f) {
  fcgi_server_free(f->server);
  f->server = NULL;
  if (f->client >= 0)
    close(f->client);
  f->client = -1;
}

void serving_restart(serving *f) {
  char address[80];
  close_all(f);
  snprintf(address, sizeof address, "unix:@fastcgi-unit-%ld-%p", (long)getpid(),
           (void *)f);
  assert_int_equal(fcgi_server_new(&f->server, &f->config, NULL, 0), 0);
  assert_int_equal(fcgi_server_listen(f->server, address), 0);
  f->client = serving_connect(f);
}

int serving_set_up(void **state) {
  serving *f = calloc(1, sizeof *f);
  void *text;
  f->kind = *(fcgi_poller_kind *)*state;
  f->config = (fcgi_server_config){
      .size = sizeof f->config, .poller = f->kind, .io_timeout_ms = 5000};
  f->client = -1;
  dialogue_set_up(&text);
  f->text = text;
  serving_restart(f);
  *state = f;
  return 0;
}

int serving_tear_down(void **state) {
  serving *f = *state;
  void *text = f->text;
  close_all(f);
  dialogue_tear_down(&text);
  records_free(&f->got);
  free(f);
  return 0;
}

void serving_send(serving *f) {
  records *sent = &f->text->sent;
  size_t at = 0;
  while (at < sent->len) {
    ssize_t done =
        send(f->client, sent->data + at, sent->len - at, MSG_NOSIGNAL);
    assert_true(done > 0);
    at += (size_t)done;
  }
  sent->len = 0;
}

fcgi_request *serving_take(serving *f, fcgi_event_type type) {
  fcgi_server_event event = {.size = sizeof event};
  assert_int_equal(fcgi_server_next(f->server, &event, TAKE_MS), 1);
  assert_int_equal(event.type, type);
  return event.request;
}

void serving_idle(serving *f, int ms) {
  fcgi_server_event event = {.size = sizeof event};
  assert_int_equal(fcgi_server_next(f->server, &event, ms), 0);
}

void serving_receive(serving *f) {
  char data[4096];
  ssize_t len;
  while ((len = recv(f->client, data, sizeof data, MSG_DONTWAIT)) > 0)
    records_raw(&f->got, data, (size_t)len);
}

void serving_expect(serving *f, const char *expected) {
  serving_receive(f);
  dialogue_expect_bytes(f->text, f->got.data, f->got.len, expected);
  f->got.len = 0;
}

int serving_is_closed(serving *f, int ms) {
  struct pollfd at = {.fd = f->client, .events = POLLIN};
  char byte;
  serving_receive(f);
  if (poll(&at, 1, ms) <= 0)
    return 0;
  ssize_t len = recv(f->client, &byte, 1, MSG_DONTWAIT);
  return len == 0 || (len < 0 && errno == ECONNRESET);
}

int serving_run(int (*run)(const char *group, void *kind)) {
  static const char *const names[] = {"", "epoll", "poll"};
  int failed = 0;
  for (int i = FCGI_POLLER_EPOLL; i <= FCGI_POLLER_POLL; i++) {
    fcgi_server_config config = {.size = sizeof config,
                                 .poller = (fcgi_poller_kind)i};
    fcgi_server *probe = NULL;
    if (fcgi_server_new(&probe, &config, NULL, 0) == FCGI_ERR_UNSUPPORTED)
      continue; /* This system has no epoll. */
    fcgi_server_free(probe);
    failed |= run(names[i], &config.poller);
  }
  return failed;
}
