/* SPDX-License-Identifier: MIT */
/* A request of a server. Its connection's lock guards it. */
#ifndef FCGI_SERVER_REQUEST_H
#define FCGI_SERVER_REQUEST_H

#include "gateway/path.h"
#include "gateway/rawhead.h"
#include "observe/observe.h"
#include "os/spool.h"
#include "resource/holder.h"
#include "server/connection.h"
#include <fastcgi/request.h>

/* Where a request stands. Steps are left out, but none goes back. */
typedef enum fcgi__request_phase {
  FCGI__COLLECTING, /* Its input is collected; the program does not know of it.
                     */
  FCGI__ANSWERING,  /* The program has it or is to have it next, or the library
                       answers in the program's place. */
  FCGI__ENDING,     /* It has been ended; its file may still be on the way. */
  FCGI__ENDED,      /* The session has its end. */
  FCGI__CLOSE_DUE,  /* The session has closed it; CLOSE waits for the last
                       callback. */
  FCGI__CLOSED      /* The session has closed it. */
} fcgi__request_phase;

/* Whether the deadline of its handler has ended a request. */
typedef enum fcgi__lateness {
  FCGI__IN_TIME,     /* It has not: whoever has the request ends it. */
  FCGI__OVERDUE,     /* It has; the program still has the handle, and so holds
                        it. */
  FCGI__OVERDUE_LEFT /* It has, and the program has ended the request too. */
} fcgi__lateness;

/* How far an input stream has come. */
typedef enum fcgi__inflow {
  FCGI__INFLOW_OPEN,  /* More is to come. */
  FCGI__INFLOW_WHOLE, /* It has ended, or the role has no such stream. */
  FCGI__INFLOW_SHORT, /* It has ended with less than its length promised. */
  FCGI__INFLOW_CUT    /* The rest never comes. */
} fcgi__inflow;

/* Where the answer stands. Of raw output, which is what the program writes
   without fcgi_request_start, the head leaves once it is whole and judged. */
typedef enum fcgi__answer {
  FCGI__ANSWER_NONE, /* Nothing has been written. */
  FCGI__ANSWER_HELD, /* Raw output is held: its head is not whole. */
  FCGI__ANSWER_RAW,  /* Raw output leaves; its head was judged, or its role has
                        none. */
  FCGI__ANSWER_OUT,  /* The head of raw output is queued. */
  FCGI__ANSWER_BODY  /* fcgi_request_start has queued the head. */
} fcgi__answer;

/* A request's place in the list of those with events to give. The server's
   lock guards all of it; to add an event takes the connection's, too. */
typedef struct fcgi__request_turn {
  fcgi_request *next;  /* The next one of its connection. */
  fcgi_request *prev;  /* The one before it there. */
  long long at;        /* When REQUEST was to be given, or somewhat before. */
  atomic_uint pending; /* The events to give, 1u << type; it is in the list
                          while there are any. */
  uint8_t given; /* 1: the program was given REQUEST, and so gets CLOSE. */
} fcgi__request_turn;

/* An input stream of a request. */
typedef struct fcgi__request_stream {
  fcgi__spool spool; /* What has come and was not read. */
  uint8_t flow;      /* A fcgi__inflow. */
} fcgi__request_stream;

/* What has been written of an answer, and what may still be. */
typedef struct fcgi__request_output {
  fcgi__buffer head;   /* Raw output up to its empty line, while it is held. */
  fcgi__rawhead scan;  /* Where the head of raw output ends. */
  fcgi__buffer errors; /* STDERR that waits for the head, or for STDOUT. */
  int64_t left;        /* Bytes that Content-Length still promises, or -1. */
  long long unread_at; /* When a body was first written that nobody reads, or
                          0. */
  uint8_t answer;      /* A fcgi__answer. */
  uint8_t bodiless;    /* 1: the body is dropped, as HEAD or the status asks. */
  uint8_t broken;      /* 1: the answer cannot be what its head says. */
  uint8_t errors_open; /* 1: what STDERR was given ends in no newline. */
  uint8_t wants_room;  /* 1: a write gave FCGI_ERR_AGAIN: WRITABLE follows. */
} fcgi__request_output;

/* The file that a request sends. */
typedef struct fcgi__request_file {
  fcgi_request *next; /* In its connection's list of those with a file. */
  uint64_t offset;    /* Where its next byte is. */
  uint64_t left;      /* Bytes still to be queued. */
  int fd;             /* Our copy of the descriptor, or -1. */
} fcgi__request_file;

/* When something becomes of a request that takes too long. */
typedef struct fcgi__request_dues {
  long long body;   /* When a body that is collected has been silent for too
                       long; 0: it is to be set, as input has come. */
  long long slow;   /* When it is slow, or LLONG_MAX. */
  long long answer; /* When its handler is overdue, or LLONG_MAX. */
  uint8_t trace;    /* 1: it has become slow, and the slow log is to say so. */
  uint8_t traced;   /* 1: it is held because the slow log says so now. */
} fcgi__request_dues;

struct fcgi_request {
  fcgi__connection *connection; /* Where it came from. */
  fcgi_request *all_next;       /* In the connection's list of requests; once
                                   it is closed, in the server's `late`. */
  fcgi_request *all_prev;       /* The one before it there. */
  const fcgi_role_spec *role;   /* The role that the web server asked for. */
  const fcgi_params *params;    /* Its parameters, lent by the session. */
  int64_t content_length;       /* Bytes of STDIN, or -1 while not known. */
  uint16_t id;                  /* Its number on the connection. */
  uint8_t kept;                 /* 1: `params` are its own, to be freed. */
  uint8_t phase;                /* A fcgi__request_phase. */
  uint8_t lateness;             /* A fcgi__lateness. */
  uint8_t retried;              /* 1: its handler runs for the second time. */
  fcgi_abort_reason aborted;    /* Why nobody may read the answer, or 0. */
  uint32_t app_status;          /* What it was ended with, from ENDING on. */
  fcgi__request_turn turn;      /* Its events, under the server's lock. */
  fcgi__request_stream body;    /* STDIN. */
  fcgi__request_stream data;    /* DATA of a filter. */
  fcgi__request_output out;     /* Its answer. */
  fcgi__request_file file;      /* A file as part of that. */
  fcgi__request_dues due;       /* Its deadlines. */
  int read_wake;                /* eventfd of a thread that reads, or -1. */
  int write_wake;               /* eventfd of a thread that writes, or -1. */
  atomic_uint held;             /* Callbacks that use the handle. */
  atomic_uchar closed;          /* 1: CLOSED while held: who lets go of it last
                                   needs no lock. */
  _Atomic(void *) user_data;    /* The program's. */
  int timeout_ms;               /* Longest wait of one read or write in ms, or
                                   -1; set by the program's thread. */
  uint8_t gathers;              /* 1: the thread that ends it takes another one
                                   next, as that thread has said. */
  fcgi__observed observed;      /* What logs and counters know of it. */
  _Atomic(fcgi__path *) path;   /* Texts of fcgi_request_path, or NULL. */
  fcgi_holder holder;           /* What it has of resources. */
};

/* 1: the program may neither read nor write any more. */
static inline int fcgi__request_is_over(const fcgi_request *request) {
  return request->phase >= FCGI__ENDING;
}

/* 1: its input is being collected. */
static inline int fcgi__request_is_collecting(const fcgi_request *request) {
  return request->phase == FCGI__COLLECTING;
}

/* It is no longer a request whose input is being collected. */
static inline void fcgi__request_leave_collecting(const fcgi_request *request) {
  if (fcgi__request_is_collecting(request))
    request->connection->life.collecting--;
}

/* 1: some input stream has not ended. */
static inline int fcgi__request_takes_input(const fcgi_request *request) {
  return request->body.flow == FCGI__INFLOW_OPEN ||
         request->data.flow == FCGI__INFLOW_OPEN;
}

/* 1: the whole head is queued, so that STDERR may follow. */
static inline int fcgi__request_has_head(const fcgi_request *request) {
  return request->out.answer >= FCGI__ANSWER_OUT;
}

/* Make the request that a session's REQUEST event told of; NULL without
   memory. */
fcgi_request *fcgi__request_new(fcgi__connection *connection,
                                const fcgi_event *event);
void fcgi__request_free(fcgi_request *request);
/* Free what is kept of requests that are over. */
void fcgi__requests_discard(fcgi_server *server);
/* Take it out of its connection's list. */
void fcgi__request_unlink(fcgi_request *request);

/* When its body has been silent for too long, if it is being collected and
   `timeout` may pass from `now` on since it was fed; else LLONG_MAX. */
long long fcgi__request_body_due(fcgi_request *request, long long now,
                                 int timeout);
/* Answer 408 if that has been reached. 1: it has, and with it others of the
   connection may have ended. */
int fcgi__request_expire(fcgi_request *request, long long now);

/* Before it is handed out: see whether anyone still wants the answer. The
   caller holds it, which ends here. */
void fcgi__request_look(fcgi_request *request);

/* Write what the logs are still to have of it. */
void fcgi__request_observe_close(fcgi_request *request);

/* The library answers for a program that has not seen it. */
void fcgi__request_answer_alone(fcgi_request *request, int status);

/* Hand it to the program. */
void fcgi__request_dispatch(fcgi_request *request);

/* The rest of its input never comes. */
void fcgi__request_cut_input(fcgi_request *request);

/* What a session's events do to it. */
void fcgi__request_input(fcgi_request *request, const fcgi_event *event);
void fcgi__request_input_end(fcgi_request *request, const fcgi_event *event);
void fcgi__request_abort(fcgi_request *request, fcgi_abort_reason reason);
void fcgi__request_close(fcgi_request *request);

/* Queue more of the file, as far as the window allows: 0, or FCGI_ERR_NOMEM,
   after which the answer can never be whole. */
int fcgi__request_pump_file(fcgi_request *request);

/* Some output has left: tell a writer that got AGAIN. */
void fcgi__request_room(fcgi_request *request);

/* No answer can be completed: break the connection, or end only this request
   where it carries others. */
int fcgi__request_cut_off(fcgi_request *request);

/* Answer `status` with the line of text, or cut the answer off where one has
   begun. */
int fcgi__request_give_up(fcgi_request *request, int status, const char *text);

/* In ENDING: end it for the session as well, unless its file is still to be
   sent. 0, or an error. */
int fcgi__request_complete(fcgi_request *request);

/* Public functions of the same names, with the lock held. */
int fcgi__request_end(fcgi_request *request, uint32_t app_status);
int fcgi__request_fail(fcgi_request *request);
int fcgi__request_reply(fcgi_request *request, int status,
                        const char *content_type, const void *data, size_t len);

int fcgi__request_respond(fcgi_request *request, int status,
                          const fcgi_header *headers, size_t count,
                          const void *data, size_t len);

ptrdiff_t fcgi__request_write(fcgi_request *request, const void *data,
                              size_t len);

/* Queue bytes of STDOUT that are part of the head: they never wait. */
int fcgi__request_put(fcgi_request *request, const void *data, size_t len);

/* Queue STDERR that waits, where the head is queued; and in any case. */
int fcgi__request_put_errors(fcgi_request *request);
int fcgi__request_put_all_errors(fcgi_request *request);

/* The whole head is queued, of raw output or not, as `answer` says: STDERR that
   has waited for it follows. */
void fcgi__request_head_out(fcgi_request *request, fcgi__answer answer);

/* Why it is aborted: its own reason, or that the server stops at once. */
fcgi_abort_reason fcgi__request_reason(const fcgi_request *request);

/* 0, FCGI_ERR_STATE when the request is over, FCGI_ERR_ABORTED when nobody is
   left to read. */
int fcgi__request_check(const fcgi_request *request);

/* 1: it asks for leave, and whatever is no clear no may be taken for a yes. */
static inline int fcgi__request_is_authorizer(const fcgi_request *request) {
  return request->role->number == FCGI_ROLE_AUTHORIZER;
}

/* Take from raw output the bytes of its head, which leaves once it is whole
   and judged: how many they are, or an error. */
ptrdiff_t fcgi__raw_head(fcgi_request *request, const char *data, size_t len);
/* The same of a file, whose offset and length become those of what follows the
   head: 0, or an error. */
int fcgi__raw_file(fcgi_request *request, int fd, uint64_t *offset,
                   uint64_t *len);
/* The end has come before the head was whole, or an authorizer has said
   nothing: an error, and a line says what came. */
int fcgi__raw_unended(fcgi_request *request);

/* Bytes of a file or a write are about to follow the head: 0, or
   FCGI_ERR_INVALID when Content-Length promised fewer. */
int fcgi__request_spend(fcgi_request *request, uint64_t len);

/* What a write gives whose bytes nobody reads: FCGI_ERR_CLOSED, and after a
   second FCGI_ERR_ABORTED. */
int fcgi__request_refuse_unread(fcgi_request *request);

/* The program ends it: fcgi__request_end, unless the answer is not what its
   head promised. */
int fcgi__request_finish(fcgi_request *request, uint32_t app_status);

/* The same when its handler has returned: where that wrote nothing, the client
   gets 500. */
int fcgi__request_conclude(fcgi_request *request);

enum { FCGI__WHY = 256 }; /* Bytes of a reason. */

/* Log what is wrong with the answer, with the request and what follows. */
void fcgi__request_tell(const fcgi_request *request, const char *why,
                        const char *and_so);
/* Fields of these bits were left out of an answer: say so once for each. */
void fcgi__request_dropped(const fcgi_request *request, uint32_t hops);

/* How many of `len` raw bytes pass to the wire: for HEAD those of the head. */
size_t fcgi__request_filter(fcgi_request *request, const char *data,
                            size_t len);

/* Tells, once a request, why it is answered with 503. The connection's lock is
   held. */
void fcgi__request_tell_unavailable(fcgi_request *request);

/* What it has of resources is given back: its handler is done. No lock is held.
   The second does so if the callback that returned `result` is the end, and no
   other one runs. */
void fcgi__request_give_back(fcgi_request *request);
void fcgi__request_callback_over(fcgi_request *request, int result);
/* 1: it is over, or `ends` with the caller, and no callback holds it beside the
   `own` of the caller. The connection's lock is held. */
int fcgi__request_is_done(const fcgi_request *request, unsigned own, int ends);
/* Give back if that is so. No lock is held. */
void fcgi__request_give_back_if_done(fcgi_request *request, unsigned own,
                                     int ends);

/* A callback no longer uses the handle. */
void fcgi__request_release(fcgi_request *request);
/* The same with the connection's lock held: 1, and the caller frees it once it
   has given the lock back. */
int fcgi__request_let_go(fcgi_request *request);

/* A callback has returned `result`, which ends the request, fails it, or
   neither (handler.h), and no longer uses the handle. */
void fcgi__request_returned(fcgi_request *request, int result);

/* Its memory stays until fcgi__request_drop, whatever becomes of its
   connection: for one that no program has seen, and whose end frees it. */
void fcgi__request_hold(fcgi_request *request);
/* The counterpart; the connection's lock is held. */
void fcgi__request_drop(fcgi_request *request);

#endif
