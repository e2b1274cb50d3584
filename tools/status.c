/* SPDX-License-Identifier: MIT */
/* fcgi status: print what workers are doing and have done. */
#include "number.h"
#include "tool.h"
#include "view.h"
#include <fastcgi/error.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTION_PATH = 256, OPTION_TIMEOUT };

typedef struct line {
  tool_view view;            /* Where to look. */
  fcgi_status_format format; /* How to print it. */
} line;

static const struct option options[] = {
    {"json", no_argument, NULL, FCGI_STATUS_AS_JSON_FULL},
    {"openmetrics", no_argument, NULL, FCGI_STATUS_AS_OPENMETRICS},
    {"html", no_argument, NULL, FCGI_STATUS_AS_HTML},
    {"fpm", no_argument, NULL, FCGI_STATUS_AS_FPM_FULL},
    {"xml", no_argument, NULL, FCGI_STATUS_AS_XML_FULL},
    {"path", required_argument, NULL, OPTION_PATH},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int help(void) {
  puts("usage: fcgi status ADDRESS|PID [OPTIONS]\n"
       "\n"
       "Prints the state and the counters of the workers of a FastCGI program "
       "of\n"
       "this library. PID is a supervisor, or a server with a status path.\n"
       "ADDRESS is where a server with a status path listens: unix:/path,\n"
       "unix:@name, host:port, [v6]:port or :port.\n");
  puts("      --json           print one JSON object\n"
       "      --openmetrics    print the text that Prometheus reads\n"
       "      --html           print the status page\n"
       "      --fpm            print the lines of PHP-FPM's status page\n"
       "      --xml            print PHP-FPM's status page as XML\n"
       "      --path PATH      the server's status path. Default: /status\n"
       "      --timeout TIME   wait so long for an answer. Default: 10s\n"
       "  -h, --help           print this text\n");
  puts("Exit status:\n"
       "  0  the status was printed\n"
       "  2  an argument is wrong\n"
       "  3  no connection, no such process, or no right to look into it\n"
       "  4  what answers has no status");
  return TOOL_OK;
}

static const fcgi_option timeout = {.name = "timeout",
                                    .kind = FCGI_OPTION_SECONDS,
                                    .least = 1,
                                    .most = 1000000000};

static int take_option(line *l, int option, char *const *argv) {
  switch (option) {
  case FCGI_STATUS_AS_JSON_FULL:
  case FCGI_STATUS_AS_OPENMETRICS:
  case FCGI_STATUS_AS_HTML:
  case FCGI_STATUS_AS_FPM_FULL:
  case FCGI_STATUS_AS_XML_FULL:
    l->format = (fcgi_status_format)option;
    return 0;
  case OPTION_PATH:
    l->view.path = optarg;
    return *optarg == '/' ? 0
                          : tool_complain(TOOL_USAGE,
                                          "status: --path %s: must start with "
                                          "/",
                                          optarg);
  case OPTION_TIMEOUT:
    return tool_seconds("status", &timeout, optarg, &l->view.seconds);
  default:
    return tool_bad_option("status", option, argv, options);
  }
}

static int print(const line *l) {
  fcgi_status *status = NULL;
  char *text;
  size_t len;
  int error, result = tool_view_read(&l->view, &status);
  if (result)
    return result;
  error = fcgi_status_render(status, l->format, &text, &len);
  fcgi_status_free(status);
  if (error)
    return tool_complain(TOOL_TRANSPORT, "%s", fcgi_error_text(error));
  fwrite(text, 1, len, stdout);
  fcgi_status_text_free(text);
  return fflush(stdout) == 0
             ? TOOL_OK
             : tool_complain(TOOL_TRANSPORT, "cannot write the status");
}

int tool_status(int argc, char **argv) {
  line l = {.view = {.command = "status", .path = "/status", .seconds = 10}};
  int option, status = 0;
  opterr = 0;
  while (!status &&
         (option = tool_next_option(argc, argv, ":h", options)) != -1) {
    if (option == 'h')
      return help();
    status = take_option(&l, option, argv);
  }
  if (!status && argc - optind != 1)
    status = tool_complain(TOOL_USAGE,
                           "status: one address or process id is needed; see "
                           "fcgi status --help");
  if (status)
    return status;
  l.view.where = argv[optind];
  return print(&l);
}
