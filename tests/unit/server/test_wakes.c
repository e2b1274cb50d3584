/* SPDX-License-Identifier: MIT */
/* Several processes wait for one socket, and one of them is woken: whatever
   becomes of that one, somebody takes what has come. Here each process is a
   server with threads. Those that shall be woken and not get to run yet share a
   processor with the test and are of the kind that takes it from nobody
   (sched(7), SCHED_BATCH). */
#include "support/serving.h"

#include <fastcgi/error.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static const char answer_1[] = "stdout_end 1\nend 1 app=0 status=0\n";

enum { MOST = 3 }; /* Threads of one server. */

/* One of the processes. */
typedef struct process {
  fcgi_server *server;     /* Its only one. */
  pthread_t threads[MOST]; /* The threads that serve it. */
  int count;               /* Number of threads. */
  int slow;                /* 1: being woken gives them no processor. */
  atomic_long number;      /* The kernel's, of the latest thread. */
} process;

/* What most tests have. */
typedef struct scene {
  serving *f;      /* For its client and poller. */
  int listener;    /* Inherited by all. */
  int pair[2];     /* The sockets of a handover. */
  process first;   /* The one that is woken. */
  process second;  /* The one that has to take. */
  cpu_set_t whole; /* The processors that there are. */
} scene;

static void *serve(void *data) {
  process *p = data;
  const struct sched_param none = {.sched_priority = 0};
  fcgi_server_event event = {.size = sizeof event};
  int result;
  if (p->slow)
    sched_setscheduler(0, SCHED_BATCH, &none);
  atomic_store(&p->number, syscall(SYS_gettid));
  while ((result = fcgi_server_next(p->server, &event, -1)) >= 0)
    if (result > 0 && event.type == FCGI_EVENT_REQUEST)
      fcgi_request_end(event.request, 0);
  return NULL;
}

/* The thread's state as proc(5) has it, S being asleep. */
static char state_of(long number) {
  char path[64], text[256] = "";
  FILE *file;
  size_t len;
  const char *at;
  snprintf(path, sizeof path, "/proc/self/task/%ld/stat", number);
  file = fopen(path, "re");
  if (!file)
    return '?';
  len = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[len] = '\0';
  at = strrchr(text, ')');
  return at && at[1] ? at[2] : '?';
}

/* Start a thread and wait until it sleeps in the poller. */
static void add_thread(process *p) {
  atomic_store(&p->number, 0);
  assert_int_equal(pthread_create(&p->threads[p->count++], NULL, serve, p), 0);
  while (atomic_load(&p->number) == 0 ||
         state_of(atomic_load(&p->number)) != 'S')
    usleep(1000);
}

static void begin(scene *s, process *p, unsigned most_connections) {
  fcgi_server_config config = s->f->config;
  char address[32];
  config.limit_connections = most_connections;
  config.drain_silence_ms = 50;
  assert_int_equal(fcgi_server_new(&p->server, &config, NULL, 0), 0);
  snprintf(address, sizeof address, "fd:%d", s->listener);
  assert_int_equal(fcgi_server_listen(p->server, address), 0);
  assert_int_equal(fcgi_server_hand_over(p->server, s->pair[0]), 0);
  assert_int_equal(fcgi_server_take_over(p->server, s->pair[1]), 0);
}

static void end(process *p) {
  fcgi_server_stop(p->server, FCGI_STOP_GRACEFUL);
  for (int i = 0; i < p->count; i++)
    pthread_join(p->threads[i], NULL);
  fcgi_server_free(p->server);
}

static int listen_here(const serving *f) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "wakes-%ld-%p",
           (long)getpid(), (const void *)f);
  assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
  assert_int_equal(listen(fd, 16), 0);
  return fd;
}

static void set_up(scene *s, serving *f, unsigned most_connections) {
  cpu_set_t one;
  *s = (scene){.f = f, .listener = listen_here(f), .first = {.slow = 1}};
  assert_int_equal(
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->pair), 0);
  sched_getaffinity(0, sizeof s->whole, &s->whole);
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  sched_setaffinity(0, sizeof one, &one);
  begin(s, &s->first, most_connections);
  begin(s, &s->second, 0);
}

/* No other process takes what the last one has left. */
static void tear_down(scene *s) {
  sched_setaffinity(0, sizeof s->whole, &s->whole);
  shutdown(s->pair[0], SHUT_RDWR);
  end(&s->first);
  end(&s->second);
  close(s->pair[0]);
  close(s->pair[1]);
  close(s->listener);
}

/* A client of the inherited listener, in the place of the fixture's. */
static int connect_to(const scene *s) {
  struct sockaddr_un name;
  socklen_t len = sizeof name;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  getsockname(s->listener, (struct sockaddr *)&name, &len);
  assert_int_equal(connect(fd, (struct sockaddr *)&name, len), 0);
  return fd;
}

static void use_client(serving *f, int fd) {
  close(f->client);
  f->client = fd;
}

static void expect_answer(serving *f) {
  char data[256];
  const struct timeval patience = {.tv_sec = 20};
  setsockopt(f->client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  while (f->got.len < 24) {
    ssize_t len = recv(f->client, data, sizeof data, 0);
    assert_true(len > 0); /* Or nobody has taken it. */
    records_raw(&f->got, data, (size_t)len);
  }
  serving_expect(f, answer_1);
}

static void ask(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
}

/* The test is the thread that carries the stop out, while the other one has
   been woken for something else. */
static void stop_first(scene *s) {
  fcgi_server_event event = {.size = sizeof event};
  fcgi_server_stop(s->first.server, FCGI_STOP_GRACEFUL);
  if (fcgi_server_next(s->first.server, &event, 0) == 1)
    fcgi_request_end(event.request, 0);
}

static void test_passed_connection_outlives_whom_it_woke(void **state) {
  scene s;
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  set_up(&s, f, 0);
  ask(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  serving_expect(f, answer_1);
  assert_int_equal(fcgi_server_hand_over(f->server, s.pair[0]), 0);
  add_thread(&s.first);
  add_thread(&s.second);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  assert_int_equal(fcgi_server_next(f->server, &event, 2000), FCGI_ERR_CLOSED);
  stop_first(&s);
  ask(f);
  expect_answer(f);
  tear_down(&s);
}

static void test_new_connection_outlives_whom_it_woke(void **state) {
  scene s;
  serving *f = *state;
  set_up(&s, f, 0);
  add_thread(&s.first);
  add_thread(&s.second);
  use_client(f, connect_to(&s));
  stop_first(&s);
  ask(f);
  expect_answer(f);
  tear_down(&s);
}

/* Both threads of the first process are woken, and the test takes its only
   connection from under them. */
static void test_full_process_leaves_a_connection_to_others(void **state) {
  scene s;
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  int held;
  set_up(&s, f, 1);
  add_thread(&s.first);
  add_thread(&s.first);
  add_thread(&s.second);
  held = connect_to(&s);
  use_client(f, connect_to(&s));
  assert_int_equal(fcgi_server_next(s.first.server, &event, 0), 0);
  ask(f);
  expect_answer(f);
  close(held);
  tear_down(&s);
}

/* Let no descriptor be opened; returns the limit that there was. */
static struct rlimit forbid_files(void) {
  struct rlimit before, now;
  int next = dup(0);
  close(next);
  getrlimit(RLIMIT_NOFILE, &before);
  now = before;
  now.rlim_cur = (rlim_t)next;
  setrlimit(RLIMIT_NOFILE, &now);
  return before;
}

/* Nor is one lost that cannot be received. */
static void test_passed_connection_waits_for_a_descriptor(void **state) {
  scene s;
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  struct rlimit before;
  set_up(&s, f, 0);
  ask(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  serving_expect(f, answer_1);
  assert_int_equal(fcgi_server_hand_over(f->server, s.pair[0]), 0);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  assert_int_equal(fcgi_server_next(f->server, &event, 2000), FCGI_ERR_CLOSED);
  before = forbid_files();
  assert_int_equal(fcgi_server_next(s.second.server, &event, 0), 0);
  setrlimit(RLIMIT_NOFILE, &before);
  add_thread(&s.second);
  ask(f);
  expect_answer(f);
  tear_down(&s);
}

/* Those that would take it may have died, or never do such a thing. */
static void test_what_nobody_takes_is_served(void **state) {
  scene s;
  serving *f = *state;
  set_up(&s, f, 0);
  s.first.slow = 0;
  use_client(f, connect_to(&s));
  ask(f);
  add_thread(&s.first);
  expect_answer(f);
  fcgi_server_stop(s.first.server, FCGI_STOP_GRACEFUL);
  for (int i = 0; i < 2; i++) {
    ask(f);
    expect_answer(f);
  }
  add_thread(&s.second); /* Here it comes. */
  pthread_join(s.first.threads[0], NULL);
  s.first.count = 0;
  ask(f);
  expect_answer(f);
  tear_down(&s);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_passed_connection_outlives_whom_it_woke),
      SERVING_TEST(test_new_connection_outlives_whom_it_woke),
      SERVING_TEST(test_full_process_leaves_a_connection_to_others),
      SERVING_TEST(test_passed_connection_waits_for_a_descriptor),
      SERVING_TEST(test_what_nobody_takes_is_served),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
