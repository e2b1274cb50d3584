/* SPDX-License-Identifier: MIT */
#include "gateway/head.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
  LENGTH_DIGITS = 18, /* These fit in int64_t, whatever they are. */
  SHOWN = 60          /* Characters of a name or value in a message. */
};

typedef struct known {
  const char *name;  /* In the usual letter case. */
  uint8_t len;       /* Bytes of it. */
  fcgi__field field; /* What it means. */
} known;

#define FIELD(name, meaning)                                                   \
  { name, sizeof name - 1, FCGI__FIELD_##meaning }

/* RFC 9110, 7.6.1, and what RFC 2616, 13.5.1, and so PEP 3333 count too. */
static const known fields[] = {FIELD("Connection", HOP),
                               FIELD("Keep-Alive", HOP),
                               FIELD("Proxy-Authenticate", HOP),
                               FIELD("Proxy-Authorization", HOP),
                               FIELD("Proxy-Connection", HOP),
                               FIELD("TE", HOP),
                               FIELD("Trailer", HOP),
                               FIELD("Trailers", HOP),
                               FIELD("Transfer-Encoding", HOP),
                               FIELD("Upgrade", HOP),
                               FIELD("Content-Length", LENGTH),
                               FIELD("Status", STATUS)};

enum {
  FIELDS = sizeof fields / sizeof *fields,
  /* The lengths of all those names, as bits: most names have another one. */
  LENGTHS = 1 << 2 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 14 | 1 << 16 |
            1 << 17 | 1 << 18 | 1 << 19
};

static const known *find(const char *name, size_t len) {
  if (len > 19 || !(LENGTHS >> len & 1))
    return NULL;
  for (size_t i = 0; i < FIELDS; i++)
    if (fields[i].len == len && strncasecmp(fields[i].name, name, len) == 0)
      return &fields[i];
  return NULL;
}

fcgi__field fcgi__field_of(const char *name, size_t len) {
  const known *found = find(name, len);
  return found ? found->field : FCGI__FIELD_OTHER;
}

uint32_t fcgi__hop_bit(const char *name, size_t len) {
  const known *found = find(name, len);
  return found ? (uint32_t)1 << (found - fields) : 0;
}

const char *fcgi__hop_name(uint32_t bit) {
  size_t at = 0;
  while (at + 1 < FIELDS && (uint32_t)1 << at != bit)
    at++;
  return fields[at].name;
}

int fcgi_status_has_body(int status) {
  return status >= 200 && status != 204 && status != 304;
}

static int is_blank(char at) {
  return at == ' ' || at == '\t';
}

int64_t fcgi__length_parse(const char *value, size_t len) {
  int64_t number = 0;
  while (len > 0 && is_blank(value[len - 1]))
    len--;
  while (len > 0 && is_blank(*value)) {
    value++;
    len--;
  }
  if (len == 0 || len > LENGTH_DIGITS)
    return -1;
  for (size_t i = 0; i < len; i++) {
    if (value[i] < '0' || value[i] > '9')
      return -1;
    number = number * 10 + (value[i] - '0');
  }
  return number;
}

/* Each character of a token has its own place here, and no other one has: this
   is asked for every byte of a name. */
static const char tokens[256] = "--------------------------------"
                                "-!-#$%&'--*+--.-0123456789------"
                                "-ABCDEFGHIJKLMNOPQRSTUVWXYZ---^_"
                                "`abcdefghijklmnopqrstuvwxyz-|-~-"
                                "--------------------------------"
                                "--------------------------------"
                                "--------------------------------"
                                "-------------------------------";

int fcgi__is_token(char at) {
  return tokens[(unsigned char)at] == at;
}

/* All bits but the highest of each byte are 0 where no byte is below 16, as
   what ends a line is; most values have none. */
static inline uint64_t below_16(const char *from) {
  const uint64_t each = UINT64_MAX / 255;
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return (word - 16 * each) & ~word & 128 * each;
}

static int may_break(const char *value, size_t len) {
  uint64_t low = 0;
  size_t at = 0;
  if (len >= 8)
    low = below_16(value + len - 8);
  for (; at + 8 <= len; at += 8)
    low |= below_16(value + at);
  for (; len < 8 && at < len; at++)
    low |= (unsigned char)value[at] < 16;
  return low != 0;
}

/* The CR, LF or NUL that would end the value too early, or NULL. */
static const char *find_break(const fcgi_header *header) {
  static const char breaks[] = {'\n', '\r', '\0'};
  const char *found = NULL;
  if (!may_break(header->value, header->value_len))
    return NULL;
  for (size_t i = 0; i < sizeof breaks && !found; i++)
    found = memchr(header->value, breaks[i], header->value_len);
  return found;
}

/* No value can end the head or begin another field (CVE-2024-24795). */
fcgi_header_fault fcgi_header_check(const fcgi_header *header, size_t *at) {
  size_t token = 0;
  const char *end;
  while (token < header->name_len && fcgi__is_token(header->name[token]))
    token++;
  if (token < header->name_len || token == 0) {
    *at = token;
    return FCGI_HEADER_BAD_NAME;
  }
  end = find_break(header);
  if (!end)
    return FCGI_HEADER_GOOD;
  *at = (size_t)(end - header->value);
  return FCGI_HEADER_BAD_VALUE;
}

/* "404 Nope" says the status of the call once more and a reason. */
static int is_line_of(const fcgi_header *header, int status) {
  const char *value = header->value;
  return header->value_len > 4 && value[0] == '0' + status / 100 &&
         value[1] == '0' + status / 10 % 10 && value[2] == '0' + status % 10 &&
         value[3] == ' ';
}

static fcgi__head_fault take_status(fcgi__head *head, const fcgi_header *at) {
  int again = head->status_at != NULL;
  head->status_at = at;
  return again || !is_line_of(at, head->status) ? FCGI__HEAD_STATUS_LINE
                                                : FCGI__HEAD_GOOD;
}

/* The same one twice says nothing wrong, and leaves once (RFC 9110, 8.6);
   with 204 there is none. */
static fcgi__head_fault take_length(fcgi__head *head, const fcgi_header *at) {
  int64_t length = fcgi__length_parse(at->value, at->value_len);
  if (length < 0)
    return FCGI__HEAD_LENGTH;
  if (head->length >= 0 && head->length != length)
    return FCGI__HEAD_LENGTHS;
  if (head->length >= 0 || head->status == 204)
    head->drops = 1;
  else
    head->length_at = at;
  head->length = length;
  return FCGI__HEAD_GOOD;
}

static fcgi__head_fault take(fcgi__head *head, const fcgi_header *at) {
  size_t place;
  switch (fcgi_header_check(at, &place)) {
  case FCGI_HEADER_BAD_NAME:
    return FCGI__HEAD_NAME;
  case FCGI_HEADER_BAD_VALUE:
    return FCGI__HEAD_VALUE;
  case FCGI_HEADER_GOOD:
    break;
  }
  switch (fcgi__field_of(at->name, at->name_len)) {
  case FCGI__FIELD_STATUS:
    return take_status(head, at);
  case FCGI__FIELD_LENGTH:
    return take_length(head, at);
  case FCGI__FIELD_HOP:
    head->hops |= fcgi__hop_bit(at->name, at->name_len);
    head->drops = 1;
    break;
  case FCGI__FIELD_OTHER:
    break;
  }
  return FCGI__HEAD_GOOD;
}

fcgi__head_fault fcgi__head_judge(fcgi__head *head) {
  fcgi__head_fault fault = FCGI__HEAD_GOOD;
  head->status_at = head->length_at = head->culprit = NULL;
  head->length = -1;
  head->hops = 0;
  head->drops = 0;
  if (head->status < 200 || head->status > 599)
    return FCGI__HEAD_STATUS;
  for (size_t i = 0; i < head->count && !fault; i++) {
    fault = take(head, &head->headers[i]);
    if (fault)
      head->culprit = &head->headers[i];
  }
  return fault;
}

int fcgi__head_drops(const fcgi__head *head, const fcgi_header *header) {
  if (!head->drops)
    return 0;
  switch (fcgi__field_of(header->name, header->name_len)) {
  case FCGI__FIELD_HOP:
    return 1;
  case FCGI__FIELD_LENGTH:
    return header != head->length_at;
  case FCGI__FIELD_STATUS:
  case FCGI__FIELD_OTHER:
    break;
  }
  return 0;
}

/* What an application chose, for a line of the log: printable ASCII. */
static const char *shown(char out[SHOWN + 1], const char *text, size_t len) {
  size_t at = 0;
  for (; at < SHOWN && at < len; at++)
    out[at] = (char)(text[at] >= ' ' && text[at] <= '~' ? text[at] : '?');
  out[at] = '\0';
  return out;
}

/* Of a raw head it is a text. */
static void explain_status(const fcgi__head *head, const char *value, char *out,
                           size_t size) {
  if (head->culprit)
    snprintf(
        out, size,
        "Status '%s' is not three digits from 200 to 599, then a blank and "
        "a reason",
        value);
  else
    snprintf(out, size, "status %d is not from 200 to 599", head->status);
}

void fcgi__head_explain(const fcgi__head *head, fcgi__head_fault fault,
                        int64_t length, char *out, size_t size) {
  char name[SHOWN + 1] = "", value[SHOWN + 1] = "";
  if (head->culprit) {
    shown(name, head->culprit->name, head->culprit->name_len);
    shown(value, head->culprit->value, head->culprit->value_len);
  }
  switch (fault) {
  case FCGI__HEAD_GOOD:
    snprintf(out, size, "%s", "");
    break;
  case FCGI__HEAD_STATUS:
    explain_status(head, value, out, size);
    break;
  case FCGI__HEAD_STATUS_LINE:
    snprintf(out, size,
             "header Status may be there once, as '%d ' and a reason",
             head->status);
    break;
  case FCGI__HEAD_NAME:
    snprintf(out, size, "'%s' is not the name of a header", name);
    break;
  case FCGI__HEAD_VALUE:
    snprintf(out, size, "header '%s' has CR, LF or NUL in its value", name);
    break;
  case FCGI__HEAD_LENGTH:
    snprintf(out, size, "Content-Length '%s' is not a number of bytes", value);
    break;
  case FCGI__HEAD_LENGTHS:
    snprintf(out, size, "Content-Length says both %lld and '%s'",
             (long long)head->length, value);
    break;
  case FCGI__HEAD_BODY:
    snprintf(out, size, "Content-Length says %lld, the body has %lld bytes",
             (long long)head->length, (long long)length);
    break;
  case FCGI__HEAD_LINE:
    snprintf(out, size, "the line '%s' is not 'Name: value', as a head needs",
             name);
    break;
  case FCGI__HEAD_STATUSES:
    snprintf(out, size, "Status says both %d and '%s'", head->status, value);
    break;
  case FCGI__HEAD_ENDLESS:
    snprintf(out, size, "no empty line ends the head of the answer");
    break;
  case FCGI__HEAD_LONG:
    snprintf(out, size, "the head of the answer is longer than %lld bytes",
             (long long)length);
    break;
  case FCGI__HEAD_SILENT:
    snprintf(out, size, "an authorizer's answer says neither yes nor no");
    break;
  }
}
