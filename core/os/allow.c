/* SPDX-License-Identifier: MIT */
#include "os/allow.h"
#include "base/alloc.h"
#include <arpa/inet.h>
#include <fastcgi/error.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { ENTRY_TEXT = 64 }; /* More than any address with a prefix takes. */

/* ::ffff:0:0/96 (RFC 4291, 2.5.5.2). */
static int is_mapped(const uint8_t bytes[16]) {
  static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
  return memcmp(bytes, prefix, sizeof prefix) == 0;
}

/* A mapped block becomes the IPv4 block that it stands for. */
static void unmap(fcgi__allow_block *block) {
  if (block->family != AF_INET6 || block->bits < 96 || !is_mapped(block->bytes))
    return;
  block->family = AF_INET;
  block->bits -= 96;
  memmove(block->bytes, block->bytes + 12, 4);
}

/* "/8" as a number up to `most`; no prefix at all means every bit. */
static int parse_bits(const char *text, unsigned most, unsigned *out) {
  unsigned number = 0;
  size_t len = text ? strlen(text) : 0;
  *out = most;
  if (!text)
    return 0;
  for (size_t i = 0; i < len; i++) {
    if (text[i] < '0' || text[i] > '9')
      return FCGI_ERR_INVALID;
    number = number * 10 + (unsigned)(text[i] - '0');
  }
  *out = number;
  return len == 0 || len > 3 || number > most ? FCGI_ERR_INVALID : 0;
}

/* One entry, cut at its slash by the way. */
static int parse_block(fcgi__allow_block *out, char *text) {
  char *slash = strchr(text, '/');
  *out = (fcgi__allow_block){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
  if (slash)
    *slash++ = '\0';
  if (inet_pton(out->family, text, out->bytes) != 1 ||
      parse_bits(slash, out->family == AF_INET ? 32 : 128, &out->bits))
    return FCGI_ERR_INVALID;
  unmap(out);
  return 0;
}

static size_t count_entries(const char *text) {
  size_t count = 1;
  for (; *text; text++)
    count += *text == ',';
  return count;
}

/* The entry at `text` without its blanks; the whole of it is `*len` bytes. */
static const char *trim(const char *text, size_t *len) {
  size_t end = strcspn(text, ",");
  size_t start = strspn(text, " \t");
  start = start < end ? start : end;
  while (end > start && (text[end - 1] == ' ' || text[end - 1] == '\t'))
    end--;
  *len = end - start;
  return text + start;
}

static int explain(char *why, size_t why_len, const char *entry, size_t len) {
  if (len == 0)
    snprintf(why, why_len, "an address is missing; write 127.0.0.1, ::1");
  else
    snprintf(why, why_len,
             "\"%.*s\" is no address; write them as 127.0.0.1, 10.0.0.0/8, "
             "::1, fd00::/8",
             (int)(len < 80 ? len : 80), entry);
  return FCGI_ERR_INVALID;
}

static int parse_all(fcgi__allow *out, const char *text, char *why,
                     size_t why_len) {
  for (int more = 1; more; out->count++) {
    char entry[ENTRY_TEXT] = "";
    size_t len, whole = strcspn(text, ",");
    const char *start = trim(text, &len);
    if (len < sizeof entry)
      memcpy(entry, start, len);
    if (parse_block(&out->blocks[out->count], entry))
      return explain(why, why_len, start, len);
    more = text[whole] == ',';
    text += whole + (size_t)more;
  }
  return 0;
}

int fcgi__allow_parse(fcgi__allow *out, const fcgi_allocator *allocator,
                      const char *text, char *why, size_t why_len) {
  size_t size = count_entries(text) * sizeof *out->blocks;
  int error;
  *out = (fcgi__allow){.blocks = fcgi__realloc(allocator, NULL, size)};
  if (!out->blocks) {
    snprintf(why, why_len, "%s", fcgi_error_text(FCGI_ERR_NOMEM));
    return FCGI_ERR_NOMEM;
  }
  error = parse_all(out, text, why, why_len);
  if (error)
    fcgi__allow_clear(out, allocator);
  return error;
}

void fcgi__allow_clear(fcgi__allow *allow, const fcgi_allocator *allocator) {
  fcgi__free(allocator, allow->blocks);
  *allow = (fcgi__allow){0};
}

static int covers(const fcgi__allow_block *block, const uint8_t bytes[16]) {
  size_t whole = block->bits / 8;
  unsigned rest = block->bits % 8;
  if (memcmp(block->bytes, bytes, whole) != 0)
    return 0;
  return rest == 0 || (block->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

/* Of two blocks one lies in the other, or they have nothing in common: the
   narrower one, or NULL. */
static const fcgi__allow_block *common(const fcgi__allow_block *a,
                                       const fcgi__allow_block *b) {
  const fcgi__allow_block *wide = a->bits <= b->bits ? a : b;
  const fcgi__allow_block *narrow = wide == a ? b : a;
  return a->family == b->family && covers(wide, narrow->bytes) ? narrow : NULL;
}

int fcgi__allow_meet(fcgi__allow *out, const fcgi_allocator *allocator,
                     const fcgi__allow *a, const fcgi__allow *b) {
  *out =
      (fcgi__allow){.blocks = fcgi__calloc(allocator, a->count * b->count *
                                                          sizeof *out->blocks)};
  if (!out->blocks)
    return FCGI_ERR_NOMEM;
  for (size_t i = 0; i < a->count; i++)
    for (size_t j = 0; j < b->count; j++) {
      const fcgi__allow_block *both = common(&a->blocks[i], &b->blocks[j]);
      if (both)
        out->blocks[out->count++] = *both;
    }
  return 0;
}

void fcgi__allow_disagree(const char *configured, const char *environment,
                          char *why, size_t why_len) {
  snprintf(why, why_len,
           "no address is both in the allow list \"%.128s\" and in "
           "FCGI_WEB_SERVER_ADDRS \"%.128s\"; let them agree, or leave one out",
           configured, environment);
}

char *fcgi__allow_text(const fcgi__allow *allow,
                       const fcgi_allocator *allocator) {
  size_t size = allow->count * ENTRY_TEXT + 1, used = 0;
  char *text = fcgi__calloc(allocator, size), one[INET6_ADDRSTRLEN];
  for (size_t i = 0; text && i < allow->count; i++) {
    const fcgi__allow_block *block = &allow->blocks[i];
    int is_whole = block->bits == (block->family == AF_INET ? 32 : 128);
    inet_ntop(block->family, block->bytes, one, sizeof one);
    used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "," : "",
                             one);
    if (!is_whole)
      used += (size_t)snprintf(text + used, size - used, "/%u", block->bits);
  }
  return text;
}

/* A whole address as a block of its own; 0 for other families. */
static int block_of(fcgi__allow_block *out, const struct sockaddr *address) {
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
  *out = (fcgi__allow_block){.family = address->sa_family};
  if (address->sa_family == AF_INET) {
    memcpy(&in, address, sizeof in);
    memcpy(out->bytes, &in.sin_addr, 4);
    out->bits = 32;
    return 1;
  }
  if (address->sa_family != AF_INET6)
    return 0;
  memcpy(&in6, address, sizeof in6);
  memcpy(out->bytes, &in6.sin6_addr, 16);
  out->bits = 128;
  unmap(out);
  return 1;
}

int fcgi__allow_has(const fcgi__allow *allow, const struct sockaddr *address) {
  fcgi__allow_block peer;
  if (!block_of(&peer, address))
    return 0;
  for (size_t i = 0; i < allow->count; i++)
    if (allow->blocks[i].family == peer.family &&
        covers(&allow->blocks[i], peer.bytes))
      return 1;
  return 0;
}

int fcgi__allow_is_loopback(const struct sockaddr *address) {
  static const uint8_t one[16] = {[15] = 1};
  fcgi__allow_block here;
  if (!block_of(&here, address))
    return 0;
  return here.family == AF_INET ? here.bytes[0] == 127
                                : memcmp(here.bytes, one, sizeof one) == 0;
}
