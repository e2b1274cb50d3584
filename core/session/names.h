/* SPDX-License-Identifier: MIT */
/* The names that web servers send: those of RFC 3875, of nginx, Apache,
   lighttpd, Caddy and HAProxy, and of common headers. Requests differ, their
   names repeat, so a known name is a number: equal names are equal numbers,
   and what belongs to a name is found by indexing. HTTP_PROXY is unknown, so
   that no common name is looked at twice. After a change: ./dev names. */
#ifndef FCGI_SESSION_NAMES_H
#define FCGI_SESSION_NAMES_H

#include <fastcgi/params.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FCGI__NAME_MAP(X)                                                      \
  X(QUERY_STRING)                                                              \
  X(REQUEST_METHOD)                                                            \
  X(CONTENT_TYPE)                                                              \
  X(CONTENT_LENGTH)                                                            \
  X(SCRIPT_FILENAME)                                                           \
  X(SCRIPT_NAME)                                                               \
  X(PATH_INFO)                                                                 \
  X(PATH_TRANSLATED)                                                           \
  X(REQUEST_URI)                                                               \
  X(DOCUMENT_URI)                                                              \
  X(DOCUMENT_ROOT)                                                             \
  X(SERVER_PROTOCOL)                                                           \
  X(REQUEST_SCHEME)                                                            \
  X(HTTPS)                                                                     \
  X(GATEWAY_INTERFACE)                                                         \
  X(SERVER_SOFTWARE)                                                           \
  X(SERVER_SIGNATURE)                                                          \
  X(SERVER_ADMIN)                                                              \
  X(SERVER_ADDR)                                                               \
  X(SERVER_PORT)                                                               \
  X(SERVER_NAME)                                                               \
  X(REMOTE_ADDR)                                                               \
  X(REMOTE_PORT)                                                               \
  X(REMOTE_HOST)                                                               \
  X(REMOTE_USER)                                                               \
  X(REMOTE_IDENT)                                                              \
  X(AUTH_TYPE)                                                                 \
  X(REDIRECT_STATUS)                                                           \
  X(REDIRECT_URL)                                                              \
  X(REDIRECT_URI)                                                              \
  X(REDIRECT_QUERY_STRING)                                                     \
  X(CONTEXT_PREFIX)                                                            \
  X(CONTEXT_DOCUMENT_ROOT)                                                     \
  X(SCRIPT_URL)                                                                \
  X(SCRIPT_URI)                                                                \
  X(UNIQUE_ID)                                                                 \
  X(PATH)                                                                      \
  X(SSL_PROTOCOL)                                                              \
  X(SSL_CIPHER)                                                                \
  X(SSL_TLS_SNI)                                                               \
  X(SSL_CLIENT_VERIFY)                                                         \
  X(FCGI_ROLE)                                                                 \
  X(FCGI_DATA_LENGTH)                                                          \
  X(FCGI_DATA_LAST_MOD)                                                        \
  X(HTTP_HOST)                                                                 \
  X(HTTP_USER_AGENT)                                                           \
  X(HTTP_ACCEPT)                                                               \
  X(HTTP_ACCEPT_CHARSET)                                                       \
  X(HTTP_ACCEPT_ENCODING)                                                      \
  X(HTTP_ACCEPT_LANGUAGE)                                                      \
  X(HTTP_CONNECTION)                                                           \
  X(HTTP_KEEP_ALIVE)                                                           \
  X(HTTP_COOKIE)                                                               \
  X(HTTP_REFERER)                                                              \
  X(HTTP_ORIGIN)                                                               \
  X(HTTP_AUTHORIZATION)                                                        \
  X(HTTP_CACHE_CONTROL)                                                        \
  X(HTTP_PRAGMA)                                                               \
  X(HTTP_IF_MODIFIED_SINCE)                                                    \
  X(HTTP_IF_UNMODIFIED_SINCE)                                                  \
  X(HTTP_IF_NONE_MATCH)                                                        \
  X(HTTP_IF_MATCH)                                                             \
  X(HTTP_IF_RANGE)                                                             \
  X(HTTP_RANGE)                                                                \
  X(HTTP_CONTENT_TYPE)                                                         \
  X(HTTP_CONTENT_LENGTH)                                                       \
  X(HTTP_CONTENT_ENCODING)                                                     \
  X(HTTP_TRANSFER_ENCODING)                                                    \
  X(HTTP_EXPECT)                                                               \
  X(HTTP_DATE)                                                                 \
  X(HTTP_DNT)                                                                  \
  X(HTTP_FROM)                                                                 \
  X(HTTP_PRIORITY)                                                             \
  X(HTTP_SAVE_DATA)                                                            \
  X(HTTP_TE)                                                                   \
  X(HTTP_UPGRADE)                                                              \
  X(HTTP_UPGRADE_INSECURE_REQUESTS)                                            \
  X(HTTP_VIA)                                                                  \
  X(HTTP_FORWARDED)                                                            \
  X(HTTP_X_FORWARDED_FOR)                                                      \
  X(HTTP_X_FORWARDED_HOST)                                                     \
  X(HTTP_X_FORWARDED_PORT)                                                     \
  X(HTTP_X_FORWARDED_PROTO)                                                    \
  X(HTTP_X_FORWARDED_SERVER)                                                   \
  X(HTTP_X_REAL_IP)                                                            \
  X(HTTP_X_REQUEST_ID)                                                         \
  X(HTTP_X_REQUESTED_WITH)                                                     \
  X(HTTP_X_CSRF_TOKEN)                                                         \
  X(HTTP_X_CORRELATION_ID)                                                     \
  X(HTTP_TRACEPARENT)                                                          \
  X(HTTP_TRACESTATE)                                                           \
  X(HTTP_SEC_CH_UA)                                                            \
  X(HTTP_SEC_CH_UA_MOBILE)                                                     \
  X(HTTP_SEC_CH_UA_PLATFORM)                                                   \
  X(HTTP_SEC_FETCH_DEST)                                                       \
  X(HTTP_SEC_FETCH_MODE)                                                       \
  X(HTTP_SEC_FETCH_SITE)                                                       \
  X(HTTP_SEC_FETCH_USER)                                                       \
  X(HTTP_SEC_GPC)                                                              \
  X(HTTP_ACCESS_CONTROL_REQUEST_HEADERS)                                       \
  X(HTTP_ACCESS_CONTROL_REQUEST_METHOD)                                        \
  X(HTTP_CF_CONNECTING_IP)                                                     \
  X(HTTP_CF_IPCOUNTRY)                                                         \
  X(HTTP_CF_RAY)                                                               \
  X(HTTP_CF_VISITOR)                                                           \
  X(HTTP_CDN_LOOP)

/* The number of a name; 0 is that of every unknown one. */
typedef enum fcgi__name_number {
  FCGI__NAME_NONE,
#define NUMBER(name) FCGI__NAME_##name,
  FCGI__NAME_MAP(NUMBER)
#undef NUMBER
      FCGI__NAMES /* One more than the last. */
} fcgi__name_number;

enum {
  FCGI__NAME_ROOM = 56,                /* For a name and its NUL. */
  FCGI__NAMES_MOST = FCGI_PARAMS_KNOWN /* A number fits in seven bits. */
};

/* Where a text is: an offset, because memory may move. */
typedef struct fcgi__place {
  uint32_t at;  /* Offset of the first byte. */
  uint32_t len; /* Number of bytes; a NUL follows that is not counted. */
} fcgi__place;

/* In `at`, for a text that is not among a request's bytes: the known name of
   that number. */
static const uint32_t fcgi__known = (uint32_t)1 << 31;

/* As long as a line of the cache. */
typedef struct fcgi__name {
  fcgi__place place;          /* What an entry says of its name. */
  char text[FCGI__NAME_ROOM]; /* The name, ended by a NUL. */
} fcgi__name;

/* By number; that of FCGI__NAME_NONE is like no text. */
extern const fcgi__name fcgi__names[FCGI__NAMES];

/* The number of the name of `len` bytes, FCGI__NAME_NONE when unknown. */
unsigned fcgi__name_find(const uint8_t *text, size_t len);

static inline uint64_t fcgi__eight_at(const uint8_t *from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

static inline uint64_t fcgi__four_at(const uint8_t *from) {
  uint32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

/* 0 where the eight bytes at `a` and those at `b` are the same. */
static inline uint64_t fcgi__differ(const uint8_t *a, const uint8_t *b) {
  return fcgi__eight_at(a) ^ fcgi__eight_at(b);
}

/* The same for names of other lengths: none has less than 4 bytes, and none
   more than 48. */
static inline int fcgi__name_is_other(const uint8_t *known, const uint8_t *text,
                                      size_t len) {
  if (len < 8)
    return fcgi__four_at(text) == fcgi__four_at(known) &&
           fcgi__four_at(text + len - 4) == fcgi__four_at(known + len - 4);
  if (len > 32 && (fcgi__differ(text + 16, known + 16) ||
                   fcgi__differ(text + len - 24, known + len - 24)))
    return 0;
  return !fcgi__differ(text, known) && !fcgi__differ(text + 8, known + 8) &&
         !fcgi__differ(text + len - 16, known + len - 16) &&
         !fcgi__differ(text + len - 8, known + len - 8);
}

/* 1 when `text` is that name. Most have 8 to 16 bytes, two words that
   overlap. */
static inline int fcgi__name_is(const fcgi__name *name, const uint8_t *text,
                                size_t len) {
  const uint8_t *known = (const uint8_t *)name->text;
  if (name->place.len != len)
    return 0;
  if (len - 8 > 8)
    return fcgi__name_is_other(known, text, len);
  return !fcgi__differ(text, known) &&
         !fcgi__differ(text + len - 8, known + len - 8);
}

#endif
