/* SPDX-License-Identifier: MIT */
/* What a script does seldom: children, mistakes, waits, garbage between
   servers, many requests at once. */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/fuzz.h"
#include "fuzz/world.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 60 }; /* Requests at once. */

static void look_at(world *w) {
  char text[64];
  fcgi_server_address(w->server, 0, text, sizeof text);
  fcgi_server_address(w->server, 1, text, 3);
  fuzz_require(fcgi_server_address(w->server, 99, text, 3) < 0);
  fuzz_require(fcgi_server_message(w->server) != NULL);
  fcgi_server_fd(w->server);
  fuzz_require(fcgi_server_wait_ms(w->server) >= -1);
  fcgi_server_reopen_logs(w->server);
  fcgi_server_tracer_data(w->server);
}

static void look_and_log(world *w) {
  look_at(w);
  fcgi_server_log(w->server, FCGI_LOG_INFO, "a line\nand another", 18);
}

static void sleep_ms(long ms) {
  const struct timespec time = {.tv_nsec = ms * 1000000};
  nanosleep(&time, NULL);
}

static void wait_shortly(world *w) {
  fcgi_server_event event = {.size = sizeof event};
  if (w->waits-- <= 0)
    return;
  world_arm(w);
  if (fcgi_server_next(w->server, &event, 1) == 1)
    program_take(&w->program, &event);
}

/* A child gets nothing done, and does nothing to the parent. */
static int child(world *w) {
  const fcgi_role_spec role = {FCGI_ROLE_RESPONDER, FCGI_STREAMS_STDIN, "a"};
  const fcgi_handler none = {.size = sizeof none};
  fcgi_server_event event = {.size = sizeof event};
  fcgi_server *server = w->server;
  program_fail_all(&w->program, FCGI_ERR_STATE);
  fcgi_server_stop(server, FCGI_STOP_NOW);
  fuzz_require(fcgi_server_forked(server) == 1);
  fuzz_require(fcgi_server_next(server, &event, 1000) == FCGI_ERR_CLOSED);
  fuzz_require(fcgi_server_listen(server, "unix:@no") == FCGI_ERR_STATE);
  fuzz_require(fcgi_server_hand_over(server, w->next) == FCGI_ERR_STATE);
  fuzz_require(fcgi_server_take_over(server, w->next) == FCGI_ERR_STATE);
  fuzz_require(fcgi_server_run(server, &none, NULL) == FCGI_ERR_STATE);
  fuzz_require(fcgi_server_set_roles(server, &role, 1) == FCGI_ERR_STATE);
  fuzz_require(fcgi_server_keep(server, NULL) == FCGI_ERR_STATE);
  fuzz_require(fcgi_server_wait_ms(server) == -1);
  look_at(w);
  fcgi_server_free(server);
  return 0;
}

static void make_child(world *w) {
  int status = -1;
  pid_t pid;
  if (w->forks-- <= 0)
    return;
  pid = fork();
  fuzz_require(pid >= 0);
  if (pid == 0)
    _exit(child(w));
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ; /* libFuzzer has a timer. */
  fuzz_require(status == 0);
  fuzz_require(fcgi_server_forked(w->server) == 0);
}

static void refuse(const fcgi_server_config *config) {
  fcgi_server *server;
  char why[300] = "";
  fuzz_require(fcgi_server_new(&server, config, why, sizeof why) ==
               FCGI_ERR_INVALID);
  fuzz_require(why[0] != '\0' && strchr(why, '\n') == NULL);
}

static void make_mistaken_servers(void) {
  static const char longest[9000] = {0};
  char dir[sizeof longest];
  fcgi_server_config config = {.size = 3};
  refuse(&config);
  config = (fcgi_server_config){.size = sizeof config};
  config.body = (fcgi_body_mode)7;
  refuse(&config);
  config.body = FCGI_BODY_STREAM;
  config.poller = FCGI_POLLERS;
  refuse(&config);
  config.poller = FCGI_POLLER_BEST;
  memset(dir, 'd', sizeof dir - 1);
  dir[sizeof dir - 1] = '\0';
  config.temp_dir = dir;
  refuse(&config);
}

static void make_mistakes(world *w) {
  static const fcgi_role_spec twice[] = {
      {FCGI_ROLE_RESPONDER, FCGI_STREAMS_STDIN, "a"},
      {FCGI_ROLE_RESPONDER, FCGI_STREAMS_STDIN, "b"}};
  static const char *const addresses[] = {"", "unix:", "fd:999", "host", ":x"};
  const fcgi_handler none = {.size = sizeof none};
  fcgi_server_event event = {.size = 0};
  fcgi_server *server = w->server;
  fuzz_require(fcgi_server_next(server, &event, 0) == FCGI_ERR_INVALID);
  fuzz_require(fcgi_server_set_roles(server, twice, 2) < 0);
  fuzz_require(fcgi_server_take_over(server, -1) == FCGI_ERR_INVALID);
  fuzz_require(fcgi_server_hand_over(server, 999) == FCGI_ERR_INVALID);
  fcgi_server_take_over(server, w->next); /* Good where the first has ended. */
  fuzz_require(fcgi_server_run(server, &none, NULL) == FCGI_ERR_INVALID);
  fuzz_require(fcgi_server_run(server, NULL, NULL) == FCGI_ERR_INVALID);
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
    fuzz_require(fcgi_server_listen(server, addresses[i]) < 0);
    fuzz_require(fcgi_server_message(server)[0] != '\0');
  }
  make_mistaken_servers();
}

/* What no server sends, and wishes that it look at its listeners. */
static void say_garbage(world *w) {
  char text[64];
  if (send(w->in, "xyz", 3, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ||
      send(w->in, "l", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return; /* There is no room. */
  recv(w->next, text, sizeof text, MSG_DONTWAIT);
  if (recv(w->next, text, 0, MSG_DONTWAIT) < 0)
    return; /* It has handed on nothing. */
}

static void join_a_listener(world *w, web *peer) {
  char address[64];
  for (size_t i = 0; i < 2; i++) {
    if (fcgi_server_address(w->server, i, address, sizeof address) == 0) {
      web_leave(peer);
      web_connect(peer, address);
    }
  }
}

/* Answers that follow each other at once leave together. */
static void answer_many(world *w, web *peer) {
  fcgi_server_event event = {.size = sizeof event};
  web_say_many(peer, BURST);
  for (int i = 0; i < 3 * BURST; i++) {
    world_arm(w);
    if (fcgi_server_next(w->server, &event, 0) != 1)
      return;
    if (event.type == FCGI_EVENT_REQUEST && i % BURST < BURST - 1) {
      fcgi_request_gather(event.request);
      fcgi_request_reply(event.request, 200, "text/plain", "ok", 2);
    } else
      program_take(&w->program, &event);
  }
}

/* Longer than a thread of the server's sleeps between two looks, or than short
   time limits are. */
static void pass_time(world *w) {
  if (w->pauses-- > 0)
    sleep_ms(w->pause_ms);
}

void world_seldom(world *w, web *peer, unsigned what) {
  switch (what % 8) {
  case 0:
    look_and_log(w);
    break;
  case 1:
    wait_shortly(w);
    break;
  case 2:
    make_child(w);
    break;
  case 3:
    make_mistakes(w);
    break;
  case 4:
    say_garbage(w);
    break;
  case 5:
    join_a_listener(w, peer);
    break;
  case 6:
    answer_many(w, peer);
    break;
  default:
    pass_time(w);
  }
}

/* Every third request is concluded, failed, or answered and left open. */
static int take_request(fcgi_request *request, void *data) {
  world *w = data;
  w->runs++;
  if (w->runs % 3 == 2)
    fcgi_request_reply(request, 200, "text/plain", "ok", 2);
  return w->runs % 3 - 1;
}

static int take_other(fcgi_request *request, void *data) {
  (void)data;
  fuzz_require(fcgi_request_id(request) > 0);
  return FCGI_PENDING;
}

/* A graceful stop may wait for a client that is silent, or a next server. */
static void *hurry(void *server) {
  sleep_ms(20);
  fcgi_server_stop(server, FCGI_STOP_NOW);
  return NULL;
}

void world_run(world *w) {
  pthread_t thread;
  const fcgi_handler handler = {.size = sizeof handler,
                                .on_request = take_request,
                                .on_stdin = take_other,
                                .on_stdin_end = take_other,
                                .on_data = take_other,
                                .on_data_end = take_other,
                                .on_writable = take_other,
                                .on_abort = take_other,
                                .on_close = take_other};
  program_end_all(&w->program);
  fcgi_server_stop(w->server, FCGI_STOP_GRACEFUL);
  fuzz_require(pthread_create(&thread, NULL, hurry, w->server) == 0);
  fuzz_require(fcgi_server_run(w->server, &handler, w) == 0);
  pthread_join(thread, NULL);
  fuzz_require(fcgi_server_run(w->server, &handler, w) == 0);
}
