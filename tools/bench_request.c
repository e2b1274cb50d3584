/* SPDX-License-Identifier: MIT */
/* The bytes of requests, made once. */
#include "bench.h"
#include "number.h"
#include "tool.h"
#include <fastcgi/pairs.h>
#include <fastcgi/record.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What nginx adds for a browser, beside tool_params_request and its file
   fastcgi_params. */
static const char *const from_nginx[][2] = {
    {"DOCUMENT_ROOT", "/var/www/html"},
    {"DOCUMENT_URI", "/"},
    {"REDIRECT_STATUS", "200"},
    {"HTTP_CONNECTION", "keep-alive"},
    {"HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,"
                    "image/avif,image/webp,*/*;q=0.8"},
    {"HTTP_ACCEPT_ENCODING", "gzip, deflate, br"},
    {"HTTP_ACCEPT_LANGUAGE", "en-GB,en;q=0.5"},
    {"HTTP_UPGRADE_INSECURE_REQUESTS", "1"},
};

/* What differs from client to client, with a number in it. */
static const char *const by_client[][2] = {
    {"REMOTE_ADDR", "192.0.2.%u"},
    {"REMOTE_PORT", "%u"},
    {"HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:%u.0) "
                        "Gecko/20100101 Firefox/128.0"},
    {"HTTP_COOKIE", "session=0f1e2d3c4b5a69788796a5b4c3d2e1f0%u; theme=dark"},
};
enum { FIRST_CLIENT = 101 }; /* Three digits: all requests have one length. */

static const char *const minimal[] = {
    "REQUEST_METHOD",  "REQUEST_URI",       "SCRIPT_NAME", "PATH_INFO",
    "QUERY_STRING",    "GATEWAY_INTERFACE", "SERVER_NAME", "SERVER_PORT",
    "SERVER_PROTOCOL", "CONTENT_LENGTH",    "CONTENT_TYPE"};
enum { MINIMAL = sizeof minimal / sizeof *minimal };

static void keep_minimal(tool_params *params) {
  for (size_t i = params->count; i-- > 0;) {
    size_t at = 0;
    while (at < MINIMAL && strcmp(params->at[i].name, minimal[at]) != 0)
      at++;
    if (at == MINIMAL)
      tool_params_remove(params, params->at[i].name);
  }
}

static void add_nginx(tool_params *params) {
  char text[128];
  for (size_t i = 0; i < sizeof from_nginx / sizeof *from_nginx; i++)
    tool_params_set(params, from_nginx[i][0], from_nginx[i][1]);
  for (size_t i = 0; i < sizeof by_client / sizeof *by_client; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, by_client[i][1], FIRST_CLIENT);
#pragma GCC diagnostic pop
    tool_params_set(params, by_client[i][0], text);
  }
}

/* Request headers up to `count` parameters, or parameters taken away. */
static void make_count(tool_params *params, size_t count) {
  char name[32];
  for (unsigned i = 1; params->count < count; i++) {
    snprintf(name, sizeof name, "HTTP_X_HEADER_%u", i);
    tool_params_set(params, name, "a value of a usual length");
  }
  while (params->count > count)
    tool_params_remove(params, params->at[params->count - 1].name);
}

int bench_profile(bench_plan *plan, const char *profile) {
  tool_params *params = &plan->params;
  char length[24];
  long long count = 0;
  int number = tool_number(profile, 1, 100000, &count) == 0;
  tool_params_request(params, plan->body_len ? "POST" : "GET", plan->uri);
  snprintf(length, sizeof length, "%zu", plan->body_len);
  tool_params_set(params, "CONTENT_LENGTH", plan->body_len ? length : "");
  tool_params_set(params, "CONTENT_TYPE",
                  plan->body_len ? "application/octet-stream" : "");
  if (strcmp(profile, "minimal") == 0)
    keep_minimal(params);
  else
    add_nginx(params);
  if (number)
    make_count(params, (size_t)count);
  return number || strcmp(profile, "minimal") == 0 ||
                 strcmp(profile, "nginx") == 0
             ? 0
             : -1;
}

static void append(bench_bytes *bytes, const void *data, size_t len) {
  if (len == 0)
    return;
  bytes->at = tool_realloc(bytes->at, bytes->len + len);
  memcpy(bytes->at + bytes->len, data, len);
  bytes->len += len;
}

static void append_record(bench_bytes *bytes, unsigned type, unsigned id,
                          const void *data, size_t len) {
  uint8_t header[FCGI_RECORD_HEADER];
  fcgi_record record = {.version = FCGI_WIRE_VERSION,
                        .type = (uint8_t)type,
                        .id = (uint16_t)id,
                        .content_len = (uint16_t)len};
  fcgi_record_encode(header, &record);
  append(bytes, header, sizeof header);
  append(bytes, data, len);
}

/* A stream in records of the size that nginx uses at most, and its end. */
static void append_stream(bench_bytes *bytes, unsigned type, unsigned id,
                          const uint8_t *data, size_t len) {
  enum { MOST = 32768 };
  for (size_t at = 0; at < len; at += MOST)
    append_record(bytes, type, id, data + at,
                  len - at < MOST ? len - at : MOST);
  append_record(bytes, type, id, NULL, 0);
}

/* The parameters as pairs; those of a client with its number. */
static void append_params(bench_bytes *pairs, const tool_params *params) {
  for (size_t i = 0; i < params->count; i++) {
    const fcgi_param *param = &params->at[i];
    size_t len = fcgi_pair_size(param->name_len, param->value_len);
    pairs->at = tool_realloc(pairs->at, pairs->len + len);
    pairs->len +=
        fcgi_pair_encode(pairs->at + pairs->len, param->name, param->name_len,
                         param->value, param->value_len);
  }
}

/* Texts by_client with FIRST_CLIENT become those of another client. */
static void become_client(bench_bytes *pairs, unsigned client) {
  char digits[16];
  snprintf(digits, sizeof digits, "%u", FIRST_CLIENT + client);
  for (size_t i = 0; i < sizeof by_client / sizeof *by_client; i++) {
    size_t name_len = strlen(by_client[i][0]);
    size_t before = strcspn(by_client[i][1], "%");
    uint8_t *at = memmem(pairs->at, pairs->len, by_client[i][0], name_len);
    uint8_t *value = at ? at + name_len : NULL;
    size_t left = at ? pairs->len - (size_t)(value - pairs->at) : 0;
    if (left >= before + 3 && memcmp(value, by_client[i][1], before) == 0 &&
        memcmp(value + before, "101", 3) == 0)
      memcpy(value + before, digits, 3);
  }
}

static void make_one(const bench_plan *plan, unsigned variant, unsigned id) {
  const uint8_t begin[8] = {0, FCGI_ROLE_RESPONDER, (uint8_t)plan->keep};
  bench_bytes *bytes = &plan->bytes[variant * plan->in_flight + id - 1];
  bench_bytes pairs = {.at = NULL};
  append_params(&pairs, &plan->params);
  become_client(&pairs, variant);
  append_record(bytes, FCGI_RECORD_BEGIN_REQUEST, id, begin, sizeof begin);
  append_stream(bytes, FCGI_RECORD_PARAMS, id, pairs.at, pairs.len);
  append_stream(bytes, FCGI_RECORD_STDIN, id, plan->body, plan->body_len);
  free(pairs.at);
}

void bench_bytes_make(bench_plan *plan) {
  uint32_t random = 1;
  size_t count;
  plan->variants = plan->body_len > 65536 ? 1 : 16;
  count = (size_t)plan->variants * plan->in_flight;
  plan->body = tool_realloc(NULL, plan->body_len);
  for (size_t i = 0; i < plan->body_len; i++) {
    random = random * 1664525u + 1013904223u;
    plan->body[i] = (uint8_t)(random >> 24);
  }
  plan->bytes = tool_realloc(NULL, count * sizeof *plan->bytes);
  memset(plan->bytes, 0, count * sizeof *plan->bytes);
  for (unsigned variant = 0; variant < plan->variants; variant++)
    for (unsigned id = 1; id <= plan->in_flight; id++)
      make_one(plan, variant, id);
}

void bench_bytes_free(bench_plan *plan) {
  for (size_t i = 0;
       plan->bytes && i < (size_t)plan->variants * plan->in_flight; i++)
    free(plan->bytes[i].at);
  free(plan->bytes);
  free(plan->body);
}
