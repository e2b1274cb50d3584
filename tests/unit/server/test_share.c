/* SPDX-License-Identifier: MIT */
/* Two servers with one queue, as two workers of a supervisor have it: what the
   first cannot begin goes to the second. Clients connect to the first. */
#include "server/server.h"
#include "support/serving.h"

#include <fastcgi/error.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 2, LONG_MS = 60000, CLIENTS = 12, TURNS = 40 };

/* One of the two. */
typedef struct worker {
  fcgi_server *server;        /* What the worker is. */
  pthread_t threads[THREADS]; /* Who runs it. */
  int thread_count;           /* How many of them run. */
  atomic_int answers;         /* What it has answered. */
  struct pair *pair;          /* Of which. */
} worker;

typedef struct pair {
  serving *f;       /* The first one's clients. */
  worker first;     /* Whom clients connect to. */
  worker second;    /* Who has none of its own. */
  int queue[2];     /* What they share. */
  atomic_int hangs; /* Handlers that wait for `leave`. */
  atomic_int leave; /* 1: they may return. */
  atomic_int which; /* 1: the second one had the last of them. */
} pair;

/* Everything but /quick waits. */
static int handle(fcgi_request *request, void *user_data) {
  worker *w = user_data;
  const char *path = fcgi_request_param(request, "SCRIPT_NAME");
  if (strcmp(path, "/nap") == 0)
    usleep(2000);
  if (strcmp(path, "/hang") == 0) {
    atomic_store(&w->pair->which, w == &w->pair->second);
    atomic_fetch_add(&w->pair->hangs, 1);
    while (!atomic_load(&w->pair->leave))
      usleep(500);
  }
  atomic_fetch_add(&w->answers, 1);
  fcgi_request_reply(request, 200, "text/plain",
                     w == &w->pair->first ? "first" : "second", 6);
  return 0;
}

static const fcgi_handler handler = {.size = sizeof handler,
                                     .on_request = handle};

static void *run_thread(void *data) {
  worker *w = data;
  assert_int_equal(fcgi_server_run(w->server, &handler, w), 0);
  return NULL;
}

/* What a supervisor says in the environment. */
static void tell(pair *p, worker *w, const fcgi__board *board, int slot) {
  fcgi_server *server = w->server;
  snprintf(server->starter.board, sizeof server->starter.board, "%ld:%d:%d",
           (long)getpid(), dup(board->fd), slot);
  atomic_store(&server->share.queue.out, p->queue[0]);
  atomic_store(&server->share.queue.in, p->queue[1]);
  w->pair = p;
}

static void open_pair(pair *p, serving *f) {
  char address[80];
  fcgi__board board;
  *p = (pair){.f = f};
  assert_int_equal(
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->queue), 0);
  assert_int_equal(fcgi__board_new(&board, 2), 0);
  serving_restart(f);
  p->first.server = f->server;
  snprintf(address, sizeof address, "unix:@fastcgi-second-%ld-%p",
           (long)getpid(), (void *)f);
  assert_int_equal(fcgi_server_new(&p->second.server, &f->config, NULL, 0), 0);
  assert_int_equal(fcgi_server_listen(p->second.server, address), 0);
  tell(p, &p->first, &board, 0);
  tell(p, &p->second, &board, 1);
  fcgi__board_free(&board);
}

static void start(worker *w, int threads) {
  for (; w->thread_count < threads; w->thread_count++)
    assert_int_equal(
        pthread_create(&w->threads[w->thread_count], NULL, run_thread, w), 0);
}

/* The other one has to be known as one that serves. */
static void start_both(pair *p, int threads) {
  start(&p->second, threads);
  while (atomic_load(&p->second.server->sleepers) < (unsigned)threads)
    usleep(500);
  start(&p->first, threads);
}

static void join(worker *w) {
  while (w->thread_count > 0)
    pthread_join(w->threads[--w->thread_count], NULL);
}

/* As a supervisor stops its workers: the queue is shut first. */
static void stop_both(pair *p) {
  shutdown(p->queue[0], SHUT_RDWR);
  fcgi_server_stop(p->first.server, FCGI_STOP_GRACEFUL);
  fcgi_server_stop(p->second.server, FCGI_STOP_GRACEFUL);
}

static void close_pair(pair *p) {
  atomic_store(&p->leave, 1);
  stop_both(p);
  join(&p->first);
  join(&p->second);
  fcgi_server_free(p->second.server);
  close(p->queue[0]);
  close(p->queue[1]);
}

static void ask(pair *p, int client, const char *path) {
  records *to = &p->f->text->sent;
  records_begin(to, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, 1, "REQUEST_METHOD", "GET");
  records_param(to, 1, "SCRIPT_NAME", path);
  records_params_end(to, 1);
  records_stdin_end(to, 1);
  assert_int_equal(send(client, to->data, to->len, MSG_NOSIGNAL), to->len);
  to->len = 0;
}

/* Wait for the answer: 1 when the second has given it. */
static int by_second(int client) {
  char got[4096];
  size_t len = 0;
  while (len < 16 || got[len - 15] != FCGI_RECORD_END_REQUEST) {
    struct pollfd at = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&at, 1, LONG_MS), 1);
    ssize_t part = recv(client, got + len, sizeof got - len, 0);
    assert_true(part > 0);
    len += (size_t)part;
  }
  return memmem(got, len, "second", 6) != NULL;
}

static void wait_for(const atomic_int *what, int value) {
  for (int ms = 0; atomic_load(what) < value; ms++) {
    assert_true(ms < LONG_MS);
    usleep(1000);
  }
}

static uint64_t moved(const worker *w) {
  fcgi__board_slot *slot = atomic_load(&w->server->observer.slot);
  return atomic_load(&slot->counts.values[FCGI_METRIC_MOVED]);
}

/* One of them, the first unless the machine is slow, is inside a handler, and
   another client at rest. */
static int occupy_one(pair *p) {
  int client = serving_connect(p->f);
  ask(p, client, "/quick");
  by_second(client);
  ask(p, p->f->client, "/hang");
  wait_for(&p->hangs, 1);
  return client;
}

static void test_request_goes_to_whoever_is_idle(void **state) {
  pair p;
  int client;
  open_pair(&p, *state);
  start_both(&p, 1);
  client = occupy_one(&p);
  for (int i = 0; i < 3; i++) {
    ask(&p, client, "/quick");
    assert_int_not_equal(by_second(client), atomic_load(&p.which));
  }
  assert_true(moved(&p.first) + moved(&p.second) > 0);
  atomic_store(&p.leave, 1);
  assert_int_equal(by_second(p.f->client), atomic_load(&p.which));
  close(client);
  close_pair(&p);
}

static void test_it_waits_where_nobody_else_serves(void **state) {
  pair p;
  int client;
  open_pair(&p, *state);
  start(&p.first, 1);
  client = occupy_one(&p);
  ask(&p, client, "/quick");
  usleep(50000); /* Any time is right. */
  atomic_store(&p.leave, 1);
  assert_false(by_second(client));
  assert_false(by_second(p.f->client));
  close(client);
  close_pair(&p);
}

static void test_what_waits_in_the_queue_is_served_in_a_stop(void **state) {
  pair p;
  int client, other;
  open_pair(&p, *state);
  start_both(&p, 1);
  client = occupy_one(&p);
  other = serving_connect(p.f);
  ask(&p, client, "/hang"); /* The other one hangs as well. */
  wait_for(&p.hangs, 2);
  ask(&p, other, "/quick");
  stop_both(&p);
  atomic_store(&p.leave, 1);
  by_second(other);
  assert_int_not_equal(by_second(client), by_second(p.f->client));
  close(other);
  close(client);
  close_pair(&p);
}

/* Both hang, and the queue has no room. */
static int occupy_both(pair *p) {
  int client = serving_connect(p->f), third = serving_connect(p->f);
  const int few = 4096;
  setsockopt(p->queue[0], SOL_SOCKET, SO_SNDBUF, &few, sizeof few);
  ask(p, client, "/quick");
  by_second(client);
  ask(p, p->f->client, "/hang");
  wait_for(&p->hangs, 1);
  ask(p, third, "/hang");
  wait_for(&p->hangs, 2);
  close(third);
  while (send(p->queue[0], "c", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
    ;
  return client;
}

static void test_full_queue_leaves_the_status_page(void **state) {
  serving *f = *state;
  pair p;
  int client, before;
  f->config.status_path = "/status";
  open_pair(&p, f);
  start_both(&p, 1);
  before = serving_connect(f);
  ask(&p, before, "/quick");
  by_second(before);
  client = occupy_both(&p);
  ask(&p, before, "/quick");
  usleep(50000); /* For it to be kept; any time is right. */
  ask(&p, client, "/status");
  by_second(client);
  assert_false(atomic_load(&p.leave));
  close(before);
  close(client);
  close_pair(&p);
}

/* A client that asks in time is answered, and one that does not is closed. */
static void test_full_queue_leaves_limits(void **state) {
  serving *f = *state;
  pair p;
  int client, silent;
  f->config.idle_timeout_ms = 1000;
  open_pair(&p, f);
  start_both(&p, 1);
  client = occupy_both(&p);
  ask(&p, client, "/quick");
  silent = serving_connect(f);
  usleep(1500000); /* Longer than the limit of what is not read. */
  atomic_store(&p.leave, 1);
  by_second(client);
  close(silent);
  close(client);
  close_pair(&p);
}

/* What waits for room is read when it shows that nobody takes what is passed
   on. */
static void test_full_queue_in_a_stop(void **state) {
  serving *f = *state;
  int client, carrier[2];
  pair p;
  f->config.drain_silence_ms = 100;
  open_pair(&p, f);
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, carrier), 0);
  assert_int_equal(fcgi_server_hand_over(p.first.server, carrier[0]), 0);
  assert_int_equal(fcgi_server_hand_over(p.second.server, carrier[0]), 0);
  start_both(&p, 1);
  client = occupy_both(&p);
  ask(&p, client, "/quick");
  usleep(50000); /* For it to be kept; any time is right. */
  shutdown(carrier[0], SHUT_RDWR);
  stop_both(&p);
  usleep(500000); /* Longer than the silence that ends a connection. */
  atomic_store(&p.leave, 1);
  by_second(client);
  close(client);
  close_pair(&p);
  close(carrier[0]);
  close(carrier[1]);
}

static void test_thread_takes_no_more_than_it_can_run(void **state) {
  pair p;
  int clients[CLIENTS], seconds = 0;
  open_pair(&p, *state);
  for (int i = 0; i < CLIENTS; i++) { /* All of them are there at once. */
    clients[i] = serving_connect(p.f);
    ask(&p, clients[i], "/hang");
  }
  start_both(&p, 1);
  wait_for(&p.hangs, 2);
  atomic_store(&p.leave, 1);
  for (int i = 0; i < CLIENTS; i++) {
    seconds += by_second(clients[i]);
    close(clients[i]);
  }
  assert_in_range(seconds, 1, CLIENTS - 1);
  close_pair(&p);
}

static void test_many_threads_and_connections(void **state) {
  pair p;
  int clients[CLIENTS];
  open_pair(&p, *state);
  start_both(&p, THREADS);
  for (int i = 0; i < CLIENTS; i++)
    clients[i] = serving_connect(p.f);
  for (int turn = 0; turn < TURNS; turn++) {
    for (int i = 0; i < CLIENTS; i++)
      ask(&p, clients[i], (turn + i) % 3 ? "/nap" : "/quick");
    for (int i = 0; i < CLIENTS; i++)
      by_second(clients[i]);
  }
  assert_int_equal(atomic_load(&p.first.answers) +
                       atomic_load(&p.second.answers),
                   TURNS * CLIENTS);
  assert_true(atomic_load(&p.second.answers) > 0);
  for (int i = 0; i < CLIENTS; i++)
    close(clients[i]);
  close_pair(&p);
}

static int connect_to_second(const pair *p) {
  serving other = {.server = p->second.server};
  return serving_connect(&other);
}

/* A foreign event loop comes to the server, takes what there is, and goes. */
static fcgi_request *come(pair *p) {
  fcgi_server_event event = {.size = sizeof event};
  return fcgi_server_next(p->first.server, &event, 0) > 0 ? event.request
                                                          : NULL;
}

static fcgi_request *loop(pair *p) {
  fcgi_request *request = NULL;
  for (int ms = 0; !request; ms++) {
    assert_true(ms < LONG_MS);
    usleep(1000);
    request = come(p);
  }
  return request;
}

/* It answers one client, keeps the request of another open, and the first asks
   again. */
static int occupy_loop(pair *p, fcgi_request **open) {
  int client = serving_connect(p->f);
  ask(p, client, "/quick");
  handle(loop(p), &p->first);
  assert_false(by_second(client));
  ask(p, p->f->client, "/quick");
  *open = loop(p);
  ask(p, client, "/quick");
  return client;
}

static void test_event_loop_with_more_open_requests_gives(void **state) {
  pair p;
  fcgi_request *open;
  int client;
  open_pair(&p, *state);
  start(&p.second, 1);
  while (atomic_load(&p.second.server->sleepers) == 0)
    usleep(500);
  client = occupy_loop(&p, &open);
  while (atomic_load(&p.second.answers) == 0) {
    assert_null(come(&p));
    usleep(1000);
  }
  assert_true(by_second(client));
  handle(open, &p.first);
  assert_false(by_second(p.f->client));
  close(client);
  start(&p.first, 1);
  close_pair(&p);
}

static void test_event_loop_with_as_many_open_requests_does_not(void **state) {
  pair p;
  fcgi_request *open, *next;
  int client, other;
  open_pair(&p, *state);
  start(&p.second, 1);
  while (atomic_load(&p.second.server->sleepers) == 0)
    usleep(500);
  client = serving_connect(p.f);
  ask(&p, client, "/quick");
  handle(loop(&p), &p.first);
  assert_false(by_second(client));
  ask(&p, p.f->client, "/quick");
  open = loop(&p);
  other = connect_to_second(&p);
  ask(&p, other, "/hang");
  wait_for(&p.hangs, 1);
  ask(&p, client, "/quick");
  next = loop(&p);
  handle(open, &p.first);
  handle(next, &p.first);
  assert_false(by_second(client));
  assert_false(by_second(p.f->client));
  close(client);
  close(other);
  start(&p.first, 1);
  close_pair(&p);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_request_goes_to_whoever_is_idle),
      SERVING_TEST(test_it_waits_where_nobody_else_serves),
      SERVING_TEST(test_what_waits_in_the_queue_is_served_in_a_stop),
      SERVING_TEST(test_full_queue_leaves_the_status_page),
      SERVING_TEST(test_full_queue_leaves_limits),
      SERVING_TEST(test_full_queue_in_a_stop),
      SERVING_TEST(test_thread_takes_no_more_than_it_can_run),
      SERVING_TEST(test_many_threads_and_connections),
      SERVING_TEST(test_event_loop_with_more_open_requests_gives),
      SERVING_TEST(test_event_loop_with_as_many_open_requests_does_not),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
