/* SPDX-License-Identifier: MIT */
/* A FastCGI server: listeners, connections and their requests, served by as
   many threads as the program likes.

   A server can inherit where it listens: listeners from systemd (LISTEN_FDS),
   else a listening socket at descriptor 0, else, where GATEWAY_INTERFACE is
   set, the one request of a CGI server (RFC 3875). Such a request is served
   like any other, and once it is answered the server stops gracefully by
   itself. From fcgi_server_listen on, descriptor 0 is then /dev/null and 1 is a
   copy of 2, so that nothing printed disturbs the response; do not fork(2) to
   serve it elsewhere. "nph-" scripts, whose response no web server reads, are
   not supported.

   Where NOTIFY_SOCKET is set, a server with a listener tells its starter, as
   sd_notify(3) does, READY=1 when it is first waited on and STOPPING=1 when it
   stops; where WATCHDOG_USEC asks for it, also WATCHDOG=1 as long as some
   thread waits. These variables, LISTEN_* and those of a supervisor of ours
   then leave the environment, and an inherited listener leaves descriptor 0 to
   /dev/null, so that programs which handlers start inherit none of it. */
#ifndef FASTCGI_SERVER_H
#define FASTCGI_SERVER_H

#include <fastcgi/alloc.h>
#include <fastcgi/event.h>
#include <fastcgi/export.h>
#include <fastcgi/handler.h>
#include <fastcgi/request.h>
#include <fastcgi/role.h>
#include <fastcgi/timeout.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct fcgi_server fcgi_server;

/* X(NAME, key): how a server waits. EPOLL is epoll(7), which Linux has; POLL is
   poll(2), which every system has; BEST is epoll where there is one, else
   poll. */
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
                            Behind nginx read the body before you answer: nginx
                            stops sending it once it has the head of an
                            answer. */
} fcgi_body_mode;

typedef enum fcgi_stop {
  FCGI_STOP_GRACEFUL = 0, /* Accept nothing more, finish what runs. */
  FCGI_STOP_NOW           /* Abort what runs. */
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

/* Receives one line without its newline. Called from any serving thread. */
typedef void (*fcgi_log_fn)(fcgi_log_level level, const char *line,
                            void *user_data);

/* A field left 0 takes its value from the environment, where it is an option,
   and else its default. The variable is FASTCGI_ and the name of the field in
   capitals without "_MS", such as FASTCGI_IO_TIMEOUT=30s; fcgi_server_new fails
   where its value cannot be the option's. Times are milliseconds. -1 turns a
   flag off and sets a time or number to "no limit", where it can be;
   io_timeout_ms takes FCGI_WAIT_FOREVER and FCGI_WAIT_NEVER. fcgi_server_new
   copies texts. */
typedef struct fcgi_server_config {
  size_t size;              /* sizeof(fcgi_server_config). */
  fcgi_allocator allocator; /* Where memory comes from. Default: the C
                               library's. */
  fcgi_body_mode body;      /* When a request is handed out. Default:
                               FCGI_BODY_COLLECT. */
  unsigned events;          /* Events of fcgi_server_next beside REQUEST: an or
                               of 1u << type. Default: none. */
  fcgi_log_fn log;          /* Receives each line of the log. Default: stderr,
                               which nobody waits for. */
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

  /* Tell web servers that ask to send one request at a time over a connection.
     Default: no. */
  int no_multiplex;

  /* Most bytes of a collected body in memory; the rest goes to a temporary
     file. Default: 256K. */
  size_t body_memory;

  /* Most bytes that the requests of a connection hold; new ones get 503.
     Default: 4M. */
  size_t connection_memory;

  /* Most bytes that the requests of all connections of a process hold; new ones
     get 503. Default: 256M. */
  size_t server_memory;

  /* Most unread bytes of a streamed body before its connection is no longer
     read. Default: 256K. */
  size_t input_window;

  /* Most unsent bytes of an answer before its writer waits. Default: 256K. */
  size_t output_window;

  /* Most bytes of a body that nobody reads; then its connection is closed.
     Default: 4G. */
  uint64_t drain_bytes;

  /* Directory of temporary files. Default: $TMPDIR, or /tmp. */
  const char *temp_dir;

  /* --- Time --- */

  /* Longest time from the first byte of a request to the end of its parameters.
     Default: 30s. */
  int header_timeout_ms;

  /* Longest wait of one read or write of a request; a collected body that makes
     no progress for this long gets 408. Default: 60s. */
  int io_timeout_ms;

  /* Longest time that a kept connection stays without a request. Default:
     90s. */
  int idle_timeout_ms;

  /* Longest time that a request may take; then the client gets 504. Default: no
     limit. */
  int request_timeout_ms;

  /* Silence after which the unread rest of a body is given up. Default:
     0.5s. */
  int drain_silence_ms;

  /* Longest time that the unread rest of a body is waited for. Default: 30s. */
  int drain_timeout_ms;

  /* --- Access --- */

  /* Addresses and CIDR blocks that may connect over TCP, with commas between.
     Default: loopback. */
  const char *allow_from;

  /* Users, by name or number, whose processes may connect over unix sockets,
     with commas between. Default: anyone whom the mode of the socket allows. */
  const char *peer_users;

  /* Mode of the unix sockets that are made, in octal. Default: 660. */
  unsigned socket_mode;

  /* Most connections that wait to be accepted. Default: 4096. */
  int backlog;

  /* Path where the application is mounted, such as /shop; an empty one says
     nowhere. Default: what the web server says. */
  const char *root_path;

  /* How the server waits: epoll is for Linux, poll for every system. Default:
     best. */
  fcgi_poller_kind poller;

  /* --- Observation --- */

  /* Path that the server answers with its status. Default: none. */
  const char *status_path;

  /* Path that the server answers with "pong". Default: none. */
  const char *ping_path;

  /* Time after which a request gets into the log, with what its handler does.
     Default: never. */
  int slow_log_ms;

  /* File that gets a line for each request; - is stderr. Default: none. */
  const char *access_logfile;

  /* Form of those lines: common, combined, json, or a text with the atoms of
     gunicorn. Default: combined. */
  const char *access_logformat;

  /* Most bytes of lines that wait for a log file; lines without room are
     dropped and counted. Default: 1M. */
  size_t log_queue;

  /* File that gets the messages of the server and what requests write to
     STDERR; - is stderr. Default: stderr. */
  const char *error_logfile;

  /* --- Life of a worker --- */

  /* Requests after which a worker is replaced; a server without a supervisor
     stops. Default: never. */
  uint64_t max_requests;

  /* Largest random number that is added to --max-requests. Default: 0. */
  uint64_t max_requests_jitter;

  /* Longest time that a graceful stop waits for running requests; then they are
     aborted. Default: 30s. */
  int graceful_timeout_ms;
  /* End of the fields of options. */
} fcgi_server_config;

/* One event of a server. The caller sets `size`; a later version may have more
   fields at the end, and fills no more than `size` bytes. */
typedef struct fcgi_server_event {
  size_t size;           /* sizeof(fcgi_server_event). */
  fcgi_event_type type;  /* REQUEST, or a type asked for in `events`. */
  fcgi_request *request; /* The request; yours to end after REQUEST, dead after
                            CLOSE. */
  void *user_data;       /* What fcgi_request_set_user_data set. */
} fcgi_server_event;

/* Opens /dev/null for each of the descriptors 0 to 2 that is closed, so that no
   file or socket gets such a number, and with it what is printed. Programs call
   it before they open anything; fcgi_server_new and fcgi_supervisor_run call it
   too. */
FCGI_EXPORT void fcgi_standard_hold(void);

/* Makes a server; for `config` NULL the environment and the defaults say all.
   FCGI_ERR_INVALID when a field or a variable has a value that its option
   cannot have. On failure `why`, unless it is NULL, holds one line for a
   person, cut to `len` bytes with its NUL, and errno is set when the error is
   FCGI_ERR_SYSTEM. Any thread. */
FCGI_EXPORT int fcgi_server_new(fcgi_server **out,
                                const fcgi_server_config *config, char *why,
                                size_t len);

/* Closes everything and frees the server. No thread may still be in a call, and
   handles of requests that have not ended die. Unix sockets that the server has
   made are removed. NULL is fine. */
FCGI_EXPORT void fcgi_server_free(fcgi_server *server);

/* Returns 1 in a process that was forked from the server's. The fork owns
   nothing of the server: no call on it or on its requests changes anything
   there. fcgi_server_next returns FCGI_ERR_CLOSED, so that a handler that
   returns in the fork leaves its loop; fcgi_server_free does nothing; other
   calls that can fail return FCGI_ERR_STATE. Parameters can be read.
   Async-signal-safe. */
FCGI_EXPORT int fcgi_server_forked(const fcgi_server *server);

/* Listens on `address`: unix:/path, unix:relative, unix:@abstract, host:port,
   [::1]:port, :port (loopback), fd:N, or NULL for what is inherited (see
   above). May be called several times. A TCP address that other machines reach
   needs `allow_from` in the configuration, or FCGI_WEB_SERVER_ADDRS of the
   specification in the environment; where both are set, both apply, and a peer
   not in them is closed at once. On failure fcgi_server_message explains in one
   line. */
FCGI_EXPORT int fcgi_server_listen(fcgi_server *server, const char *address);

/* Serves these roles, which are copied, instead of FCGI_ROLE_SPECS. A request
   of another role gets UNKNOWN_ROLE, and an authorizer's also status 503.
   FCGI_ERR_INVALID when a number is 0 or a name empty, when either is there
   twice, or when a standard role has other streams than its own; FCGI_ERR_STATE
   once a connection was accepted. */
FCGI_EXPORT int fcgi_server_set_roles(fcgi_server *server,
                                      const fcgi_role_spec *roles,
                                      size_t count);

/* Copies the address of listener `index`, with its real port, as text into
   `out`; a CGI start comes last, as "cgi". FCGI_ERR_INVALID past the last one,
   FCGI_ERR_LIMIT when it does not fit. */
FCGI_EXPORT int fcgi_server_address(fcgi_server *server, size_t index,
                                    char *out, size_t len);

/* Returns what went wrong in the last listen or run that failed: one line for a
   person, "" if nothing did. Lent until the next call that can fail. */
FCGI_EXPORT const char *fcgi_server_message(const fcgi_server *server);

/* Serves with callbacks until stopped. Call it from as many threads as should
   serve; callbacks run in them. Do not call fcgi_server_next beside it. Returns
   0, or an error: FCGI_ERR_STATE without a listener, FCGI_ERR_INVALID for the
   handler. */
FCGI_EXPORT int fcgi_server_run(fcgi_server *server,
                                const fcgi_handler *handler, void *user_data);

/* Takes the next event; any number of threads may call it. Returns 1 with
   `*event` filled; 0 when `timeout_ms`, or FCGI_WAIT_FOREVER, has passed or a
   signal came; FCGI_ERR_CLOSED when the server was stopped and all is finished;
   FCGI_ERR_INVALID when `event->size` is not set. */
FCGI_EXPORT int fcgi_server_next(fcgi_server *server, fcgi_server_event *event,
                                 int timeout_ms);

/* Returns a descriptor for foreign event loops, which polls readable when
   fcgi_server_next with timeout 0 has work; call that until it returns 0, and
   also after the time of fcgi_server_wait_ms. FCGI_ERR_UNSUPPORTED with
   poll(2). */
FCGI_EXPORT int fcgi_server_fd(fcgi_server *server);

/* Returns the milliseconds until fcgi_server_next must be called because a time
   limit runs out; -1 when none is running. */
FCGI_EXPORT int fcgi_server_wait_ms(fcgi_server *server);

/* Passes connections on in a graceful stop: each goes, once no request of it is
   open, over `socket` (SOCK_SEQPACKET) to a server that takes over from it, and
   no web server sees it close. `socket` stays yours. An inherited listener sets
   this and the other end from FASTCGI_HANDOVER=PID:OUT:IN in the environment of
   that process. FCGI_ERR_INVALID for another kind of socket. */
FCGI_EXPORT int fcgi_server_hand_over(fcgi_server *server, int socket);

/* Serves the connections that come over `socket` too; it stays yours until the
   server is freed. A server that passes connections on and has taken them from
   the other end before stops only when they were taken, and serves them while
   nobody takes them. FCGI_ERR_STATE for a second one. */
FCGI_EXPORT int fcgi_server_take_over(fcgi_server *server, int socket);

/* Describes what the handler of a request does: fills `out` with the lines of
   its stack, the innermost last, and a NUL. `thread` is what pthread_self()
   returned where the request was taken. Of `request` only the user data may be
   asked for. A thread of the server's own calls this function. */
typedef void (*fcgi_trace_fn)(uintptr_t thread, fcgi_request *request,
                              char *out, size_t len, void *user_data);

/* Sets the function that describes a running handler for the slow log. Ignored
   without a slow log. Call it before the first fcgi_server_next or
   fcgi_server_run. */
FCGI_EXPORT void fcgi_server_set_tracer(fcgi_server *server,
                                        fcgi_trace_fn tracer, void *user_data);
/* Returns the user data of the tracer, or NULL when none was taken. */
FCGI_EXPORT void *fcgi_server_tracer_data(fcgi_server *server);

/* Writes `text`, line by line, to the error log, and returns 1. Where there is
   none, it goes to `log` of the configuration or, as it is, to stderr, and 0 is
   returned. It waits neither for a disk nor for a reader. For what a binding
   has to say, such as a traceback. Any thread. */
FCGI_EXPORT int fcgi_server_log(fcgi_server *server, fcgi_log_level level,
                                const char *text, size_t len);

/* Opens access log and error log anew by their names, once they were renamed.
   Where that fails the old file is written on, with a line in the error log.
   Without such logs nothing happens. Any thread, not a signal handler. */
FCGI_EXPORT void fcgi_server_reopen_logs(fcgi_server *server);

/* Stops serving; threads in run or next return when the rest is finished. A
   graceful stop serves what has connected, and gives a connection without a
   request drain_silence_ms. A second call can only make it faster.
   Async-signal-safe; any thread. */
FCGI_EXPORT void fcgi_server_stop(fcgi_server *server, fcgi_stop how);

#endif
