/* SPDX-License-Identifier: MIT */
/* SCRIPT_NAME and PATH_INFO, one behind the other, are the decoded path that
   the web server has judged by its rules; REQUEST_URI is what the client wrote,
   before any rewriting, and never overrules them. What is read here is where
   the application's part begins, and the two cases in which the pair is not
   the path:

     nginx with fastcgi_index   SCRIPT_NAME has the index's name behind it
     Apache, RewriteRule [P]    SCRIPT_FILENAME has the path asked for

   nginx, HAProxy and Apache's proxies send no PATH_INFO where they do not
   split: SCRIPT_NAME is then the whole path. From lighttpd, Apache's other
   modules and CGI servers (RFC 3875, 4.1.13) it is the application's name. */
#include "gateway/path.h"
#include "base/alloc.h"
#include <fastcgi/error.h>

#define SCHEME "proxy:fcgi://" /* Before a host. */

#define GET(params, name) get(params, name, sizeof(name) - 1)

static fcgi__span get(const fcgi_params *params, const char *name, size_t len) {
  fcgi__span value = {NULL, 0};
  value.data = fcgi_params_get(params, name, len, &value.len);
  return value;
}

static int begins(fcgi__span text, const char *with, size_t len) {
  return len == 0 || (text.len >= len && memcmp(text.data, with, len) == 0);
}

static int ends(fcgi__span text, fcgi__span with) {
  size_t rest = text.len - with.len;
  return with.len == 0 || (text.len >= with.len &&
                           memcmp(text.data + rest, with.data, with.len) == 0);
}

/* 1 when `path` is `root` or lies below it. */
static int is_below(fcgi__span path, const char *root, size_t len) {
  return begins(path, root, len) && (path.len == len || path.data[len] == '/');
}

/* What fastcgi_param names after a file with its usual value was set by hand.
 */
static int is_given_twice(const fcgi_params *params, const char *name,
                          size_t len) {
  size_t seen = 0;
  fcgi_param param;
  if (!fcgi_params_duplicates(params))
    return 0;
  for (size_t i = 0; fcgi_params_at(params, i, &param) == 0; i++)
    seen += param.name_len == len && memcmp(param.name, name, len) == 0;
  return seen > 1;
}

/* DOCUMENT_URI is a folder's path, with PATH_INFO behind it, and SCRIPT_NAME is
   that folder's with one segment more: this is what fastcgi_index names. */
static void drop_index(const fcgi_params *params, fcgi__path_parts *out) {
  fcgi__span folder = GET(params, "DOCUMENT_URI"), name = out->before;
  if (!folder.len || !ends(folder, out->after))
    return;
  folder.len -= out->after.len;
  if (folder.len && folder.data[folder.len - 1] == '/' &&
      name.len > folder.len && begins(name, folder.data, folder.len) &&
      !memchr(name.data + folder.len, '/', name.len - folder.len) &&
      !is_given_twice(params, "SCRIPT_NAME", 11))
    out->before = folder;
}

/* PATH_INFO is $document_uri or $fastcgi_script_name, and SCRIPT_NAME is left
   as nginx has it: either is the whole path. */
static void drop_double(const fcgi_params *params, fcgi__path_parts *out) {
  if (fcgi__span_is(out->before, out->after) &&
      fcgi__span_is(GET(params, "DOCUMENT_URI"), out->after) &&
      begins(GET(params, "SERVER_SOFTWARE"), "nginx", 5) &&
      !is_given_twice(params, "SCRIPT_NAME", 11))
    out->before.len = 0;
}

/* Apache was asked for a path without a file, and a rule of its own led it to
   the program's: `RewriteRule ^(.*)$ index.fcgi/$1`, or DirectoryIndex. Where a
   mount point is configured, the file's name is none of the path's. */
static void drop_file(const fcgi_params *params, fcgi__path_parts *out) {
  fcgi__span asked = GET(params, "REDIRECT_URL"), rest = out->after;
  fcgi__span file = GET(params, "SCRIPT_FILENAME"), folder = out->before;
  fcgi__span status = GET(params, "REDIRECT_STATUS");
  while (folder.len && folder.data[folder.len - 1] != '/')
    folder.len--;
  if (!asked.len || !folder.len || !begins(file, "/", 1) ||
      !begins(status, "200", 3))
    return;
  folder.len--;
  rest = rest.len ? rest : (fcgi__span){"/", 1};
  if (asked.len != folder.len + rest.len ||
      !begins(asked, folder.data, folder.len) || !ends(asked, rest) ||
      !ends(file, (fcgi__span){folder.data + folder.len,
                               out->before.len - folder.len}))
    return;
  out->before.len = 0;
  out->after = asked;
}

/* 1 when `path` is a file's below a folder that Apache serves: SetHandler. */
static int is_file(const fcgi_params *params, fcgi__span path) {
  fcgi__span roots[] = {GET(params, "CONTEXT_DOCUMENT_ROOT"),
                        GET(params, "DOCUMENT_ROOT")};
  for (size_t i = 0; i < 2; i++) {
    while (roots[i].len && roots[i].data[roots[i].len - 1] == '/')
      roots[i].len--;
    if (roots[i].len && is_below(path, roots[i].data, roots[i].len))
      return 1;
  }
  return 0;
}

/* As PHP-FPM reads it: what is left begins with the slash behind the host, and
   a SetHandler whose address ends in one gives another. The query is there
   after a RewriteRule; a file's name may have a question mark of its own. */
fcgi__span fcgi__path_file(const fcgi_params *params) {
  fcgi__span file = GET(params, "SCRIPT_FILENAME"), query;
  const char *path;
  if (!begins(file, SCHEME, sizeof SCHEME - 1))
    return file;
  path =
      memchr(file.data + sizeof SCHEME - 1, '/', file.len + 1 - sizeof SCHEME);
  if (!path)
    return file;
  file.len -= (size_t)(path - file.data);
  file.data = path;
  for (; file.len > 1 && file.data[1] == '/'; file.len--)
    file.data++;
  query = GET(params, "QUERY_STRING");
  if (query.len && query.len < file.len && ends(file, query) &&
      file.data[file.len - query.len - 1] == '?')
    file.len -= query.len + 1;
  return file;
}

/* The path of mod_proxy_fcgi's request, not decoded: behind "proxy:fcgi://" and
   the host or, with ProxyFCGIBackendType GENERIC, alone. */
static fcgi__span proxy_path(const fcgi_params *params) {
  fcgi__span file = GET(params, "SCRIPT_FILENAME");
  if (begins(file, SCHEME, sizeof SCHEME - 1))
    return fcgi__url_path((fcgi__span){file.data + 6, file.len - 6});
  if (begins(file, "/", 1) &&
      begins(GET(params, "SERVER_SOFTWARE"), "Apache", 6))
    return file;
  return (fcgi__span){NULL, 0};
}

/* 1 when the proxy's path is the end of SCRIPT_NAME: what is before it was
   ProxyPass's, and is the mount point. That alone may have got a slash. */
static int is_mounted(fcgi__path_parts *out, fcgi__span path) {
  if (path.len > 1 && !ends(out->before, path))
    return 0;
  out->mount = out->before.len - (path.len > 1 ? path.len : 0);
  return 1;
}

/* The rest of see_proxy, once the path is decoded. */
static int judge_proxy(const fcgi_params *params, fcgi__path_parts *out,
                       fcgi__span path, int plain) {
  if (is_mounted(out, path))
    return 1;
  if (!plain || is_file(params, path))
    return 0;
  out->before.len = out->mount = 0;
  out->after = path;
  return 2;
}

/* 1 when the proxy's path tells the mount point, 2 when it is the path itself:
   RewriteRule [P] asks for it, and SCRIPT_NAME is the one before. 0 when
   neither, FCGI_ERR_NOMEM. One with dots in it is not what Apache judged, and
   where SCRIPT_NAME has escaped slashes (AllowEncodedSlashes NoDecode), Apache
   took none for a slash. */
static int see_proxy(const fcgi_params *params, fcgi__path_parts *out,
                     const fcgi_allocator *allocator) {
  fcgi__span raw = proxy_path(params), path = {NULL, 0};
  char *made;
  int plain, seen;
  if (!begins(raw, "/", 1))
    return 0;
  if (is_mounted(out, raw))
    return 1;
  made = fcgi__realloc(allocator, NULL, raw.len + 1);
  if (!made)
    return FCGI_ERR_NOMEM;
  path = (fcgi__span){made, 0};
  path.len = fcgi__url_decode(raw, made, fcgi__url_has_slashes(out->before));
  plain = !fcgi__url_has_dots(path) && !memchr(made, 0, path.len) &&
          begins(GET(params, "SCRIPT_FILENAME"), "proxy:", 6);
  path.len = fcgi__url_tidy(made, path.len, 1);
  made[path.len] = '\0';
  seen = judge_proxy(params, out, path, plain);
  if (seen == 2)
    out->made = made;
  else
    fcgi__free(allocator, made);
  return seen;
}

/* Who sends no PATH_INFO for the application's own path alone. */
static int names_script(const fcgi_params *params,
                        const fcgi__path_setting *setting) {
  fcgi__span software = {NULL, 0};
  if (setting->cgi)
    return 1;
  software = GET(params, "SERVER_SOFTWARE");
  return begins(software, "lighttpd", 8) || begins(software, "Apache", 6) ||
         begins(GET(params, "SCRIPT_FILENAME"), SCHEME, sizeof SCHEME - 1);
}

static size_t whole_len(const fcgi__path_parts *parts) {
  return parts->before.len + parts->after.len;
}

static char char_at(const fcgi__path_parts *parts, size_t at) {
  return at < parts->before.len ? parts->before.data[at]
                                : parts->after.data[at - parts->before.len];
}

/* A mount point has no slash at its end, and one behind it. */
static size_t trimmed(const fcgi__path_parts *parts) {
  size_t mount = parts->mount;
  while (mount > 0 && char_at(parts, mount - 1) == '/')
    mount--;
  return mount < whole_len(parts) && char_at(parts, mount) != '/' ? 0 : mount;
}

int fcgi__path_parts_find(fcgi__path_parts *out, const fcgi_params *params,
                          const fcgi__path_setting *setting,
                          const fcgi_allocator *allocator) {
  fcgi__span info = GET(params, "PATH_INFO");
  int seen = 0;
  *out =
      (fcgi__path_parts){.before = GET(params, "SCRIPT_NAME"), .after = info};
  if (!out->before.len)
    return 0;
  if (setting->root)
    drop_file(params, out);
  if (begins(out->after, "/", 1))
    drop_double(params, out);
  else
    drop_index(params, out);
  out->mount = out->before.len;
  if (!out->after.len)
    seen = see_proxy(params, out, allocator);
  if (seen < 0)
    return seen;
  if (!seen && !info.data && !names_script(params, setting))
    out->mount = 0;
  out->mount = trimmed(out);
  return 0;
}

int fcgi__path_parts_are(const fcgi__path_parts *parts, const char *path) {
  size_t len = path ? strlen(path) : 0;
  return path && len == whole_len(parts) &&
         begins((fcgi__span){path, len}, parts->before.data,
                parts->before.len) &&
         ends((fcgi__span){path, len}, parts->after);
}
