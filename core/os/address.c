/* SPDX-License-Identifier: MIT */
#include "os/address.h"

#include <arpa/inet.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { HOST_TEXT = 256 }; /* The longest host name is 253 bytes. */

/* What every complaint ends with. */
#define EXAMPLES "use unix:/run/app.sock, 127.0.0.1:9000, [::1]:9000 or fd:3"

typedef struct complaint {
  const char *text; /* The address as it was given. */
  char *why;        /* Where the line goes. */
  size_t len;       /* Its room. */
} complaint;

static int refuse(const complaint *c, const char *reason) {
  snprintf(c->why, c->len, "address \"%s\": %s", c->text, reason);
  return FCGI_ERR_INVALID;
}

/* A whole decimal number from 0 to `max`, or -1. */
static int parse_number(const char *text, int max) {
  if (*text == '\0')
    return -1;
  int number = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    int digit = *text - '0';
    if (number > (max - digit) / 10)
      return -1;
    number = number * 10 + digit;
  }
  return *text == '\0' ? number : -1;
}

static int parse_unix(fcgi__address *out, const char *path,
                      const complaint *c) {
  struct sockaddr_un *un = &out->sockaddr.un;
  size_t len = strlen(path);
  int abstract = path[0] == '@';
  if (len == (size_t)abstract)
    return refuse(c, "no name after the prefix; use unix:/run/app.sock or "
                     "unix:@name");
  if (len > sizeof un->sun_path - 1)
    return refuse(c, "too long: a unix socket's path has at most 107 bytes; "
                     "choose a shorter one");
#ifndef __linux__
  if (abstract)
    return refuse(c, "abstract names exist on Linux only; use a path");
#endif
  un->sun_family = AF_UNIX;
  memcpy(un->sun_path, path, len);
  /* unix(7): an abstract name starts with a NUL and has no end mark. */
  if (abstract)
    un->sun_path[0] = '\0';
  out->kind = abstract ? FCGI__ADDRESS_ABSTRACT : FCGI__ADDRESS_UNIX;
  out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
                         (abstract ? 0 : 1));
  return 0;
}

static int parse_fd(fcgi__address *out, const char *text, const complaint *c) {
  out->fd = parse_number(text, INT_MAX);
  if (out->fd < 0)
    return refuse(c, "not a descriptor; use a number as in fd:3");
  out->kind = FCGI__ADDRESS_FD;
  return 0;
}

/* The IPv4 address of a name that has several: "localhost" then works where
   IPv6 is switched off, and is what 127.0.0.1 in a web server's file means. */
static const struct addrinfo *prefer_v4(const struct addrinfo *found) {
  for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
    if (a->ai_family == AF_INET)
      return a;
  return found;
}

/* Look up `host`, a number or a name. */
static int resolve(fcgi__address *out, const char *host, int family,
                   const complaint *c) {
  struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  int error = getaddrinfo(host, NULL, &hints, &found);
  if (error != 0) {
    snprintf(c->why, c->len,
             "address \"%s\": host \"%s\": %s; use a name or number this "
             "machine knows, as in 127.0.0.1:9000",
             c->text, host, gai_strerror(error));
    return FCGI_ERR_INVALID;
  }
  const struct addrinfo *chosen = prefer_v4(found);
  memcpy(&out->sockaddr, chosen->ai_addr, chosen->ai_addrlen);
  out->len = chosen->ai_addrlen;
  freeaddrinfo(found);
  return 0;
}

/* Split host:port or [v6]:port; returns the port's text, or NULL. */
static const char *split_host(const char *text, char host[HOST_TEXT],
                              int *family) {
  const char *start = text[0] == '[' ? text + 1 : text;
  const char *end = text[0] == '[' ? strchr(text, ']') : strrchr(text, ':');
  if (end == NULL || end - start >= HOST_TEXT)
    return NULL;
  memcpy(host, start, (size_t)(end - start));
  host[end - start] = '\0';
  *family = text[0] == '[' ? AF_INET6 : AF_UNSPEC;
  if (text[0] == '[')
    return end[1] == ':' ? end + 2 : NULL;
  return end + 1;
}

static int parse_tcp(fcgi__address *out, const char *text, const complaint *c) {
  char host[HOST_TEXT];
  int family;
  const char *port_text = split_host(text, host, &family);
  if (port_text == NULL)
    return refuse(c, "not an address; " EXAMPLES);
  if (strchr(text, ',') != NULL)
    return refuse(c, "one address for each --bind; give the next one its own");
  if (family == AF_UNSPEC && strchr(host, ':') != NULL)
    return refuse(c, "an IPv6 address needs brackets, as in [::1]:9000");
  int port = parse_number(port_text, 65535);
  if (port < 0)
    return refuse(c, "the port must be a number from 0 to 65535, as in "
                     "127.0.0.1:9000");
  /* No host means loopback: the whole network must be asked for by name. */
  int error = resolve(out, text[0] == ':' ? "127.0.0.1" : host, family, c);
  if (error < 0)
    return error;
  out->kind = FCGI__ADDRESS_TCP;
  if (out->sockaddr.any.sa_family == AF_INET6)
    out->sockaddr.in6.sin6_port = htons((uint16_t)port);
  else
    out->sockaddr.in.sin_port = htons((uint16_t)port);
  return 0;
}

int fcgi__address_parse(fcgi__address *out, const char *text, char *why,
                        size_t why_len) {
  const complaint c = {text, why, why_len};
  *out = (fcgi__address){.fd = -1};
  if (strncmp(text, "unix:", 5) == 0)
    return parse_unix(out, text + 5, &c);
  if (strncmp(text, "fd:", 3) == 0)
    return parse_fd(out, text + 3, &c);
  if (text[0] == '/' || text[0] == '.')
    return refuse(&c, "a unix socket needs the prefix unix:, as in "
                      "unix:/run/app.sock");
  return parse_tcp(out, text, &c);
}

/* A length printed by snprintf as a result. */
static int fits(int printed, size_t len) {
  return printed >= 0 && (size_t)printed < len ? 0 : FCGI_ERR_LIMIT;
}

static int unix_text(const fcgi__address *address, char *out, size_t len) {
  const struct sockaddr_un *un = &address->sockaddr.un;
  size_t offset = offsetof(struct sockaddr_un, sun_path);
  size_t name = address->len > offset ? address->len - offset : 0;
  if (name > 0 && un->sun_path[0] == '\0')
    return fits(
        snprintf(out, len, "unix:@%.*s", (int)(name - 1), un->sun_path + 1),
        len);
  /* The kernel may or may not count the final NUL of a path. */
  return fits(snprintf(out, len, "unix:%.*s", (int)strnlen(un->sun_path, name),
                       un->sun_path),
              len);
}

static int tcp_text(const fcgi__address *address, char *out, size_t len) {
  char host[INET6_ADDRSTRLEN + IF_NAMESIZE]; /* With a %scope. */
  char port[6];
  int error =
      getnameinfo(&address->sockaddr.any, address->len, host, sizeof host, port,
                  sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0)
    return FCGI_ERR_SYSTEM;
  if (address->sockaddr.any.sa_family == AF_INET6)
    return fits(snprintf(out, len, "[%s]:%s", host, port), len);
  return fits(snprintf(out, len, "%s:%s", host, port), len);
}

int fcgi__address_of_socket(int fd, char *out, size_t len) {
  fcgi__address address = {.fd = fd, .len = sizeof address.sockaddr};
  if (getsockname(fd, &address.sockaddr.any, &address.len) < 0)
    return FCGI_ERR_SYSTEM;
  switch (address.sockaddr.any.sa_family) {
  case AF_UNIX:
    return unix_text(&address, out, len);
  case AF_INET:
  case AF_INET6:
    return tcp_text(&address, out, len);
  default:
    return FCGI_ERR_UNSUPPORTED;
  }
}
