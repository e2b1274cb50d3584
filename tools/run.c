/* SPDX-License-Identifier: MIT */
/* fcgi run: keep workers of a FastCGI program running, and replace them without
   losing a request. */
#include "cpus.h"
#include "number.h"
#include "tool.h"
#include <ctype.h>
#include <fastcgi/error.h>
#include <fastcgi/supervisor.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESSES = 16 };

typedef struct command_line {
  fcgi_supervisor_config config;        /* What it asks for. */
  const char *addresses[ADDRESSES + 1]; /* --bind. */
  size_t address_count;                 /* How many. */
  fcgi_log_level level;                 /* --log-level. */
} command_line;

/* How the value of an option is read, and where it goes. */
typedef struct setting {
  const char *name; /* Of the option. */
  int (*take)(command_line *line, const struct setting *setting,
              const char *text);
  size_t at;        /* Offset of the field in the configuration. */
  const char *hint; /* What the value should have been. */
} setting;

static void *field(command_line *line, const setting *which) {
  return (char *)&line->config + which->at;
}

static int take_text(command_line *line, const setting *which,
                     const char *text) {
  *(const char **)field(line, which) = text;
  return *text ? 0 : -1;
}

static int take_address(command_line *line, const setting *which,
                        const char *text) {
  (void)which;
  if (line->address_count == ADDRESSES)
    return -1;
  line->addresses[line->address_count++] = text;
  return 0;
}

static int take_count(command_line *line, const setting *which,
                      const char *text) {
  long long number;
  if (tool_number(text, 1, INT_MAX, &number))
    return -1;
  *(int *)field(line, which) = (int)number;
  return 0;
}

static int take_workers(command_line *line, const setting *which,
                        const char *text) {
  if (strcmp(text, "auto") != 0)
    return take_count(line, which, text);
  line->config.workers = (unsigned)tool_cpus();
  return 0;
}

static int take_requests(command_line *line, const setting *which,
                         const char *text) {
  long long number;
  if (tool_number(text, 1, LLONG_MAX / 4, &number))
    return -1;
  *(uint64_t *)field(line, which) = (uint64_t)number;
  return 0;
}

static int read_bytes(const char *text, uint64_t *bytes) {
  static const char units[] = "KMG";
  const char *unit = *text ? strchr(units, text[strlen(text) - 1]) : NULL;
  int shift = unit ? 10 * (int)(unit - units + 1) : 0;
  char digits[24];
  long long number;
  if (snprintf(digits, sizeof digits, "%.*s",
               (int)(strlen(text) - (unit ? 1 : 0)),
               text) >= (int)sizeof digits ||
      tool_number(digits, 1, LLONG_MAX >> shift, &number))
    return -1;
  *bytes = (uint64_t)number << shift;
  return 0;
}

static int take_bytes(command_line *line, const setting *which,
                      const char *text) {
  return read_bytes(text, field(line, which));
}

/* Seconds, perhaps with a fraction, or with a unit, as milliseconds. */
static int parse_time(const char *text, long long *ms) {
  static const double factors[] = {1, 60, 3600, 86400};
  double number;
  if (tool_decimal_unit(text, "smhd", factors, 0.001, 1e11, &number))
    return -1;
  *ms = (long long)(number * 1000);
  return 0;
}

static int take_time(command_line *line, const setting *which,
                     const char *text) {
  long long ms;
  if (parse_time(text, &ms) || ms > INT_MAX)
    return -1;
  *(int *)field(line, which) = (int)ms;
  return 0;
}

static int take_long_time(command_line *line, const setting *which,
                          const char *text) {
  long long ms;
  if (parse_time(text, &ms))
    return -1;
  *(int64_t *)field(line, which) = ms;
  return 0;
}

static int take_ready_after(command_line *line, const setting *which,
                            const char *text) {
  if (strcmp(text, "never") != 0)
    return take_time(line, which, text);
  line->config.ready_after_ms = FCGI_READY_WHEN_TOLD;
  return 0;
}

static int take_mode(command_line *line, const setting *which,
                     const char *text) {
  char *end;
  unsigned long mode = strtoul(text, &end, 8);
  if (*text < '0' || *text > '7' || *end || mode > 0777)
    return -1;
  *(unsigned *)field(line, which) = (unsigned)mode;
  return 0;
}

/* A socket without any right is of no use to anybody. */
static int take_socket_mode(command_line *line, const setting *which,
                            const char *text) {
  return take_mode(line, which, text) || line->config.socket_mode == 0 ? -1 : 0;
}

static int take_umask(command_line *line, const setting *which,
                      const char *text) {
  line->config.has_umask = 1;
  return take_mode(line, which, text);
}

static int take_yes(command_line *line, const setting *which,
                    const char *text) {
  (void)text;
  *(int *)field(line, which) = 1;
  return 0;
}

/* What a server of this library reads from its environment: --status-path is
   FASTCGI_STATUS_PATH, and so on. */
static int tell_worker(const setting *which, const char *value) {
  char name[64] = "FASTCGI_";
  size_t at = strlen(name);
  for (const char *c = which->name; *c && at + 1 < sizeof name; c++)
    name[at++] = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
  name[at] = '\0';
  return setenv(name, value, 1);
}

static int take_worker_path(command_line *line, const setting *which,
                            const char *text) {
  (void)line;
  return *text == '/' && strlen(text) < 256 ? tell_worker(which, text) : -1;
}

/* "" says that it is mounted nowhere, whatever the web server says. */
static int take_worker_root(command_line *line, const setting *which,
                            const char *text) {
  return *text ? take_worker_path(line, which, text) : tell_worker(which, text);
}

static int take_worker_time(command_line *line, const setting *which,
                            const char *text) {
  long long ms;
  char seconds[32];
  (void)line;
  if (parse_time(text, &ms) || ms > INT_MAX)
    return -1;
  snprintf(seconds, sizeof seconds, "%lld.%03lld", ms / 1000, ms % 1000);
  return tell_worker(which, seconds);
}

static int take_worker_flag(command_line *line, const setting *which,
                            const char *text) {
  (void)line;
  (void)text;
  return tell_worker(which, "1");
}

static int take_worker_bytes(command_line *line, const setting *which,
                             const char *text) {
  uint64_t bytes;
  char digits[24];
  (void)line;
  if (read_bytes(text, &bytes))
    return -1;
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)bytes);
  return tell_worker(which, digits);
}

static int take_level(command_line *line, const setting *which,
                      const char *text) {
  static const char *const names[] = {"error", "warning", "info", "debug"};
  (void)which;
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(text, names[i]) == 0) {
      line->level = (fcgi_log_level)i;
      return 0;
    }
  return -1;
}

#define AT(name) offsetof(fcgi_supervisor_config, name)

static const char a_time[] = "a time such as 30, 0.5 or 5m";
static const char a_count[] = "a whole number from 1";
static const char a_size[] = "a size such as 200M";
static const char a_mode[] = "an octal mode such as 660";
static const char a_name[] = "a name or number";
static const char a_path[] = "a path that begins with /, below 256 bytes";

static const setting settings[] = {
    {"bind", take_address, 0, "one of at most 16 addresses"},
    {"workers", take_workers, AT(workers), "a whole number from 1, or auto"},
    {"backlog", take_count, AT(backlog), a_count},
    {"socket-mode", take_socket_mode, AT(socket_mode), a_mode},
    {"socket-user", take_text, AT(socket_user), a_name},
    {"socket-group", take_text, AT(socket_group), a_name},
    {"allow-from", take_text, AT(allow_from), "a list of addresses"},
    {"user", take_text, AT(user), a_name},
    {"group", take_text, AT(group), a_name},
    {"umask", take_umask, AT(umask), a_mode},
    {"chdir", take_text, AT(chdir), "a directory"},
    {"pid", take_text, AT(pid), "a file"},
    {"ready-after", take_ready_after, AT(ready_after_ms),
     "a time such as 30, 0.5 or 5m, or \"never\""},
    {"start-timeout", take_time, AT(start_timeout_ms), a_time},
    {"graceful-timeout", take_time, AT(graceful_timeout_ms), a_time},
    {"timeout", take_time, AT(timeout_ms), a_time},
    {"max-requests", take_requests, AT(max_requests), a_count},
    {"max-requests-jitter", take_requests, AT(max_requests_jitter), a_count},
    {"max-worker-age", take_long_time, AT(max_worker_age_ms), a_time},
    {"max-worker-age-jitter", take_long_time, AT(max_worker_age_jitter_ms),
     a_time},
    {"max-worker-rss", take_bytes, AT(max_worker_rss), a_size},
    {"status-path", take_worker_path, 0, a_path},
    {"ping-path", take_worker_path, 0, a_path},
    {"root-path", take_worker_root, 0, a_path},
    {"request-timeout", take_worker_time, 0, a_time},
    {"slow-log", take_worker_time, 0, a_time},
    {"no-multiplex", take_worker_flag, 0, ""},
    {"connection-memory", take_worker_bytes, 0, a_size},
    {"server-memory", take_worker_bytes, 0, a_size},
    {"log-level", take_level, 0, "one of error, warning, info and debug"},
    {"allow-root", take_yes, AT(allow_root), ""},
};
enum { SETTINGS = sizeof settings / sizeof *settings, FIRST = 256 };

/* Short forms, as gunicorn has them. */
static const struct {
  char letter;      /* What is typed. */
  const char *name; /* What it means. */
} letters[] = {{'b', "bind"},   {'w', "workers"}, {'u', "user"},
               {'g', "group"},  {'m', "umask"},   {'p', "pid"},
               {'t', "timeout"}};

static void help_processes(void) {
  puts(
      "usage: fcgi run [OPTIONS] -- COMMAND [ARGUMENTS]\n"
      "\n"
      "Keeps workers of any FastCGI program running and replaces them without\n"
      "losing a request. A worker finds the listener at descriptor 0 and by\n"
      "LISTEN_FDS, and says that it is ready as sd_notify does.\n");
  puts("  -b, --bind ADDRESS        unix:/path, unix:@name, host:port, "
       "[v6]:port,\n"
       "                            :port or fd:N; may be repeated (the "
       "inherited\n"
       "                            listener)\n"
       "  -w, --workers N           how many, or auto: as many as processors "
       "(1)\n"
       "      --backlog N           connections that wait (4096)\n"
       "      --socket-mode MODE    of a unix socket (660)\n"
       "      --socket-user NAME    its owner\n"
       "      --socket-group NAME   its group\n"
       "      --allow-from LIST     addresses and blocks that may connect over "
       "TCP\n"
       "                            (loopback)");
  puts("  -u, --user NAME           become this user\n"
       "  -g, --group NAME          become this group (the user's)\n"
       "      --allow-root          let workers run as root\n"
       "  -m, --umask MODE          of files that workers make\n"
       "      --chdir DIR           change to this directory first\n"
       "  -p, --pid FILE            write the process id to it");
}

static int help(void) {
  help_processes();
  puts("      --ready-after TIME    when a worker that tells nothing counts "
       "as\n"
       "                            ready, or \"never\" (10s)\n"
       "      --start-timeout TIME  to become ready (60s)\n"
       "      --graceful-timeout TIME\n"
       "                            to finish what runs (30s)\n"
       "  -t, --timeout TIME        longest silence of a worker that has sent\n"
       "                            WATCHDOG=1 (no limit)");
  puts("      --max-requests N      replace a worker after so many (never)\n"
       "      --max-requests-jitter N\n"
       "                            up to so many more (0)\n"
       "      --max-worker-age TIME replace a worker then (never)\n"
       "      --max-worker-age-jitter TIME\n"
       "                            up to so much earlier (0)\n"
       "      --max-worker-rss SIZE replace a worker that uses more (never)\n"
       "      --status-path PATH    answer this path with what workers do "
       "(none)\n"
       "      --ping-path PATH      answer this path with \"pong\" (none)\n"
       "      --root-path PATH      where the application is mounted (the web\n"
       "                            server says it)\n"
       "      --request-timeout TIME\n"
       "                            to answer a request, then 504 (no limit)\n"
       "      --slow-log TIME       log requests that are older (none)\n"
       "      --no-multiplex        ask web servers for one request at a time "
       "on a\n"
       "                            connection\n"
       "      --connection-memory SIZE\n"
       "                            what requests of a connection may hold "
       "(4M)\n"
       "      --server-memory SIZE  what those of a worker may hold (256M)\n"
       "      --log-level LEVEL     error, warning, info or debug (info)\n"
       "  -h, --help                this text\n");
  puts(
      "Sizes take K, M or G, times s, m, h or d. The numbers of requests, the\n"
      "status path, the request timeout, the slow log, --no-multiplex and the\n"
      "sizes of memory are for servers of the fastcgi library.\n"
      "\n"
      "Signals: HUP replaces the workers, new ones first; TERM and INT finish\n"
      "what runs and stop, a second one and QUIT stop quickly; USR1 goes to "
      "the\n"
      "workers; USR2 replaces this program; TTIN and TTOU make one worker "
      "more\n"
      "or less.\n"
      "\n"
      "Exit status:\n"
      "  0  stopped\n"
      "  1  it could not begin: an address, a file, a user, the command\n"
      "  2  wrong arguments\n"
      "  3  the first workers did not become ready");
  return TOOL_OK;
}

static int find_setting(int found) {
  if (found >= FIRST)
    return found - FIRST;
  for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
    for (int j = 0; letters[i].letter == found && j < SETTINGS; j++)
      if (strcmp(settings[j].name, letters[i].name) == 0)
        return j;
  return -1;
}

static void list_options(struct option *options) {
  for (int i = 0; i < SETTINGS; i++)
    options[i] = (struct option){.name = settings[i].name,
                                 .has_arg = settings[i].hint[0] == '\0'
                                                ? no_argument
                                                : required_argument,
                                 .val = FIRST + i};
  options[SETTINGS] = (struct option){"help", no_argument, NULL, 'h'};
  options[SETTINGS + 1] = (struct option){NULL, 0, NULL, 0};
}

/* -1 when the command line is read; otherwise the exit status. */
static int read_options(command_line *line, int argc, char **argv) {
  struct option options[SETTINGS + 2];
  int found;
  list_options(options);
  while ((found = getopt_long(argc, argv, "+:b:w:u:g:m:p:t:h", options,
                              NULL)) != -1) {
    int which = find_setting(found);
    if (found == 'h')
      return help();
    if (which < 0)
      return tool_bad_option("run", found, argv, options);
    if (settings[which].take(line, &settings[which], optarg))
      return tool_complain(TOOL_USAGE, "run: --%s %s: not %s",
                           settings[which].name, optarg, settings[which].hint);
  }
  return -1;
}

int tool_run(int argc, char **argv) {
  command_line line = {.config = {.size = sizeof line.config},
                       .level = FCGI_LOG_INFO};
  int status = read_options(&line, argc, argv);
  if (status >= 0)
    return status;
  if (optind >= argc)
    return tool_complain(TOOL_USAGE, "run: no command; see fcgi run --help");
  line.config.command = (const char *const *)argv + optind;
  /* The words before are "fcgi" and "run": the program again, as it was. */
  line.config.self = (const char *const *)argv - 1;
  if (line.address_count > 0)
    line.config.bind = line.addresses;
  line.config.log_name = "fcgi";
  line.config.log_levels = (2u << line.level) - 1;
  return fcgi_supervisor_run(&line.config);
}
