/* SPDX-License-Identifier: MIT */
/* A FastCGI server: listeners, connections and their requests, driven by as
   many threads as the program likes.

   What it can inherit are listeners from systemd (LISTEN_FDS), else a listening
   socket at descriptor 0, else, where GATEWAY_INTERFACE is set, the one request
   of a CGI server (RFC 3875). That is served like any other, and once it is
   answered the server stops gracefully by itself. From fcgi_server_listen on
   descriptor 0 is then /dev/null and 1 a copy of 2, so that no print disturbs
   the response; do not fork(2) to serve it elsewhere. "nph-" scripts, whose
   response no web server reads, are not supported.

   Where NOTIFY_SOCKET is set, a server with a listener tells whoever started
   it, as sd_notify(3) does, READY=1 when it is first waited on and STOPPING=1
   when it stops; where WATCHDOG_USEC asks for it, WATCHDOG=1 as long as some
   thread waits. These variables, LISTEN_* and those of a supervisor of ours
   leave the environment then, and an inherited listener leaves descriptor 0 to
   /dev/null, so that programs which handlers start have none of it. */
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

typedef enum fcgi_poller_kind {
  FCGI_POLLER_BEST = 0, /* epoll where there is one, else poll. */
  FCGI_POLLER_EPOLL,    /* epoll(7), Linux. */
  FCGI_POLLER_POLL      /* poll(2), everywhere. */
} fcgi_poller_kind;

typedef enum fcgi_body_mode {
  FCGI_BODY_COLLECT = 0, /* A request is handed out with its whole body. */
  FCGI_BODY_STREAM       /* It is handed out at the end of PARAMS. Behind nginx
                            read the body before you answer: nginx stops
                            sending it once it has the head of an answer. */
} fcgi_body_mode;

typedef enum fcgi_stop {
  FCGI_STOP_GRACEFUL = 0, /* Accept nothing more, finish what runs. */
  FCGI_STOP_NOW           /* Abort what runs. */
} fcgi_stop;

typedef enum fcgi_log_level {
  FCGI_LOG_ERROR = 0,
  FCGI_LOG_WARNING,
  FCGI_LOG_INFO,
  FCGI_LOG_DEBUG
} fcgi_log_level;

/* Receives one line without its newline. Called from any serving thread. */
typedef void (*fcgi_log_fn)(fcgi_log_level level, const char *line,
                            void *user_data);

/* A field left 0 takes the default named beside it. Copied by _new. */
typedef struct fcgi_server_config {
  size_t size;                 /* sizeof(fcgi_server_config). */
  fcgi_allocator allocator;    /* The C library's. */
  fcgi_poller_kind poller;     /* FCGI_POLLER_BEST. */
  fcgi_body_mode body;         /* FCGI_BODY_COLLECT. */
  unsigned events;             /* fcgi_server_next: an or of 1u << type to be
                                  told of beside REQUEST: none. */
  size_t limit_params_size;    /* Per request: 256 KiB. */
  uint32_t limit_params;       /* Per request: 1,024. */
  uint32_t max_multiplexed;    /* Open at once per connection: 1,024. */
  uint32_t limit_connections;  /* Open at once: what the limit of open files
                                leaves, at most 65,536. */
  size_t body_memory;          /* Of a collected body in memory, the rest goes
                                  to a temporary file: 256 KiB. */
  uint64_t limit_request_body; /* Of a collected body, more is answered 413:
                        1 GiB. */
  const char *temp_dir;    /* Directory of those files; listen refuses a wrong
                              one, or warns of the default: $TMPDIR or
                              /tmp. */
  size_t input_window;     /* Unread bytes of a streamed body, before the
                              connection is no longer read: 256 KiB. */
  size_t output_window;    /* Unsent bytes of an answer, before writes
                              wait: 256 KiB. */
  int io_timeout_ms;       /* One read or write of a request: 60,000;
                              or FCGI_WAIT_FOREVER, FCGI_WAIT_NEVER. A
                              collected body silent as long gets 408. */
  int header_timeout_ms;   /* From a record's first byte to the end of
                              PARAMS: 30,000. */
  int idle_timeout_ms;     /* A kept connection without a request:
                              90,000. */
  int drain_silence_ms;    /* Silence after which the unread rest of a body
                              is given up: 500. */
  int drain_timeout_ms;    /* All the time for draining one: 30,000. */
  uint64_t drain_bytes;    /* All the bytes of it: 4 GiB. */
  int backlog;             /* listen(2): 4,096. */
  unsigned socket_mode;    /* Mode of a unix socket made: 0660. */
  fcgi_log_fn log;         /* stderr, which nobody waits for. */
  void *log_data;          /* Handed to `log`. */
  const char *allow_from;  /* Who may connect over TCP: addresses and CIDR
                         blocks with commas between, "127.0.0.1,
                         10.0.0.0/8, fd00::/8". NULL: anyone, but then
                         only loopback is listened on. */
  const char *peer_users;  /* Whose processes may connect over unix sockets
                              (SO_PEERCRED): users by name or number, with
                              commas between. NULL: anyone whom the socket's
                              mode allows. */
  const char *status_path; /* A request for this path is answered by the
                              server itself, with its status; "" for none.
                              $FASTCGI_STATUS_PATH, or none. */
  const char *ping_path;   /* A request for this path is answered "pong" by
                              the server itself; "" for none.
                              $FASTCGI_PING_PATH, or none. */
  int request_timeout_ms;  /* From the moment a request is ready for a handler
                              to its end; then the client gets 504.
                              $FASTCGI_REQUEST_TIMEOUT seconds, or none; -1
                              for none. */
  int slow_log_ms;         /* A request that is older gets into the log, with
                                  what its handler does. $FASTCGI_SLOW_LOG
                                  seconds, or none; -1 for none. */
  uint64_t max_requests;   /* Requests after which the process asks its
                              supervisor for another one in its place or,
                              without one, stops gracefully.
                              $FASTCGI_MAX_REQUESTS, or never. */
  uint64_t max_requests_jitter; /* Up to so many more, at random.
                             $FASTCGI_MAX_REQUESTS_JITTER, or 0. */
  const char *access_logfile;   /* A line for each request goes to this file,
                              which   may be a named pipe; "-" is stderr, "" none,
                              /dev/stdout a copy of that descriptor.
                               $FASTCGI_ACCESS_LOGFILE, or none. */
  const char
      *access_logformat;     /* "common", "combined", "json", or a text with
                            atoms, "%(h)s %(r)s %(s)s"; listen refuses others.
                            $FASTCGI_ACCESS_LOGFORMAT, or combined. */
  const char *error_logfile; /* The server's lines and what requests write to
                            STDERR go to this file, likewise, and no longer
                            to `log`. $FASTCGI_ERROR_LOGFILE, or none. */
  int graceful_timeout_ms;   /* How long a graceful stop may take that a signal
                                asks of fcgi_serve_signals; then it stops at once.
                                $FASTCGI_GRACEFUL_TIMEOUT seconds, or without
                                end; -1 for that. */
  unsigned log_levels;      /* What of the server's goes to stderr where neither
                               `log` nor an error log is: an or of 1u << level,
                               ERROR and WARNING. */
  int no_multiplex;         /* 1: web servers that ask are told to send one
                               request at a time over a connection. -1: they
                               may send more. $FASTCGI_NO_MULTIPLEX, or -1. */
  const char *root_path;    /* Where applications are mounted, "/shop": what
                               fcgi_request_path gives as script_name; "" for
                               nowhere. $FASTCGI_ROOT_PATH, or what the web
                               server says. */
  size_t connection_memory; /* What the requests open on one connection may
                               hold: 4 MiB. As it fills, windows shrink and
                               bodies go to their files; then new requests get
                               503, as they do over server_memory.
                               $FASTCGI_CONNECTION_MEMORY, such as 4M. */
  size_t server_memory;     /* The same of all connections: 256 MiB, or
                               $FASTCGI_SERVER_MEMORY. */
} fcgi_server_config;

/* One event of a server. The caller sets `size`; a later version fills no more
   than that, and may have more fields at the end. */
typedef struct fcgi_server_event {
  size_t size;           /* sizeof(fcgi_server_event). */
  fcgi_event_type type;  /* REQUEST, or one asked for in `events`. */
  fcgi_request *request; /* Yours to end after REQUEST; dead after CLOSE. */
  void *user_data;       /* What fcgi_request_set_user_data set. */
} fcgi_server_event;

/* Open /dev/null for each of the descriptors 0 to 2 that is closed, so that no
   file or socket gets such a number, and with it what is printed. Programs call
   it before they open anything; fcgi_server_new and fcgi_supervisor_run do. */
FCGI_EXPORT void fcgi_standard_hold(void);

/* Make a server; `config` NULL takes every default. Any thread. On failure
   errno tells why when FCGI_ERR_SYSTEM. */
FCGI_EXPORT int fcgi_server_new(fcgi_server **out,
                                const fcgi_server_config *config);

/* Close everything and free it; no thread may still be in a call, and request
   handles not ended die. Unix sockets it made are removed. NULL is fine. */
FCGI_EXPORT void fcgi_server_free(fcgi_server *server);

/* 1 in a process that was forked from the server's. It owns nothing of it: no
   call on the server or on a request of it changes anything then.
   fcgi_server_next says FCGI_ERR_CLOSED, so that a handler that returns there
   leaves its loop, fcgi_server_free does nothing, and the others that can fail
   say FCGI_ERR_STATE. Parameters may be read. Async-signal-safe. */
FCGI_EXPORT int fcgi_server_forked(const fcgi_server *server);

/* Listen on `address`: unix:/path, unix:relative, unix:@abstract, host:port,
   [::1]:port, :port (loopback), fd:N, or NULL for what is inherited, see above.
   May be called several times. A TCP address that other machines reach needs
   `allow` in the configuration or the specification's FCGI_WEB_SERVER_ADDRS in
   the environment; where both are set, both apply; a peer not in them is closed
   at once. On failure fcgi_server_message explains in one line. */
FCGI_EXPORT int fcgi_server_listen(fcgi_server *server, const char *address);

/* Serve these roles instead of FCGI_ROLE_SPECS; to others UNKNOWN_ROLE is
   answered, with status 503 too where they are authorizers. They are copied.
   FCGI_ERR_INVALID when a number or name is 0, empty, or there twice, or a
   standard role has other streams than its own; FCGI_ERR_STATE once a
   connection was accepted. */
FCGI_EXPORT int fcgi_server_set_roles(fcgi_server *server,
                                      const fcgi_role_spec *roles,
                                      size_t count);

/* Copy listener `index`'s address, with its real port, as text into `out`; a
   CGI start comes last, as "cgi". FCGI_ERR_INVALID past the last one,
   FCGI_ERR_LIMIT when it does not fit. */
FCGI_EXPORT int fcgi_server_address(fcgi_server *server, size_t index,
                                    char *out, size_t len);

/* What went wrong in the last failed new, listen or run: one line for a
   person, "" if nothing. Lent until the next call that can fail. */
FCGI_EXPORT const char *fcgi_server_message(const fcgi_server *server);

/* Serve with callbacks until stopped: 0, or an error (FCGI_ERR_STATE without
   a listener, FCGI_ERR_INVALID for the handler). Call it from as many
   threads as should serve; callbacks run in them. Not beside
   fcgi_server_next. */
FCGI_EXPORT int fcgi_server_run(fcgi_server *server,
                                const fcgi_handler *handler, void *user_data);

/* Take the next event: 1 and `*event` filled, 0 when `timeout_ms`, or
   FCGI_WAIT_FOREVER, passed or a signal came, FCGI_ERR_CLOSED when stopped and
   all is finished, FCGI_ERR_INVALID when `event->size` is not set. From any
   number of threads. */
FCGI_EXPORT int fcgi_server_next(fcgi_server *server, fcgi_server_event *event,
                                 int timeout_ms);

/* A descriptor that polls readable when fcgi_server_next with timeout 0 has
   work; for foreign event loops. Call next until it returns 0. The caller also
   calls it after fcgi_server_wait_ms. FCGI_ERR_UNSUPPORTED with poll(2). */
FCGI_EXPORT int fcgi_server_fd(fcgi_server *server);

/* Milliseconds until fcgi_server_next has a timeout to see to; -1 for none. */
FCGI_EXPORT int fcgi_server_wait_ms(fcgi_server *server);

/* Pass connections on in a graceful stop: each goes, once no request of it is
   open, over `socket` (SOCK_SEQPACKET) to a server that takes over from it, and
   no web server sees one close. `socket` stays yours. A listener inherited with
   FASTCGI_HANDOVER=PID:OUT:IN in the environment sets both, for that process.
   FCGI_ERR_INVALID for another kind of socket. */
FCGI_EXPORT int fcgi_server_hand_over(fcgi_server *server, int socket);

/* Serve the connections that come over `socket` too. It stays yours until the
   server is freed. A server that passes connections on and has taken them from
   the other end before stops only when they were taken, and serves them while
   nobody does. FCGI_ERR_STATE for a second one. */
FCGI_EXPORT int fcgi_server_take_over(fcgi_server *server, int socket);

/* Tells what the handler of a request does: fills `out`, with a NUL, with the
   lines of its stack, the innermost last. `thread` is what pthread_self()
   returned where the request was taken. Of `request` only the user data may be
   asked for. Called from a thread of the server's own. */
typedef void (*fcgi_trace_fn)(uintptr_t thread, fcgi_request *request,
                              char *out, size_t len, void *user_data);

/* Who tells it, for the slow log; nothing where there is none. Before the
   server is first waited on. */
FCGI_EXPORT void fcgi_server_set_tracer(fcgi_server *server,
                                        fcgi_trace_fn tracer, void *user_data);
/* The user data of the tracer, or NULL when none was taken. */
FCGI_EXPORT void *fcgi_server_tracer_data(fcgi_server *server);

/* Write `text`, line by line, to the error log: 1. Where there is none, to the
   `log` of the configuration or, as it is, to stderr: 0. Neither a disk nor a
   reader is waited for. For what a binding has to say, such as a traceback.
   From any thread. */
FCGI_EXPORT int fcgi_server_log(fcgi_server *server, fcgi_log_level level,
                                const char *text, size_t len);

/* Open access log and error log anew by their names, once they were renamed;
   where that fails the old file is written on, with a line in the error log.
   From any thread, not from a signal handler. Nothing where there is none. */
FCGI_EXPORT void fcgi_server_reopen_logs(fcgi_server *server);

/* Stop serving; threads in run or next return when the rest is finished. A
   graceful stop serves what has connected, and gives a connection without a
   request drain_silence_ms. Async-signal-safe; from any thread; a second call
   may only hurry. */
FCGI_EXPORT void fcgi_server_stop(fcgi_server *server, fcgi_stop how);

#endif
