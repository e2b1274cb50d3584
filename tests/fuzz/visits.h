/* SPDX-License-Identifier: MIT */
/* What both sides of a connection should agree about: each request with what
   was said in it, against which what is heard is checked. */
#ifndef FUZZ_VISITS_H
#define FUZZ_VISITS_H

#include "fuzz/script.h"

#include <fastcgi/event.h>
#include <fastcgi/peer.h>

enum {
  VISITS_MOST = 60,    /* Requests of a run. */
  VISITS_PERIOD = 251, /* Of the bytes in streams. */
  VISITS_SERIAL = 4,   /* Bytes of the parameter that names a visit. */
  VISITS_UNKNOWN = 0   /* The visit of requests that bear no such name. */
};

/* One direction of a stream. The byte at a place tells the place. */
typedef struct visit_stream {
  uint64_t said;  /* Bytes accepted from the one side. */
  uint64_t heard; /* Bytes given to the other. */
  int end_said;   /* 1: its end too. */
} visit_stream;

typedef struct visit {
  uint64_t params_said; /* A hash over the parameters in order. */
  int64_t promised;     /* CONTENT_LENGTH; -1 when not sent. */
  visit_stream in;      /* STDIN. */
  visit_stream data;    /* DATA. */
  visit_stream out;     /* STDOUT. */
  visit_stream err;     /* STDERR. */
  uint32_t app_status;  /* As the application ended it. */
  uint8_t status;       /* Likewise: a fcgi_protocol_status. */
  uint8_t begun;        /* 1: the peer began it. */
  uint8_t announced;    /* 1: the session gave REQUEST. */
  uint8_t aborted;      /* 1: the session gave ABORT. */
  uint8_t ended;        /* 1: the application ended it. */
  uint8_t closed;       /* 1: the session gave CLOSE. */
  uint8_t over;         /* 1: the peer gave END or CLOSE. */
  uint8_t disordered; /* 1: DATA was ended before STDIN, which nobody hears. */
} visit;

typedef struct visits {
  visit all[VISITS_MOST]; /* By serial number; the first is the unknown one. */
  size_t count;           /* Begun, that one included. */
} visits;

/* SCRIPT_LONGEST bytes without a NUL. */
const char *visits_text(void);

/* Bytes of a stream whose next place is `place`; SCRIPT_LONGEST of them. */
const void *visits_bytes(uint64_t place);
/* They are those bytes. */
void visits_check_bytes(uint64_t place, const void *data, size_t len);

/* Add a parameter to the hash. */
uint64_t visits_mix(uint64_t hash, const void *name, size_t name_len,
                    const void *value, size_t value_len);

/* The serial number in a request's first parameter, as visits_name wrote it. */
size_t visits_serial(const fcgi_params *params);
void visits_name(char text[VISITS_SERIAL], size_t serial);

/* Check an event of the session about `v`. */
void visits_check_session(visit *v, const fcgi_event *event);
/* Check an event of the peer about `v`. */
void visits_check_peer(visit *v, const fcgi_peer_event *event);

#endif
