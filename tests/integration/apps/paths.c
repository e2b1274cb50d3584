/* SPDX-License-Identifier: MIT */
/* Tells which path it was asked for, as paths_app.py does: SCRIPT_NAME,
   PATH_INFO and the path, with a NUL between them; `paths ADDRESS`, or without
   one on what it inherits. */
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 4000 };

static int status_of(fcgi_request *request, const fcgi_path *path) {
  if (strcmp(path->path, "/auth") == 0 &&
      !fcgi_request_param(request, "HTTP_TOKEN"))
    return 401;
  return strcmp(path->path, "/fail") == 0 ? 500 : 200;
}

static int answer(fcgi_request *request, void *user_data) {
  char text[MOST];
  fcgi_path path;
  int len;
  (void)user_data;
  if (fcgi_request_path(request, &path) < 0)
    return -1;
  len = snprintf(text, sizeof text, "%s%c%s%c%s", path.script_name, 0,
                 path.path_info, 0, path.path);
  if (len < 0 || len >= MOST)
    return -1;
  return fcgi_request_reply(request, status_of(request, &path),
                            "application/octet-stream", text, (size_t)len);
}

int main(int argc, char **argv) {
  static const fcgi_handler handler = {.size = sizeof handler,
                                       .on_request = answer};
  return fcgi_serve(fcgi_serve_address(argc, argv), &handler, NULL) ? 1 : 0;
}
