/* SPDX-License-Identifier: MIT */
/* Clients that leave before their handler begins, and those who wait behind
   the requests of others. */
#include "support/serving.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONG_MS = 60 }; /* So long that a peer may well have gone. */

static void pass(int ms) {
  const struct timespec time = {.tv_nsec = ms * 1000000L};
  nanosleep(&time, NULL);
}

/* A client with whole requests 1 to `count`, sent; its socket. */
static int ask(serving *f, int count) {
  int client = serving_connect(f), main = f->client;
  f->client = client;
  for (int id = 1; id <= count; id++)
    records_get(&f->text->sent, (uint16_t)id);
  serving_send(f);
  f->client = main;
  return client;
}

/* The next request, whose id and whose client's only answer tell it apart. */
static fcgi_request *expect_next(serving *f, int client, unsigned id) {
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  char byte;
  assert_int_equal(fcgi_request_id(request), id);
  assert_int_equal(fcgi_request_reply(request, 200, NULL, "", 0), 0);
  pass(1);
  assert_int_equal(recv(client, &byte, 1, MSG_PEEK | MSG_DONTWAIT), 1);
  return request;
}

static void test_clients_that_left_are_not_served(void **state) {
  serving *f = *state;
  for (int i = 0; i < 20; i++)
    close(ask(f, 1));
  int stays = ask(f, 1);
  pass(LONG_MS);
  expect_next(f, stays, 1);
  serving_idle(f, 20);
  close(stays);
}

/* They are on a connection that is kept, and read already. */
static void test_requests_of_a_lost_connection_are_dropped(void **state) {
  serving *f = *state;
  int client = ask(f, 5), other = -1;
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  close(client);
  other = ask(f, 1);
  pass(LONG_MS);
  fcgi_request_reply(first, 200, NULL, "", 0);
  expect_next(f, other, 1);
  serving_idle(f, 20);
  close(other);
}

static void test_a_client_that_has_sent_all_is_served(void **state) {
  serving *f = *state;
  int client = ask(f, 2);
  shutdown(client, SHUT_WR);
  pass(LONG_MS);
  expect_next(f, client, 1);
  pass(LONG_MS);
  expect_next(f, client, 2);
  close(client);
}

static void test_an_abort_record_wants_its_answer(void **state) {
  serving *f = *state;
  int client = ask(f, 1), main = f->client;
  f->client = client;
  records_abort(&f->text->sent, 1);
  serving_send(f);
  f->client = main;
  pass(LONG_MS);
  expect_next(f, client, 1);
  close(client);
}

static int connect_tcp(serving *f) {
  char address[64];
  struct sockaddr_in to = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(fcgi_server_listen(f->server, ":0"), 0);
  assert_int_equal(fcgi_server_address(f->server, 1, address, sizeof address),
                   0);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  return fd;
}

/* Over TCP a close looks like a half-close until data meets it; a reset does
   not. */
static void test_a_reset_over_tcp_is_seen(void **state) {
  serving *f = *state;
  const struct linger at_once = {.l_onoff = 1};
  int client = connect_tcp(f), main = f->client, stays;
  f->client = client;
  records_get(&f->text->sent, 1);
  records_get(&f->text->sent, 3);
  serving_send(f);
  f->client = main;
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(client);
  stays = ask(f, 1);
  pass(LONG_MS);
  fcgi_request_reply(first, 200, NULL, "", 0);
  expect_next(f, stays, 1);
  serving_idle(f, 20);
  close(stays);
}

static void test_connections_take_turns(void **state) {
  serving *f = *state;
  int many = ask(f, 100), few;
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  few = ask(f, 1);
  int served = 1;
  char byte;
  for (; recv(few, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1; served++) {
    pass(6);
    fcgi_request_reply(request, 200, NULL, "", 0);
    request = serving_take(f, FCGI_EVENT_REQUEST);
  }
  fcgi_request_reply(request, 200, NULL, "", 0);
  assert_in_range(served, 1, 6);
  close(many);
  close(few);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_clients_that_left_are_not_served),
      SERVING_TEST(test_requests_of_a_lost_connection_are_dropped),
      SERVING_TEST(test_a_client_that_has_sent_all_is_served),
      SERVING_TEST(test_an_abort_record_wants_its_answer),
      SERVING_TEST(test_a_reset_over_tcp_is_seen),
      SERVING_TEST(test_connections_take_turns),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
