/* SPDX-License-Identifier: MIT */
/* fcgi top: watch workers and their requests. */
#include "screen.h"
#include "tool.h"
#include "view.h"
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OPTION_PATH = 256, OPTION_ONCE };

typedef struct top {
  tool_view view;            /* Where to look. */
  double interval;           /* Seconds between two looks. */
  int once;                  /* 1: print one picture and end. */
  fcgi_status *now;          /* The last look. */
  fcgi_status *before;       /* The one before, or NULL. */
  fcgi_status_worker recent; /* What has changed between them. */
  double seconds;            /* The time between them; 0: no two. */
} top;

static const struct option options[] = {
    {"interval", required_argument, NULL, 'i'},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"path", required_argument, NULL, OPTION_PATH},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int help(void) {
  puts("usage: fcgi top ADDRESS|PID [OPTIONS]\n"
       "\n"
       "Shows the workers of a FastCGI program of this library and the "
       "requests\n"
       "under way, again and again; q ends it. ADDRESS and PID are as for\n"
       "fcgi status.\n");
  puts("  -i, --interval S   seconds between two looks, 1\n"
       "      --once         print one picture and end\n"
       "      --path PATH    the server's status path, /status\n"
       "  -h, --help         this text\n");
  puts("Exit status: as of fcgi status.");
  return TOOL_OK;
}

static int take_option(top *t, int option, char *const *argv) {
  char *end;
  switch (option) {
  case 'i':
    t->interval = strtod(optarg, &end);
    return *optarg && !*end && t->interval >= 0.1 && t->interval < 1e5
               ? 0
               : tool_complain(TOOL_USAGE,
                               "top: --interval %s: not a number of seconds "
                               "from 0.1",
                               optarg);
  case OPTION_ONCE:
    t->once = 1;
    return 0;
  case OPTION_PATH:
    t->view.path = optarg;
    return *optarg == '/'
               ? 0
               : tool_complain(TOOL_USAGE, "top: --path %s: must start with /",
                               optarg);
  default:
    return tool_bad_option("top", option, argv);
  }
}

/* Counters never fall, unless the program was started anew. */
static uint64_t risen(uint64_t now, uint64_t before) {
  return now > before ? now - before : 0;
}

static void compare(top *t) {
  const fcgi_status_worker *now = &t->now->total, *before;
  memset(&t->recent, 0, sizeof t->recent);
  t->seconds = 0;
  if (!t->before || t->now->age_us <= t->before->age_us)
    return;
  before = &t->before->total;
  t->seconds = (double)(t->now->age_us - t->before->age_us) / 1e6;
  for (unsigned i = 0; i < FCGI_STATUS_VALUES; i++)
    t->recent.values[i] = risen(now->values[i], before->values[i]);
  for (unsigned i = 0; i < FCGI_STATUS_BUCKETS; i++)
    t->recent.latency[i] = risen(now->latency[i], before->latency[i]);
}

static double rate(const top *t, uint64_t amount) {
  return t->seconds > 0 ? (double)amount / t->seconds : 0;
}

static double ms(const top *t, double share) {
  return (double)fcgi_status_quantile(&t->recent, share) / 1e3;
}

static void draw_head(screen *to, const top *t) {
  const uint64_t *all = t->now->total.values, *new = t->recent.values;
  char clock[16];
  time_t now = time(NULL);
  struct tm parts;
  localtime_r(&now, &parts);
  strftime(clock, sizeof clock, "%H:%M:%S", &parts);
  screen_line(to, "%s  up %.0f s  generation %u  %s", t->view.where,
              (double)t->now->age_us / 1e6, t->now->generation, clock);
  screen_line(to,
              "requests %" PRIu64 "  %.1f/s  in handlers %" PRIu64
              "  waiting %" PRIu64 "  connections %" PRIu64,
              all[FCGI_STATUS_REQUESTS], rate(t, new[FCGI_STATUS_REQUESTS]),
              all[FCGI_STATUS_ACTIVE], all[FCGI_STATUS_QUEUED],
              all[FCGI_STATUS_OPEN]);
  screen_line(to,
              "latency now  p50 %.2f ms  p95 %.2f ms  p99 %.2f ms  "
              "in %.1f KiB/s  out %.1f KiB/s",
              ms(t, 0.5), ms(t, 0.95), ms(t, 0.99),
              rate(t, new[FCGI_STATUS_BYTES_IN]) / 1024,
              rate(t, new[FCGI_STATUS_BYTES_OUT]) / 1024);
  screen_line(to,
              "answers 2xx %" PRIu64 "  3xx %" PRIu64 "  4xx %" PRIu64
              "  5xx %" PRIu64 "  slow %" PRIu64 "  overdue %" PRIu64,
              all[FCGI_STATUS_RESPONSES_2XX], all[FCGI_STATUS_RESPONSES_3XX],
              all[FCGI_STATUS_RESPONSES_4XX], all[FCGI_STATUS_RESPONSES_5XX],
              all[FCGI_STATUS_SLOW], all[FCGI_STATUS_ABORTS_DEADLINE]);
}

static const char *state_name(fcgi_worker_state state) {
  static const char *const names[] = {
#define NAME(name, key) #key,
      FCGI_WORKER_STATE_MAP(NAME)
#undef NAME
  };
  return names[state];
}

static const char *phase_name(fcgi_phase phase) {
  static const char *const names[] = {
#define NAME(name, key) #key,
      FCGI_PHASE_MAP(NAME)
#undef NAME
  };
  return names[phase];
}

static uint64_t requests_before(const top *t, int64_t pid) {
  for (size_t i = 0; t->before && i < t->before->worker_count; i++)
    if (t->before->workers[i].pid == pid)
      return t->before->workers[i].values[FCGI_STATUS_REQUESTS];
  return 0;
}

static void draw_workers(screen *to, const top *t) {
  screen_title(to, "    PID STATE      GEN    AGE  REQUESTS     REQ/S  BUSY "
                   "WAIT   5XX   P95 ms");
  for (size_t i = 0; i < t->now->worker_count; i++) {
    const fcgi_status_worker *w = &t->now->workers[i];
    uint64_t requests = w->values[FCGI_STATUS_REQUESTS];
    screen_line(to,
                "%7" PRId64 " %-9s %4u %6.0f %9" PRIu64 " %9.1f %5" PRIu64
                " %4" PRIu64 " %5" PRIu64 " %8.2f",
                w->pid, state_name(w->state), w->generation,
                (double)w->age_us / 1e6, requests,
                rate(t, risen(requests, requests_before(t, w->pid))),
                w->values[FCGI_STATUS_ACTIVE], w->values[FCGI_STATUS_QUEUED],
                w->values[FCGI_STATUS_RESPONSES_5XX],
                (double)fcgi_status_quantile(w, 0.95) / 1e3);
  }
}

static int by_age(const void *a, const void *b) {
  const fcgi_status_request *const *x = a, *const *y = b;
  return (*x)->age_us < (*y)->age_us ? 1 : (*x)->age_us > (*y)->age_us ? -1 : 0;
}

/* The oldest first: that is what one looks for. */
static void draw_requests(screen *to, const top *t) {
  size_t count = t->now->request_count;
  const fcgi_status_request **sorted =
      tool_realloc(NULL, (count + 1) * sizeof *sorted);
  for (size_t i = 0; i < count; i++)
    sorted[i] = &t->now->requests[i];
  qsort(sorted, count, sizeof *sorted, by_age);
  screen_title(to, "PHASE         AGE METHOD  PATH");
  for (size_t i = 0; i < count; i++)
    screen_line(to, "%-8s %6.2f s %-7s %s", phase_name(sorted[i]->phase),
                (double)sorted[i]->age_us / 1e6, sorted[i]->method,
                sorted[i]->path);
  free(sorted);
}

static int look(top *t) {
  fcgi_status *found = NULL;
  int status = tool_view_read(&t->view, &found);
  if (status)
    return status;
  fcgi_status_free(t->before);
  t->before = t->now;
  t->now = found;
  compare(t);
  return TOOL_OK;
}

static void draw(screen *to, const top *t) {
  screen_begin(to);
  draw_head(to, t);
  draw_workers(to, t);
  draw_requests(to, t);
  screen_end(to);
}

/* The first look is taken before the screen is: a wrong address is a line on a
   screen that was not touched. */
static int watch(top *t) {
  screen to;
  int status = look(t);
  if (status)
    return status;
  screen_open(&to, t->once);
  while (!status && !screen_pause(&to, t->interval)) {
    status = look(t);
    if (!status)
      draw(&to, t);
    if (t->once)
      break;
  }
  screen_close(&to);
  return status;
}

int tool_top(int argc, char **argv) {
  top t = {.view = {.command = "top", .path = "/status", .seconds = 10},
           .interval = 1};
  int option, status = 0;
  opterr = 0;
  while (!status &&
         (option = getopt_long(argc, argv, ":i:h", options, NULL)) != -1) {
    if (option == 'h')
      return help();
    status = take_option(&t, option, argv);
  }
  if (!status && argc - optind != 1)
    status = tool_complain(TOOL_USAGE,
                           "top: one address or process id is needed; see "
                           "fcgi top --help");
  if (status)
    return status;
  t.view.where = argv[optind];
  status = watch(&t);
  fcgi_status_free(t.now);
  fcgi_status_free(t.before);
  return status;
}
