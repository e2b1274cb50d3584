/* SPDX-License-Identifier: MIT */
/* What the head of an answer says, judged before any of it leaves. */
#ifndef FCGI_GATEWAY_HEAD_H
#define FCGI_GATEWAY_HEAD_H

#include <fastcgi/request.h>

/* What a field means to the server. */
typedef enum fcgi__field {
  FCGI__FIELD_OTHER,  /* Nothing: it is passed on. */
  FCGI__FIELD_STATUS, /* It is CGI's, RFC 3875, 6.3.3. */
  FCGI__FIELD_LENGTH, /* It promises how long the body is. */
  FCGI__FIELD_HOP     /* It speaks of the client's connection, which is the web
                         server's, and is left out. */
} fcgi__field;

/* Why an answer cannot begin so. */
typedef enum fcgi__head_fault {
  FCGI__HEAD_GOOD,
  FCGI__HEAD_STATUS,      /* The status is none of a final answer. */
  FCGI__HEAD_STATUS_LINE, /* Status says another one, or is there twice. */
  FCGI__HEAD_NAME,        /* A name is no HTTP token. */
  FCGI__HEAD_VALUE,       /* A value would end its line. */
  FCGI__HEAD_LENGTH,      /* Content-Length is no number. */
  FCGI__HEAD_LENGTHS,     /* Two of them say different things. */
  FCGI__HEAD_BODY,        /* It says another length than the body has. */
  FCGI__HEAD_LINE,        /* A line of a raw head is no field. */
  FCGI__HEAD_STATUSES,    /* Two Status fields of it say different things. */
  FCGI__HEAD_ENDLESS,     /* No empty line ends it. */
  FCGI__HEAD_LONG,        /* It is longer than is kept. */
  FCGI__HEAD_SILENT       /* An authorizer says nothing in it. */
} fcgi__head_fault;

typedef struct fcgi__head {
  int status;                 /* Of HTTP, RFC 9110, 15. */
  const fcgi_header *headers; /* The caller's. */
  size_t count;               /* Number of those. */
  const fcgi_header
      *status_at; /* The one among them that is Status, or NULL. */
  const fcgi_header *length_at; /* The Content-Length that leaves, or NULL. */
  const fcgi_header *culprit;   /* The one at fault, or NULL. */
  int64_t length;               /* What Content-Length says, or -1. */
  uint32_t hops;                /* Fields left out: fcgi__hop_bit of each. */
  uint8_t drops;                /* 1: some fields are left out. */
  uint8_t redirects;            /* 1: of a raw head, only Location says that it
                                   is a redirect. */
  uint8_t relocates;            /* 1: there Location follows Status. */
  uint8_t mixed;                /* 1: its empty line ends in another way than
                                   the line before. */
} fcgi__head;

/* 1: a character of an HTTP token, RFC 9110, 5.6.2. */
int fcgi__is_token(char at);

/* The meaning of a field's name; letter case does not matter. */
fcgi__field fcgi__field_of(const char *name, size_t len);
/* One bit for each name of FCGI__FIELD_HOP, and the name that a bit is for. */
uint32_t fcgi__hop_bit(const char *name, size_t len);
const char *fcgi__hop_name(uint32_t bit);

/* The number that Content-Length's value is, or -1. */
int64_t fcgi__length_parse(const char *value, size_t len);

/* Judge status and headers, which are in place; fills in the rest. */
fcgi__head_fault fcgi__head_judge(fcgi__head *head);

/* 1: the header is not sent where it stands. */
int fcgi__head_drops(const fcgi__head *head, const fcgi_header *header);

/* Put a fault in words: what is wrong, and with which header. `length` is the
   body's, for FCGI__HEAD_BODY. */
void fcgi__head_explain(const fcgi__head *head, fcgi__head_fault fault,
                        int64_t length, char *out, size_t size);

#endif
