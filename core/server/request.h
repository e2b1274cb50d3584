/* SPDX-License-Identifier: MIT */
/* A request of a server. Its connection's lock guards it. */
#ifndef FCGI_SERVER_REQUEST_H
#define FCGI_SERVER_REQUEST_H

#include "gateway/path.h"
#include "gateway/rawhead.h"
#include "observe/observe.h"
#include "os/spool.h"
#include "server/connection.h"
#include <fastcgi/request.h>

/* Where the answer stands. */
typedef enum fcgi__answer {
  FCGI__ANSWER_NONE, /* Nothing was written. */
  FCGI__ANSWER_HELD, /* The head of raw output is not whole yet: none of it has
                        left. */
  FCGI__ANSWER_RAW,  /* The program writes CGI output itself. */
  FCGI__ANSWER_BODY  /* fcgi_request_start wrote the head. */
} fcgi__answer;

struct fcgi_request {
  fcgi__connection *connection; /* Where it came from. */
  fcgi_request *ready_next;     /* In its connection's list of ready ones. */
  fcgi_request *ready_prev;     /* The one before it there. */
  fcgi_request *all_next;       /* In the connection's list of requests; once
                                   it is closed, in the server's `late`. */
  fcgi_request *all_prev;       /* The one before it there. */
  fcgi_request *file_next;      /* In the connection's list of files. */
  const fcgi_params *params;    /* The session's. */
  _Atomic(void *) user_data;    /* The program's. */
  unsigned pending;             /* Events to give out, 1u << type; guarded by
                                   the server's lock, as is `is_ready`. */
  long long ready_at;           /* When it was, or somewhat before. */
  uint8_t is_ready;             /* 1: in the ready list. */
  uint8_t dispatched;           /* 1: the program knows of it. */
  uint8_t wants_close;          /* 1: the program was given REQUEST. */
  uint8_t input_done;           /* 1: every input stream has ended. */
  uint8_t stdin_done;           /* 1: a filter's STDIN has ended. */
  uint8_t cut;                  /* 1: the rest of the input never comes. */
  uint8_t data_done;            /* 1: DATA has ended. */
  uint8_t truncated;            /* 1: short of CONTENT_LENGTH. */
  uint8_t data_truncated;       /* 1: short of FCGI_DATA_LENGTH. */
  uint8_t ended;                /* 1: the program has ended it. */
  uint8_t closed;               /* 1: the session has closed it. */
  uint8_t close_due;            /* 1: CLOSE waits for the last callback. */
  uint8_t head_only;          /* 1: HEAD, the body of the answer is dropped. */
  fcgi__rawhead scan;         /* Raw output: where its head ends. */
  uint8_t head_named;         /* Raw output: 1: its first line is a field's. */
  uint8_t head_out;           /* 1: the head is queued; STDERR may follow. */
  uint8_t errors_open;        /* 1: what STDERR was given ends in no newline. */
  uint8_t broken;             /* 1: the answer cannot be what its head says. */
  uint8_t answer;             /* A fcgi__answer. */
  uint8_t wants_room;         /* 1: a write gave AGAIN. */
  uint8_t end_due;            /* 1: the program has ended it; its file is
                                 still being sent. */
  uint8_t overdue;            /* 1: the deadline has ended it; the program
                                 still has it, which holds it. */
  uint8_t kept;               /* 1: so are its parameters. */
  uint8_t left;               /* 1: the program has ended it too. */
  uint16_t id;                /* On its connection. */
  const fcgi_role_spec *role; /* As asked for. */
  uint8_t fed;                /* 1: input has come since `body_due` was set. */
  long long body_due;         /* Collecting: when it is silent for too long. */
  fcgi_abort_reason aborted;  /* Why, if so. */
  int timeout_ms;             /* Of one read or write; -1 without end. */
  uint32_t app_status;        /* With `end_due`. */
  int64_t content_length;     /* Of the body; -1 if not known. */
  fcgi__spool body;           /* STDIN. */
  fcgi__spool data;           /* DATA of a filter. */
  fcgi__buffer errors;        /* STDERR that waits for the head, or STDOUT. */
  fcgi__buffer head;          /* Raw output up to its empty line, held. */
  long long unread_at;  /* When a body was first written that nobody reads, or
                           0. */
  int64_t body_left;    /* Bytes that Content-Length still promises, or
                           -1 without one. */
  int read_wake;        /* eventfd of a thread that reads, or -1. */
  int write_wake;       /* eventfd of a thread that writes, or -1. */
  int file_fd;          /* The file being sent, or -1. */
  uint64_t file_offset; /* Where it goes on. */
  uint64_t file_left;   /* How much of it. */
  atomic_uint held;     /* Callbacks that use the handle. */
  uint8_t gathers;      /* 1: whoever ends it takes another one then. */
  fcgi__observed observed;    /* What those outside see of it. */
  long long slow_due;         /* When it is slow, or LLONG_MAX. */
  long long answer_due;       /* When its handler is overdue, or LLONG_MAX. */
  uint8_t trace_due;          /* 1: it is for the slow log. */
  _Atomic(fcgi__path *) path; /* Texts of fcgi_request_path, or NULL. */
};

/* Make the request that a session's REQUEST event told of; NULL without
   memory. */
fcgi_request *fcgi__request_new(fcgi__connection *connection,
                                const fcgi_event *event);
void fcgi__request_free(fcgi_request *request);
/* Take it out of its connection's list. */
void fcgi__request_unlink(fcgi_request *request);

/* When its body has been silent for too long, if it is being collected and
   `timeout` may pass from `now` on since it was fed; else LLONG_MAX. */
long long fcgi__request_body_due(fcgi_request *request, long long now,
                                 int timeout);
/* Answer 408 if that has been reached. */
void fcgi__request_expire(fcgi_request *request, long long now);

/* Before it is handed out: see whether anyone still wants the answer. The
   caller holds it, which ends here. */
void fcgi__request_look(fcgi_request *request);

/* Write what the logs are still to have of it. */
void fcgi__request_observe_close(fcgi_request *request);

/* Answer a request for the status page or the ping path: 1; any other: 0. */
int fcgi__status_answer(fcgi_request *request);

/* It is no longer one whose body is being collected. */
void fcgi__request_leave_collecting(fcgi_request *request);

/* The library answers for a program that has not seen it. */
void fcgi__request_answer_alone(fcgi_request *request, int status);

/* Hand it to the program. */
void fcgi__request_dispatch(fcgi_request *request);

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

/* The whole head is queued: STDERR that has waited for it follows. */
void fcgi__request_head_out(fcgi_request *request);

/* Why it is aborted: its own reason, or that the server stops at once. */
fcgi_abort_reason fcgi__request_reason(const fcgi_request *request);

/* 0, FCGI_ERR_STATE when the request is over, FCGI_ERR_ABORTED when nobody is
   left to read. */
int fcgi__request_check(const fcgi_request *request);

/* Take from raw output the bytes of its head, which leaves once it is whole
   and judged: how many they are, or an error. */
ptrdiff_t fcgi__raw_head(fcgi_request *request, const char *data, size_t len);
/* Let go what is held of a head that will never be whole: 0, or an error. */
int fcgi__raw_release(fcgi_request *request);

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

/* A callback no longer uses the handle. */
void fcgi__request_release(fcgi_request *request);

#endif
