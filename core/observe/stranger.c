/* SPDX-License-Identifier: MIT */
/* Who is at the other end, and what came from there. */
#include "observe/trouble.h"
#include <fastcgi/error.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

/* Whose process it is names the place: a new one may come for each
   connection. */
static void name_process(int fd, fcgi__peer *out) {
#ifdef SO_PEERCRED
  struct ucred peer;
  socklen_t len = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
    return;
  snprintf(out->name, sizeof out->name, "process %ld of user %lu",
           (long)peer.pid, (unsigned long)peer.uid);
  snprintf(out->place, sizeof out->place, "user %lu", (unsigned long)peer.uid);
#else
  (void)fd;
  (void)out;
#endif
}

void fcgi__peer_of(int fd, fcgi__peer *out) {
  struct sockaddr_storage peer = {0};
  socklen_t len = sizeof peer;
  char host[64], port[8];
  snprintf(out->name, sizeof out->name, "an unknown peer");
  snprintf(out->place, sizeof out->place, "an unknown peer");
  if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
    return;
  if (peer.ss_family == AF_UNIX)
    name_process(fd, out);
  else if (getnameinfo((struct sockaddr *)&peer, len, host, sizeof host, port,
                       sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
    snprintf(out->name, sizeof out->name, "%s port %s", host, port);
    snprintf(out->place, sizeof out->place, "%s", host);
  }
}

/* What speaks to us instead of a web server's FastCGI, by its first bytes. */
static const struct {
  const char *bytes;  /* What it begins with. */
  size_t len;         /* How many of them. */
  const char *what;   /* Its name. */
  const char *advice; /* What to do. */
} strangers[] = {
#define HTTP(method)                                                           \
  {                                                                            \
    method, sizeof method - 1, "an HTTP request",                              \
        "; in nginx use fastcgi_pass, not proxy_pass"                          \
  }
    HTTP("GET "),
    HTTP("POST "),
    HTTP("HEAD "),
    HTTP("PUT "),
    HTTP("DELETE "),
    HTTP("OPTIONS "),
    HTTP("PATCH "),
    HTTP("CONNECT "),
    HTTP("TRACE "),
    HTTP("PRI * HTTP/2"),
#undef HTTP
    {"\x16\x03", 2, "TLS", "; FastCGI is spoken without it"},
    {"PROXY ", 6, "a PROXY protocol header", "; switch that off"},
    {"\r\n\r\n\0\r\nQUIT", 10, "a PROXY protocol header", "; switch that off"},
};

static void name_bytes(char *out, size_t size, const uint8_t *data,
                       size_t len) {
  size_t at = (size_t)snprintf(out, size, "bytes that are no FastCGI:");
  for (size_t i = 0; i < len && i < 8; i++)
    at += (size_t)snprintf(out + at, size - at, " %02x", data[i]);
}

/* Which of them begins so, or -1. */
static int find_stranger(const uint8_t *data, size_t len) {
  for (size_t i = 0; data && i < sizeof strangers / sizeof *strangers; i++)
    if (len >= strangers[i].len &&
        memcmp(data, strangers[i].bytes, strangers[i].len) == 0)
      return (int)i;
  return -1;
}

void fcgi__stranger_find(fcgi__stranger *out, const uint8_t *data, size_t len,
                         int error) {
  int which = find_stranger(data, len);
  out->sort = out->what = "what breaks the FastCGI protocol";
  out->advice = "";
  if (which >= 0) {
    out->sort = out->what = strangers[which].what;
    out->advice = strangers[which].advice;
  } else if (data) {
    name_bytes(out->bytes, sizeof out->bytes, data, len);
    out->sort = "bytes that are no FastCGI";
    out->what = out->bytes;
  } else if (error != FCGI_ERR_PROTOCOL)
    out->sort = out->what = fcgi_error_text(error);
}
