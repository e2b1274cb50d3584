/* SPDX-License-Identifier: MIT */
/* A server over socket pairs, of either poller: connections are handed in, web
   servers say whatever they like on them, and a program makes every call on its
   requests. What the server sends is whole records, and nothing is left behind,
   also where the allocator fails every few calls. */
#include "fuzz/counting.h"
#include "fuzz/fuzz.h"
#include "fuzz/program.h"
#include "fuzz/script.h"
#include "fuzz/web.h"

#include <fastcgi/fastcgi.h>
#include <unistd.h>

enum { MOST_CALLS = 300, WEBS = 2, NOBODY = 8 };

/* A server, its program and its web servers. */
typedef struct world {
  counting memory;     /* The server's. */
  long every;          /* Its allocator fails after so many calls; 0: never. */
  fcgi_server *server; /* Under test. */
  int in;              /* Connections are handed in here. */
  int taken[2];        /* The server's end of that, and where it hands on. */
  int next;            /* The other end of that. */
  web webs[WEBS];      /* The web servers. */
  program program;     /* Makes calls on requests. */
} world;

static void say_nothing(fcgi_log_level level, const char *line, void *data) {
  (void)data;
  fuzz_require(level <= FCGI_LOG_DEBUG && strchr(line, '\n') == NULL);
}

static fcgi_server_config settings(world *w, uint8_t options, uint8_t more) {
  fcgi_server_config config = {
      .size = sizeof config,
      .allocator = counting_allocator(&w->memory),
      .poller = options & 1 ? FCGI_POLLER_POLL : FCGI_POLLER_BEST,
      .body = options & 2 ? FCGI_BODY_STREAM : FCGI_BODY_COLLECT,
      .io_timeout_ms = FCGI_WAIT_NEVER,
      .drain_silence_ms = options & 64 ? 1 : 60000,
      .log = say_nothing,
      .max_multiplexed = 4,
      .no_multiplex = more & 1 ? 1 : 0};
  if (options & 4)
    config.events = ~0u;
  if (options & 8) {
    config.input_window = config.output_window = 256;
    config.body_memory = 64;
    config.limit_request_body = 100000;
    config.limit_params_size = 300;
    config.limit_params = 6;
  }
  if (options & 16)
    config.status_path = "/s";
  if (more & 2)
    config.max_requests = 3;
  if (more & 8) {
    config.access_logfile = "/dev/null";
    config.access_logformat = more & 16 ? "json" : "%(h)s %(r)s %({x-y}i)s";
    config.error_logfile = "/dev/null";
  }
  if (more & 32) {
    config.ping_path = "/a/b";
    config.root_path = "/a";
  }
  return config;
}

/* The next failures of the allocator; none while nothing is under test. */
static void arm(world *w) {
  if (w->every > 0 && w->memory.until_failure <= 0)
    w->memory.until_failure = w->every;
}

static void start(world *w, uint8_t options, uint8_t more, uint8_t every) {
  static const fcgi_role_spec roles[] = {
      {FCGI_ROLE_RESPONDER, FCGI_STREAMS_STDIN, "responder"},
      {FCGI_ROLE_FILTER, FCGI_STREAMS_STDIN_DATA, "filter"},
      {FCGI_ROLE_AUTHORIZER, FCGI_STREAMS_NONE, "authorizer"}};
  fcgi_server_config config = settings(w, options, more);
  int in[2], out[2];
  *w = (world){.memory.until_failure = -1};
  fuzz_require(fcgi_server_new(&w->server, &config, NULL, 0) == 0);
  fuzz_require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, in) == 0);
  fuzz_require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, out) == 0);
  w->in = in[0];
  w->taken[0] = in[1];
  w->taken[1] = out[0];
  w->next = out[1];
  fuzz_require(fcgi_server_take_over(w->server, in[1]) == 0);
  if (options & 32)
    fuzz_require(fcgi_server_hand_over(w->server, out[0]) == 0);
  if (more & 4)
    fcgi_server_set_roles(w->server, roles, 3);
  if (more & 64) {
    char name[64];
    snprintf(name, sizeof name, "unix:@fastcgi-fuzz-%ld", (long)getpid());
    fcgi_server_listen(w->server, name);
  }
  w->program.events = config.events != 0;
  w->every = options & 128 ? 2 + every % 61 : 0;
}

static void finish(world *w) {
  w->memory.until_failure = -1;
  for (int i = 0; i < WEBS; i++)
    web_leave(&w->webs[i]);
  fcgi_server_free(w->server);
  fuzz_require(w->memory.blocks == 0);
  close(w->in);
  close(w->next);
  close(w->taken[0]);
  close(w->taken[1]);
}

static void serve(world *w, int times) {
  for (int i = 0; i < times; i++) {
    fcgi_server_event event = {.size = sizeof event};
    arm(w);
    int result = fcgi_server_next(w->server, &event, 0);
    fuzz_require(result <= 1);
    if (result != 1)
      break;
    program_take(&w->program, &event);
  }
}

static void look_at(world *w) {
  char text[64];
  fcgi_server_address(w->server, 0, text, sizeof text);
  fuzz_require(fcgi_server_message(w->server) != NULL);
  fcgi_server_fd(w->server);
  fuzz_require(fcgi_server_wait_ms(w->server) >= -1);
  fcgi_server_log(w->server, FCGI_LOG_INFO, "a line\nand another", 18);
  fcgi_server_reopen_logs(w->server);
}

/* One call: of a web server, of the server, or on a request. */
static void act(world *w, script *s) {
  uint8_t call = script_byte(s);
  web *peer = &w->webs[call >> 7];
  switch (call & 15) {
  case 0:
    web_leave(peer);
    web_join(peer, w->in);
    break;
  case 1:
    web_leave(peer);
    break;
  case 2:
    web_end_sending(peer);
    break;
  case 3:
    web_receive(peer, script_size(s));
    break;
  case 4:
  case 5:
  case 6:
  case 7:
    web_say(peer, s);
    break;
  case 8:
    look_at(w);
    break;
  case 9:
    fcgi_server_stop(w->server,
                     script_byte(s) & 1 ? FCGI_STOP_NOW : FCGI_STOP_GRACEFUL);
    break;
  case 10:
  case 11:
    serve(w, 1 + script_byte(s) % 8);
    break;
  default:
    arm(w);
    program_call(&w->program, s);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  script s = {data, size};
  world w;
  uint8_t options = script_byte(&s), more = script_byte(&s);
  uint8_t every = script_byte(&s);
  start(&w, options, more, every);
  for (int i = 0; i < WEBS; i++)
    web_join(&w.webs[i], w.in);
  for (int i = 0; i < MOST_CALLS && s.left > 0; i++)
    act(&w, &s);
  serve(&w, NOBODY);
  for (int i = 0; i < WEBS; i++)
    web_receive(&w.webs[i], SCRIPT_LONGEST);
  finish(&w);
  return 0;
}
