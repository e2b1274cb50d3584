/* SPDX-License-Identifier: MIT */
/* fcgi top: watch workers and their requests. */
#include "number.h"
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
  tool_view view;      /* Where to look. */
  double interval;     /* Seconds between two looks. */
  int once;            /* 1: print one picture and end. */
  fcgi_status *now;    /* The last look. */
  fcgi_status *before; /* The one before, or NULL. */
  double seconds;      /* The time between them; 0: no two. */
} top;

static const struct option options[] = {
    {"interval", required_argument, NULL, 'i'},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"path", required_argument, NULL, OPTION_PATH},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int help(void) {
  puts(
      "usage: fcgi top ADDRESS|PID [OPTIONS]\n"
      "\n"
      "Shows the workers of a FastCGI program of this library and its open\n"
      "requests, again and again; q ends it. PID is a supervisor, or a server\n"
      "with a status path. ADDRESS is where a server with a status path "
      "listens:\n"
      "unix:/path, unix:@name, host:port, [v6]:port or :port.\n");
  puts("  -i, --interval TIME  time between two looks. Default: 1s\n"
       "      --once           print one picture and end\n"
       "      --path PATH      the server's status path. Default: /status\n"
       "  -h, --help           print this text\n");
  puts(
      "Columns of a worker:\n"
      "  STATE  starting; ready; draining: it finishes its requests, and ends\n"
      "  GEN    its generation; each reload starts the next one\n"
      "  AGE    time since it was started\n"
      "  REQS   requests that it has answered; REQ/S: those of each second\n"
      "  BUSY   requests inside handlers\n"
      "  WAIT   requests that are complete and wait for a free handler\n"
      "  5XX    answers with a status from 500\n"
      "  P95    latency that 95 of 100 requests do not exceed\n");
  puts(
      "Phases of a request:\n"
      "  queued   it waits for a free handler\n"
      "  handler  a handler works on it\n"
      "  sending  its answer is being sent\n"
      "  overdue  its deadline has passed and the client has its 504, but the\n"
      "           handler has not returned\n");
  puts("Exit status:\n"
       "  0  it was shown\n"
       "  2  an argument is wrong\n"
       "  3  no connection, no such process, or no right to look into it\n"
       "  4  what answers has no status");
  return TOOL_OK;
}

static const fcgi_option interval = {.name = "interval",
                                     .kind = FCGI_OPTION_SECONDS,
                                     .least = 100,
                                     .most = 100000000};

static int take_option(top *t, int option, char *const *argv) {
  switch (option) {
  case 'i':
    return tool_seconds("top", &interval, optarg, &t->interval);
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
    return tool_bad_option("top", option, argv, options);
  }
}

/* Counters never fall, unless the program was started anew. */
static uint64_t risen(uint64_t now, uint64_t before) {
  return now > before ? now - before : 0;
}

static void compare(top *t) {
  t->seconds = 0;
  if (t->before && t->now->age_us > t->before->age_us)
    t->seconds = (double)(t->now->age_us - t->before->age_us) / 1e6;
}

static uint64_t total(const top *t, fcgi_metric metric) {
  return fcgi_status_metric(fcgi_status_total(t->now), metric);
}

static double rate(const top *t, uint64_t amount) {
  return t->seconds > 0 ? (double)amount / t->seconds : 0;
}

static double total_rate(const top *t, fcgi_metric metric) {
  return t->seconds > 0
             ? rate(t, risen(total(t, metric),
                             fcgi_status_metric(fcgi_status_total(t->before),
                                                metric)))
             : 0;
}

/* Of the requests that have finished since the last look. */
static uint64_t latency(const top *t, double share) {
  return t->seconds > 0
             ? fcgi_status_quantile(fcgi_status_total(t->now),
                                    fcgi_status_total(t->before), share)
             : 0;
}

/* Numbers are at most five characters wide, so that a line fits 60 columns, and
   are rounded to what is known: a latency to a quarter of itself. */

enum { SHORT = 16 };

static void put_count(char *text, double value) {
  static const char *const units[] = {"", "K", "M", "G", "T"};
  unsigned unit = 0;
  for (; value >= 9999.5 && unit < 4; unit++)
    value /= 1000;
  snprintf(text, SHORT, "%.0f%s", value, units[unit]);
}

static void put_rate(char *text, double value) {
  if (value > 0 && value < 9.95)
    snprintf(text, SHORT, "%.1f", value);
  else
    put_count(text, value);
}

static void put_seconds(char *text, double seconds) {
  if (seconds < 9.95)
    snprintf(text, SHORT, "%.1fs", seconds);
  else if (seconds < 599.5)
    snprintf(text, SHORT, "%.0fs", seconds);
  else if (seconds < 36000)
    snprintf(text, SHORT, "%.0fm", seconds / 60);
  else if (seconds < 864000)
    snprintf(text, SHORT, "%.0fh", seconds / 3600);
  else
    snprintf(text, SHORT, "%.0fd", seconds / 86400);
}

/* The histogram knows a latency to a quarter: two digits say no more. */
static void put_latency(char *text, uint64_t us) {
  double ms = (double)us / 1e3;
  if (us == 0)
    snprintf(text, SHORT, "-");
  else if (ms < 0.995)
    snprintf(text, SHORT, "%.2fms", ms);
  else if (ms < 9.95)
    snprintf(text, SHORT, "%.1fms", ms);
  else if (ms < 99.5)
    snprintf(text, SHORT, "%.0fms", ms);
  else if (ms < 995)
    snprintf(text, SHORT, "%.0f0ms", ms / 10);
  else
    put_seconds(text, ms / 1e3);
}

static void draw_rates(screen *to, const top *t) {
  char per_second[SHORT], in[SHORT], out[SHORT];
  put_rate(per_second, total_rate(t, FCGI_METRIC_REQUESTS));
  put_rate(in, total_rate(t, FCGI_METRIC_BYTES_IN) / 1024);
  put_rate(out, total_rate(t, FCGI_METRIC_BYTES_OUT) / 1024);
  screen_line(to,
              "requests %" PRIu64 ", %s/s  in handlers %" PRIu64
              "  waiting %" PRIu64,
              total(t, FCGI_METRIC_REQUESTS), per_second,
              total(t, FCGI_METRIC_ACTIVE), total(t, FCGI_METRIC_QUEUED));
  screen_line(to, "connections %" PRIu64 "  in %s KiB/s  out %s KiB/s",
              total(t, FCGI_METRIC_OPEN), in, out);
}

static void draw_latencies(screen *to, const top *t) {
  char half[SHORT], most[SHORT], nearly[SHORT];
  put_latency(half, latency(t, 0.5));
  put_latency(most, latency(t, 0.95));
  put_latency(nearly, latency(t, 0.99));
  screen_line(to, "latency now: p50 %s  p95 %s  p99 %s", half, most, nearly);
}

/* Only of programs that have some. */
static void draw_resources(screen *to, const top *t) {
  static const fcgi_metric shown[] = {
      FCGI_METRIC_RESOURCES_OPEN, FCGI_METRIC_RESOURCES_IN_USE,
      FCGI_METRIC_RESOURCES_WAITING, FCGI_METRIC_RESOURCES_REFUSED,
      FCGI_METRIC_RESOURCES_FAILED};
  char text[sizeof shown / sizeof *shown][SHORT];
  if (total(t, FCGI_METRIC_RESOURCES_OPENED) +
          total(t, FCGI_METRIC_RESOURCES_FAILED) ==
      0)
    return;
  for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
    put_count(text[i], (double)total(t, shown[i]));
  screen_line(to, "resources open %s  used %s  wait %s  refused %s  failed %s",
              text[0], text[1], text[2], text[3], text[4]);
  screen_line(to, "requests retried %" PRIu64, total(t, FCGI_METRIC_RETRIED));
}

static void draw_head(screen *to, const top *t) {
  char clock[16], up[SHORT];
  time_t now = time(NULL);
  struct tm parts;
  localtime_r(&now, &parts);
  strftime(clock, sizeof clock, "%H:%M:%S", &parts);
  put_seconds(up, (double)t->now->age_us / 1e6);
  screen_line(to, "%s  up %s  generation %u  %s", t->view.where, up,
              t->now->generation, clock);
  draw_rates(to, t);
  draw_latencies(to, t);
  screen_line(
      to,
      "answers 2xx %" PRIu64 "  3xx %" PRIu64 "  4xx %" PRIu64 "  5xx %" PRIu64,
      total(t, FCGI_METRIC_RESPONSES_2XX), total(t, FCGI_METRIC_RESPONSES_3XX),
      total(t, FCGI_METRIC_RESPONSES_4XX), total(t, FCGI_METRIC_RESPONSES_5XX));
  screen_line(to, "slow %" PRIu64 "  past the deadline %" PRIu64,
              total(t, FCGI_METRIC_SLOW),
              total(t, FCGI_METRIC_ABORTS_DEADLINE));
  draw_resources(to, t);
}

/* By name, all workers together. */
static void draw_kept(screen *to, const top *t) {
  static const fcgi_metric shown[] = {
      FCGI_METRIC_RESOURCES_OPEN,    FCGI_METRIC_RESOURCES_IN_USE,
      FCGI_METRIC_RESOURCES_WAITING, FCGI_METRIC_RESOURCES_OPENED,
      FCGI_METRIC_RESOURCES_REFUSED, FCGI_METRIC_RESOURCES_FAILED};
  const fcgi_status_worker *all = fcgi_status_total(t->now);
  if (all->resource_count > 0)
    screen_title(to, " RESOURCE            OPEN  USED  WAIT OPENED REFUSED "
                     "FAILED");
  for (size_t i = 0; i < all->resource_count; i++) {
    const fcgi_status_resource *at = fcgi_status_resource_at(all, i);
    char text[sizeof shown / sizeof *shown][SHORT];
    for (size_t j = 0; j < sizeof shown / sizeof *shown; j++)
      put_count(text[j], (double)fcgi_status_resource_metric(at, shown[j]));
    screen_line(to, " %-18.18s %5s %5s %5s %6s %7s %6s", at->name, text[0],
                text[1], text[2], text[3], text[4], text[5]);
  }
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
  const fcgi_status_worker *at;
  if (!t->before)
    return 0;
  for (size_t i = 0; (at = fcgi_status_worker_at(t->before, i)) != NULL; i++)
    if (at->pid == pid)
      return fcgi_status_metric(at, FCGI_METRIC_REQUESTS);
  return 0;
}

static void draw_worker(screen *to, const top *t, const fcgi_status_worker *w) {
  uint64_t requests = fcgi_status_metric(w, FCGI_METRIC_REQUESTS);
  char age[SHORT], count[SHORT], per_second[SHORT], errors[SHORT], p95[SHORT];
  put_seconds(age, (double)w->age_us / 1e6);
  put_count(count, (double)requests);
  put_rate(per_second, rate(t, risen(requests, requests_before(t, w->pid))));
  put_count(errors, (double)fcgi_status_metric(w, FCGI_METRIC_RESPONSES_5XX));
  put_latency(p95, fcgi_status_quantile(w, NULL, 0.95));
  screen_line(
      to, "%7" PRId64 " %-8s %3u %4s %5s %5s %4" PRIu64 " %4" PRIu64 " %4s %6s",
      w->pid, state_name(w->state), w->generation, age, count, per_second,
      fcgi_status_metric(w, FCGI_METRIC_ACTIVE),
      fcgi_status_metric(w, FCGI_METRIC_QUEUED), errors, p95);
}

static void draw_workers(screen *to, const top *t) {
  screen_title(to, " WORKER STATE    GEN  AGE  REQS REQ/S BUSY WAIT  5XX    "
                   "P95");
  for (size_t i = 0; i < t->now->worker_count; i++)
    draw_worker(to, t, fcgi_status_worker_at(t->now, i));
}

/* A request, and the process of its worker. */
typedef struct open_request {
  const fcgi_status_request *request; /* Lent by the status. */
  int64_t pid;                        /* Its worker. */
} open_request;

static int by_age(const void *a, const void *b) {
  uint64_t x = ((const open_request *)a)->request->age_us;
  uint64_t y = ((const open_request *)b)->request->age_us;
  return x < y ? 1 : x > y ? -1 : 0;
}

static size_t sort_requests(open_request *sorted, const fcgi_status *status) {
  size_t count = 0;
  for (size_t i = 0; i < status->worker_count; i++) {
    const fcgi_status_worker *worker = fcgi_status_worker_at(status, i);
    for (size_t j = 0; j < worker->request_count; j++)
      sorted[count++] =
          (open_request){fcgi_status_request_at(worker, j), worker->pid};
  }
  qsort(sorted, count, sizeof *sorted, by_age);
  return count;
}

/* The oldest first: those are looked for. */
static void draw_requests(screen *to, const top *t) {
  open_request *sorted =
      tool_realloc(NULL, (t->now->request_count + 1) * sizeof *sorted);
  size_t count = sort_requests(sorted, t->now);
  screen_title(to, " WORKER PHASE     AGE METHOD  PATH");
  for (size_t i = 0; i < count; i++) {
    const fcgi_status_request *request = sorted[i].request;
    char age[SHORT];
    put_seconds(age, (double)request->age_us / 1e6);
    screen_line(to, "%7" PRId64 " %-8s %4s %-7s %s", sorted[i].pid,
                phase_name(request->phase), age, request->method,
                request->path);
  }
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
  draw_kept(to, t);
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
         (option = tool_next_option(argc, argv, ":i:h", options)) != -1) {
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
