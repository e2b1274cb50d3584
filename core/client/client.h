/* SPDX-License-Identifier: MIT */
/* The inside of a client, shared by the files named after it. */
#ifndef FCGI_CLIENT_CLIENT_H
#define FCGI_CLIENT_CLIENT_H

#include "base/buffer.h"
#include "os/address.h"
#include <fastcgi/client.h>

enum { FCGI__CLIENT_INPUT = 65536, FCGI__CLIENT_MESSAGE = 512 };

/* Where the rest of a stream comes from. */
typedef struct fcgi__source {
  uint16_t id;         /* Id of the request. */
  fcgi_stream stream;  /* STDIN or DATA. */
  int fd;              /* What is read, or -1 for memory. */
  const uint8_t *data; /* The rest of the memory. */
  size_t left;         /* Bytes of it that are not yet queued. */
} fcgi__source;

struct fcgi_client {
  fcgi_client_config config;          /* With every default filled in. */
  fcgi_peer_config peer_config;       /* Of each connection's peer. */
  fcgi_allocator allocator;           /* The peer's. */
  fcgi_peer *peer;                    /* Of the connection; NULL before. */
  int fd;                             /* The connection, or -1. */
  int error;                          /* Sticky; 0 while all is well. */
  fcgi__buffer sources;               /* fcgi__source of open streams. */
  fcgi__buffer polled;                /* struct pollfd of the last wait. */
  char address[FCGI__ADDRESS_TEXT];   /* As given, perhaps cut. */
  char message[FCGI__CLIENT_MESSAGE]; /* What went wrong. */
  uint8_t input[FCGI__CLIENT_INPUT];  /* What the peer is fed from. */
};

/* Note what went wrong, after the address, and return `error`. */
__attribute__((format(printf, 3, 4))) int
fcgi__client_complain(fcgi_client *client, int error, const char *format, ...);

/* A connected socket, or a negative error after a complaint (connect.c). */
int fcgi__client_open(fcgi_client *client, const char *address);

#endif
