/* SPDX-License-Identifier: MIT */
/* A process that is killed between any two instructions of an operation. A
   child does the operation step by step; after each step, a copy of the memory
   is what would be left if it were killed there. */
#include "shared/visit.h"
#include "support/sound.h"
#include "support/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FEW = 12, MANY = 600 }; /* Entries before the operation. */

static void set_text(fcgi_shared *d, const char *key, size_t len) {
  char text[2000];
  memset(text, 'a' + (int)(len % 26), sizeof text);
  const fcgi_shared_value value = {
      .kind = FCGI_SHARED_STRING, .data = text, .len = len};
  fcgi_shared_set(d, key, strlen(key), &value);
}

static void set_first(fcgi_shared *d) {
  set_text(d, "first", 3);
}
static void set_long(fcgi_shared *d) {
  set_text(d, "first", 1500);
}
static void set_again(fcgi_shared *d) {
  set_text(d, "key3", 700);
}
static void set_shorter(fcgi_shared *d) {
  set_text(d, "key7", 1);
}
static void count_on(fcgi_shared *d) {
  int64_t sum;
  fcgi_shared_incr(d, "number", 6, 1, NULL, 0, &sum);
}
static void count_first(fcgi_shared *d) {
  const int64_t init = 40;
  int64_t sum;
  fcgi_shared_incr(d, "first", 5, 2, &init, 9000, &sum);
}
static void remove_one(fcgi_shared *d) {
  fcgi_shared_delete(d, "key5", 4);
}
static void let_expire(fcgi_shared *d) {
  fcgi_shared_expire(d, "key5", 4, 50000);
}
static void look(fcgi_shared *d) {
  char buffer[2000];
  fcgi_shared_value value;
  fcgi_shared_get(d, "key1", 4, buffer, sizeof buffer, &value);
}
static void look_at_old(fcgi_shared *d) {
  d->ahead_ms += 100000;
  fcgi_shared_value value;
  fcgi_shared_get(d, "old", 3, NULL, 0, &value);
}
static void take_lock(fcgi_shared *d) {
  uint64_t token;
  fcgi_shared_lock(d, "lock", 4, 0, FCGI_WAIT_NEVER, &token);
}
static void give_lock(fcgi_shared *d) {
  fcgi_shared_unlock(d, "held", 4, 1);
}
static void clear(fcgi_shared *d) {
  fcgi_shared_clear(d);
}

/* An operation, and how many entries there are before it. With many, it takes
   several changes: others go first. */
typedef struct operation {
  const char *name;             /* For messages. */
  void (*does)(fcgi_shared *d); /* What the child does. */
  int entries;                  /* FEW or MANY. */
} operation;

static const operation operations[] = {
    {"set a new key", set_first, FEW},
    {"set a long value", set_long, FEW},
    {"set another value", set_again, FEW},
    {"set a shorter value", set_shorter, FEW},
    {"add to a number", count_on, FEW},
    {"count from the beginning", count_first, FEW},
    {"delete", remove_one, FEW},
    {"expire", let_expire, FEW},
    {"get", look, FEW},
    {"get what is over", look_at_old, FEW},
    {"lock", take_lock, FEW},
    {"unlock", give_lock, FEW},
    {"clear", clear, FEW},
    {"set into what is full", set_first, MANY},
    {"set much into what is full", set_long, MANY},
};

static void fill(fcgi_shared *d, int entries) {
  const fcgi_shared_value number = {.kind = FCGI_SHARED_INTEGER, .integer = 7};
  const fcgi_shared_value old = {
      .kind = FCGI_SHARED_INTEGER, .integer = 7, .ttl_ms = 90000};
  uint64_t token;
  char key[16];
  for (int i = 0; i < entries; i++) {
    snprintf(key, sizeof key, "key%d", i);
    set_text(d, key, (size_t)i % FEW * 100);
  }
  fcgi_shared_set(d, "number", 6, &number);
  fcgi_shared_set(d, "old", 3, &old);
  fcgi_shared_lock(d, "held", 4, 0, FCGI_WAIT_NEVER, &token);
}

/* What is in it, whatever the order: keys, values and whether they end. */
static uint64_t contents(fcgi_shared *d) {
  unsigned char key[FCGI_SHARED_KEY];
  char buffer[2000];
  uint64_t place = 0, sum = 0;
  int len;
  while ((len = fcgi_shared_next(d, &place, key)) > 0) {
    fcgi_shared_value value;
    uint64_t hash = 14695981039346656037u;
    assert_int_equal(
        fcgi_shared_get(d, key, (size_t)len, buffer, sizeof buffer, &value), 1);
    for (int i = 0; i < len; i++)
      hash = (hash ^ key[i]) * 1099511628211u;
    for (size_t i = 0; i < value.len; i++)
      hash = (hash ^ (unsigned char)buffer[i]) * 1099511628211u;
    hash ^= (uint64_t)value.integer << 1 | (value.ttl_ms > 0);
    sum += hash * 1099511628211u;
  }
  assert_int_equal(len, 0);
  return sum;
}

static void copy(fcgi_shared *to, const fcgi_shared *from) {
  memcpy(to->head, from->head, from->size);
  memcpy(to->seed, from->seed, sizeof to->seed);
}

/* What the next process finds after a kill. */
static void recover(fcgi_shared *copied, const fcgi_shared *d) {
  fcgi__visit v;
  copy(copied, d);
  atomic_store(&copied->head->latch.word, 0);
  assert_int_equal(fcgi__visit_begin(&v, copied), 0);
  assert_int_equal(fcgi__visit_end(&v, 0), 0);
}

static pid_t start(const operation *o, fcgi_shared *d) {
  pid_t pid = fork();
  int status;
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
      _exit(77);
    raise(SIGSTOP);
    o->does(d);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFSTOPPED(status))
    return pid;
  return -1;
}

/* 1 while the child goes on. */
static int step(pid_t pid) {
  int status;
  assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSTOPPED(status) || WIFEXITED(status));
  return WIFSTOPPED(status);
}

typedef struct outcome {
  int steps;  /* Instructions; most of them leave the memory as it is. */
  int before; /* Of those that do not: after a kill there, nothing has
                 happened. */
  int after;  /* After a kill there, all has. */
} outcome;

static void judge(outcome *seen, const operation *o, fcgi_shared *copied,
                  const uint64_t ends[2]) {
  const char *why = unit_unsound(copied);
  uint64_t now;
  if (why)
    fail_msg("%s, step %d: %s", o->name, seen->steps, why);
  if (o->entries == MANY)
    return;
  now = contents(copied);
  if (now != ends[0] && now != ends[1])
    fail_msg("%s, step %d: half of it has happened", o->name, seen->steps);
  seen->before += now == ends[0];
  seen->after += now == ends[1];
}

static int play(const operation *o) {
  fcgi_shared *d = unit_shared(FCGI_SHARED_LEAST),
              *copied = unit_shared(FCGI_SHARED_LEAST);
  outcome seen = {0};
  uint64_t ends[2];
  char *last = malloc(d->size);
  pid_t pid;
  fill(d, o->entries);
  recover(copied, d);
  ends[0] = contents(copied);
  o->does(copied);
  copied->ahead_ms = 0;
  ends[1] = contents(copied);
  pid = start(o, d);
  if (pid < 0)
    return -1;
  while (step(pid)) {
    seen.steps++;
    if (seen.steps > 1 && memcmp(last, d->head, d->size) == 0)
      continue;
    memcpy(last, d->head, d->size);
    recover(copied, d);
    copied->ahead_ms = 0;
    judge(&seen, o, copied, ends);
  }
  assert_true(seen.steps > 300);
  print_message("%s: %d steps, %d before it is done and %d after\n", o->name,
                seen.steps, seen.before, seen.after);
  fcgi_shared_free(copied);
  fcgi_shared_free(d);
  free(last);
  return 0;
}

static void test_a_kill_at_any_instruction(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
    if (play(&operations[i]) < 0) {
      print_message("a process may not be traced here\n");
      skip();
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_kill_at_any_instruction),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
