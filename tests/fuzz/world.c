/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/world.h"
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <unistd.h>

enum { CALLS_OF_NEW = 200 }; /* More than making a server allocates. */

/* Bits of the fourth byte of a script. */
enum {
  WATCHED = 1, /* A deadline and a slow log: threads of the server's look. */
  HASTY = 2,   /* Time limits that run out. */
  RUNS = 4,    /* The end is fcgi_server_run's. */
  TCP = 8,     /* A listener with a list of who may connect. */
  NAMED = 16,  /* Users are named, and FCGI_WEB_SERVER_ADDRS is set. */
  POOR = 32,   /* Making it fails at each allocation first. */
  CGI = 64,    /* A CGI start too. */
  MANY = 128   /* Many requests at once on a connection. */
};

static void say_nothing(fcgi_log_level level, const char *line, void *data) {
  (void)data;
  fuzz_require(level <= FCGI_LOG_DEBUG && strchr(line, '\n') == NULL);
}

static void watched(fcgi_server_config *config) {
  config->request_timeout_ms = 5;
  config->slow_log_ms = 1;
}

static void hasty(fcgi_server_config *config) {
  config->header_timeout_ms = config->io_timeout_ms = 1;
  config->idle_timeout_ms = config->drain_silence_ms = 1;
  config->drain_timeout_ms = 2;
}

/* The list's last entry is none, so that listening fails. */
static void guarded(fcgi_server_config *config, unsigned how, unsigned who) {
  static const char *const lists[] = {"127.0.0.0/8,::1", "10.0.0.0/8,fe80::1",
                                      "127.0.0.1", "127.0.0.1,nobody"};
  static const char *const users[] = {"0", "65533", "0-9", "root,65533"};
  if (how & TCP)
    config->allow_from = lists[who % 4];
  if (how & NAMED)
    config->peer_users = users[who / 4 % 4];
}

static void windows(fcgi_server_config *config) {
  config->input_window = config->output_window = 256;
  config->body_memory = 64;
  config->limit_request_body = 100000;
  config->limit_params_size = 300;
  config->limit_params = 6;
}

static void logs(fcgi_server_config *config, unsigned more) {
  config->access_logfile = config->error_logfile = "/dev/null";
  config->access_logformat = more & 16 ? "json" : "%(h)s %(r)s %({x-y}i)s";
}

static void paths(fcgi_server_config *config) {
  config->ping_path = "/a/b";
  config->root_path = "/a/";
}

static fcgi_server_config settings(world *w, unsigned options, unsigned more) {
  fcgi_server_config config = {
      .size = sizeof config,
      .allocator = counting_allocator(&w->memory),
      .poller = options & 1 ? FCGI_POLLER_POLL : FCGI_POLLER_BEST,
      .body = options & 2 ? FCGI_BODY_STREAM : FCGI_BODY_COLLECT,
      .events = options & 4 ? ~0u : 0,
      .io_timeout_ms = FCGI_WAIT_NEVER,
      .drain_silence_ms = options & 64 ? 1 : 60000,
      .log = say_nothing,
      .max_multiplexed = 4,
      .status_path = options & 16 ? "/s" : NULL,
      .max_requests = more & 2 ? 3 : 0,
      .no_multiplex = more & 1 ? 1 : 0};
  if (options & 8)
    windows(&config);
  if (more & 8)
    logs(&config, more);
  if (more & 32)
    paths(&config);
  return config;
}

static void add_how(fcgi_server_config *config, unsigned how, unsigned who) {
  if (how & WATCHED)
    watched(config);
  if (how & HASTY)
    hasty(config);
  if (how & CGI) /* Its bridge waits for as long, where it is handed on. */
    config->drain_silence_ms = 1;
  if (how & MANY)
    config->max_multiplexed = 1024;
  guarded(config, how, who);
}

/* Each attempt comes one allocation further, and leaves nothing. */
static void make_poorly(world *w, const fcgi_server_config *config) {
  fcgi_server *server = NULL;
  char why[200];
  int calls = 0, error;
  do {
    why[0] = '\0';
    w->memory.until_failure = calls++;
    error = fcgi_server_new(&server, config, why, sizeof why);
    fuzz_require(error == 0 || (error == FCGI_ERR_NOMEM && why[0]));
    fuzz_require(error == 0 || w->memory.blocks == 0);
  } while (error && calls < CALLS_OF_NEW);
  fuzz_require(error == 0);
  counting_arm(&w->memory, -1);
  fcgi_server_free(server);
}

static void join_carriers(world *w, int hands_on) {
  int in[2], out[2];
  fuzz_require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, in) == 0);
  fuzz_require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, out) == 0);
  w->in = in[0];
  w->taken[0] = in[1];
  w->taken[1] = out[0];
  w->next = out[1];
  fuzz_require(fcgi_server_take_over(w->server, in[1]) == 0);
  if (hands_on)
    fuzz_require(fcgi_server_hand_over(w->server, out[0]) == 0);
}

/* The request's input and answer are /dev/null's. */
static void start_cgi(world *w) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  fuzz_require(null > 1);
  for (int i = 0; i < 2; i++) {
    w->standard[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
    fuzz_require(w->standard[i] >= 0 && dup2(null, i) == i);
  }
  close(null);
  setenv("GATEWAY_INTERFACE", "CGI/1.1", 1);
  fcgi_server_listen(w->server, NULL);
  fcgi_server_listen(w->server, NULL); /* Once is enough. */
  unsetenv("GATEWAY_INTERFACE");
}

static void end_cgi(world *w) {
  for (int i = 0; i < 2; i++)
    if (w->standard[i] >= 0) {
      dup2(w->standard[i], i);
      close(w->standard[i]);
    }
}

static void listen_at(world *w, unsigned more, unsigned how) {
  char name[64];
  if (how & NAMED)
    setenv("FCGI_WEB_SERVER_ADDRS", how & POOR ? "127.0.0.1" : "a,b", 1);
  snprintf(name, sizeof name, "unix:@fastcgi-fuzz-%ld", (long)getpid());
  if (more & 64)
    fcgi_server_listen(w->server, name);
  if (how & TCP)
    fcgi_server_listen(w->server, "127.0.0.1:0");
  unsetenv("FCGI_WEB_SERVER_ADDRS");
  if (how & CGI)
    start_cgi(w);
}

static void describe(uintptr_t thread, fcgi_request *request, char *out,
                     size_t len, void *data) {
  const world *w = data;
  (void)thread;
  fuzz_require(w->server != NULL);
  fcgi_request_user_data(request);
  snprintf(out, len, "a handler\nin a line");
}

static void set_roles(fcgi_server *server) {
  static const fcgi_role_spec roles[] = {
      {FCGI_ROLE_RESPONDER, FCGI_STREAMS_STDIN, "responder"},
      {FCGI_ROLE_FILTER, FCGI_STREAMS_STDIN_DATA, "filter"},
      {FCGI_ROLE_AUTHORIZER, FCGI_STREAMS_NONE, "authorizer"}};
  fcgi_server_set_roles(server, roles, 3);
}

/* Older scripts have three bytes; one bit tells that two more follow. */
void world_start(world *w, script *s) {
  unsigned options = script_byte(s), more = script_byte(s);
  unsigned every = script_byte(s);
  unsigned how = more & 128 ? script_byte(s) : 0;
  unsigned who = more & 128 ? script_byte(s) : 0;
  *w = (world){.memory.until_failure = -1,
               .standard = {-1, -1},
               .runs = (how & RUNS) != 0,
               .waits = 20,
               .pauses = 2,
               .pause_ms = how & WATCHED ? 25 : 3,
               .forks = 1};
  fcgi_server_config config = settings(w, options, more);
  add_how(&config, how, who);
  if (how & POOR)
    make_poorly(w, &config);
  fuzz_require(fcgi_server_new(&w->server, &config, NULL, 0) == 0);
  join_carriers(w, options & 32);
  if (more & 4)
    set_roles(w->server);
  if (who & 128)
    fcgi_server_set_tracer(w->server, describe, w);
  listen_at(w, more, how);
  if (who & 64)
    kept_start(&w->kept, w->server, &config.allocator);
  w->program.kept = &w->kept;
  w->program.events = config.events != 0;
  w->every = options & 128 ? 2 + (long)every % 61 : 0;
  for (int i = 0; i < WORLD_WEBS; i++)
    web_join(&w->webs[i], w->in);
}

void world_finish(world *w) {
  counting_arm(&w->memory, -1);
  w->kept.mood = 0;
  if (w->runs)
    world_run(w);
  for (int i = 0; i < WORLD_WEBS; i++)
    web_leave(&w->webs[i]);
  fcgi_server_free(w->server);
  kept_finish(&w->kept);
  end_cgi(w);
  fuzz_require(w->memory.blocks == 0);
  close(w->in);
  close(w->next);
  close(w->taken[0]);
  close(w->taken[1]);
}

void world_arm(world *w) {
  if (w->every > 0 && counting_left(&w->memory) <= 0)
    counting_arm(&w->memory, w->every);
}

void world_serve(world *w, int times) {
  for (int i = 0; i < times; i++) {
    fcgi_server_event event = {.size = sizeof event};
    world_arm(w);
    int result = fcgi_server_next(w->server, &event, 0);
    fuzz_require(result <= 1);
    if (result != 1)
      break;
    program_take(&w->program, &event);
  }
}
