/* SPDX-License-Identifier: MIT */
/* What others do wrong: each kind is counted, and told in a few lines however
   often it happens. */
#ifndef FCGI_OBSERVE_TROUBLE_H
#define FCGI_OBSERVE_TROUBLE_H

#include <fastcgi/server.h>
#include <stdatomic.h>
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
  X(RESET, RESETS, "connections that were reset with requests open")

typedef enum fcgi__trouble_kind {
#define FCGI__TROUBLE_ENUM(name, value, plural) FCGI__TROUBLE_##name,
  FCGI__TROUBLE_MAP(FCGI__TROUBLE_ENUM)
#undef FCGI__TROUBLE_ENUM
      FCGI__TROUBLES /* The number of kinds. */
} fcgi__trouble_kind;

/* One kind. Zero-initialised it has never happened. */
typedef struct fcgi__trouble {
  atomic_llong quiet; /* Until when it is only counted. */
  atomic_uint untold; /* How often it has been counted and not told. */
} fcgi__trouble;

/* Counts one, and logs it as a line of `level` unless a line of its kind was
   logged within the last ten seconds. Any thread. */
void fcgi__trouble_note(fcgi_server *server, fcgi__trouble_kind kind,
                        fcgi_log_level level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Logs how many were not told of each kind that was quiet until `now`. Returns
   when the next one is due, LLONG_MAX for never. */
long long fcgi__trouble_tell(fcgi_server *server, long long now);

enum { FCGI__PEER_NAME = 96 };

/* Writes who is at the other end of a connected socket to `out`: an address
   with its port, or a process and its user. */
void fcgi__peer_name(int fd, char out[FCGI__PEER_NAME]);

/* Notes that a peer broke the protocol. `data` are the bytes that it began
   with, or NULL when it began well; `error` tells the rest. */
void fcgi__trouble_broken(fcgi_server *server, int fd, const uint8_t *data,
                          size_t len, int error);

#endif
