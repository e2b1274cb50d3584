/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "tool.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static const struct {
  const char *name;    /* In JSON. */
  int status;          /* How the program ends. */
  const char *meaning; /* For a person. */
} errors[] = {
#define BENCH_ERROR_ROW(name, text, exit, meaning) {text, exit, meaning},
    BENCH_ERROR_MAP(BENCH_ERROR_ROW)
#undef BENCH_ERROR_ROW
};

static const struct {
  const char *name; /* In both forms. */
  double share;     /* Of the answers that were no slower. */
} percentiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
enum { PERCENTILES = sizeof percentiles / sizeof *percentiles };

void bench_counts_add(bench_counts *to, const bench_counts *from) {
  to->started += from->started;
  to->finished += from->finished;
  to->right += from->right;
  for (unsigned i = 0; i < BENCH_ERRORS; i++)
    to->errors[i] += from->errors[i];
  to->sent += from->sent;
  to->received += from->received;
  to->opened += from->opened;
  to->resent += from->resent;
  to->stderr_bytes += from->stderr_bytes;
  if (from->last_ns > to->last_ns)
    to->last_ns = from->last_ns;
  if (!to->first_status)
    to->first_status = from->first_status;
  bench_histogram_merge(&to->latency, &from->latency);
}

/* User and system time of this process, in seconds. */
static double own_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double micro(const bench_counts *counts, double share) {
  return (double)bench_histogram_at(&counts->latency, share) / 1e3;
}

static double mean_micro(const bench_counts *counts) {
  const bench_histogram *latency = &counts->latency;
  return latency->count ? (double)latency->sum / (double)latency->count / 1e3
                        : 0;
}

static unsigned long long wide(uint64_t number) {
  return (unsigned long long)number;
}

/* [[us, answers that took as long or up to 1/64 less], ...] */
static void print_buckets(const bench_histogram *latency) {
  const char *comma = "";
  printf("\"histogram_us\": [");
  for (unsigned i = 0; i < BENCH_BUCKETS; i++)
    if (latency->bucket[i] > 0) {
      printf("%s[%.3f, %llu]", comma, (double)bench_histogram_last(i) / 1e3,
             wide(latency->bucket[i]));
      comma = ", ";
    }
  printf("], ");
}

/* One line for each doubling that has answers. */
static void print_histogram(const bench_histogram *latency) {
  enum { WIDTH = 40, STEP = BENCH_BUCKETS_A_DOUBLING };
  for (unsigned i = 0; i < BENCH_BUCKETS; i += STEP) {
    uint64_t count = 0;
    for (unsigned j = i; j < i + STEP; j++)
      count += latency->bucket[j];
    if (count > 0) {
      double share = (double)count / (double)latency->count;
      printf("up to %12.1f us %12llu %6.2f %% %.*s\n",
             (double)bench_histogram_last(i + STEP - 1) / 1e3, wide(count),
             share * 100, (int)(share * WIDTH + 0.5),
             "########################################");
    }
  }
}

static void print_json(const bench_shared *shared, const bench_counts *counts,
                       double seconds, double rate) {
  printf("{\"requests\": %llu, \"right\": %llu, \"seconds\": %.6f, "
         "\"rate\": %.1f, \"errors\": {",
         wide(counts->finished), wide(counts->right), seconds, rate);
  for (unsigned i = 0; i < BENCH_ERRORS; i++)
    printf("%s\"%s\": %llu", i ? ", " : "", errors[i].name,
           wide(counts->errors[i]));
  printf("}, \"latency_us\": {\"mean\": %.1f", mean_micro(counts));
  for (unsigned i = 0; i < PERCENTILES; i++)
    printf(", \"%s\": %.1f", percentiles[i].name,
           micro(counts, percentiles[i].share));
  printf(", \"max\": %.1f}, ", (double)counts->latency.max / 1e3);
  print_buckets(&counts->latency);
  printf("\"sent_bytes\": %llu, \"received_bytes\": %llu, "
         "\"stderr_bytes\": %llu, \"answer_bytes\": %llu, "
         "\"request_bytes\": %llu, \"params\": %llu, ",
         wide(counts->sent), wide(counts->received), wide(counts->stderr_bytes),
         wide(shared->first.len), wide(shared->plan->bytes[0].len),
         wide(shared->plan->params.count));
  printf("\"idle\": %u, ", shared->resting);
  printf("\"connections\": %llu, \"resent\": %llu, \"own_seconds\": %.3f}\n",
         wide(counts->opened), wide(counts->resent), own_seconds());
}

enum { DETAIL = 16 }; /* Bytes of what detail() writes. */

/* What a failure's meaning leaves open: which status came first. */
static const char *detail(const bench_counts *counts, unsigned error,
                          char text[DETAIL]) {
  *text = '\0';
  if (error == BENCH_STATUS)
    snprintf(text, DETAIL, ": %d", counts->first_status);
  return text;
}

static void print_text(const bench_shared *shared, const bench_counts *counts,
                       double seconds, double rate) {
  const bench_plan *plan = shared->plan;
  char more[DETAIL];
  printf("%s: %u connections x %u in flight, %s, %zu params, %zu bytes a "
         "request\n",
         plan->address, plan->connections, plan->in_flight,
         plan->keep ? "kept" : "not kept", plan->params.count,
         plan->bytes[0].len);
  printf("requests   %llu in %.3f %s, %.1f/s\n", wide(counts->finished),
         seconds < 0.01 ? seconds * 1e3 : seconds, seconds < 0.01 ? "ms" : "s",
         rate);
  printf("right      %llu\n", wide(counts->right));
  for (unsigned i = 0; i < BENCH_ERRORS; i++)
    if (counts->errors[i])
      printf("failed     %llu of %llu: %s%s\n", wide(counts->errors[i]),
             wide(counts->finished), errors[i].meaning,
             detail(counts, i, more));
  printf("latency   ");
  for (unsigned i = 0; i < PERCENTILES; i++)
    printf(" %s %.1f us,", percentiles[i].name,
           micro(counts, percentiles[i].share));
  printf(" max %.1f us, mean %.1f us\n", (double)counts->latency.max / 1e3,
         mean_micro(counts));
  printf("bytes      %llu sent, %llu received\n", wide(counts->sent),
         wide(counts->received));
  printf("opened     %llu connections", wide(counts->opened));
  if (counts->resent)
    printf("; %llu requests sent again on a new one", wide(counts->resent));
  putchar('\n');
  if (plan->histogram)
    print_histogram(&counts->latency);
}

/* One line about what went wrong most gravely: its exit status. */
static int complain(const bench_shared *shared, const bench_counts *counts) {
  const bench_plan *plan = shared->plan;
  uint64_t wrong = counts->finished - counts->right;
  unsigned worst = BENCH_ERRORS;
  char more[DETAIL];
  for (unsigned i = 0; i < BENCH_ERRORS; i++)
    if (counts->errors[i] &&
        (worst == BENCH_ERRORS || errors[i].status > errors[worst].status))
      worst = i;
  if (worst == BENCH_ERRORS && shared->resting < plan->idle)
    return tool_complain(
        TOOL_TRANSPORT, "bench: %s: %u of %u idle connections were closed",
        plan->address, plan->idle - shared->resting, plan->idle);
  if (worst == BENCH_ERRORS)
    return TOOL_OK;
  return tool_complain(errors[worst].status,
                       "bench: %s: %llu of %llu requests failed: %s%s",
                       plan->address, wide(wrong), wide(counts->finished),
                       errors[worst].meaning, detail(counts, worst, more));
}

/* Up to the last answer. At a rate each request has its share of the time,
   though the last answer may be there long before that is over. */
static double duration(const bench_shared *shared, const bench_counts *counts) {
  double rate = shared->plan->rate, seconds = 0, planned;
  if (counts->last_ns > shared->start_ns)
    seconds = (double)(counts->last_ns - shared->start_ns) / 1e9;
  planned = rate > 0 ? (double)counts->finished / rate : 0;
  return seconds > planned ? seconds : planned;
}

int bench_report(const bench_shared *shared, const bench_counts *counts) {
  double seconds = duration(shared, counts);
  double rate = seconds > 0 ? (double)counts->right / seconds : 0;
  int missing = atomic_load(&shared->no_connection);
  if (missing && !atomic_load(&shared->connected))
    return tool_complain(TOOL_TRANSPORT, "bench: cannot connect to %s: %s",
                         shared->plan->address, strerror(missing));
  if (shared->plan->json)
    print_json(shared, counts, seconds, rate);
  else
    print_text(shared, counts, seconds, rate);
  return complain(shared, counts);
}
