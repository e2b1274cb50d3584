/* SPDX-License-Identifier: MIT */
#include "support/cgi_programs.h"
#include "support/failing.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIB = 1024 * 1024 };

int handle_hello(fcgi_request *request, void *user_data) {
  (void)user_data;
  return fcgi_request_reply(request, 200, "text/plain", "Hello\n", 6);
}

static int begin(fcgi_request *request) {
  const fcgi_header header = {"Content-Type", 12, "text/plain", 10};
  return fcgi_request_start(request, 200, &header, 1);
}

static int write_all(fcgi_request *request, const char *data, size_t len) {
  while (len > 0) {
    ptrdiff_t took = fcgi_request_write(request, data, len);
    if (took < 0)
      return (int)took;
    data += took;
    len -= (size_t)took;
  }
  return 0;
}

/* The head leaves with the first bytes, so a body cut at once gives 500. */
int handle_echo(fcgi_request *request, void *user_data) {
  char data[10000];
  ptrdiff_t len = fcgi_request_read(request, data, sizeof data);
  int failed = len < 0 ? (int)len : begin(request);
  (void)user_data;
  while (!failed && len > 0) {
    failed = write_all(request, data, (size_t)len);
    len = failed ? failed : fcgi_request_read(request, data, sizeof data);
  }
  return failed ? failed : (int)len;
}

int handle_list(fcgi_request *request, void *user_data) {
  const fcgi_params *params = fcgi_request_params(request);
  fcgi_param one;
  int failed = begin(request);
  (void)user_data;
  for (size_t i = 0; !failed && !fcgi_params_at(params, i, &one); i++) {
    failed = write_all(request, one.name, one.name_len);
    if (!failed)
      failed = write_all(request, "=", 1);
    if (!failed)
      failed = write_all(request, one.value, one.value_len);
    if (!failed)
      failed = write_all(request, "\n", 1);
  }
  return failed;
}

int handle_fail(fcgi_request *request, void *user_data) {
  (void)request;
  (void)user_data;
  return -1;
}

int handle_big(fcgi_request *request, void *user_data) {
  static char data[MIB];
  int failed = begin(request);
  (void)user_data;
  memset(data, 'x', sizeof data);
  for (int i = 0; !failed && i < 10; i++)
    failed = write_all(request, data, sizeof data);
  return failed;
}

int handle_note(fcgi_request *request, void *user_data) {
  fcgi_request_write_stderr(request, "noted\n", 6);
  return handle_hello(request, user_data);
}

int handle_print(fcgi_request *request, void *user_data) {
  char byte;
  printf("printed\n");
  fflush(stdout);
  fcgi_request_write_stderr(request, "noted\n", 6);
  if (read(0, &byte, 1) != 0)
    return -1;
  if (system("echo child; cat") != 0)
    return -1;
  return handle_hello(request, user_data);
}

/* Writes until nobody reads, and tells why it stopped. */
int handle_write_for_ever(fcgi_request *request, void *user_data) {
  static const char data[65536];
  int failed = begin(request);
  (void)user_data;
  while (!failed)
    failed = write_all(request, data, sizeof data);
  fprintf(stderr, "reason %d\n", (int)fcgi_request_aborted(request));
  return failed;
}

/* Writes nothing until it is aborted. */
int handle_wait_for_abort(fcgi_request *request, void *user_data) {
  (void)user_data;
  write_all(request, "", 0);
  fprintf(stderr, "waits\n");
  for (int i = 0; i < 2000 && !fcgi_request_aborted(request); i++)
    usleep(10000);
  fprintf(stderr, "reason %d\n", (int)fcgi_request_aborted(request));
  return -1;
}

int handle_raise_term(fcgi_request *request, void *user_data) {
  kill(getpid(), SIGTERM);
  usleep(200000);
  return handle_hello(request, user_data);
}

int program_serve(void *data) {
  const fcgi_handler handler = {.size = sizeof handler,
                                .on_request = *(fcgi_callback *)data};
  return fcgi_serve(NULL, &handler, NULL) != 0;
}

static fcgi_server *make(fcgi_poller_kind poller, fcgi_body_mode body) {
  const fcgi_server_config config = {
      .size = sizeof config, .poller = poller, .body = body};
  fcgi_server *server;
  if (fcgi_server_new(&server, &config, NULL, 0))
    _exit(99);
  return server;
}

static int run(fcgi_server *server, fcgi_callback callback,
               unsigned program_threads) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = callback};
  int failed = fcgi_server_listen(server, NULL);
  if (!failed)
    failed = fcgi_server_run_threads(server, &handler, NULL, program_threads);
  if (failed)
    fprintf(stderr, "%s\n", fcgi_server_message(server));
  fcgi_server_free(server);
  return failed != 0;
}

int program_stream(void *data) {
  return run(make(FCGI_POLLER_BEST, FCGI_BODY_STREAM), *(fcgi_callback *)data,
             1);
}

int program_threads(void *data) {
  return run(make(FCGI_POLLER_BEST, FCGI_BODY_STREAM), *(fcgi_callback *)data,
             4);
}

int program_with_poll(void *data) {
  return run(make(FCGI_POLLER_POLL, FCGI_BODY_COLLECT), *(fcgi_callback *)data,
             1);
}

/* Answers one request and frees the server without asking for more. */
int program_pull_once(void *data) {
  fcgi_server *server = make(FCGI_POLLER_BEST, FCGI_BODY_COLLECT);
  fcgi_server_event event = {.size = sizeof event};
  int got = fcgi_server_listen(server, NULL);
  while (got == 0)
    got = fcgi_server_next(server, &event, 1000);
  if (got == 1)
    handle_hello(event.request, data);
  fcgi_server_free(server);
  return got != 1;
}

/* A loop that is not the server's: it only knows one descriptor. */
int program_foreign_loop(void *data) {
  fcgi_server *server = make(FCGI_POLLER_EPOLL, FCGI_BODY_COLLECT);
  fcgi_server_event event = {.size = sizeof event};
  int got = fcgi_server_listen(server, NULL);
  while (got >= 0) {
    struct pollfd at = {.fd = fcgi_server_fd(server), .events = POLLIN};
    if (poll(&at, 1, 10000) != 1)
      return 1;
    while ((got = fcgi_server_next(server, &event, 0)) > 0)
      handle_hello(event.request, data);
  }
  fcgi_server_free(server);
  return got != FCGI_ERR_CLOSED;
}

int program_only_filters(void *data) {
  const fcgi_role_spec role = {FCGI_ROLE_FILTER, FCGI_STREAMS_STDIN_DATA,
                               "filter"};
  const fcgi_handler handler = {.size = sizeof handler,
                                .on_request = handle_hello};
  fcgi_server *server = make(FCGI_POLLER_BEST, FCGI_BODY_COLLECT);
  int failed = fcgi_server_listen(server, NULL);
  (void)data;
  if (!failed)
    failed = fcgi_server_set_roles(server, &role, 1);
  if (!failed)
    failed = fcgi_server_run(server, &handler, NULL);
  fcgi_server_free(server);
  return failed != 0;
}

/* Tells which addresses the server has, and what it says to a second one. */
int program_tell_addresses(void *data) {
  fcgi_server *server = make(FCGI_POLLER_BEST, FCGI_BODY_COLLECT);
  char text[64] = "none";
  int error = fcgi_server_listen(server, *(const char **)data);
  fprintf(stderr, "%d %s;", error, fcgi_server_message(server));
  fcgi_server_address(server, 0, text, sizeof text);
  fprintf(stderr, "%.4s;", text);
  fprintf(stderr, "%d;", fcgi_server_address(server, 0, text, 3));
  fprintf(stderr, "%d;", fcgi_server_address(server, 1, text, sizeof text));
  error = fcgi_server_listen(server, NULL);
  fprintf(stderr, "%d %s", error, fcgi_server_message(server));
  fcgi_server_free(server);
  return 0;
}

/* Frees the server while its answer has nowhere to go. */
int program_with_listener(void *data) {
  const struct sockaddr_in name = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(fd, (const struct sockaddr *)&name, sizeof name) || listen(fd, 8))
    return 1;
  dup2(fd, 0);
  return program_tell_addresses(data);
}

int program_free_full(void *data) {
  fcgi_server *server = make(FCGI_POLLER_BEST, FCGI_BODY_COLLECT);
  fcgi_server_event event = {.size = sizeof event};
  int got = fcgi_server_listen(server, NULL);
  (void)data;
  while (got == 0)
    got = fcgi_server_next(server, &event, 1000);
  if (got == 1) {
    fcgi_request_set_timeout(event.request, 300);
    got = handle_big(event.request, NULL);
  }
  fcgi_server_free(server);
  return got != FCGI_ERR_TIMEOUT;
}

/* The server calls it from the bridge too. */
typedef struct shared_memory {
  pthread_mutex_t lock;     /* Guards what follows. */
  failing state;            /* When it runs out. */
  fcgi_allocator allocator; /* Over it. */
} shared_memory;

static void *shared_realloc(void *ptr, size_t size, void *user_data) {
  shared_memory *memory = user_data;
  pthread_mutex_lock(&memory->lock);
  ptr = memory->allocator.realloc(ptr, size, memory->allocator.user_data);
  pthread_mutex_unlock(&memory->lock);
  return ptr;
}

int program_short_of_memory(void *data) {
  shared_memory memory = {.lock = PTHREAD_MUTEX_INITIALIZER,
                          .state.until_failure = *(long *)data};
  const fcgi_server_config config = {.size = sizeof config,
                                     .allocator = {shared_realloc, &memory}};
  fcgi_server *server;
  memory.allocator = failing_allocator(&memory.state);
  if (fcgi_server_new(&server, &config, NULL, 0) == 0)
    run(server, handle_hello, 1);
  if (memory.state.failures == 0)
    fprintf(stderr, "enough\n");
  return memory.state.live != 0;
}
