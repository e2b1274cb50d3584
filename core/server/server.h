/* SPDX-License-Identifier: MIT */
/* The inside of a server, shared by the files of this folder.

   Two locks: each connection's guards its session and requests, the server's
   guards the ready list and the free connections. A thread that holds a
   connection's may take the server's, never the other way round. */
#ifndef FCGI_SERVER_SERVER_H
#define FCGI_SERVER_SERVER_H

#include "board/status.h"
#include "cgi/cgi.h"
#include "observe/observe.h"
#include "os/clock.h"
#include "os/listener.h"
#include "os/poller.h"
#include "os/process.h"
#include "os/wheel.h"
#include "parent/lifeline.h"
#include "parent/notify.h"
#include "parent/orphan.h"
#include "parent/starter.h"
#include "server/connection.h"
#include "server/gather.h"
#include "server/guard.h"
#include "server/handover.h"
#include "server/overdue.h"
#include "server/parting.h"
#include "server/request.h"
#include "server/service.h"
#include "server/share.h"
#include "server/spare.h"
#include <fastcgi/server.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

enum {
  FCGI__LISTENERS = 16,    /* Listening sockets of one server, at most. */
  FCGI__POOL_SEGMENT = 64, /* Connections allocated together. */
  FCGI__POOL_SEGMENTS = 1024,
  FCGI__KEPT_REQUESTS = 16, /* Whose memory is kept, at most. */
  FCGI__RESOURCES = 64,     /* That are kept for handlers, at most. */
  FCGI__STATUS_PATH = 256   /* Of status_path and root_path, with a NUL. */
};

enum { FCGI__RUNNING = 0, FCGI__STOPPING = 1, FCGI__ABORTING = 2 };

/* Where the memory of a request that is over is kept for the next one, in a
   line of the cache of its own. */
typedef struct fcgi__kept_request {
  _Atomic(fcgi_request *) request; /* Its memory, or NULL. */
  char apart[64 - sizeof(void *)]; /* Fills the line of the cache. */
} fcgi__kept_request;

/* What is kept for the handlers, as fcgi_server_keep has it. */
typedef struct fcgi__kept_resources {
  fcgi_resource *at[FCGI__RESOURCES]; /* In the order they were named. */
  atomic_uint count;                  /* Those that may be looked at. */
  atomic_int state;                   /* How far opening them has come. */
  struct fcgi__sink *sink;            /* Where resources count; NULL: none has
                                         done so yet. */
} fcgi__kept_resources;

struct fcgi_server {
  fcgi_server_config config;          /* With every default filled in. */
  fcgi_allocator allocator;           /* The same as config's. */
  fcgi__process process;              /* The process that it serves in. */
  fcgi__starter starter;              /* What our starter says. */
  unsigned char inherited;            /* 1: the inherited listener is served. */
  fcgi_session_config session_config; /* Of the sessions that are made. */
  fcgi_role_spec *roles;              /* From fcgi_server_set_roles, or NULL. */
  fcgi__guard guard;                  /* Peers that may connect. */
  fcgi__handover handover;            /* From and to other processes. */
  fcgi__share share;                  /* Work for whichever worker is free. */
  fcgi__notify notify;                /* When our starter hears next. */
  atomic_int ready;                   /* 1: our starter was told READY=1. */
  atomic_int begun;                   /* 1: all has begun that begins with the
                                         first wait. */
  fcgi__service service;              /* After how many requests we go. */
  fcgi__gather gather;                /* Answers that leave together. */
  fcgi__orphan orphan;                /* The process that started us. */
  fcgi__lifeline lifeline;            /* Where our starter asks us to stop. */
  fcgi__parting parting;              /* Connections that end. */
  atomic_int waits;                   /* 1: who takes events waits for them. */
  atomic_int several;                 /* 1: threads have waited together. */
  fcgi__poller *poller;               /* Tells which sockets are ready. */
  fcgi__listener listeners[FCGI__LISTENERS]; /* Sockets that listen. */
  size_t listener_count;                     /* Number of `listeners`. */
  fcgi__cgi *cgi;                            /* The bridge of a CGI start. */
  atomic_int offered;   /* A connection to be served, of a CGI start; or -1. */
  pthread_mutex_t lock; /* Guards the ready list and free connections. */
  fcgi__connection *segments[FCGI__POOL_SEGMENTS]; /* Every connection ever
                                              made; reused, never freed, so
                                              that a late report from the
                                              poller finds valid memory. */
  fcgi__kept_request kept[FCGI__KEPT_REQUESTS];    /* By connection. */
  atomic_uint segment_count;                       /* Segments in use. */
  fcgi__connection *unused;                        /* Closed ones, for reuse. */
  _Atomic(fcgi__connection *) unwatched; /* One that is to be registered before
                                            a thread sleeps. */
  atomic_uint open;                      /* Connections open. */
  atomic_size_t memory;                  /* Bytes that requests hold. */
  fcgi__connection *turn_first;          /* Those whose requests have events to
                                            give, whose turn it is first. */
  fcgi__connection *turn_last;           /* The last of them. */
  fcgi_request *late;                    /* Requests that are over, and that the
                                            program has not ended. */
  atomic_uint ready_count;               /* Requests with events, for a look
                                            without the lock. */
  atomic_uint running;                   /* Threads in fcgi_server_run. */
  atomic_uint sleepers;                  /* Threads waiting in the poller. */
  atomic_llong looked;                   /* When one last came back from it:
                                            beside what it writes too. */
  atomic_int stop_wanted;                /* What fcgi_server_stop asked. */
  atomic_int stopping;                   /* The stop that was carried out. */
  atomic_int carrying;                   /* Threads that carry it out. */
  atomic_int accepting;                  /* 1: listeners are polled. */
  fcgi__wheel wheel;                     /* Deadlines of connections. */
  atomic_llong next_sweep;               /* When some deadline may be due. */
  atomic_int doubts;                     /* How many that are accepted next may
                                            have waited until they left. */
  atomic_llong accept_again;             /* When to look for room again. */
  atomic_uint events;                    /* 1u << type to give out. */
  atomic_int withholds;                  /* 1: REQUEST is not given out. */
  atomic_uint dropped;                   /* fcgi__hop_bit of header fields that
                                            were left out and told of. */
  fcgi__observer observer;               /* Counters and logs. */
  fcgi__spare spare;                     /* Serves when all are busy. */
  fcgi__kept_resources kept_resources;   /* For handlers. */
  _Atomic(fcgi_trace_fn) tracer;         /* For the slow log, or NULL. */
  _Atomic(void *) tracer_data;           /* User data of the tracer. */
  char status_path[FCGI__STATUS_PATH];   /* Of the configuration, copied. */
  char ping_path[FCGI__STATUS_PATH];     /* Of the configuration, copied. */
  char root_path[FCGI__STATUS_PATH];     /* The mount point, copied. */
  char temp_dir[256];                    /* Directory of temporary files. */
  unsigned char temp_named;    /* 1: by the program, not the environment. */
  char message[FCGI__MESSAGE]; /* For fcgi_server_message. */
};

/* Whether bodies can go to the temporary directory: 0, also with a line in the
   log where the program has not named it; else an error with a message. */
int fcgi__server_check_temp(fcgi_server *server);

/* 1: this process was forked from the request's. */
static inline int fcgi__request_is_other(const fcgi_request *request) {
  return fcgi__process_is_other(&request->connection->server->process);
}

/* Answer the request of a CGI start, once: 0, or an error with a message. */
int fcgi__server_answer_cgi(fcgi_server *server);

/* Says so: FCGI_ERR_STATE. */
int fcgi__server_refuse_fork(fcgi_server *server);

/* 1: all the memory that requests may have is taken. */
int fcgi__server_is_full(const fcgi_server *server);

/* Make the logs that the configuration or the environment names, and open them:
   0, or an error; the second with a message. */
int fcgi__server_logs_new(fcgi_server *server);
int fcgi__server_logs_open(fcgi_server *server);

/* Others did something wrong: count and log it as fcgi__trouble_vnote does, and
   see to it that the rest is told. */
void fcgi__server_trouble(fcgi_server *server, fcgi__trouble_kind kind,
                          const char *cause, fcgi_log_level level,
                          const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Hand one line to the log. */
void fcgi__server_log(fcgi_server *server, fcgi_log_level level,
                      const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A connection for reuse, or a new one; NULL without memory. */
fcgi__connection *fcgi__pool_take(fcgi_server *server);
/* The connection is closed: it may be reused. Its lock is held. */
void fcgi__pool_give_back(fcgi_server *server, fcgi__connection *connection);

/* Give out `type` for `request`, if anyone asked for it. */
void fcgi__ready_notify(fcgi_server *server, fcgi_request *request,
                        fcgi_event_type type);
/* Take the request out of the ready list; nothing more is given out. Its
   connection's lock is held. */
void fcgi__ready_forget(fcgi_server *server, fcgi_request *request);

/* Take the request that is the thread's own, unless others are ready, or a stop
   is to be carried out first: it goes to the list then. 1, with REQUEST in
   `event`. The connection's lock is held. */
int fcgi__ready_take_own(fcgi__connection *connection, fcgi_server_event *event,
                         int hold);

/* A closed request of which the program still has the handle: it goes with the
   server, unless the program ends it before. */
void fcgi__ready_late(fcgi_server *server, fcgi_request *request);
void fcgi__ready_no_longer_late(fcgi_server *server, fcgi_request *request);

/* The connection whose turn it is, or NULL; the server's lock is held. */
fcgi__connection *fcgi__ready_turn(fcgi_server *server);
/* The request that comes next, held for fcgi__request_look, where it has waited
   for so long that its peer may have gone; else NULL. The server's lock is
   held. */
fcgi_request *fcgi__ready_doubtful(fcgi_server *server, long long now);

/* Take the next event out: 1, or 0 where there is none, or only requests that
   are withheld. The server's lock is held. A request whose CLOSE is taken out
   unheld is freed. */
int fcgi__ready_pop(fcgi_server *server, fcgi_server_event *event, int hold);

/* The library ends the request: take its events out of the ready list, unless
   `only_look` and the program has the request. 1 when it has. */
int fcgi__ready_withdraw(fcgi_server *server, fcgi_request *request,
                         int only_look);

/* A callback no longer holds the request: 1 when nobody else does and no event
   of it waits. Its connection's lock is held. */
int fcgi__ready_let_go(fcgi_request *request);

/* 1: a foreign event loop takes events, and never waits inside the poller. */
static inline int fcgi__server_is_loop(const fcgi_server *server) {
  return !atomic_load_explicit(&server->waits, memory_order_relaxed);
}

/* An event is ready, and this thread will not take it. */
void fcgi__server_nudge(fcgi_server *server);

/* Some deadline lies at `when`: sleeping threads must know. */
void fcgi__server_deadline(fcgi_server *server, long long when);
/* So does one of the connection, which is set already. No lock is needed, any
   may be held. */
void fcgi__server_connection_due(fcgi__connection *connection, long long when,
                                 long long now);

/* Accept from listeners, or stop to. */
void fcgi__accept_on(fcgi_server *server);
void fcgi__accept_off(fcgi_server *server);
/* 1: one more may be accepted. */
int fcgi__accept_has_room(const fcgi_server *server);
/* There may be room again, or none any more: accept, or do not. */
void fcgi__accept_resume(fcgi_server *server);
void fcgi__accept_check(fcgi_server *server);
/* Accept what waits, `most` from each listener, as far as there is room. */
void fcgi__accept_waiting(fcgi_server *server, int most);
/* Accept what waits at one listener, `most` at most. */
void fcgi__accept_some(fcgi_server *server, fcgi__listener *listener, int most);
/* 1: something waits. */
int fcgi__accept_has_waiting(fcgi_server *server);
/* No descriptor is free, or so: accept nothing for a moment. */
void fcgi__accept_rest(fcgi_server *server);
/* Those who wait at the listeners may have hung up: they are asked. */
void fcgi__server_doubt(fcgi_server *server);
/* 1 when there was a connection to accept. */
int fcgi__accept_one(fcgi_server *server, fcgi__listener *listener);

/* See to one report of the poller. */
void fcgi__server_serve(fcgi_server *server, const fcgi__ready *report);
/* 1: reports with this owner are of a listener. */
static inline int fcgi__server_is_listener(const fcgi_server *server,
                                           const void *owner) {
  const fcgi__listener *at = owner;
  return at >= server->listeners && at < server->listeners + FCGI__LISTENERS;
}
/* 1: reports with this owner are of no connection. Connections have their
   memory elsewhere. */
static inline int fcgi__server_is_own(const fcgi_server *server,
                                      const void *owner) {
  return owner >= (const void *)server && owner < (const void *)(server + 1);
}
/* Serve what the poller has to report now, without waiting; take no events.
   Listeners only with `accept`. */
void fcgi__server_serve_waiting(fcgi_server *server, int accept);
/* Call `visit` with every connection there ever was; nothing is locked. */
void fcgi__server_each_connection(fcgi_server *server,
                                  void (*visit)(fcgi__connection *, void *),
                                  void *data);
/* 1: bytes lie in the socket, and as far as one can see they ask nothing of the
   library itself. */
int fcgi__dispatch_is_for_handlers(const fcgi_server *server, int fd);

/* The configuration that applies into `out`: 0, or FCGI_ERR_INVALID with one
   line in `why`. Texts are lent. */
int fcgi__server_settings_take(fcgi_server_config *out,
                               const fcgi_server_config *given, char *why,
                               size_t len);

/* Copy the texts that a new server needs for longer. */
void fcgi__server_settings_keep(fcgi_server *server);

/* Open what is to be open before the server is ready, on the first thread that
   serves: 0, or an error with a message. */
int fcgi__kept_open(fcgi_server *server);
/* There is a scoreboard now: it counts what is kept. */
void fcgi__kept_show(fcgi_server *server);
/* The server is freed: resources that are kept may live on. */
void fcgi__kept_forget(fcgi_server *server);
/* After how many milliseconds a thread that serves tidies up; -1: never. */
int fcgi__kept_wait_ms(fcgi_server *server);
/* Tidy up if that time, which `*due` has between the calls, is over. */
void fcgi__kept_tidy(fcgi_server *server, int ms, long long *due);
/* This thread serves no more; `last` 1: and no other one does. */
void fcgi__kept_leave(fcgi_server *server, int last);

/* See to deadlines that have passed. */
void fcgi__server_sweep(fcgi_server *server);

/* fcgi_server_next; `hold` 1 keeps the request's memory until
   fcgi__request_release. */
int fcgi__server_take_event(fcgi_server *server, fcgi_server_event *event,
                            int timeout_ms, int hold);

#endif
