/* SPDX-License-Identifier: MIT */
/* What fcgi_request_path gives: texts with a NUL each, of the parameters where
   they have them, else of a block that the request owns. */
#include "base/alloc.h"
#include "gateway/path.h"
#include <fastcgi/error.h>
#include <string.h>

static fcgi__span copy(char *to, fcgi__span a, fcgi__span b) {
  if (a.len)
    memcpy(to, a.data, a.len);
  if (b.len)
    memcpy(to + a.len, b.data, b.len);
  to[a.len + b.len] = '\0';
  return (fcgi__span){to, a.len + b.len};
}

/* The path in one piece; `to` has room for it where it must be put together. */
static fcgi__span whole_of(const fcgi__path_parts *parts, char *to) {
  fcgi__span one = parts->before.len ? parts->before : parts->after;
  if (to)
    return copy(to, parts->before, parts->after);
  return one.data ? one : (fcgi__span){"", 0};
}

/* `to` has room for the mount point where no parameter ends with it. */
static fcgi__span script_of(const fcgi__path_parts *parts, fcgi__span whole,
                            char *to) {
  if (to)
    return copy(to, (fcgi__span){whole.data, parts->mount},
                (fcgi__span){"", 0});
  return parts->mount ? parts->before : (fcgi__span){"", 0};
}

/* The bytes of `path` that a configured mount point takes: none where the path
   is not below it, because the web server has taken it off. */
static size_t split_at(fcgi__span path, fcgi__span root) {
  if (path.len < root.len || memcmp(path.data, root.data, root.len) != 0)
    return 0;
  return path.len == root.len || path.data[root.len] == '/' ? root.len : 0;
}

static void fill(fcgi_path *out, const fcgi__path_parts *parts,
                 const char *root, char *whole_at, char *script_at) {
  fcgi__span whole = whole_of(parts, whole_at);
  fcgi__span script = script_of(parts, whole, script_at);
  size_t split = parts->mount;
  if (root) {
    script = (fcgi__span){root, strlen(root)};
    split = split_at(whole, script);
  }
  *out = (fcgi_path){.script_name = script.data,
                     .script_name_len = script.len,
                     .path_info = whole.data + split,
                     .path_info_len = whole.len - split,
                     .path = whole.data,
                     .path_len = whole.len};
}

static int put_together(fcgi_path *out, fcgi__path **block,
                        const fcgi__path_parts *parts, const char *root,
                        const fcgi_allocator *allocator) {
  int joins = parts->made || (parts->before.len && parts->after.len);
  int cuts = !root && parts->mount && parts->mount != parts->before.len;
  size_t len = joins ? parts->before.len + parts->after.len + 1 : 0;
  size_t more = cuts ? parts->mount + 1 : 0;
  *block = NULL;
  if (len + more == 0) {
    fill(out, parts, root, NULL, NULL);
    return 0;
  }
  *block = fcgi__realloc(allocator, NULL, sizeof **block + len + more);
  if (!*block)
    return FCGI_ERR_NOMEM;
  fill(&(*block)->texts, parts, root, joins ? (*block)->bytes : NULL,
       cuts ? (*block)->bytes + len : NULL);
  *out = (*block)->texts;
  return 0;
}

int fcgi__path_find(fcgi_path *out, fcgi__path **block,
                    const fcgi_params *params,
                    const fcgi__path_setting *setting,
                    const fcgi_allocator *allocator) {
  fcgi__path_parts parts;
  int error = fcgi__path_parts_find(&parts, params, setting, allocator);
  if (error)
    return error;
  error = put_together(out, block, &parts, setting->root, allocator);
  fcgi__free(allocator, parts.made);
  return error;
}

enum { SMALL = 1024 }; /* Longer ones are decoded in memory of their own. */

/* The web servers decode, take dots out, and merge slashes, or do without. */
static int stands_for(fcgi__span uri, fcgi__span path, char *decoded) {
  for (int step = 0; step < 3; step++) {
    size_t len = fcgi__url_decode(uri, decoded, 0);
    if (step)
      len = fcgi__url_tidy(decoded, len, step == 2);
    if (fcgi__span_is((fcgi__span){decoded, len}, path))
      return 1;
  }
  return 0;
}

fcgi__span fcgi__path_raw(fcgi__span uri, fcgi__span path,
                          const fcgi_allocator *allocator) {
  fcgi__span raw = fcgi__url_path(uri);
  char small[SMALL], *decoded = small;
  int good = fcgi__span_is(raw, path);
  if (!good && raw.len > SMALL)
    decoded = fcgi__realloc(allocator, NULL, raw.len);
  if (!good && raw.len && decoded)
    good = stands_for(raw, path, decoded);
  if (decoded != small)
    fcgi__free(allocator, decoded);
  return good && raw.len ? raw : (fcgi__span){NULL, 0};
}
