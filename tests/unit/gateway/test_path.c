/* SPDX-License-Identifier: MIT */
/* The path of a request: what each web server sends, and what is made of it. */
#include "gateway/path.h"
#include "session/params.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NGINX    "SERVER_SOFTWARE=nginx/1.22.1\n"
#define LIGHTTPD "SERVER_SOFTWARE=lighttpd/1.4.69\n"
#define HAPROXY                                                                \
  "SERVER_SOFTWARE=HAProxy 2.6.12\nDOCUMENT_ROOT=/srv\n"                       \
  "SCRIPT_FILENAME=/srv/pre\n"
#define CADDY "SERVER_SOFTWARE=Caddy/v2.6.2\n"
#define H2O   "SERVER_SOFTWARE=h2o/2.2.5\n"
#define APACHE                                                                 \
  "SERVER_SOFTWARE=Apache/2.4.71 (Debian)\nDOCUMENT_ROOT=/srv/www\n"           \
  "CONTEXT_DOCUMENT_ROOT=/srv/www\n"
#define PROXY   APACHE "SCRIPT_FILENAME=proxy:fcgi://127.0.0.1:9000"
#define HANDLER APACHE "SCRIPT_FILENAME=proxy:fcgi://localhost//srv/www/pre\n"
#define FCGID                                                                  \
  "SERVER_SOFTWARE=Apache\nDOCUMENT_ROOT=/srv/www\n"                           \
  "CONTEXT_DOCUMENT_ROOT=/srv/app\nSCRIPT_FILENAME=/srv/app/prog.fcgi\n"
#define SHARED                                                                 \
  "SERVER_SOFTWARE=Apache\nDOCUMENT_ROOT=/home/me/www\n"                       \
  "CONTEXT_DOCUMENT_ROOT=/home/me/www\nREDIRECT_STATUS=200\n"                  \
  "SCRIPT_FILENAME=/home/me/www/sub/index.fcgi\n"

/* What was sent, as lines, and what shall come of it. */
typedef struct row {
  const char *what;   /* A name for the row. */
  const char *sent;   /* NAME=value, a line each. */
  const char *root;   /* The configured mount point, or NULL. */
  const char *script; /* The script_name that is expected, */
  const char *info;   /* the path_info, */
  const char *path;   /* the path, NULL for both together, */
  const char *raw;    /* and the raw path, NULL for none. */
} row;

/* Each row: name, sent, root; script_name, path_info, path, raw path. */
static const row rows[] = {
    /* Where the split is. */
    {"nginx",
     NGINX "SCRIPT_NAME=/pre/a b\nDOCUMENT_URI=/pre/a b\n"
           "REQUEST_URI=/pre/a%20b?q=1\n",
     NULL, "", "/pre/a b", NULL, "/pre/a%20b"},
    {"nginx, a root path", NGINX "SCRIPT_NAME=/pre/a b\n", "/pre", "/pre",
     "/a b", NULL, NULL},
    {"nginx, the root path alone", NGINX "SCRIPT_NAME=/pre\n", "/pre", "/pre",
     "", NULL, NULL},
    {"nginx, a folder", NGINX "SCRIPT_NAME=/a/\nDOCUMENT_URI=/a/\n", NULL, "",
     "/a/", NULL, NULL},
    {"nginx, split",
     NGINX "SCRIPT_NAME=/pre\nPATH_INFO=/a b\n"
           "DOCUMENT_URI=/pre/a b\nREQUEST_URI=/pre/a%20b\n",
     NULL, "/pre", "/a b", NULL, "/pre/a%20b"},
    {"nginx, split, the mount point alone",
     NGINX "SCRIPT_NAME=/pre\nPATH_INFO=\nDOCUMENT_URI=/pre\n", NULL, "/pre",
     "", NULL, NULL},
    {"nginx, split, no slash behind it",
     NGINX "SCRIPT_NAME=/pre\nPATH_INFO=x\nDOCUMENT_URI=/prex\n"
           "REQUEST_URI=/prex\n",
     NULL, "", "/prex", NULL, "/prex"},
    {"nginx, split behind the slash",
     NGINX "SCRIPT_NAME=/pre/\nPATH_INFO=a\nDOCUMENT_URI=/pre/a\n", NULL,
     "/pre", "/a", NULL, NULL},
    {"nginx, fastcgi_index",
     NGINX "SCRIPT_NAME=/idx/index.php\nDOCUMENT_URI=/idx/\n"
           "REQUEST_URI=/idx/?q\n",
     NULL, "", "/idx/", NULL, "/idx/"},
    {"nginx, fastcgi_index, a root path",
     NGINX "SCRIPT_NAME=/idx/index.php\nDOCUMENT_URI=/idx/\n", "/idx", "/idx",
     "/", NULL, NULL},
    {"nginx, fastcgi_index at the root",
     NGINX "SCRIPT_NAME=/index.php\nPATH_INFO=\nDOCUMENT_URI=/\n", NULL, "",
     "/", NULL, NULL},
    {"nginx, fastcgi_index and a split behind the slash",
     NGINX "SCRIPT_NAME=/pre/index.php\nPATH_INFO=a\nDOCUMENT_URI=/pre/a\n",
     NULL, "/pre", "/a", NULL, NULL},
    {"no fastcgi_index: a page that is there",
     NGINX "SCRIPT_NAME=/idx/index.php\nDOCUMENT_URI=/idx/index.php\n", NULL,
     "", "/idx/index.php", NULL, NULL},
    {"no fastcgi_index: more than one segment",
     NGINX "SCRIPT_NAME=/idx/a/b\nDOCUMENT_URI=/idx/\n", NULL, "", "/idx/a/b",
     NULL, NULL},
    {"no fastcgi_index: another folder",
     NGINX "SCRIPT_NAME=/other/b\nDOCUMENT_URI=/idx/\n", NULL, "", "/other/b",
     NULL, NULL},
    {"no fastcgi_index: SCRIPT_NAME was set by hand",
     NGINX "SCRIPT_NAME=/auth/\nDOCUMENT_URI=/auth/\nSCRIPT_NAME=/auth/x\n",
     NULL, "", "/auth/x", NULL, NULL},
    {"nginx, after a rewrite, error_page, auth_request, try_files",
     NGINX "SCRIPT_NAME=/new/x\nDOCUMENT_URI=/new/x\nREQUEST_URI=/old/x\n",
     NULL, "", "/new/x", NULL, NULL},
    {"nginx, PATH_INFO $document_uri",
     NGINX "SCRIPT_NAME=/x/y\nPATH_INFO=/x/y\nDOCUMENT_URI=/x/y\n"
           "REQUEST_URI=/old\n",
     NULL, "", "/x/y", NULL, NULL},
    {"nginx, PATH_INFO $document_uri, a root path",
     NGINX "SCRIPT_NAME=/x/y\nPATH_INFO=/x/y\nDOCUMENT_URI=/x/y\n", "/x", "/x",
     "/y", NULL, NULL},
    {"nginx, flup's PATH_INFO", NGINX "PATH_INFO=/x/y\nREQUEST_URI=/x/%79\n",
     NULL, "", "/x/y", NULL, "/x/%79"},
    {"nginx, SCRIPT_NAME '' and PATH_INFO $uri",
     NGINX "SCRIPT_NAME=/x\nDOCUMENT_URI=/x\nPATH_INFO=/x\nSCRIPT_NAME=\n",
     NULL, "", "/x", NULL, NULL},
    {"nginx, a prefix taken off, SCRIPT_NAME by hand",
     NGINX "SCRIPT_NAME=/x\nDOCUMENT_URI=/x\nSCRIPT_NAME=/pre\nPATH_INFO=/x\n",
     NULL, "/pre", "/x", NULL, NULL},
    {"nginx, the same, what is left begins as the prefix",
     NGINX "SCRIPT_NAME=/pre\nPATH_INFO=/pre/x\nDOCUMENT_URI=/pre/x\n", NULL,
     "/pre", "/pre/x", NULL, NULL},
    {"nginx, the same, what is left is the prefix",
     NGINX "SCRIPT_NAME=/pre\nDOCUMENT_URI=/pre\nPATH_INFO=/pre\n"
           "SCRIPT_NAME=/pre\n",
     NULL, "/pre", "/pre", NULL, NULL},
    {"lighttpd",
     LIGHTTPD "SCRIPT_NAME=/pre\nPATH_INFO=/a b\n"
              "REQUEST_URI=/pre/a%20b\n",
     NULL, "/pre", "/a b", NULL, "/pre/a%20b"},
    {"lighttpd, the mount point alone",
     LIGHTTPD "SCRIPT_NAME=/pre\nREQUEST_URI=/pre\n", NULL, "/pre", "", NULL,
     "/pre"},
    {"lighttpd, key \"/\", fix-root-scriptname",
     LIGHTTPD "SCRIPT_NAME=\nPATH_INFO=/pre/a b\n", NULL, "", "/pre/a b", NULL,
     NULL},
    {"lighttpd, key \"/\", without it",
     LIGHTTPD "SCRIPT_NAME=/x\nPATH_INFO=/y\n", NULL, "/x", "/y", NULL, NULL},
    {"lighttpd, key \"/\", without it, a root path of ''",
     LIGHTTPD "SCRIPT_NAME=/x\nPATH_INFO=/y\n", "", "", "/x/y", NULL, NULL},
    {"lighttpd, key \"/\", without it, one segment",
     LIGHTTPD "SCRIPT_NAME=/x\n", "", "", "/x", NULL, NULL},
    {"lighttpd, key \"/\", without it, the root", LIGHTTPD "SCRIPT_NAME=/\n",
     NULL, "", "/", NULL, NULL},
    {"lighttpd, url.rewrite-once",
     LIGHTTPD "SCRIPT_NAME=/new\nPATH_INFO=/a\nREQUEST_URI=/old/a\n", NULL,
     "/new", "/a", NULL, NULL},
    {"lighttpd, an authorizer: no path at all", LIGHTTPD "REQUEST_URI=/old/a\n",
     NULL, "", "", NULL, NULL},
    {"Apache, ProxyPass /",
     PROXY "/pre/a%20b\nSCRIPT_NAME=/pre/a b\n"
           "REQUEST_URI=/pre/a%20b?q\n",
     NULL, "", "/pre/a b", NULL, "/pre/a%20b"},
    {"Apache, ProxyPass /, the root", PROXY "/\nSCRIPT_NAME=/\n", NULL, "", "/",
     NULL, NULL},
    {"Apache, ProxyPass /pre/ to /",
     PROXY "/a%20b\nSCRIPT_NAME=/pre/a b\nREQUEST_URI=/pre/a%20b\n", NULL,
     "/pre", "/a b", NULL, "/pre/a%20b"},
    {"Apache, ProxyPass /pre/ to /, the mount point",
     PROXY "/\nSCRIPT_NAME=/pre/\n", NULL, "/pre", "/", NULL, NULL},
    {"Apache, ProxyPass /pre, the mount point", PROXY "/\nSCRIPT_NAME=/pre\n",
     NULL, "/pre", "", NULL, NULL},
    {"Apache, ProxyPass /pre to /, a slash too many",
     PROXY "//x\nSCRIPT_NAME=/pre/x\n", NULL, "/pre", "/x", NULL, NULL},
    {"Apache, ProxyPass /pre/ to /, a root path",
     PROXY "/a\nSCRIPT_NAME=/pre/a\n", "", "", "/pre/a", NULL, NULL},
    {"Apache, ProxyPass, GENERIC",
     APACHE "SCRIPT_FILENAME=/a%20b\nSCRIPT_NAME=/a b\n", NULL, "", "/a b",
     NULL, NULL},
    {"Apache, proxy-fcgi-pathinfo",
     PROXY "/a\nSCRIPT_NAME=/pre\nPATH_INFO=/a\n", NULL, "/pre", "/a", NULL,
     NULL},
    {"Apache, ProxyPass nocanon",
     PROXY "/admin/../%6fpen?q\nSCRIPT_NAME=/open\n"
           "REQUEST_URI=/admin/../%6fpen?q\n",
     NULL, "", "/open", NULL, "/admin/../%6fpen"},
    {"Apache, NoDecode",
     PROXY "/a%2Fb\nSCRIPT_NAME=/a%2Fb\n"
           "REQUEST_URI=/a%2Fb\n",
     NULL, "", "/a%2Fb", NULL, "/a%2Fb"},
    {"Apache, RewriteRule [P]",
     PROXY "/new/a%20b\nSCRIPT_NAME=/old/a b\nREQUEST_URI=/old/a%20b\n", NULL,
     "", "/new/a b", NULL, NULL},
    {"Apache, RewriteRule [P], a query",
     PROXY "/new/a?q=/old/a\nSCRIPT_NAME=/old/a\n", NULL, "", "/new/a", NULL,
     NULL},
    {"Apache, RewriteRule [P], a root path",
     PROXY "/new/a%20b\nSCRIPT_NAME=/old/a b\n", "/new", "/new", "/a b", NULL,
     NULL},
    {"Apache, RewriteRule [P] to dots is no path",
     PROXY "/new/../admin\nSCRIPT_NAME=/old/x\n", "", "", "/old/x", NULL, NULL},
    {"Apache, RewriteRule [P] to %2e%2e",
     PROXY "/new/%2e%2e/admin\nSCRIPT_NAME=/old/x\n", "", "", "/old/x", NULL,
     NULL},
    {"Apache, RewriteRule [P] with a NUL",
     PROXY "/new/%00\nSCRIPT_NAME=/old/x\n", "", "", "/old/x", NULL, NULL},
    {"Apache, RewriteRule [P], NoDecode",
     PROXY "/new/admin%2Fx%20%2fy\nSCRIPT_NAME=/old/admin%2Fx %2fy\n", NULL, "",
     "/new/admin%2Fx %2fy", NULL, NULL},
    {"Apache, RewriteRule [P,B]", PROXY "/new/a%2fb\nSCRIPT_NAME=/old/a/b\n",
     NULL, "", "/new/a/b", NULL, NULL},
    {"Apache, a suffix that begins inside a segment",
     PROXY "/b\nSCRIPT_NAME=/ab\n", NULL, "", "/b", NULL, NULL},
    {"Apache, [PT], ErrorDocument",
     PROXY "/new/x\nSCRIPT_NAME=/new/x\nREQUEST_URI=/old/x\nREDIRECT_URL=/old/"
           "x\n",
     NULL, "", "/new/x", NULL, NULL},
    {"Apache, ErrorDocument beside its page, a root path",
     PROXY "/notfound\nSCRIPT_NAME=/pre/notfound\nREDIRECT_URL=/pre/\n"
           "REDIRECT_STATUS=404\n",
     "/pre", "/pre", "/notfound", NULL, NULL},
    {"Apache, SSI",
     PROXY "/part\nSCRIPT_NAME=/part\nDOCUMENT_URI=/page.shtml\n"
           "REQUEST_URI=/page.shtml\n",
     NULL, "", "/part", NULL, NULL},
    {"Apache, SetHandler", HANDLER "SCRIPT_NAME=/pre\nPATH_INFO=/a b\n", NULL,
     "/pre", "/a b", NULL, NULL},
    {"Apache, SetHandler, the mount point alone", HANDLER "SCRIPT_NAME=/pre\n",
     NULL, "/pre", "", NULL, NULL},
    {"mod_fcgid", FCGID "SCRIPT_NAME=/pre\nPATH_INFO=/a b\n", NULL, "/pre",
     "/a b", NULL, NULL},
    {"mod_fcgid, the mount point alone", FCGID "SCRIPT_NAME=/pre\n", NULL,
     "/pre", "", NULL, NULL},
    {"mod_fcgid, Alias \"/\"", FCGID "SCRIPT_NAME=\nPATH_INFO=/pre/a b\n", NULL,
     "", "/pre/a b", NULL, NULL},
    {"mod_fcgid, a rewriting to the program",
     SHARED "SCRIPT_NAME=/sub/index.fcgi\nPATH_INFO=/x\nREDIRECT_URL=/sub/x\n"
            "REQUEST_URI=/sub/x\n",
     NULL, "/sub/index.fcgi", "/x", NULL, NULL},
    {"mod_fcgid, the same, a root path",
     SHARED "SCRIPT_NAME=/sub/index.fcgi\nPATH_INFO=/x\nREDIRECT_URL=/sub/x\n"
            "REQUEST_URI=/sub/x\n",
     "/sub", "/sub", "/x", NULL, "/sub/x"},
    {"mod_fcgid, the same, a root path of ''",
     SHARED "SCRIPT_NAME=/sub/index.fcgi\nPATH_INFO=/x\nREDIRECT_URL=/sub/x\n",
     "", "", "/sub/x", NULL, NULL},
    {"mod_fcgid, the same in the document root, a root path of ''",
     SHARED "SCRIPT_NAME=/index.fcgi\nPATH_INFO=/x\nREDIRECT_URL=/x\n", "", "",
     "/x", NULL, NULL},
    {"mod_fcgid, DirectoryIndex",
     SHARED "SCRIPT_NAME=/sub/index.fcgi\nREDIRECT_URL=/sub/\n", "/sub", "/sub",
     "/", NULL, NULL},
    {"mod_fcgid, the program by its name: nothing is dropped",
     SHARED "SCRIPT_NAME=/sub/index.fcgi\nPATH_INFO=/x\n", "", "",
     "/sub/index.fcgi/x", NULL, NULL},
    {"mod_fcgid, rewritten to another path below the program",
     SHARED "SCRIPT_NAME=/sub/index.fcgi\nPATH_INFO=/x\nREDIRECT_URL=/sub/y\n",
     "", "", "/sub/index.fcgi/x", NULL, NULL},
    {"Caddy, split",
     CADDY "SCRIPT_NAME=/pre\nPATH_INFO=/a b\n"
           "DOCUMENT_URI=/pre\n",
     NULL, "/pre", "/a b", NULL, NULL},
    {"Caddy, split, the same twice",
     CADDY "SCRIPT_NAME=/pre\nPATH_INFO=/pre\nDOCUMENT_URI=/pre\n", NULL,
     "/pre", "/pre", NULL, NULL},
    {"Caddy, no split",
     CADDY "SCRIPT_NAME=\nPATH_INFO=/pre/a b\n"
           "DOCUMENT_URI=\nREQUEST_URI=/pre/a%20b\n",
     NULL, "", "/pre/a b", NULL, "/pre/a%20b"},
    {"HAProxy, path-info", HAPROXY "SCRIPT_NAME=/pre\nPATH_INFO=/a b\n", NULL,
     "/pre", "/a b", NULL, NULL},
    {"HAProxy, none", HAPROXY "SCRIPT_NAME=/pre/a b\n", NULL, "", "/pre/a b",
     NULL, NULL},
    {"h2o", H2O "SCRIPT_NAME=\nPATH_INFO=/pre/a b\n", NULL, "", "/pre/a b",
     NULL, NULL},
    {"h2o, a root path", H2O "SCRIPT_NAME=\nPATH_INFO=/pre/a b\n", "/pre",
     "/pre", "/a b", NULL, NULL},
    {"a prefix that the web server has taken off", NGINX "SCRIPT_NAME=/a\n",
     "/pre", "/pre", "/a", "/a", NULL},
    {"a root path that ends inside a segment", NGINX "SCRIPT_NAME=/pre/a\n",
     "/pr", "/pr", "/pre/a", "/pre/a", NULL},
    /* What happens to the bytes. */
    {"a folder that was left", NGINX "SCRIPT_NAME=/b\nREQUEST_URI=/a/../b?x\n",
     NULL, "", "/b", NULL, "/a/../b"},
    {"the same by escapes",
     NGINX "SCRIPT_NAME=/open/x\nREQUEST_URI=/admin/%2e%2e/open/x\n", NULL, "",
     "/open/x", NULL, "/admin/%2e%2e/open/x"},
    {"nobody has left it",
     CADDY "SCRIPT_NAME=\nPATH_INFO=/a/../b\n"
           "REQUEST_URI=/a/../b\n",
     NULL, "", "/a/../b", NULL, "/a/../b"},
    {"slashes merged", NGINX "SCRIPT_NAME=/a/b\nREQUEST_URI=//a//b\n", NULL, "",
     "/a/b", NULL, "//a//b"},
    {"slashes left", CADDY "PATH_INFO=//a//b\nREQUEST_URI=//a//b\n", NULL, "",
     "//a//b", NULL, "//a//b"},
    {"slashes left, dots gone",
     H2O "PATH_INFO=/a//b\nREQUEST_URI=/a//./c/../b\n", NULL, "", "/a//b", NULL,
     "/a//./c/../b"},
    {"a semicolon", NGINX "SCRIPT_NAME=/a;v=1\nREQUEST_URI=/a;v=1\n", NULL, "",
     "/a;v=1", NULL, "/a;v=1"},
    {"an escaped slash", NGINX "SCRIPT_NAME=/a/b\nREQUEST_URI=/a%2Fb\n", NULL,
     "", "/a/b", NULL, "/a%2Fb"},
    {"an escaped question mark",
     NGINX "SCRIPT_NAME=/a?b\nREQUEST_URI=/a%3fb?c\n", NULL, "", "/a?b", NULL,
     "/a%3fb"},
    {"an escaped percent sign",
     NGINX "SCRIPT_NAME=/100%\nREQUEST_URI=/100%25\n", NULL, "", "/100%", NULL,
     "/100%25"},
    {"no escape", LIGHTTPD "PATH_INFO=/a%zz\nREQUEST_URI=/a%zz\n", NULL, "",
     "/a%zz", NULL, "/a%zz"},
    {"an escape cut off", LIGHTTPD "PATH_INFO=/a%\nREQUEST_URI=/%61%\n", NULL,
     "", "/a%", NULL, "/%61%"},
    {"a NUL in REQUEST_URI", NGINX "SCRIPT_NAME=/a\nREQUEST_URI=/a%00\n", NULL,
     "", "/a", NULL, NULL},
    {"no UTF-8", NGINX "SCRIPT_NAME=/\xff\xe9\nREQUEST_URI=/%ff%E9\n", NULL, "",
     "/\xff\xe9", NULL, "/%ff%E9"},
    {"a whole URL", NGINX "SCRIPT_NAME=/x\nREQUEST_URI=http://h:80/x?y\n", NULL,
     "", "/x", NULL, "/x"},
    {"a whole URL without a path",
     NGINX "SCRIPT_NAME=/\nREQUEST_URI=http://h\n", NULL, "", "/", NULL, "/"},
    {"no slash at the beginning", NGINX "SCRIPT_NAME=*\nREQUEST_URI=*\n", NULL,
     "", "*", NULL, "*"},
    {"the same in PATH_INFO", NGINX "PATH_INFO=x\n", NULL, "", "x", NULL, NULL},
    {"a name without a slash", NGINX "SCRIPT_NAME=pre\nPATH_INFO=/a\n", NULL,
     "pre", "/a", NULL, NULL},
    {"nothing", "", NULL, "", "", NULL, NULL},
    {"nothing, a root path", "", "/pre", "/pre", "", "", NULL},
    {"both empty", "SCRIPT_NAME=\nPATH_INFO=\nREQUEST_URI=/x\n", NULL, "", "",
     NULL, NULL},
    {"only slashes", "SCRIPT_NAME=//\nPATH_INFO=//\n", NULL, "", "////", NULL,
     NULL},
    {"REQUEST_URI alone says nothing", "REQUEST_URI=/x\n", NULL, "", "", NULL,
     NULL},
};

static void feed(fcgi_params *params, const char *sent) {
  const fcgi__params_limits limits = {1u << 20, 1000, 0};
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  for (const char *end; (end = strchr(sent, '\n')) != NULL; sent = end + 1) {
    const char *equals = strchr(sent, '=');
    size_t name = (size_t)(equals - sent), value = (size_t)(end - equals) - 1;
    uint8_t pair[512] = {(uint8_t)name, (uint8_t)value};
    assert_true(name < 128 && value < 128);
    memcpy(pair + 2, sent, name);
    memcpy(pair + 2 + name, equals + 1, value);
    assert_int_equal(fcgi__params_feed(params, &allocator, &limits, NULL, pair,
                                       2 + name + value),
                     0);
  }
  assert_int_equal(fcgi__params_finish(params, &allocator), 0);
}

static void expect(const row *at, const char *what, const char *got, size_t len,
                   const char *wanted) {
  if (len != strlen(wanted) || memcmp(got, wanted, len) != 0 || got[len])
    fail_msg("%s: %s is \"%.*s\", not \"%s\"", at->what, what, (int)len, got,
             wanted);
}

static void expect_raw(const row *at, const fcgi_params *params,
                       const fcgi_path *path) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__span uri = {NULL, 0}, raw;
  uri.data = fcgi_params_get(params, "REQUEST_URI", 11, &uri.len);
  raw =
      fcgi__path_raw(uri, (fcgi__span){path->path, path->path_len}, &allocator);
  if (!raw.data != !at->raw ||
      (raw.data &&
       (raw.len != strlen(at->raw) || memcmp(raw.data, at->raw, raw.len) != 0)))
    fail_msg("%s: the raw path is \"%.*s\", not \"%s\"", at->what, (int)raw.len,
             raw.data ? raw.data : "", at->raw ? at->raw : "");
}

static void check(const row *at, int cgi) {
  const fcgi__path_setting setting = {at->root, cgi};
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  char both[256];
  fcgi_params params = {.total = 0};
  fcgi__path *block;
  fcgi_path got;
  feed(&params, at->sent);
  assert_int_equal(fcgi__path_find(&got, &block, &params, &setting, &allocator),
                   0);
  expect(at, "script_name", got.script_name, got.script_name_len, at->script);
  expect(at, "path_info", got.path_info, got.path_info_len, at->info);
  snprintf(both, sizeof both, "%s%s", at->script, at->info);
  expect(at, "path", got.path, got.path_len, at->path ? at->path : both);
  expect_raw(at, &params, &got);
  fcgi__free(&allocator, block);
  fcgi__params_clear(&params, &allocator);
}

static void test_table(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    check(&rows[i], 0);
}

/* RFC 3875: SCRIPT_NAME names the program, whoever started it. */
static void test_cgi(void **state) {
  static const row all[] = {
      {"CGI", "SCRIPT_NAME=/cgi-bin/x\nPATH_INFO=/y\n", NULL, "/cgi-bin/x",
       "/y", NULL, NULL},
      {"CGI, the program alone", "SCRIPT_NAME=/cgi-bin/x\n", NULL, "/cgi-bin/x",
       "", NULL, NULL},
  };
  (void)state;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    check(&all[i], 1);
}

/* Where it has no NUL behind it, a text is copied whole. */
static void test_long_paths(void **state) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  char *uri = malloc(30001), *path = malloc(10001);
  (void)state;
  *path = *uri = '/';
  memset(path + 1, 'a', 9999);
  for (size_t i = 0; i < 9999; i++)
    memcpy(uri + 1 + 3 * i, "%61", 3);
  for (size_t less = 0; less < 2; less++) {
    fcgi__span raw =
        fcgi__path_raw((fcgi__span){uri, 1 + 3 * 9999},
                       (fcgi__span){path, 10000 - less}, &allocator);
    assert_ptr_equal(raw.data, less ? NULL : uri);
  }
  free(uri);
  free(path);
}

static void *few(void *ptr, size_t size, void *left) {
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  return (*(int *)left)-- > 0 ? realloc(ptr, size) : NULL;
}

static void test_no_memory(void **state) {
  const char *const sent[] = {PROXY "/new/a\nSCRIPT_NAME=/old/a\n",
                              "SCRIPT_NAME=/a\nPATH_INFO=/b\n"};
  const fcgi__path_setting setting = {NULL, 0};
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    fcgi_params params = {.total = 0};
    const fcgi_allocator theirs = fcgi__allocator(NULL);
    int enough = 0;
    feed(&params, sent[i]);
    for (int most = 0; !enough && most < 9; most++) {
      int left = most;
      const fcgi_allocator allocator = {few, &left};
      fcgi__path *block = NULL;
      fcgi_path got;
      int error = fcgi__path_find(&got, &block, &params, &setting, &allocator);
      enough = !error;
      assert_true(enough || error == FCGI_ERR_NOMEM);
      assert_true(!enough || most > 0);
      free(block);
    }
    assert_true(enough);
    fcgi__params_clear(&params, &theirs);
  }
}

/* What was sent; the file's name, NULL for none. */
static const struct {
  const char *sent; /* NAME=value, a line each. */
  const char *file; /* What is expected. */
} files[] = {
    {"SCRIPT_NAME=/a\n", NULL},
    {"SCRIPT_FILENAME=\n", ""},
    {"SCRIPT_FILENAME=/srv/a.php\n", "/srv/a.php"},
    {"SCRIPT_FILENAME=/srv/a?b\nQUERY_STRING=b\n", "/srv/a?b"},
    {HANDLER, "/srv/www/pre"},
    {"SCRIPT_FILENAME=proxy:fcgi://localhost/srv/a.php\n", "/srv/a.php"},
    {PROXY "/srv/a%20b.php?q=1\nQUERY_STRING=q=1\n", "/srv/a%20b.php"},
    {PROXY "/srv/a?b?q\nQUERY_STRING=q\n", "/srv/a?b"},
    {PROXY "/srv/a?q\nQUERY_STRING=\n", "/srv/a?q"},
    {PROXY "/srv/axq\nQUERY_STRING=q\n", "/srv/axq"},
    {PROXY "///\n", "/"},
    {PROXY "/q\nQUERY_STRING=/q\n", "/q"},
    {"SCRIPT_FILENAME=proxy:fcgi://[::1]:9000/x\n", "/x"},
    {"SCRIPT_FILENAME=proxy:fcgi://\n", "proxy:fcgi://"},
    {"SCRIPT_FILENAME=proxy:fcgi://host\n", "proxy:fcgi://host"},
    {"SCRIPT_FILENAME=proxy:fcgi:/\n", "proxy:fcgi:/"},
};

static void test_files(void **state) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  (void)state;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    fcgi_params params = {.total = 0};
    fcgi__span got;
    feed(&params, files[i].sent);
    got = fcgi__path_file(&params);
    if (!got.data != !files[i].file ||
        (got.data && (got.len != strlen(files[i].file) ||
                      memcmp(got.data, files[i].file, got.len) != 0)))
      fail_msg("%s: the file is \"%.*s\"", files[i].sent, (int)got.len,
               got.data ? got.data : "");
    fcgi__params_clear(&params, &allocator);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table),     cmocka_unit_test(test_files),
      cmocka_unit_test(test_cgi),       cmocka_unit_test(test_long_paths),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
