/* SPDX-License-Identifier: MIT */
/* A FastCGI server: listeners, connections and their requests, served by as
   many threads as the program likes.

   A server can inherit where it listens: listeners from systemd (LISTEN_FDS),
   else a listening socket at descriptor 0, else, where GATEWAY_INTERFACE is
   set, the one request of a CGI server (RFC 3875). Such a request is served
   like any other, and once it is answered the server stops gracefully by
   itself. From fcgi_server_listen on, descriptor 0 is then /dev/null and 1 is a
   copy of 2, so that nothing printed disturbs the response; serve the
   request in this process, not in a fork(2) of it. "nph-" scripts, whose
   response no web server reads, are not supported.

   Where NOTIFY_SOCKET is set, a server with a listener tells its starter, as
   sd_notify(3) does, READY=1 when it is first waited on and STOPPING=1 when it
   stops; where WATCHDOG_USEC asks for it, also WATCHDOG=1 as long as some
   thread waits. The server then removes these variables, LISTEN_* and those
   of this library's supervisor from the environment, and opens /dev/null at
   descriptor 0 in place of an inherited listener, so that programs which
   handlers start inherit none of it. */
#ifndef FASTCGI_SERVER_H
#define FASTCGI_SERVER_H

#include <fastcgi/alloc.h>
#include <fastcgi/event.h>
#include <fastcgi/export.h>
#include <fastcgi/handler.h>
#include <fastcgi/request.h>
#include <fastcgi/resource.h>
#include <fastcgi/role.h>
#include <fastcgi/timeout.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct fcgi_server fcgi_server;

/* X(NAME, key): the system call that a server waits with. EPOLL is epoll(7), on
   Linux only; POLL is poll(2), on every system; BEST is epoll where it exists,
   else poll. */
#define FCGI_POLLER_MAP(X)                                                     \
  X(BEST, best)                                                                \
  X(EPOLL, epoll)                                                              \
  X(POLL, poll)

typedef enum fcgi_poller_kind {
#define FCGI_SERVER_ENUM(name, key) FCGI_POLLER_##name,
  FCGI_POLLER_MAP(FCGI_SERVER_ENUM)
#undef FCGI_SERVER_ENUM
      FCGI_POLLERS /* Number of pollers in this version. */
} fcgi_poller_kind;

typedef enum fcgi_body_mode {
  FCGI_BODY_COLLECT = 0, /* A request is handed out with its whole body. */
  FCGI_BODY_STREAM       /* A request is handed out at the end of PARAMS.
                            Behind nginx, read the whole body before you answer:
                            nginx stops sending it as soon as it receives the
                            head of an answer. */
} fcgi_body_mode;

typedef enum fcgi_stop {
  FCGI_STOP_GRACEFUL = 0, /* Accept no new connection; finish the requests. */
  FCGI_STOP_NOW           /* Abort the requests. */
} fcgi_stop;

/* X(NAME, key): levels of a log, the most important one first. */
#define FCGI_LOG_LEVEL_MAP(X)                                                  \
  X(ERROR, error)                                                              \
  X(WARNING, warning)                                                          \
  X(INFO, info)                                                                \
  X(DEBUG, debug)

typedef enum fcgi_log_level {
#define FCGI_SERVER_ENUM(name, key) FCGI_LOG_##name,
  FCGI_LOG_LEVEL_MAP(FCGI_SERVER_ENUM)
#undef FCGI_SERVER_ENUM
      FCGI_LOG_LEVELS /* Number of levels in this version. */
} fcgi_log_level;

/* Receives one line without its newline. Any serving thread calls it. */
typedef void (*fcgi_log_fn)(fcgi_log_level level, const char *line,
                            void *user_data);

/* A field left 0 takes its value from the environment if it is an option and
   its variable is set, otherwise its default. The variable of io_timeout_ms is
   FASTCGI_IO_TIMEOUT, and so on: FASTCGI_FIELD without "_MS", with values such
   as 30s; fcgi_server_new fails if the option does not accept the value. Fields
   that end in _ms are milliseconds. -1 turns a flag off, and means "no limit"
   in a time or number that may be unlimited; io_timeout_ms also takes
   FCGI_WAIT_NEVER. fcgi_server_new copies texts. */
typedef struct fcgi_server_config {
  size_t size;              /* sizeof(fcgi_server_config). */
  fcgi_allocator allocator; /* Where memory comes from. Default: the C
                               library's. */
  fcgi_body_mode body;      /* When a request is handed out. Default:
                               FCGI_BODY_COLLECT. */
  unsigned events;          /* Events that fcgi_server_next returns in addition
                               to REQUEST: an or of 1u << type. Default:
                               none. */
  fcgi_log_fn log;          /* Receives each line of the log. Default: lines go
                               to stderr, and no request waits for that. */
  void *log_data;           /* The pointer that `log` is called with. */
  unsigned log_levels;      /* Levels that go to stderr without `log` and
                               without an error log: an or of 1u << level.
                               Default: ERROR and WARNING. */

  /* `./dev options` writes the following fields. */

  /* --- Limits --- */

  /* Most bytes in the parameters of a request; a larger one gets 431. Default:
     256K. */
  size_t limit_params_size;

  /* Most parameters of a request; one with more gets 431. Default: 1024. */
  uint32_t limit_params;

  /* Largest body that is collected; a longer one gets 413. Default: 1G. */
  uint64_t limit_request_body;

  /* Most connections that a process has open at once; others wait. Default:
     what the limit of open files leaves, at most 65536. */
  uint32_t limit_connections;

  /* Most requests that are open at once on a connection; others get 503.
     Default: 1024. */
  uint32_t max_multiplexed;

  /* Tell web servers that ask (GET_VALUES) that a connection takes one request
     at a time. Default: off. */
  int no_multiplex;

  /* Most bytes of a collected body in memory; the rest goes to a temporary
     file. Default: 256K. */
  size_t body_memory;

  /* Most bytes of memory that the requests of a connection hold; beyond that,
     new requests get 503. Default: 4M. */
  size_t connection_memory;

  /* Most bytes of memory that all requests of a process hold; beyond that, new
     requests get 503. Default: 256M. */
  size_t server_memory;

  /* Most bytes of a streamed body that wait for the handler; then reading from
     the connection pauses. Default: 256K. */
  size_t input_window;

  /* Most unsent bytes of an answer; then the handler that writes it waits.
     Default: 256K. */
  size_t output_window;

  /* Most bytes of an unread body that are received and dropped; then the
     connection is closed. Default: 4G. */
  uint64_t drain_bytes;

  /* Directory for temporary files. Default: $TMPDIR, or /tmp. */
  const char *temp_dir;

  /* --- Time --- */

  /* Longest time from the first byte of a request to the end of its parameters.
     Default: 30s. */
  int header_timeout_ms;

  /* Longest wait of one read or write of a request; a collected body that makes
     no progress for this long gets 408. Default: 60s. */
  int io_timeout_ms;

  /* Longest time that a kept connection stays open without a request. Default:
     90s. */
  int idle_timeout_ms;

  /* Longest time that a request may take; then the client gets 504. Default: no
     limit. */
  int request_timeout_ms;

  /* Longest pause in the unread rest of a body; then the server stops waiting
     for it. Default: 0.5s. */
  int drain_silence_ms;

  /* Longest time that the server waits for the unread rest of a body. Default:
     30s. */
  int drain_timeout_ms;

  /* --- Access --- */

  /* Addresses and CIDR blocks that may connect over TCP, separated by commas.
     Default: loopback. */
  const char *allow_from;

  /* Users whose processes may connect over unix sockets, by name or number,
     separated by commas. Default: anyone whom the mode of the socket allows. */
  const char *peer_users;

  /* Mode of the unix sockets that are created, in octal. Default: 660. */
  unsigned socket_mode;

  /* Most connections that wait to be accepted. Default: 4096. */
  int backlog;

  /* URL path that the application is mounted at, such as /shop; an empty path
     is the root of the site. Default: what the web server says. */
  const char *root_path;

  /* System call that the server waits with: epoll is for Linux, poll for every
     system; best is epoll where it exists. Default: best. */
  fcgi_poller_kind poller;

  /* --- Observation --- */

  /* URL path of the status page. Default: none. */
  const char *status_path;

  /* URL path that the server answers with "pong". Default: none. */
  const char *ping_path;

  /* Time after which a running request is logged, with the stack of its
     handler. Default: never. */
  int slow_log_ms;

  /* File for the access log, which has a line for each request; - is stderr.
     Default: none. */
  const char *access_logfile;

  /* Format of the access log: common, combined, json, or a text with gunicorn's
     atoms, such as %(h)s. Default: combined. */
  const char *access_logformat;

  /* Most bytes of lines that wait to be written to a log file; further lines
     are dropped and counted. Default: 1M. */
  size_t log_queue;

  /* File for the error log: messages of the server, and what requests write to
     STDERR; - is stderr. Default: stderr. */
  const char *error_logfile;

  /* --- Life of a worker --- */

  /* Number of requests after which a worker is replaced; without a supervisor,
     the server stops then. Default: never. */
  uint64_t max_requests;

  /* Largest random number that is added to max_requests. Default: 0. */
  uint64_t max_requests_jitter;

  /* Longest time that a graceful stop waits for running requests; then they are
     aborted. Default: 30s. */
  int graceful_timeout_ms;
  /* End of the fields of options. */
} fcgi_server_config;

/* One event of a server. The caller sets `size`, and the library fills no more
   than `size` bytes: a later version may append fields. */
typedef struct fcgi_server_event {
  size_t size;           /* sizeof(fcgi_server_event). */
  fcgi_event_type type;  /* REQUEST, or a type asked for in `events`. */
  fcgi_request *request; /* The request. The caller ends it after REQUEST; the
                            handle is invalid after CLOSE. */
  void *user_data;       /* What fcgi_request_set_user_data set. */
} fcgi_server_event;

/* Opens /dev/null for each of the descriptors 0 to 2 that is closed. Otherwise
   a file or socket could get such a number and receive what the program prints.
   Programs call it before they open anything; fcgi_server_new and
   fcgi_supervisor_run call it too. */
FCGI_EXPORT void fcgi_standard_hold(void);

/* Makes a server; `config` NULL takes everything from the environment and the
   defaults. FCGI_ERR_INVALID when an option does not accept the value of its
   field or variable; FCGI_ERR_SYSTEM with errno. On failure it writes one line
   for a person into `why`, unless that is NULL, cut to `len` bytes with its
   NUL. Any thread may call it. */
FCGI_EXPORT int fcgi_server_new(fcgi_server **out,
                                const fcgi_server_config *config, char *why,
                                size_t len);

/* Closes everything and frees the server. No thread may still be in a call.
   Handles of requests that have not ended become invalid, and unix sockets that
   the server has created are removed. NULL is allowed. */
FCGI_EXPORT void fcgi_server_free(fcgi_server *server);

/* Returns 1 in a child that was forked from the server's process. The child
   owns nothing of the server: no call there changes the server or its requests.
   fcgi_server_next returns FCGI_ERR_CLOSED, so that a handler that returns in
   the child leaves its loop; fcgi_server_free does nothing; other calls that
   can fail return FCGI_ERR_STATE. Parameters can be read. It is
   async-signal-safe. */
FCGI_EXPORT int fcgi_server_forked(const fcgi_server *server);

/* Listens on `address`: unix:/path, unix:relative, unix:@abstract, host:port,
   [::1]:port, :port (loopback), fd:N, or NULL for the inherited listeners
   (see above). It may be called several times. A TCP address that other
   machines can reach needs `allow_from` in the configuration, or
   FCGI_WEB_SERVER_ADDRS of the specification in the environment. A peer must be
   in both where both are set, and they must have an address in common; the
   connection of any other is closed at once. On failure fcgi_server_message
   explains in one line. */
FCGI_EXPORT int fcgi_server_listen(fcgi_server *server, const char *address);

/* Serves these roles, which it copies, instead of FCGI_ROLE_SPECS. A request of
   another role gets UNKNOWN_ROLE, and an authorizer's also gets status 503.
   FCGI_ERR_INVALID when a number is 0 or a name is empty, when two roles share
   a number or a name, or when a standard role has streams other than its own;
   FCGI_ERR_STATE after a connection was accepted. */
FCGI_EXPORT int fcgi_server_set_roles(fcgi_server *server,
                                      const fcgi_role_spec *roles,
                                      size_t count);

/* Copies the address of listener `index`, with its real port, as text into
   `out`; the request of a CGI server comes last, as "cgi". FCGI_ERR_INVALID
   past the last one, FCGI_ERR_LIMIT when `out` is too short. */
FCGI_EXPORT int fcgi_server_address(fcgi_server *server, size_t index,
                                    char *out, size_t len);

/* Returns why the last call of listen or run failed, as one line for a person;
   "" if it did not. The text is lent until the next call that can fail. */
FCGI_EXPORT const char *fcgi_server_message(const fcgi_server *server);

/* Keeps a resource with callbacks for the handlers, whose requests are holders
   (fcgi_request_holder): fcgi_server_run opens it before the server is ready if
   it is eager, tidies it up while it serves, closes what a thread has when that
   stops, and all the rest when the last one does, the resource named last
   first. The resource stays yours, and is freed after the server has stopped.
   FCGI_ERR_LIMIT. */
FCGI_EXPORT int fcgi_server_keep(fcgi_server *server, fcgi_resource *resource);

/* Has the status of the server count what the resource does from now on, and
   what it has open; for programs that carry out its steps, as fcgi_server_run
   does so by itself. Nothing happens where the server has no status. */
FCGI_EXPORT void fcgi_server_count_resource(fcgi_server *server,
                                            fcgi_resource *resource);

/* Serves with callbacks until the server is stopped. Each thread that should
   serve calls it, and callbacks run on these threads. Do not use
   fcgi_server_next on the same server. Returns 0, or an error: FCGI_ERR_STATE
   without a listener, FCGI_ERR_INVALID for a handler that is not valid. */
FCGI_EXPORT int fcgi_server_run(fcgi_server *server,
                                const fcgi_handler *handler, void *user_data);

/* Takes the next event, and waits for it at most `timeout_ms` milliseconds or
   FCGI_WAIT_FOREVER; any number of threads may call it. Returns 1 with `*event`
   filled; 0 when the time has passed or a signal was received; FCGI_ERR_CLOSED
   when the server was stopped and every request is finished; FCGI_ERR_INVALID
   when `event->size` is not set. */
FCGI_EXPORT int fcgi_server_next(fcgi_server *server, fcgi_server_event *event,
                                 int timeout_ms);

/* Sets which events fcgi_server_next returns from now on: an or of 1u << type.
   Without REQUEST, requests that come wait until a later call asks for REQUEST
   again. Call it on the thread that calls fcgi_server_next. */
FCGI_EXPORT void fcgi_server_set_events(fcgi_server *server, unsigned events);

/* Returns a descriptor for another event loop. It is readable while the server
   has work: then call fcgi_server_next with timeout 0 until that returns 0. Do
   the same when the time of fcgi_server_wait_ms has passed.
   FCGI_ERR_UNSUPPORTED with poll(2). */
FCGI_EXPORT int fcgi_server_fd(fcgi_server *server);

/* Returns the milliseconds after which fcgi_server_next must be called because
   a time limit ends then; -1 when no time limit is running. */
FCGI_EXPORT int fcgi_server_wait_ms(fcgi_server *server);

/* Passes connections on in a graceful stop: as soon as a connection has no open
   request, it goes over `socket` (SOCK_SEQPACKET) to a server that calls
   fcgi_server_take_over, and the web server does not see it close. `socket`
   stays the caller's. FASTCGI_HANDOVER=PID:OUT:IN in the environment of process
   PID makes a server with inherited listeners call both functions.
   FCGI_ERR_INVALID for another kind of socket. */
FCGI_EXPORT int fcgi_server_hand_over(fcgi_server *server, int socket);

/* Serves the connections that arrive over `socket`, too. The socket stays the
   caller's, who keeps it open until the server is freed. A server that has
   passed connections on waits in its stop until another server has taken them;
   if none takes them for a second, it takes them back over `socket` and serves
   them. FCGI_ERR_STATE for a second socket. */
FCGI_EXPORT int fcgi_server_take_over(fcgi_server *server, int socket);

/* Describes what the handler of a request does: fills `out` with the lines of
   its stack, the innermost last, and a NUL. `thread` is the value of
   pthread_self() on the thread that took the request. The function may call
   fcgi_request_user_data and nothing else on `request`. A thread of the server
   calls it. */
typedef void (*fcgi_trace_fn)(uintptr_t thread, fcgi_request *request,
                              char *out, size_t len, void *user_data);

/* Sets the function that describes a running handler for the slow log. Ignored
   without a slow log. Call it before the first fcgi_server_next or
   fcgi_server_run. */
FCGI_EXPORT void fcgi_server_set_tracer(fcgi_server *server,
                                        fcgi_trace_fn tracer, void *user_data);
/* Returns the user data of the tracer, or NULL when none was taken. */
FCGI_EXPORT void *fcgi_server_tracer_data(fcgi_server *server);

/* Writes `text`, such as a traceback, line by line to the error log and returns
   1. Without an error log it passes the text to `log` of the configuration or
   writes it unchanged to stderr, and returns 0. It waits neither for a disk nor
   for a reader. Any thread may call it. */
FCGI_EXPORT int fcgi_server_log(fcgi_server *server, fcgi_log_level level,
                                const char *text, size_t len);

/* Opens the access log and the error log again by their names, after they were
   renamed. A log that cannot be opened stays in the old file, and a line in the
   error log says so. Any thread may call it, but no signal handler. */
FCGI_EXPORT void fcgi_server_reopen_logs(fcgi_server *server);

/* Returns 1 once the server was told to stop. Any thread may call it. */
FCGI_EXPORT int fcgi_server_stopping(const fcgi_server *server);

/* Stops the server: fcgi_server_run and fcgi_server_next return when the last
   request is finished. During a graceful stop, connections that are open may
   begin further requests; one that begins none for drain_silence_ms is closed.
   Another call can turn a graceful stop into FCGI_STOP_NOW, but not the
   reverse. Any thread and any signal handler may call it. */
FCGI_EXPORT void fcgi_server_stop(fcgi_server *server, fcgi_stop how);

#endif
