/* SPDX-License-Identifier: MIT */
/* What others do wrong: each kind is counted, and each cause is told in a few
   lines however often it happens. */
#ifndef FCGI_OBSERVE_TROUBLE_H
#define FCGI_OBSERVE_TROUBLE_H

#include <fastcgi/server.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/socket.h>

/* X(NAME, value, plural): `value` is the counter on the scoreboard, `plural`
   names several of them in a line. */
#define FCGI__TROUBLE_MAP(X)                                                   \
  X(PROTOCOL, PROTOCOL_ERRORS, "connections that broke the protocol")          \
  X(HEADER, TIMEOUTS_HEADER, "requests whose parameters stopped coming")       \
  X(BODY, TIMEOUTS_BODY, "requests whose body stopped coming")                 \
  X(OUTPUT, TIMEOUTS_OUTPUT, "connections that took no more of an answer")     \
  X(REFUSED, PEERS_REFUSED, "connections from others who may not connect")     \
  X(ACCEPT, ACCEPTS_FAILED, "failures to accept a connection")                 \
  X(RESET, RESETS, "connections that were reset with requests open")           \
  X(UNAVAILABLE, UNAVAILABLE, "requests that could not have what they need")

typedef enum fcgi__trouble_kind {
#define FCGI__TROUBLE_ENUM(name, value, plural) FCGI__TROUBLE_##name,
  FCGI__TROUBLE_MAP(FCGI__TROUBLE_ENUM)
#undef FCGI__TROUBLE_ENUM
      FCGI__TROUBLES /* The number of kinds. */
} fcgi__trouble_kind;

enum {
  FCGI__CAUSES = 8, /* Of one kind, held at a time; more are counted only. */
  FCGI__CAUSE_NAME = 128,
  FCGI__PEER_NAME = 96,
  FCGI__PEER_PLACE = 72
};

/* What happened, and through whom. */
typedef struct fcgi__cause {
  long long quiet;             /* Until when it is only counted. */
  unsigned untold;             /* How often it has been, and not told. */
  int given_up;                /* 1: its place is for another cause. */
  char name[FCGI__CAUSE_NAME]; /* What tells it from others. */
} fcgi__cause;

/* One kind. Zero-initialised it has never happened. */
typedef struct fcgi__trouble {
  fcgi__cause causes[FCGI__CAUSES + 1]; /* The last counts all others. */
  unsigned next;                        /* Which gives its place up next. */
} fcgi__trouble;

typedef struct fcgi__troubles {
  pthread_mutex_t lock; /* Guards the kinds; no other is taken inside. */
  fcgi__trouble kinds[FCGI__TROUBLES]; /* By fcgi__trouble_kind. */
} fcgi__troubles;

/* Make them, of zeroes, and end them. */
void fcgi__troubles_init(fcgi__troubles *troubles);
void fcgi__troubles_clear(fcgi__troubles *troubles);

struct fcgi__observer;

/* Counts one, and logs it as a line of `level` unless a line of its kind and
   `cause` was logged within the last ten seconds, or too many others were. Any
   thread, under any lock. Returns when fcgi__trouble_tell has to be called, if
   no earlier call has said so; else LLONG_MAX. */
long long fcgi__trouble_vnote(struct fcgi__observer *observer,
                              fcgi__trouble_kind kind, const char *cause,
                              fcgi_log_level level, const char *format,
                              va_list arguments)
    __attribute__((format(printf, 5, 0)));

/* Logs how many were not told of each cause that was quiet until `now`. Returns
   when the next one is due, LLONG_MAX for never. */
long long fcgi__trouble_tell(struct fcgi__observer *observer, long long now);

/* Who is at the other end of a connected socket. */
typedef struct fcgi__peer {
  char name[FCGI__PEER_NAME];   /* An address with its port, or a process and
                                   its user. */
  char place[FCGI__PEER_PLACE]; /* The address or the user alone. */
} fcgi__peer;

void fcgi__peer_of(int fd, fcgi__peer *out);

/* What came from a peer that broke the protocol. */
typedef struct fcgi__stranger {
  const char *what;   /* What it sent, in words. */
  const char *advice; /* What to do about it, or "". */
  const char *sort;   /* `what` without bytes that change each time. */
  char bytes[FCGI__PEER_PLACE]; /* Where `what` may be. */
} fcgi__stranger;

/* `data` are the bytes that it began with, or NULL when it began well; `error`
   tells the rest. `out` must stay where it is. */
void fcgi__stranger_find(fcgi__stranger *out, const uint8_t *data, size_t len,
                         int error);

#endif
