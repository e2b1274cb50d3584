/* SPDX-License-Identifier: MIT */
/* fcgi bench: requests as fast as an application answers them, or at a rate,
   with every answer checked. */
#include "bench.h"
#include "number.h"
#include "tool.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* The command line that is not part of the plan itself. */
typedef struct command {
  bench_plan plan;     /* What it asks for. */
  const char *profile; /* --params */
  const char **given;  /* Values of -p, as typed. Owned. */
  size_t given_len;    /* Number of parameters that were given. */
} command;

static const struct option options[] = {
    {"connections", required_argument, NULL, 'c'},
    {"in-flight", required_argument, NULL, 'm'},
    {"requests", required_argument, NULL, 'n'},
    {"duration", required_argument, NULL, 'd'},
    {"rate", required_argument, NULL, 'r'},
    {"threads", required_argument, NULL, 't'},
    {"timeout", required_argument, NULL, 'T'},
    {"idle", required_argument, NULL, 'I'},
    {"body", required_argument, NULL, 'b'},
    {"params", required_argument, NULL, 'P'},
    {"param", required_argument, NULL, 'p'},
    {"uri", required_argument, NULL, 'u'},
    {"keep", no_argument, NULL, 'k'},
    {"no-keep", no_argument, NULL, 'K'},
    {"expect-echo", no_argument, NULL, 'e'},
    {"any-answer", no_argument, NULL, 'a'},
    {"allow-unclosed", no_argument, NULL, 'U'},
    {"json", no_argument, NULL, 'j'},
    {"histogram", no_argument, NULL, 'H'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int help(void) {
  puts(
      "usage: fcgi bench ADDRESS [OPTIONS]\n"
      "\n"
      "Sends requests to a FastCGI application, checks every answer, and "
      "prints how\n"
      "many answers were right and how long they took. ADDRESS is unix:/path,\n"
      "unix:@name, host:port, [v6]:port or :port.\n");
  puts(
      "  -c, --connections N   connections that are open at once. Default: 16\n"
      "  -m, --in-flight N     requests at once on each connection. Default: "
      "1\n"
      "  -n, --requests N      end after N requests\n"
      "  -d, --duration TIME   end after TIME. Default: 10s without -n\n"
      "  -r, --rate N          start N requests a second, even if answers are "
      "late;\n"
      "                        latency counts from the intended start\n"
      "  -t, --threads N       threads that send. Default: 1\n"
      "      --timeout TIME    wait so long for one answer. Default: 30s\n"
      "      --idle N          keep N more connections open without requests\n"
      "      --keep            keep connections open; the default\n"
      "      --no-keep         use a new connection for each request\n");
  puts("  -b, --body SIZE       send a body of SIZE bytes with POST; SIZE "
       "takes K, M or G\n"
       "      --params PROFILE  parameters to send: nginx, those that nginx "
       "sends for\n"
       "                        a browser; minimal; or a number. Default: "
       "nginx\n"
       "  -p, --param NAME=VAL  set a parameter; -p NAME removes it\n"
       "      --uri URI         the page to ask for. Default: /\n"
       "      --expect-echo     the body of each answer must be the body that "
       "was sent\n"
       "      --any-answer      answers may differ from the first one\n"
       "      --allow-unclosed  STDOUT may lack its empty last record\n"
       "      --json            print one JSON object\n"
       "      --histogram       print a histogram of the latencies\n"
       "  -h, --help            print this text\n");
  puts(
      "An answer is right if it has status 2xx, exit status 0, all its "
      "records, and\n"
      "the bytes of the first right answer. A page that changes needs "
      "--any-answer.\n"
      "SIGINT and SIGTERM end a run early; its results are printed.\n"
      "\n"
      "Exit status, the highest that applies:\n"
      "  0  all answers are right\n"
      "  1  an answer has another status, exit status or body\n"
      "  2  an argument is wrong\n"
      "  3  transport: no connection, a lost connection, or no answer in time\n"
      "  4  protocol: the answer breaks FastCGI or CGI, or a request was "
      "rejected");
  return TOOL_OK;
}

#define NUMBER(name_, kind_, least_, most_)                                    \
  { .name = name_, .kind = FCGI_OPTION_##kind_, .least = least_, .most = most_ }

/* Options that take a number, and what it may be; times in milliseconds. */
static const struct {
  int letter;         /* In `options`. */
  fcgi_option option; /* What it may be. */
} ranges[] = {
    {'c', NUMBER("connections", COUNT, 1, 100000)},
    {'m', NUMBER("in-flight", COUNT, 1, 10000)},
    {'n', NUMBER("requests", COUNT, 1, INT64_C(1000000000000000))},
    {'d', NUMBER("duration", SECONDS, 1, 1000000000)},
    {'t', NUMBER("threads", COUNT, 1, 256)},
    {'T', NUMBER("timeout", SECONDS, 1, 1000000000)},
    {'I', NUMBER("idle", COUNT, 0, 100000)},
    {'b', NUMBER("body", BYTES, 0, 1 << 30)},
};
enum { RANGES = sizeof ranges / sizeof *ranges };

static int take_rate(bench_plan *plan) {
  return tool_decimal(optarg, 0.001, 1e8, &plan->rate) == 0
             ? 0
             : tool_complain(TOOL_USAGE,
                             "bench: --rate=%s: must be a number from 0.001 "
                             "to 100000000",
                             optarg);
}

static int take_number(bench_plan *plan, unsigned row) {
  int64_t value = 0;
  int status = tool_value("bench", &ranges[row].option, optarg, &value);
  if (status)
    return status;
  switch (ranges[row].letter) {
  case 'c':
    plan->connections = (unsigned)value;
    break;
  case 'm':
    plan->in_flight = (unsigned)value;
    break;
  case 'n':
    plan->requests = (uint64_t)value;
    break;
  case 'd':
    plan->seconds = (double)value / 1000;
    break;
  case 't':
    plan->threads = (unsigned)value;
    break;
  case 'T':
    plan->timeout = (double)value / 1000;
    break;
  case 'I':
    plan->idle = (unsigned)value;
    break;
  default:
    plan->body_len = (size_t)value;
  }
  return 0;
}

/* Options without a value. */
static int take_flag(bench_plan *plan, int option, char *const *argv) {
  switch (option) {
  case 'k':
  case 'K':
    plan->keep = option == 'k';
    return 0;
  case 'e':
    return plan->echo = 1, 0;
  case 'a':
    return plan->any_answer = 1, 0;
  case 'U':
    return plan->allow_unclosed = 1, 0;
  case 'j':
    return plan->json = 1, 0;
  case 'H':
    return plan->histogram = 1, 0;
  default:
    return tool_bad_option("bench", option, argv, options);
  }
}

static int take_option(command *c, int option, char *const *argv) {
  for (unsigned i = 0; i < RANGES; i++)
    if (ranges[i].letter == option)
      return take_number(&c->plan, i);
  if (option == 'r')
    return take_rate(&c->plan);
  if (option == 'P') {
    c->profile = optarg;
  } else if (option == 'u') {
    c->plan.uri = optarg;
  } else if (option == 'p') {
    c->given = tool_realloc(c->given, (c->given_len + 1) * sizeof *c->given);
    c->given[c->given_len++] = optarg;
  } else {
    return take_flag(&c->plan, option, argv);
  }
  return 0;
}

/* What contradicts itself, or cannot be held in memory. */
static int check(const bench_plan *plan) {
  if (plan->in_flight > 1 && !plan->keep)
    return tool_complain(TOOL_USAGE, "bench: --in-flight above 1 needs --keep: "
                                     "a connection that is not kept carries "
                                     "one request");
  if (plan->threads > plan->connections)
    return tool_complain(TOOL_USAGE,
                         "bench: --threads %u is more than --connections %u",
                         plan->threads, plan->connections);
  if ((double)plan->body_len * plan->in_flight > 1 << 30)
    return tool_complain(TOOL_USAGE, "bench: --body times --in-flight is more "
                                     "than 1 GiB");
  if (plan->uri[0] != '/')
    return tool_complain(TOOL_USAGE, "bench: URI \"%s\" must start with /",
                         plan->uri);
  return 0;
}

static int parse(command *c, int argc, char **argv) {
  bench_plan *plan = &c->plan;
  int option, status = 0;
  opterr = 0;
  while (!status && (option = tool_next_option(argc, argv, ":c:m:n:d:r:t:b:p:h",
                                               options)) != -1) {
    if (option == 'h')
      exit(help());
    status = take_option(c, option, argv);
  }
  if (status)
    return status;
  if (argc - optind != 1)
    return tool_complain(TOOL_USAGE,
                         argc == optind
                             ? "bench: no address; see fcgi bench --help"
                             : "bench: only one address can be measured; see "
                               "fcgi bench --help");
  plan->address = argv[optind];
  if (plan->requests == 0 && plan->seconds <= 0)
    plan->seconds = 10;
  return check(plan);
}

/* A connection needs a descriptor; a thread two, and the program a few. */
static int raise_limit(const bench_plan *plan) {
  rlim_t need = (rlim_t)plan->connections + plan->idle + 2 * plan->threads + 8;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need)
    return 0;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max >= need)
    return 0;
  return tool_complain(TOOL_USAGE,
                       "bench: %llu descriptors are needed, and the limit is "
                       "%llu (ulimit -Hn)",
                       (unsigned long long)need,
                       (unsigned long long)limit.rlim_max);
}

static int prepare(command *c) {
  bench_plan *plan = &c->plan;
  int status = bench_resolve(plan);
  if (status)
    return status;
  if (bench_profile(plan, c->profile) < 0)
    return tool_complain(TOOL_USAGE,
                         "bench: --params %s: give nginx, minimal or a "
                         "number of parameters up to 100000",
                         c->profile);
  for (size_t i = 0; i < c->given_len; i++)
    tool_params_apply(&plan->params, c->given[i]);
  bench_bytes_make(plan);
  return raise_limit(plan);
}

/* Share `all` out: what part `index` of `parts` gets. */
static uint64_t part(uint64_t all, unsigned index, unsigned parts) {
  return all / parts + (index < all % parts);
}

static void run_workers(bench_shared *shared, bench_worker *workers) {
  const bench_plan *plan = shared->plan;
  unsigned threads = plan->threads;
  for (unsigned i = 0; i < threads; i++) {
    uint64_t share =
        plan->requests ? part(plan->requests, i, threads) : UINT64_MAX;
    bench_worker_make(&workers[i], shared,
                      (unsigned)part(plan->connections, i, threads), share);
    workers[i].rate = plan->rate / threads;
    workers[i].phase = (double)i / threads;
  }
  shared->start_ns = bench_now();
  for (unsigned i = 0; i < threads; i++) {
    if (plan->seconds > 0)
      workers[i].last_start_ns =
          shared->start_ns + (uint64_t)(plan->seconds * 1e9);
    if (i > 0 && pthread_create(&workers[i].thread, NULL, bench_worker_run,
                                &workers[i]) != 0)
      exit(tool_complain(TOOL_TRANSPORT, "bench: no thread can be made"));
  }
  bench_worker_run(&workers[0]);
  for (unsigned i = 1; i < threads; i++)
    pthread_join(workers[i].thread, NULL);
}

/* A signal that would end the program ends the run first: it stays pending
   until the results are printed, and the workers see it in a descriptor. */
static int hold_signals(sigset_t *before) {
  sigset_t held;
  sigemptyset(&held);
  sigaddset(&held, SIGINT);
  sigaddset(&held, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &held, before);
  return signalfd(-1, &held, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void release_signals(int interrupt, const sigset_t *before) {
  fflush(stdout);
  close(interrupt);
  pthread_sigmask(SIG_SETMASK, before, NULL);
}

static int measure(bench_shared *shared, bench_worker *workers,
                   bench_counts *all, const int *idle) {
  sigset_t before;
  int status;
  shared->interrupt = hold_signals(&before);
  run_workers(shared, workers);
  for (unsigned i = 0; i < shared->plan->threads; i++) {
    bench_counts_add(all, &workers[i].counts);
    bench_worker_free(&workers[i]);
  }
  shared->resting = bench_resting(shared->plan, idle);
  status = bench_report(shared, all);
  release_signals(shared->interrupt, &before);
  return status;
}

static int run(const bench_plan *plan) {
  bench_shared shared = {.plan = plan, .lock = PTHREAD_MUTEX_INITIALIZER};
  size_t size = plan->threads * sizeof(bench_worker);
  bench_worker *workers = tool_realloc(NULL, size);
  bench_counts *all = tool_realloc(NULL, sizeof *all);
  int *idle = tool_realloc(NULL, plan->idle * sizeof *idle);
  int status = bench_rest(&shared, idle);
  memset(all, 0, sizeof *all);
  if (!status)
    status = measure(&shared, workers, all, idle);
  free(shared.first.at);
  free(idle);
  free(all);
  free(workers);
  return status;
}

int tool_bench(int argc, char **argv) {
  command c = {.profile = "nginx"};
  int status;
  c.plan = (bench_plan){.uri = "/",
                        .connections = 16,
                        .in_flight = 1,
                        .threads = 1,
                        .timeout = 30,
                        .keep = 1};
  status = parse(&c, argc, argv);
  if (!status)
    status = prepare(&c);
  if (!status)
    status = run(&c.plan);
  if (fflush(stdout) != 0)
    status = tool_complain(TOOL_TRANSPORT, "cannot write the results");
  bench_bytes_free(&c.plan);
  tool_params_free(&c.plan.params);
  free(c.given);
  return status;
}
