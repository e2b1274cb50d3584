/* SPDX-License-Identifier: MIT */
/* A request that is ready alone goes to the thread that has read it, past the
   list of ready ones. That list is where `turn.at` is set. Where several
   threads wait, each takes one connection at a time from the poller. */
#include "server/server.h"
#include "support/serving.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLIENTS = 4 };

static int was_in_list(fcgi_request *request) {
  return request->turn.at != 0;
}

static void test_a_lone_request_is_in_no_list(void **state) {
  serving *f = *state;
  serving_idle(f, 0);
  for (int i = 0; i < 3; i++) {
    records_get(&f->text->sent, 1);
    serving_send(f);
    fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
    assert_false(was_in_list(request));
    assert_int_equal(fcgi_request_end(request, 0), 0);
    serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
  }
}

/* The first is taken up by the list when the second comes. */
static void test_requests_that_come_together_keep_their_order(void **state) {
  serving *f = *state;
  serving_idle(f, 0);
  for (uint16_t id = 1; id <= 3; id++)
    records_get(&f->text->sent, id);
  serving_send(f);
  for (uint16_t id = 1; id <= 3; id++) {
    fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
    assert_true(was_in_list(request));
    assert_int_equal(fcgi_request_id(request), id);
    assert_int_equal(fcgi_request_end(request, 0), 0);
  }
}

/* Its peer has left before any thread has looked. */
static void test_one_whose_peer_has_gone_is_not_given(void **state) {
  serving *f = *state;
  int client = serving_connect(f);
  serving_idle(f, 0);
  records_get(&f->text->sent, 1);
  assert_int_equal(write(client, f->text->sent.data, f->text->sent.len),
                   (ssize_t)f->text->sent.len);
  f->text->sent.len = 0;
  close(client);
  serving_idle(f, 20);
}

static void *take_one(void *data) {
  serving *f = data;
  fcgi_server_event event = {.size = sizeof event};
  while (fcgi_server_next(f->server, &event, -1) == 0)
    ;
  return NULL;
}

/* Another thread waits, and this one does so too. */
static void wait_together(serving *f, pthread_t *other) {
  fcgi_server_event event = {.size = sizeof event};
  assert_int_equal(pthread_create(other, NULL, take_one, f), 0);
  while (atomic_load(&f->server->sleepers) == 0)
    usleep(100);
  assert_int_equal(fcgi_server_next(f->server, &event, 10), 0);
}

static void send_from(serving *f, const int *clients) {
  records_get(&f->text->sent, 1);
  for (int i = 0; i < CLIENTS; i++)
    assert_int_equal(write(clients[i], f->text->sent.data, f->text->sent.len),
                     (ssize_t)f->text->sent.len);
  f->text->sent.len = 0;
}

/* What one thread leaves is there for the other, which no wake has to tell. */
static void test_of_several_threads_each_takes_one(void **state) {
  serving *f = *state;
  int clients[CLIENTS];
  pthread_t other;
  for (int i = 0; i < CLIENTS; i++)
    clients[i] = serving_connect(f);
  serving_idle(f, 0);
  wait_together(f, &other);
  records_get(&f->text->sent, 1);
  serving_send(f);
  pthread_join(other, NULL);
  send_from(f, clients);
  for (int i = 0; i < CLIENTS; i++) {
    fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
    assert_false(was_in_list(request));
    assert_int_equal(atomic_load(&f->server->ready_count), 0);
    assert_int_equal(fcgi_request_end(request, 0), 0);
  }
  for (int i = 0; i < CLIENTS; i++)
    close(clients[i]);
}

/* Ask for a stop as soon as memory is needed, which is while a request is
   read. */
static void *stop_then_realloc(void *old, size_t size, void *data) {
  fcgi_server **server = data;
  fcgi_server *stops = *server;
  *server = NULL;
  if (stops)
    fcgi_server_stop(stops, FCGI_STOP_GRACEFUL);
  if (size > 0)
    return realloc(old, size);
  free(old);
  return NULL;
}

/* Its handler may take long, and the stop concerns others too. */
static void test_a_stop_comes_before_the_request(void **state) {
  serving *f = *state;
  fcgi_server *stops = NULL;
  f->config.allocator = (fcgi_allocator){stop_then_realloc, &stops};
  serving_restart(f);
  serving_idle(f, 0);
  records_get(&f->text->sent, 1);
  serving_send(f);
  stops = f->server;
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_null(stops);
  assert_int_equal(atomic_load(&f->server->stopping), FCGI__STOPPING);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  f->config.allocator = (fcgi_allocator){NULL, NULL};
  serving_restart(f);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_a_lone_request_is_in_no_list),
      SERVING_TEST(test_requests_that_come_together_keep_their_order),
      SERVING_TEST(test_one_whose_peer_has_gone_is_not_given),
      SERVING_TEST(test_of_several_threads_each_takes_one),
      SERVING_TEST(test_a_stop_comes_before_the_request),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
