/* SPDX-License-Identifier: MIT */
/* The path of a request, and where the application's part of it begins, from
   what each web server sends. */
#ifndef FCGI_GATEWAY_PATH_H
#define FCGI_GATEWAY_PATH_H

#include "gateway/url.h"
#include <fastcgi/alloc.h>
#include <fastcgi/params.h>
#include <fastcgi/request.h>
#include <fastcgi/server.h>

/* What is known beside the parameters. */
typedef struct fcgi__path_setting {
  const char *root; /* The configured mount point, "" or without a final slash;
                       NULL for none. */
  int cgi;          /* 1: a CGI server's program, which is a script. */
} fcgi__path_setting;

/* The path as two texts, one behind the other. */
typedef struct fcgi__path_parts {
  fcgi__span before; /* The first of them. */
  fcgi__span after;  /* The second. */
  size_t mount;      /* Bytes of both that name the application. */
  char *made;        /* What they lie in, where no parameter has it. */
} fcgi__path_parts;

/* Read them from the parameters. `made` is the caller's to free. 0, or
   FCGI_ERR_NOMEM. */
int fcgi__path_parts_find(fcgi__path_parts *out, const fcgi_params *params,
                          const fcgi__path_setting *setting,
                          const fcgi_allocator *allocator);

/* 1 when the two together are `path`, which may be NULL. */
int fcgi__path_parts_are(const fcgi__path_parts *parts, const char *path);

/* Where fcgi_request_path has put together texts that no parameter has. */
typedef struct fcgi__path {
  fcgi_path texts; /* What it gives. */
  char bytes[];    /* Where they lie. */
} fcgi__path;

/* Fill `out`, whose texts lie in the parameters, in the setting, and in
   `*block`, or NULL, which is the caller's to free. 0, or FCGI_ERR_NOMEM. */
int fcgi__path_find(fcgi_path *out, fcgi__path **block,
                    const fcgi_params *params,
                    const fcgi__path_setting *setting,
                    const fcgi_allocator *allocator);

/* The part of `uri` that is the path as the client wrote it, where it stands
   for `path`; without data where not, or without memory. */
fcgi__span fcgi__path_raw(fcgi__span uri, fcgi__span path,
                          const fcgi_allocator *allocator);

/* SCRIPT_FILENAME without what Apache's mod_proxy_fcgi puts around the file's
   name; without data where there is none. */
fcgi__span fcgi__path_file(const fcgi_params *params);

#endif
