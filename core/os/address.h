/* SPDX-License-Identifier: MIT */
/* Addresses as people write them. */
#ifndef FCGI_OS_ADDRESS_H
#define FCGI_OS_ADDRESS_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { FCGI__ADDRESS_TEXT = 160 }; /* Room for any address as text. */

typedef enum fcgi__address_kind {
  FCGI__ADDRESS_UNIX,     /* A path in the file system. */
  FCGI__ADDRESS_ABSTRACT, /* A name in Linux's abstract namespace. */
  FCGI__ADDRESS_TCP,      /* IPv4 or IPv6. */
  FCGI__ADDRESS_FD        /* A descriptor the process already has. */
} fcgi__address_kind;

typedef struct fcgi__address {
  fcgi__address_kind kind;
  int fd;        /* FD: its number. */
  socklen_t len; /* The others: bytes of `sockaddr` in use. */
  union {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_storage storage;
  } sockaddr;
} fcgi__address;

/* Parse unix:/path, unix:relative, unix:@abstract, host:port, [v6]:port, :port
   (loopback), fd:N. `host` is a numeric address or a name that getaddrinfo
   knows. 0, or FCGI_ERR_INVALID with one line for a person in `why`, which
   names `text` and says what would be right. */
int fcgi__address_parse(fcgi__address *out, const char *text, char *why,
                        size_t why_len);

/* The address a bound socket has, as fcgi__address_parse would take it. */
int fcgi__address_of_socket(int fd, char *out, size_t len);

#endif
