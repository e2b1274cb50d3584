/* SPDX-License-Identifier: MIT */
/* fcgi call: send requests to an application and print what it answers. */
#include "answer.h"
#include "body.h"
#include "number.h"
#include "params.h"
#include "tool.h"
#include <fastcgi/client.h>
#include <fastcgi/error.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* The command line, and the connection that it asks for. */
typedef struct call {
  const char *address; /* Where the application is. */
  const char *uri;     /* What is asked for; NULL with --ping. */
  const char *method;  /* -X; NULL: GET, or POST with a body. */
  const char *path;    /* --file: what is sent on DATA; NULL for nothing. */
  const char **given;  /* Values of -H, then of -p, as typed. */
  size_t headers;      /* How many of -H. */
  size_t params;       /* How many of -p. */
  tool_body body;      /* -d. */
  tool_body data;      /* --file. */
  int has_body;        /* 1: -d was given. */
  uint16_t role;       /* --role. */
  long keep;           /* --keep; 0: one request on a connection not kept. */
  int show_head;       /* -i */
  int fail;            /* -f */
  int ping;            /* --ping */
  int ready;           /* --ready */
  int connected;       /* 1: the connection is open. */
  double seconds;      /* --timeout */
  struct timespec end; /* When that is over. */
  fcgi_client *client; /* The connection. */
} call;

enum {
  OPTION_ROLE = 256,
  OPTION_KEEP,
  OPTION_TIMEOUT,
  OPTION_PING,
  OPTION_READY,
  OPTION_FILE
};

static const struct option options[] = {
    {"request", required_argument, NULL, 'X'},
    {"data", required_argument, NULL, 'd'},
    {"param", required_argument, NULL, 'p'},
    {"header", required_argument, NULL, 'H'},
    {"include", no_argument, NULL, 'i'},
    {"fail", no_argument, NULL, 'f'},
    {"help", no_argument, NULL, 'h'},
    {"role", required_argument, NULL, OPTION_ROLE},
    {"keep", required_argument, NULL, OPTION_KEEP},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"ping", no_argument, NULL, OPTION_PING},
    {"ready", no_argument, NULL, OPTION_READY},
    {"file", required_argument, NULL, OPTION_FILE},
    {NULL, 0, NULL, 0},
};

static int help(void) {
  puts("usage: fcgi call ADDRESS URI [OPTIONS]\n"
       "       fcgi call ADDRESS --ping [--timeout TIME]\n"
       "       fcgi call ADDRESS --ready [URI] [OPTIONS]\n"
       "\n"
       "Sends a request to a FastCGI application, as a web server would, and\n"
       "prints the body of the answer; the application's STDERR goes to "
       "stderr.\n"
       "ADDRESS is unix:/path, unix:@name, host:port, [v6]:port, :port or "
       "fd:N.\n"
       "\n"
       "Root may open every socket. To see what nginx may, ask as its user:\n"
       "  sudo -u www-data fcgi call ADDRESS URI\n");
  puts("  -X, --request METHOD    method of the request. Default: GET, or POST "
       "with -d\n"
       "  -d, --data DATA|@FILE   body of the request; several DATA are joined "
       "by &;\n"
       "                          @- reads stdin\n"
       "  -p, --param NAME=VALUE  set a parameter; -p NAME removes it. The "
       "path is\n"
       "                          sent as PATH_INFO, or as SCRIPT_NAME if you "
       "set\n"
       "                          SCRIPT_FILENAME\n"
       "  -H, --header 'N: V'     send a header, as HTTP_N; a repeated header "
       "is\n"
       "                          joined, as web servers do\n"
       "  -i, --include           print the header lines too\n"
       "  -f, --fail              exit with 1 if the application fails\n"
       "      --role ROLE         responder, authorizer, filter, or a number.\n"
       "                          Default: responder\n"
       "      --file FILE         send FILE on DATA, for the role filter\n"
       "      --keep N            send the request N times on one connection\n"
       "      --timeout TIME      time for everything. Default: 30s\n"
       "      --ping              ask for the FastCGI values and print them, "
       "to see\n"
       "                          whether the program lives\n"
       "      --ready             ask for a free handler with HEAD, for / or "
       "the URI,\n"
       "                          and print nothing, to see whether it can "
       "answer\n"
       "  -h, --help              print this text\n");
  puts("Exit status:\n"
       "  0  the application answered\n"
       "  1  with -f: the HTTP status is 400 or above, or the exit status is "
       "not 0\n"
       "  2  an argument is wrong\n"
       "  3  transport: no connection, a lost connection, no answer in time, a "
       "file\n"
       "  4  protocol: the answer breaks FastCGI or CGI, or the request was "
       "rejected\n"
       "  5  the program lives and cannot answer: with --ping it took the "
       "connection\n"
       "     and was silent; with --ready no handler answered, or the status "
       "was 503\n"
       "\n"
       "A health check of PHP-FPM, where ping.path is /ping:\n"
       "  fcgi call unix:/run/php-fpm.sock /ping -p SCRIPT_FILENAME=/ping -f");
  return TOOL_OK;
}

/* A role's number: 0 when the text is none. */
static uint16_t parse_role(const char *text) {
  static const char *const names[] = {"", "responder", "authorizer", "filter"};
  long long number;
  for (uint16_t role = 1; role < 4; role++)
    if (strcasecmp(text, names[role]) == 0)
      return role;
  return tool_number(text, 1, UINT16_MAX, &number) == 0 ? (uint16_t)number : 0;
}

static int take_number(call *c, int option, const char *text) {
  static const fcgi_option keep = {
      .name = "keep", .kind = FCGI_OPTION_COUNT, .least = 1, .most = INT_MAX};
  static const fcgi_option timeout = {.name = "timeout",
                                      .kind = FCGI_OPTION_SECONDS,
                                      .least = 1,
                                      .most = 1000000000};
  int64_t number = 0;
  int status;
  if (option == OPTION_ROLE) {
    c->role = parse_role(text);
    return c->role ? 0
                   : tool_complain(TOOL_USAGE,
                                   "call: role \"%s\": give responder, "
                                   "authorizer, filter or 1 to 65535",
                                   text);
  }
  if (option == OPTION_TIMEOUT)
    return tool_seconds("call", &timeout, text, &c->seconds);
  status = tool_value("call", &keep, text, &number);
  c->keep = (long)number;
  return status;
}

/* -H and -p are kept as typed, -H first, and applied in that order. */
static void keep_given(call *c, int option, const char *text) {
  size_t count = c->headers + c->params, at = count;
  c->given = tool_realloc(c->given, (count + 1) * sizeof *c->given);
  if (option == 'H') {
    at = c->headers++;
    memmove(c->given + at + 1, c->given + at, (count - at) * sizeof *c->given);
  } else {
    c->params++;
  }
  c->given[at] = text;
}

static int take_option(call *c, int option, char *const *argv) {
  switch (option) {
  case 'X':
    c->method = optarg;
    return 0;
  case 'd':
    c->has_body = 1;
    return tool_body_add(&c->body, optarg);
  case 'H':
    if (!strchr(optarg, ':') || *optarg == ':')
      return tool_complain(TOOL_USAGE, "call: -H \"%s\": not \"Name: value\"",
                           optarg);
    keep_given(c, option, optarg);
    return 0;
  case 'p':
    keep_given(c, option, optarg);
    return 0;
  case 'i':
    c->show_head = 1;
    return 0;
  case 'f':
    c->fail = 1;
    return 0;
  case OPTION_PING:
    c->ping = 1;
    return 0;
  case OPTION_READY:
    c->ready = 1;
    return 0;
  case OPTION_FILE:
    c->path = optarg;
    return 0;
  case OPTION_ROLE:
  case OPTION_KEEP:
  case OPTION_TIMEOUT:
    return take_number(c, option, optarg);
  default:
    return tool_bad_option("call", option, argv, options);
  }
}

static int take_words(call *c, int argc, char *const *argv) {
  int words = argc - optind;
  if (words < 1)
    return tool_complain(TOOL_USAGE, "call: no address; see fcgi call --help");
  c->address = argv[optind];
  if (c->ping && c->ready)
    return tool_complain(TOOL_USAGE, "call: --ping or --ready, not both");
  if (c->ready && words == 1) {
    c->uri = "/";
    return 0;
  }
  if (c->ping)
    return words == 1 ? 0
                      : tool_complain(TOOL_USAGE,
                                      "call: --ping takes no URI; for a page "
                                      "that answers pings leave --ping out");
  if (words < 2)
    return tool_complain(TOOL_USAGE, "call: no URI; see fcgi call --help");
  if (words > 2)
    return tool_complain(TOOL_USAGE, "call: \"%s\" is one word too many",
                         argv[optind + 2]);
  c->uri = argv[optind + 1];
  if (c->uri[0] != '/' && strcmp(c->uri, "*") != 0)
    return tool_complain(TOOL_USAGE, "call: URI \"%s\" must start with /",
                         c->uri);
  return 0;
}

static int parse(call *c, int argc, char **argv) {
  int option, status = 0;
  opterr = 0;
  while (!status && (option = tool_next_option(argc, argv, ":X:d:p:H:ifh",
                                               options)) != -1) {
    if (option == 'h')
      exit(help());
    status = take_option(c, option, argv);
  }
  if (!status)
    status = take_words(c, argc, argv);
  if (!status && c->path)
    status = tool_body_open(&c->data, c->path);
  return status;
}

static void set_number(tool_params *params, const char *name, int64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)value);
  tool_params_set(params, name, text);
}

/* 1: an earlier -H names the same header. */
static int is_again(const call *c, size_t at) {
  size_t len = strcspn(c->given[at], ":") + 1;
  for (size_t i = 0; i < at; i++)
    if (strncasecmp(c->given[i], c->given[at], len) == 0)
      return 1;
  return 0;
}

static void fill_params(const call *c, tool_params *params) {
  size_t all = c->headers + c->params;
  tool_params_request(params,
                      c->method     ? c->method
                      : c->has_body ? "POST"
                      : c->ready    ? "HEAD"
                                    : "GET",
                      c->uri);
  if (c->has_body) {
    set_number(params, "CONTENT_LENGTH", c->body.len);
    tool_params_set(params, "CONTENT_TYPE",
                    c->body.has_file ? "application/octet-stream"
                                     : "application/x-www-form-urlencoded");
  }
  if (c->path) {
    set_number(params, "FCGI_DATA_LENGTH", c->data.len);
    set_number(params, "FCGI_DATA_LAST_MOD", c->data.modified);
  }
  for (size_t i = c->headers; i < all; i++)
    if (strncmp(c->given[i], "SCRIPT_FILENAME=", 16) == 0) {
      tool_params_set(params, "SCRIPT_NAME",
                      tool_params_get(params, "PATH_INFO"));
      tool_params_remove(params, "PATH_INFO");
    }
  for (size_t i = 0; i < c->headers; i++)
    tool_params_header(params, c->given[i], is_again(c, i));
  for (size_t i = c->headers; i < all; i++)
    tool_params_apply(params, c->given[i]);
}

static int left_ms(const call *c) {
  struct timespec now;
  double left;
  clock_gettime(CLOCK_MONOTONIC, &now);
  left = (double)(c->end.tv_sec - now.tv_sec) * 1e3 +
         (double)(c->end.tv_nsec - now.tv_nsec) / 1e6;
  return left > 0 ? (int)left + 1 : 0;
}

static void start_clock(call *c) {
  clock_gettime(CLOCK_MONOTONIC, &c->end);
  c->end.tv_sec += (time_t)c->seconds;
  c->end.tv_nsec += (long)((c->seconds - (double)(time_t)c->seconds) * 1e9);
}

/* The client's complaint. Whoever asks for a sign of life and gets none on an
   open connection learns just that. */
static int failed(const call *c, int error) {
  int silent =
      (c->ping || c->ready) && c->connected && error == FCGI_ERR_TIMEOUT;
  int status = silent                       ? TOOL_BUSY
               : error == FCGI_ERR_PROTOCOL ? TOOL_PROTOCOL
               : error == FCGI_ERR_INVALID  ? TOOL_USAGE
                                            : TOOL_TRANSPORT;
  return tool_complain(status, "%s", fcgi_client_message(c->client));
}

static int begin(call *c) {
  tool_params params = {.at = NULL};
  int id, error = 0;
  fill_params(c, &params);
  id = fcgi_client_begin(c->client, c->role, c->keep ? FCGI_BEGIN_KEEP : 0,
                         params.at, params.count);
  tool_params_free(&params);
  if (id < 0)
    return failed(c, id);
  /* FastCGI 1.0, 6.3: an authorizer gets no STDIN. */
  if (c->role != FCGI_ROLE_AUTHORIZER || c->has_body)
    error =
        tool_body_send(&c->body, c->client, (uint16_t)id, FCGI_STREAM_STDIN);
  if (!error && (c->path || c->role == FCGI_ROLE_FILTER))
    error = tool_body_send(&c->data, c->client, (uint16_t)id, FCGI_STREAM_DATA);
  return error ? failed(c, error) : 0;
}

/* END_REQUEST: what the whole request comes to. */
static int judge(const call *c, tool_answer *answer,
                 const fcgi_peer_event *event) {
  static const char *const why[] = {
      "", "it cannot multiplex (FCGI_CANT_MPX_CONN)",
      "it is overloaded (FCGI_OVERLOADED)",
      "it does not know the role (FCGI_UNKNOWN_ROLE)"};
  if (event->protocol_status != FCGI_END_COMPLETE)
    return tool_complain(TOOL_PROTOCOL,
                         "%s: the application rejected the request: %s",
                         c->address, why[event->protocol_status]);
  if (tool_answer_end(answer) < 0)
    return tool_complain(TOOL_PROTOCOL,
                         "%s: the answer has no empty line after its headers",
                         c->address);
  if (event->app_status != 0)
    tool_complain(0, "%s: the application's exit status is %lu", c->address,
                  (unsigned long)event->app_status);
  if (c->ready && answer->status == 503)
    return tool_complain(TOOL_BUSY, "%s: status 503: it cannot answer now",
                         c->address);
  if (answer->status >= 400 && c->fail)
    tool_complain(0, "%s: status %d", c->address, answer->status);
  return c->fail && (answer->status >= 400 || event->app_status != 0)
             ? TOOL_ANSWER
             : TOOL_OK;
}

/* Print what comes until the request has ended; what is said on stderr later
   begins on a line of its own. */
static int finish(call *c, tool_answer *answer) {
  const fcgi_peer_event *event;
  int result, open_line = 0;
  while ((result = fcgi_client_next(c->client, &event, left_ms(c))) == 1 &&
         event->type != FCGI_PEER_EVENT_END) {
    if (event->type == FCGI_PEER_EVENT_STDOUT)
      tool_answer_feed(answer, event->data, event->len);
    if (event->type != FCGI_PEER_EVENT_STDERR)
      continue;
    fwrite(event->data, 1, event->len, stderr);
    open_line = ((const char *)event->data)[event->len - 1] != '\n';
  }
  if (open_line)
    fputc('\n', stderr);
  return result == 1 ? judge(c, answer, event) : failed(c, result);
}

static int ask_once(call *c) {
  tool_answer answer = {.show_head = c->show_head, .quiet = c->ready};
  int status = begin(c);
  if (!status)
    status = finish(c, &answer);
  free(answer.head);
  if (fflush(stdout) != 0)
    status = tool_complain(TOOL_TRANSPORT, "cannot write the answer");
  return status;
}

static int ping(call *c) {
  const fcgi_peer_event *event;
  fcgi_param value;
  int result = fcgi_peer_get_values(fcgi_client_peer(c->client), NULL, 0);
  do
    result = fcgi_client_next(c->client, &event, left_ms(c));
  while (result == 1 && event->type != FCGI_PEER_EVENT_VALUES);
  if (result != 1)
    return failed(c, result);
  for (size_t i = 0; fcgi_params_at(event->values, i, &value) == 0; i++)
    printf("%s=%s\n", value.name, value.value);
  return TOOL_OK;
}

static int run(call *c) {
  const fcgi_peer_config peer = {.size = sizeof peer,
                                 .output_bytes = (size_t)1 << 30};
  fcgi_client_config config = {.size = sizeof config, .peer = &peer};
  int status = TOOL_OK, error;
  start_clock(c);
  config.connect_timeout_ms = left_ms(c);
  error = fcgi_client_new(&c->client, &config);
  if (error)
    return tool_complain(TOOL_TRANSPORT, "%s", fcgi_error_text(error));
  error = fcgi_client_connect(c->client, c->address);
  if (error)
    return failed(c, error);
  c->connected = 1;
  if (c->ping)
    return ping(c);
  for (long i = 0; i < (c->keep ? c->keep : 1) && status < TOOL_USAGE; i++) {
    int next = ask_once(c);
    status = next > status ? next : status;
  }
  return status;
}

int tool_call(int argc, char **argv) {
  call c = {.role = FCGI_ROLE_RESPONDER, .seconds = 30};
  int status = parse(&c, argc, argv);
  if (!status)
    status = run(&c);
  fcgi_client_free(c.client);
  tool_body_free(&c.body);
  tool_body_free(&c.data);
  free(c.given);
  return status;
}
