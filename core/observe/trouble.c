/* SPDX-License-Identifier: MIT */
#include "observe/trouble.h"
#include "os/clock.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 10000 }; /* Between two lines of one kind. */

static const struct {
  fcgi_status_value value; /* Counts them on the scoreboard. */
  const char *plural;      /* Names several of them. */
} kinds[FCGI__TROUBLES] = {
#define KIND(name, value, plural) {FCGI_STATUS_##value, plural},
    FCGI__TROUBLE_MAP(KIND)
#undef KIND
};

/* Whether this one is told: then the next ones of its kind are not, for a
   while. */
static int is_told(fcgi_server *server, fcgi__trouble *at) {
  long long now = fcgi__now(), quiet = atomic_load(&at->quiet);
  if (now >= quiet &&
      atomic_compare_exchange_strong(&at->quiet, &quiet, now + PAUSE_MS))
    return 1;
  if (atomic_fetch_add(&at->untold, 1) == 0)
    fcgi__server_deadline(server, atomic_load(&at->quiet));
  return 0;
}

void fcgi__trouble_note(fcgi_server *server, fcgi__trouble_kind kind,
                        fcgi_log_level level, const char *format, ...) {
  char line[FCGI__MESSAGE];
  va_list arguments;
  fcgi__tally_add(server, kinds[kind].value, 1);
  if (!is_told(server, &server->troubles[kind]))
    return;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  fcgi__server_log(server, level, "%s", line);
}

long long fcgi__trouble_tell(fcgi_server *server, long long now) {
  long long next = LLONG_MAX;
  for (unsigned i = 0; i < FCGI__TROUBLES; i++) {
    fcgi__trouble *at = &server->troubles[i];
    long long quiet = atomic_load(&at->quiet);
    unsigned untold;
    if (atomic_load(&at->untold) == 0)
      continue;
    if (quiet > now) {
      next = quiet < next ? quiet : next;
      continue;
    }
    untold = atomic_exchange(&at->untold, 0);
    atomic_store(&at->quiet, fcgi__now() + PAUSE_MS);
    fcgi__server_log(server, FCGI_LOG_WARNING, "%u more %s", untold,
                     kinds[i].plural);
  }
  return next;
}

static void name_process(int fd, char out[FCGI__PEER_NAME]) {
#ifdef SO_PEERCRED
  struct ucred peer;
  socklen_t len = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
    snprintf(out, FCGI__PEER_NAME, "process %ld of user %lu", (long)peer.pid,
             (unsigned long)peer.uid);
#else
  (void)fd;
  (void)out;
#endif
}

void fcgi__peer_name(int fd, char out[FCGI__PEER_NAME]) {
  struct sockaddr_storage peer = {0};
  socklen_t len = sizeof peer;
  char host[64], port[8];
  snprintf(out, FCGI__PEER_NAME, "an unknown peer");
  if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
    return;
  if (peer.ss_family == AF_UNIX)
    name_process(fd, out);
  else if (getnameinfo((struct sockaddr *)&peer, len, host, sizeof host, port,
                       sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
    snprintf(out, FCGI__PEER_NAME, "%s port %s", host, port);
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

void fcgi__trouble_broken(fcgi_server *server, int fd, const uint8_t *data,
                          size_t len, int error) {
  const char *what = "what breaks the FastCGI protocol", *advice = "";
  char who[FCGI__PEER_NAME], bytes[64];
  size_t i = 0, count = sizeof strangers / sizeof *strangers;
  while (data && i < count &&
         (len < strangers[i].len ||
          memcmp(data, strangers[i].bytes, strangers[i].len) != 0))
    i++;
  if (data && i < count) {
    what = strangers[i].what;
    advice = strangers[i].advice;
  } else if (data) {
    name_bytes(bytes, sizeof bytes, data, len);
    what = bytes;
  } else if (error != FCGI_ERR_PROTOCOL)
    what = fcgi_error_text(error);
  fcgi__peer_name(fd, who);
  fcgi__trouble_note(server, FCGI__TROUBLE_PROTOCOL, FCGI_LOG_WARNING,
                     "closed the connection of %s, from which came %s%s", who,
                     what, advice);
}
