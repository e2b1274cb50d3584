/* SPDX-License-Identifier: MIT */
/* The CGI start: any environment becomes one request that has just these
   variables, or is refused for a reason that the environment shows. The first
   byte says how the bytes are cut; NULs end the variables. */
#include "fuzz/counting.h"
#include "fuzz/fuzz.h"

#include "cgi/cgi.h"
#include <errno.h>
#include <fastcgi/session.h>

enum {
  MOST_PARAMS = 2000, /* Bytes of variables. */
  MOST_PAIRS = 20,    /* Variables. */
  MOST_ENTRIES = 64,  /* In the environment. */
  MOST_MEMORY = 64 * 1024
};

/* What an environment means, by rules of its own. */
typedef struct meaning {
  const char *kept[MOST_ENTRIES]; /* The variables that a handler sees. */
  size_t count;                   /* Number of entries in use. */
  size_t bytes;                   /* Of all variables, without "=". */
  int too_large;                  /* 1: beyond the limits. */
  int bad_length;                 /* 1: CONTENT_LENGTH is none. */
  int64_t length;                 /* CONTENT_LENGTH, -1 for none. */
  int chunked;                    /* 1: the body ends where the input does. */
} meaning;

/* What came out of the session. */
typedef struct result {
  int requests;       /* REQUEST events. */
  int ends;           /* STDIN_END events. */
  int truncated;      /* 1: the body was said to be cut. */
  const meaning *all; /* What is to come. */
} result;

static int has_name(const char *entry, const char *name) {
  size_t len = strlen(name);
  return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

static void read_length(meaning *m, const char *text) {
  char *end = NULL;
  int64_t value = -1;
  size_t digits = strspn(text, "0123456789");
  if (text[digits] != '\0')
    m->bad_length = 1;
  errno = 0;
  if (digits > 0)
    value = strtoll(text, &end, 10);
  if (errno == ERANGE || (m->length >= 0 && m->length != value))
    m->bad_length = 1;
  m->length = value;
}

static void read_entry(meaning *m, const char *entry) {
  if (entry[0] == '=' || !strchr(entry, '=') || m->too_large)
    return;
  if (strlen(entry) - 1 > MOST_PARAMS - m->bytes || m->count == MOST_PAIRS) {
    m->too_large = 1;
    return;
  }
  m->bytes += strlen(entry) - 1;
  if (has_name(entry, "HTTP_PROXY"))
    return;
  m->kept[m->count++] = entry;
  if (has_name(entry, "CONTENT_LENGTH"))
    read_length(m, strchr(entry, '=') + 1);
  if (has_name(entry, "HTTP_TRANSFER_ENCODING"))
    m->chunked = *(strchr(entry, '=') + 1) != '\0';
}

static void check_params(const fcgi_params *params, const meaning *m) {
  fuzz_require(fcgi_params_count(params) == m->count);
  for (size_t i = 0; i < m->count; i++) {
    const char *value = strchr(m->kept[i], '=');
    fcgi_param one;
    fuzz_require(fcgi_params_at(params, i, &one) == 0);
    fuzz_require(one.name_len == (size_t)(value - m->kept[i]));
    fuzz_require(memcmp(one.name, m->kept[i], one.name_len) == 0);
    fuzz_require(strcmp(one.value, value + 1) == 0);
    fuzz_require(one.value_len == strlen(value + 1));
  }
}

static void take(result *r, const fcgi_event *event) {
  if (event->type == FCGI_EVENT_REQUEST) {
    r->requests++;
    fuzz_require(event->role == FCGI_ROLE_RESPONDER && !event->keep);
    fuzz_require(event->content_length == r->all->length);
    check_params(event->params, r->all);
  }
  if (event->type == FCGI_EVENT_STDIN_END) {
    r->ends++;
    r->truncated = event->truncated;
  }
}

/* Everything that the peer has to say, `chunk` bytes at once. */
static void feed_all(fcgi_session *session, fcgi_peer *peer, size_t chunk,
                     result *r) {
  struct iovec iov;
  while (fcgi_peer_output(peer, &iov, 1) == 1) {
    const fcgi_event *event;
    size_t len = iov.iov_len < chunk ? iov.iov_len : chunk;
    uint8_t *piece = fuzz_copy(iov.iov_base, len);
    int more = fcgi_session_feed(session, piece, len);
    fuzz_require(more == 0);
    while ((more = fcgi_session_next(session, &event)) > 0)
      take(r, event);
    fuzz_require(more == 0);
    free(piece);
    fcgi_peer_output_done(peer, len);
  }
}

/* The status line that refused the request, in one record's worth of output. */
static int is_refused_with(fcgi_session *session, const char *status) {
  char text[1024] = {0};
  struct iovec iov[8];
  int count = fcgi_session_output(session, iov, 8);
  size_t len = 0;
  for (int i = 0; i < count; i++)
    for (size_t at = 0; at < iov[i].iov_len && len < sizeof text - 1; at++) {
      char byte = ((const char *)iov[i].iov_base)[at];
      text[len++] = byte ? byte : ' ';
    }
  return strstr(text, status) != NULL;
}

static void check(fcgi_session *session, const meaning *m, uint64_t body,
                  const result *r) {
  int refused = m->too_large || m->bad_length;
  fuzz_require(r->requests == !refused);
  if (m->too_large)
    fuzz_require(is_refused_with(session, "Status: 431 "));
  else if (m->bad_length)
    fuzz_require(is_refused_with(session, "Status: 400 "));
  if (refused)
    return;
  if (m->length >= 0)
    fuzz_require(body == (uint64_t)m->length);
  else
    fuzz_require(body == (m->chunked ? UINT64_MAX : 0));
  fuzz_require(r->ends == (body == 0) && !r->truncated);
}

static void try_environment(char *const *environment, size_t chunk) {
  counting memory = {.until_failure = -1};
  const fcgi_session_config limits = {.size = sizeof limits,
                                      .allocator = counting_allocator(&memory),
                                      .limit_params_size = MOST_PARAMS,
                                      .limit_params = MOST_PAIRS};
  meaning m = {.length = -1};
  result r = {.all = &m};
  fcgi_session *session;
  fcgi_peer *peer;
  uint64_t body = 0;
  for (size_t i = 0; environment[i]; i++)
    read_entry(&m, environment[i]);
  fuzz_require(fcgi_session_new(&session, &limits) == 0);
  fuzz_require(fcgi_peer_new(&peer, NULL) == 0);
  fuzz_require(fcgi__cgi_begin(peer, environment, &body) == 0);
  feed_all(session, peer, chunk, &r);
  check(session, &m, body, &r);
  fuzz_require(memory.peak <= MOST_MEMORY);
  fcgi_peer_free(peer);
  fcgi_session_free(session);
  fuzz_require(memory.blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *environment[MOST_ENTRIES + 1] = {NULL};
  size_t count = 0;
  if (size == 0)
    return 0;
  char *text = calloc(1, size);
  fuzz_require(text != NULL);
  memcpy(text, data + 1, size - 1);
  for (size_t at = 0; at < size - 1 && count < MOST_ENTRIES;
       at += strlen(text + at) + 1)
    environment[count++] = text + at;
  try_environment(environment, data[0] + 1u);
  free(text);
  return 0;
}
