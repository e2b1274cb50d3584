/* SPDX-License-Identifier: MIT */
#include "fuzz/web.h"
#include "fuzz/fuzz.h"

#include <arpa/inet.h>
#include <fastcgi/pairs.h>
#include <fastcgi/protocol.h>
#include <fastcgi/record.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

enum { LONGEST = 65535 + 8 + 255, TAG = 'c' };

/* Names that mean something to the server. */
static const char *const names[] = {
    "REQUEST_METHOD",  "CONTENT_LENGTH", "REQUEST_URI",    "SCRIPT_NAME",
    "PATH_INFO",       "QUERY_STRING",   "HTTP_PROXY",     "FCGI_DATA_LENGTH",
    "SERVER_PROTOCOL", "DOCUMENT_URI",   "HTTP_ACCEPT",    "FCGI_DATA_LAST_MOD",
    "HTTP_EXPECT",     "REMOTE_ADDR",    "SCRIPT_FILENAME"};

/* Values that mean something there. */
static const char *const values[] = {
    "GET", "POST",        "HEAD",   "/s",   "/a/b",  "0",
    "5",   "200",         "100001", "-1",   "",      "/s?json&full",
    "xml", "openmetrics", "/%2e",   "json", "/a?b=c"};

#define PICK(list, byte) list[(byte) % (sizeof list / sizeof *list)]

void web_join(web *w, int in) {
  int pair[2];
  char tag = TAG;
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } rights = {.bytes = {0}};
  struct iovec iov = {.iov_base = &tag, .iov_len = 1};
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = rights.bytes,
                           .msg_controllen = sizeof rights.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  fuzz_require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  fuzz_require(fcntl(pair[1], F_SETFL, O_NONBLOCK) == 0);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &pair[1], sizeof(int));
  ssize_t sent = sendmsg(in, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  close(pair[1]);
  *w = (web){.joined = sent == 1, .fd = pair[0]};
  if (sent != 1)
    close(pair[0]);
}

static int connect_tcp(const char *port) {
  const struct linger reset = {.l_onoff = 1}; /* So that no port stays used. */
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)atoi(port)),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  fuzz_require(fd >= 0);
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
    return fd;
  close(fd);
  return -1;
}

/* A full listener is not waited for. */
static int connect_abstract(const char *name) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t len = strlen(name);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  fuzz_require(fd >= 0 && len < sizeof to.sun_path);
  memcpy(to.sun_path + 1, name, len);
  if (connect(fd, (struct sockaddr *)&to,
              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) ==
      0)
    return fd;
  close(fd);
  return -1;
}

void web_connect(web *w, const char *address) {
  int fd = -1;
  if (strncmp(address, "unix:@", 6) == 0)
    fd = connect_abstract(address + 6);
  else if (strncmp(address, "127.0.0.1:", 10) == 0)
    fd = connect_tcp(address + 10);
  *w = (web){.joined = fd >= 0, .fd = fd};
}

void web_leave(web *w) {
  if (w->joined)
    close(w->fd);
  w->joined = 0;
}

void web_end_sending(web *w) {
  if (w->joined)
    shutdown(w->fd, SHUT_WR);
}

/* A header is one of ours, and comes at the end of the one before. */
static void hear(web *w, const uint8_t *bytes, size_t len) {
  while (len > 0) {
    size_t part = w->rest < len ? w->rest : len;
    w->rest -= part;
    bytes += part;
    len -= part;
    if (len == 0)
      return;
    w->header[w->have++] = *bytes++;
    len--;
    if (w->have < sizeof w->header)
      continue;
    unsigned type = w->header[1];
    fuzz_require(w->header[0] == 1);
    fuzz_require(type == FCGI_RECORD_END_REQUEST ||
                 type == FCGI_RECORD_STDOUT || type == FCGI_RECORD_STDERR ||
                 type == FCGI_RECORD_GET_VALUES_RESULT ||
                 type == FCGI_RECORD_UNKNOWN_TYPE);
    w->rest = ((size_t)w->header[4] << 8 | w->header[5]) + w->header[6];
    w->have = 0;
  }
}

void web_receive(web *w, size_t most) {
  uint8_t bytes[4096];
  while (w->joined && most > 0) {
    size_t room = most < sizeof bytes ? most : sizeof bytes;
    ssize_t got = recv(w->fd, bytes, room, MSG_DONTWAIT);
    if (got <= 0)
      return;
    hear(w, bytes, (size_t)got);
    most -= (size_t)got;
  }
}

static void put(web *w, const void *bytes, size_t len) {
  if (w->joined && send(w->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return; /* It is gone, or reads too late: that is a case too. */
}

static void put_record(web *w, uint8_t type, uint16_t id,
                       const uint8_t *content, size_t len, uint8_t padding) {
  static uint8_t bytes[LONGEST];
  const fcgi_record record = {.version = 1,
                              .type = type,
                              .id = id,
                              .content_len = (uint16_t)len,
                              .padding_len = padding};
  fcgi_record_encode(bytes, &record);
  if (len > 0)
    memcpy(bytes + FCGI_RECORD_HEADER, content, len);
  memset(bytes + FCGI_RECORD_HEADER + len, 0, padding);
  put(w, bytes, FCGI_RECORD_HEADER + len + padding);
}

static void begin(web *w, uint16_t id, uint8_t how) {
  const uint8_t content[8] = {0, how & 8 ? 1 : how & 7, how >> 7 ^ 1};
  put_record(w, FCGI_RECORD_BEGIN_REQUEST, id, content, sizeof content, 0);
}

/* So many parameters, of which the script chooses what they say. */
static void params(web *w, uint16_t id, script *s) {
  uint8_t content[1024];
  size_t len = 0;
  for (int left = script_byte(s) % 8; left > 0; left--) {
    const char *name = PICK(names, script_byte(s));
    const char *value = PICK(values, script_byte(s));
    len += fcgi_pair_encode(content + len, name, strlen(name), value,
                            strlen(value));
  }
  if (len > 0)
    put_record(w, FCGI_RECORD_PARAMS, id, content, len, 3);
}

static void request(web *w, uint16_t id, script *s) {
  begin(w, id, (uint8_t)(script_byte(s) | 8));
  params(w, id, s);
  put_record(w, FCGI_RECORD_PARAMS, id, NULL, 0, 0);
}

void web_say_many(web *w, int count) {
  for (int i = 1; i <= count; i++) {
    begin(w, (uint16_t)i, 8);
    put_record(w, FCGI_RECORD_PARAMS, (uint16_t)i, NULL, 0, 0);
    put_record(w, FCGI_RECORD_STDIN, (uint16_t)i, NULL, 0, 0);
  }
}

void web_say(web *w, script *s) {
  static const uint8_t bulk[SCRIPT_LONGEST];
  uint8_t what = script_byte(s);
  uint16_t id = script_id(s);
  size_t len;
  const uint8_t *bytes;
  switch (what % 8) {
  case 0: /* Anything at all. */
    len = script_byte(s);
    bytes = script_take(s, &len);
    put(w, bytes, len);
    break;
  case 1: /* Any record. */
    len = script_byte(s) % 64;
    bytes = script_take(s, &len);
    put_record(w, what >> 3, id, bytes, len, (uint8_t)len);
    break;
  case 2:
    begin(w, id, script_byte(s));
    break;
  case 3:
    params(w, id, s);
    break;
  case 4: /* An end of PARAMS, STDIN or DATA. */
    put_record(w, (uint8_t[]){4, 5, 8, 5}[what >> 6], id, NULL, 0, 0);
    break;
  case 5: /* A body. */
    len = script_size(s);
    len = len > 65535 ? 65535 : len;
    put_record(w, what & 128 ? FCGI_RECORD_DATA : FCGI_RECORD_STDIN, id, bulk,
               len, what & 64 ? 255 : 0);
    break;
  case 6:
    request(w, id, s);
    break;
  default: /* And its empty body. */
    request(w, id, s);
    put_record(w, FCGI_RECORD_STDIN, id, NULL, 0, 0);
  }
}
