/* SPDX-License-Identifier: MIT */
/* fcgi spec: play the conformance cases against any application. */
#include "spec.h"
#include "../number.h"
#include "../tool.h"
#include "broken.h"
#include "cases.h"
#include "run.h"
#include "script.h"
#include <fnmatch.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The command line. */
typedef struct command {
  spec_target target;  /* The application. */
  report report;       /* How to report. */
  spec_case *cases;    /* Those selected. */
  const char **only;   /* Values of --only. */
  size_t only_count;   /* Number of values of --only. */
  const char *explain; /* --explain */
  int list;            /* --list */
} command;

enum {
  OPTION_JSON = 256,
  OPTION_JUNIT,
  OPTION_ONLY,
  OPTION_STRICT,
  OPTION_ECHO,
  OPTION_LIMITS,
  OPTION_URI,
  OPTION_SCRIPT,
  OPTION_METHOD,
  OPTION_TIMEOUT,
  OPTION_LIST,
  OPTION_EXPLAIN
};

enum { PARAMS_MOST = 60000 }; /* Bytes of -p that fit in one record. */

static const struct option options[] = {
    {"json", no_argument, NULL, OPTION_JSON},
    {"junit", no_argument, NULL, OPTION_JUNIT},
    {"only", required_argument, NULL, OPTION_ONLY},
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"echo", no_argument, NULL, OPTION_ECHO},
    {"limits", required_argument, NULL, OPTION_LIMITS},
    {"uri", required_argument, NULL, OPTION_URI},
    {"script", required_argument, NULL, OPTION_SCRIPT},
    {"method", required_argument, NULL, OPTION_METHOD},
    {"param", required_argument, NULL, 'p'},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"list", no_argument, NULL, OPTION_LIST},
    {"explain", required_argument, NULL, OPTION_EXPLAIN},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int help(void) {
  puts("usage: fcgi spec ADDRESS [OPTIONS]\n"
       "       fcgi spec --list | --explain CASE\n"
       "\n"
       "Plays conformance cases against any FastCGI application, and prints "
       "the\n"
       "cases that fail and a table of counts. Some cases are hostile: play "
       "them\n"
       "only against an application that may crash. ADDRESS is unix:/path,\n"
       "unix:@name, host:port, [v6]:port or :port. The run takes seconds if "
       "the\n"
       "application answers; a case without an answer takes --timeout.\n");
  puts("      --only CASE         play a case, a section or a pattern; "
       "repeatable\n"
       "      --strict            also count failures of what web servers need "
       "and\n"
       "                          of hardening. Default: of the specification "
       "only\n"
       "      --json, --junit     print the report for programs\n"
       "  -v, --verbose           print a line for every case\n"
       "      --uri URI           the page to ask for. Default: /\n"
       "      --script FILE       send SCRIPT_FILENAME, which PHP-FPM needs\n"
       "      --method METHOD     method of every request. Default: GET, or "
       "POST with\n"
       "                          a body\n"
       "  -p, --param NAME=VALUE  set a parameter; -p NAME removes it\n"
       "      --timeout TIME      wait so long for an answer. Default: 2s\n");
  puts("      --echo              the application keeps the echo contract of\n"
       "                          docs/conformance.md, so more cases can be "
       "judged,\n"
       "                          and more exactly\n"
       "      --limits 'L=N ...'  with --echo: play the cases for an "
       "application with\n"
       "                          these limits\n"
       "      --list              print the names of all cases\n"
       "      --explain CASE      print what a case sends, and what must come "
       "back\n"
       "  -h, --help              print this text\n");
  puts("Exit status:\n"
       "  0  no failure counts\n"
       "  1  a case failed\n"
       "  2  an argument is wrong\n"
       "  3  transport: no connection, or the application did not survive\n"
       "  4  protocol: even a plain request gets no FastCGI answer");
  return TOOL_OK;
}

void spec_broken(const char *format, ...) {
  char text[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  exit(tool_complain(TOOL_TRANSPORT, "spec: %s", text));
}

void spec_params(const spec_target *target, const case_text *text,
                 tool_params *params) {
  if (!target->echo || target->uri || target->script)
    tool_params_request(params,
                        target->method       ? target->method
                        : script_posts(text) ? "POST"
                                             : "GET",
                        target->uri ? target->uri : "/");
  if (target->script) {
    tool_params_set(params, "SCRIPT_FILENAME", target->script);
    tool_params_set(params, "SCRIPT_NAME",
                    tool_params_get(params, "PATH_INFO"));
    tool_params_remove(params, "PATH_INFO");
  }
  for (size_t i = 0; i < target->param_count; i++)
    tool_params_apply(params, target->params[i]);
  if (target->echo && strcmp(text->handler, "echo") != 0)
    tool_params_set(params, SPEC_HANDLER, text->handler);
}

static void keep(const char ***list, size_t *count, const char *text) {
  *list = tool_realloc(*list, (*count + 1) * sizeof **list);
  (*list)[(*count)++] = text;
}

static int take_timeout(command *c, const char *text) {
  static const fcgi_option timeout = {.name = "timeout",
                                      .kind = FCGI_OPTION_SECONDS,
                                      .least = 1,
                                      .most = 100000000};
  int64_t ms = 0;
  int status = tool_value("spec", &timeout, text, &ms);
  c->target.timeout_ms = (int)ms;
  return status;
}

static int take_form(command *c, report_form form) {
  if (c->report.form != REPORT_TEXT && c->report.form != form)
    return tool_complain(TOOL_USAGE, "spec: --json and --junit exclude each "
                                     "other");
  c->report.form = form;
  return 0;
}

static int take_param(command *c, const char *text) {
  size_t total = strlen(text);
  for (size_t i = 0; i < c->target.param_count; i++)
    total += strlen(c->target.params[i]);
  if (*text == '\0' || *text == '=')
    return tool_complain(TOOL_USAGE, "spec: -p \"%s\": not NAME=VALUE", text);
  if (total > PARAMS_MOST)
    return tool_complain(TOOL_USAGE, "spec: more than %d bytes of parameters",
                         PARAMS_MOST);
  keep(&c->target.params, &c->target.param_count, text);
  return 0;
}

static int take_option(command *c, int option, char *const *argv) {
  switch (option) {
  case OPTION_JSON:
    return take_form(c, REPORT_JSON);
  case OPTION_JUNIT:
    return take_form(c, REPORT_JUNIT);
  case OPTION_ONLY:
    keep(&c->only, &c->only_count, optarg);
    return 0;
  case OPTION_STRICT:
    c->report.strict = 1;
    return 0;
  case OPTION_ECHO:
    c->target.echo = 1;
    return 0;
  case OPTION_LIMITS:
    c->target.limits = optarg;
    return 0;
  case OPTION_URI:
    c->target.uri = optarg;
    return 0;
  case OPTION_SCRIPT:
    c->target.script = optarg;
    return 0;
  case OPTION_METHOD:
    c->target.method = optarg;
    return 0;
  case 'p':
    return take_param(c, optarg);
  case OPTION_TIMEOUT:
    return take_timeout(c, optarg);
  case OPTION_LIST:
    c->list = 1;
    return 0;
  case OPTION_EXPLAIN:
    c->explain = optarg;
    return 0;
  case 'v':
    c->report.verbose = 1;
    return 0;
  default:
    return tool_bad_option("spec", option, argv, options);
  }
}

static int take_words(command *c, int argc, char *const *argv) {
  int needs_none = c->list || c->explain;
  if (needs_none ? optind < argc : optind + 1 < argc)
    return tool_complain(TOOL_USAGE, "spec: \"%s\" is one word too many",
                         argv[needs_none ? optind : optind + 1]);
  if (needs_none)
    return 0;
  if (optind == argc)
    return tool_complain(TOOL_USAGE, "spec: no address; see fcgi spec --help");
  c->target.address = argv[optind];
  if (c->target.limits[0] && !c->target.echo)
    return tool_complain(TOOL_USAGE, "spec: --limits needs --echo");
  return 0;
}

static int parse(command *c, int argc, char **argv) {
  int option, status = 0;
  opterr = 0;
  while (!status &&
         (option = tool_next_option(argc, argv, ":p:vh", options)) != -1) {
    if (option == 'h')
      exit(help());
    status = take_option(c, option, argv);
  }
  return status ? status : take_words(c, argc, argv);
}

/* A case by its name, all of a section, or by a pattern over both. */
static int matches(const char *pattern, const char *name) {
  size_t len = strlen(pattern);
  return fnmatch(pattern, name, 0) == 0 ||
         (strncmp(pattern, name, len) == 0 && name[len] == '/');
}

static int is_selected(const command *c, const char *name) {
  for (size_t i = 0; i < c->only_count; i++)
    if (matches(c->only[i], name))
      return 1;
  return c->only_count == 0;
}

/* Every --only must name something. */
static int check_only(const command *c) {
  for (size_t i = 0; i < c->only_count; i++) {
    size_t found = 0;
    for (size_t k = 0; k < spec_source_count; k++)
      found += matches(c->only[i], spec_sources[k].name) != 0;
    if (found == 0)
      return tool_complain(
          TOOL_USAGE, "spec: no case \"%s\"; see fcgi spec --list", c->only[i]);
  }
  return 0;
}

static void select_cases(command *c) {
  c->cases = tool_realloc(NULL, spec_source_count * sizeof *c->cases);
  for (size_t i = 0; i < spec_source_count; i++) {
    const char *name = spec_sources[i].name;
    spec_case *next = &c->cases[c->report.count];
    if (!is_selected(c, name))
      continue;
    *next = (spec_case){.name = name};
    snprintf(next->section, sizeof next->section, "%.*s",
             (int)strcspn(name, "/"), name);
    case_text_read(&next->text, spec_sources[i].text);
    c->report.count++;
  }
  c->report.cases = c->cases;
  c->report.target = &c->target;
}

static int show(const command *c) {
  for (size_t i = 0; i < c->report.count; i++)
    (c->explain ? report_explain : report_list)(&c->cases[i]);
  return TOOL_OK;
}

static void command_free(command *c) {
  for (size_t i = 0; i < c->report.count; i++) {
    case_text_free(&c->cases[i].text);
    bytes_free(&c->cases[i].expected);
    bytes_free(&c->cases[i].came);
  }
  free(c->cases);
  free(c->only);
  free(c->target.params);
}

int tool_spec(int argc, char **argv) {
  command c = {.target = {.limits = "", .timeout_ms = 2000}};
  int status = parse(&c, argc, argv);
  if (!status && c.explain) {
    c.only_count = 0;
    keep(&c.only, &c.only_count, c.explain);
  }
  if (!status)
    status = check_only(&c);
  if (!status) {
    select_cases(&c);
    if (c.list || c.explain)
      status = show(&c);
    else if ((status = run_first(&c.target)) == 0)
      status = run_all(&c.target, &c.report, c.cases);
  }
  command_free(&c);
  return status;
}
