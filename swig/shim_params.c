/* SPDX-License-Identifier: MIT */
/* All parameters at once, each name with the value that a look-up gives. */
#include "shim_request.h"
#include <stdlib.h>
#include <string.h>

static int same(const fcgi_param *a, const fcgi_param *b) {
  return a->name_len == b->name_len &&
         memcmp(a->name, b->name, a->name_len) == 0;
}

static int seen_before(const fcgi_params *params, size_t index,
                       const fcgi_param *at) {
  fcgi_param earlier;
  for (size_t i = 0; i < index; i++)
    if (fcgi_params_at(params, i, &earlier) == 0 && same(&earlier, at))
      return 1;
  return 0;
}

/* The parameter at `index`; 0 for one that an earlier one stands for. */
static int take(const fcgi_params *params, size_t index, fcgi_param *at) {
  fcgi_params_at(params, index, at);
  if (!fcgi_params_duplicates(params))
    return 1;
  at->value = fcgi_params_get(params, at->name, at->name_len, &at->value_len);
  return !seen_before(params, index, at);
}

static char *put(char *to, const char *text, size_t len) {
  memcpy(to, text, len);
  to[len] = '\0';
  return to + len + 1;
}

static void fill(shim_pairs *pairs, const fcgi_params *params) {
  size_t count = fcgi_params_count(params);
  char *to = (char *)(pairs->items + count);
  fcgi_param at;
  for (size_t i = 0; i < count; i++) {
    if (!take(params, i, &at))
      continue;
    fcgi_param *item = &pairs->items[pairs->count++];
    *item = at;
    item->name = to;
    to = put(to, at.name, at.name_len);
    item->value = to;
    to = put(to, at.value, at.value_len);
  }
}

static size_t space_for(const fcgi_params *params) {
  size_t space = 0;
  fcgi_param at;
  for (size_t i = 0; i < fcgi_params_count(params); i++)
    if (take(params, i, &at))
      space += at.name_len + at.value_len + 2;
  return space + fcgi_params_count(params) * sizeof(fcgi_param);
}

shim_pairs shim_request_params(shim_request *request, shim_error *error) {
  shim_pairs pairs = {0};
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return pairs;
  const fcgi_params *params = fcgi_request_params(core);
  pairs.items = malloc(space_for(params) + 1);
  if (pairs.items)
    fill(&pairs, params);
  else
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
  shim_request_release(request);
  return pairs;
}
