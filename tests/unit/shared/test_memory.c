/* SPDX-License-Identifier: MIT */
/* The memory of a dictionary: who finds it, and what others write into it. */
#include "shared/shared.h"
#include "shared/visit.h"
#include "support/sound.h"
#include "support/unit.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const fcgi_shared_value three = {.kind = FCGI_SHARED_INTEGER,
                                        .integer = 3};

static void announce(int first, int count) {
  char text[64];
  snprintf(text, sizeof text, "%ld:%d:%d", (long)getpid(), first, count);
  setenv(FCGI__SHARED_VARIABLE, text, 1);
}

static int tear_down(void **state) {
  (void)state;
  unsetenv(FCGI__SHARED_VARIABLE);
  return 0;
}

static void test_a_worker_finds_it_by_its_name(void **state) {
  fcgi_shared *made[2], *first, *again;
  fcgi_shared_value value;
  int fds[2];
  (void)state;
  assert_int_equal(fcgi__shared_make(&made[0], "one", 100000, &fds[0]), 0);
  assert_int_equal(fcgi__shared_make(&made[1], "two", 100000, &fds[1]), 0);
  assert_int_equal(dup2(fds[0], 100), 100);
  assert_int_equal(dup2(fds[1], 101), 101);
  announce(100, 2);
  assert_int_equal(fcgi_shared_open(&first, "two", NULL), 0);
  assert_int_equal(fcgi_shared_open(&again, "two", NULL), 0);
  assert_string_equal(fcgi_shared_name(first), "two");
  assert_int_equal(fcgi_shared_is_private(first), 0);
  assert_int_equal(fcgi_shared_set(first, "a", 1, &three), 0);
  assert_int_equal(fcgi_shared_get(again, "a", 1, NULL, 0, &value), 1);
  assert_int_equal(fcgi_shared_get(made[0], "a", 1, NULL, 0, &value), 0);
  fcgi_shared_free(first);
  assert_int_equal(fcgi_shared_get(again, "a", 1, NULL, 0, &value), 1);
  assert_int_equal(fcgi_shared_open(&first, "three", NULL), FCGI_ERR_STATE);
  assert_null(first);
  announce(100, 0);
  assert_int_equal(fcgi_shared_open(&first, "two", NULL), FCGI_ERR_STATE);
  for (int i = 0; i < 2; i++) {
    close(fds[i]);
    close(100 + i);
    fcgi_shared_free(made[i]);
  }
  fcgi_shared_free(again);
}

/* Text for another process, or none at all: a dictionary of its own. */
static void test_a_lone_process_has_its_own(void **state) {
  static const char *const texts[] = {"1:100:2", "x", "", NULL};
  fcgi_shared *d, *other;
  fcgi_shared_value value;
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (texts[i])
      setenv(FCGI__SHARED_VARIABLE, texts[i], 1);
    else
      unsetenv(FCGI__SHARED_VARIABLE);
    assert_int_equal(fcgi_shared_open(&d, "mine", NULL), 0);
    assert_int_equal(fcgi_shared_open(&other, "mine", NULL), 0);
    assert_int_equal(fcgi_shared_is_private(d), 1);
    assert_int_equal(fcgi_shared_set(d, "a", 1, &three), 0);
    assert_int_equal(fcgi_shared_get(other, "a", 1, NULL, 0, &value), 0);
    fcgi_shared_free(d);
    fcgi_shared_free(other);
  }
}

static void test_a_child_shares_it(void **state) {
  fcgi_shared *d = unit_shared(FCGI_SHARED_LEAST);
  fcgi_shared_value value;
  int status;
  (void)state;
  pid_t pid = fork();
  if (pid == 0)
    _exit(fcgi_shared_set(d, "a", 1, &three));
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(fcgi_shared_get(d, "a", 1, NULL, 0, &value), 1);
  assert_int_equal(value.integer, 3);
  fcgi_shared_free(d);
}

static void expect_none(int fd) {
  fcgi_shared *d;
  assert_true(fd >= 0);
  assert_int_equal(fcgi__shared_attach(&d, fd), FCGI_ERR_DAMAGED);
  assert_null(d);
  close(fd);
}

static void test_what_is_no_dictionary_is_refused(void **state) {
  fcgi_shared *d, *other;
  int fd, memory = memfd_create("unit", MFD_ALLOW_SEALING);
  (void)state;
  assert_int_equal(fcgi__shared_make(&d, "unit", 100000, &fd), 0);
  assert_int_equal(fcgi__shared_attach(&other, -1), FCGI_ERR_SYSTEM);
  assert_int_equal(ftruncate(fd, 10), -1);
  assert_int_equal(errno, EPERM);
  /* Of the same bytes, but whoever made it may cut it. */
  assert_int_equal(write(memory, d->head, d->size), d->size);
  expect_none(dup(memory));
  assert_int_equal(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  assert_int_equal(fcgi__shared_attach(&other, memory), 0);
  fcgi_shared_free(other);
  close(memory);
  expect_none(open("/dev/null", O_RDWR));
  d->head->version++;
  expect_none(dup(fd));
  d->head->version--;
  d->head->name[0] = '\n';
  expect_none(dup(fd));
  memset(d->head->name, 'a', sizeof d->head->name);
  expect_none(dup(fd));
  strcpy(d->head->name, "unit");
  d->head->magic[0]++;
  expect_none(dup(fd));
  close(fd);
  fcgi_shared_free(d);
}

static uint32_t next_random(uint32_t *random) {
  *random = *random * 1664525 + 1013904223;
  return *random >> 8;
}

static int is_plausible(int result) {
  return result >= 0 || result == FCGI_ERR_DAMAGED ||
         result == FCGI_ERR_LIMIT || result == FCGI_ERR_STATE;
}

/* Every operation, with keys that meet again. */
static void use(fcgi_shared *d, uint32_t *random) {
  static char bytes[9000];
  char key[2000];
  const int64_t zero = 0;
  int64_t sum;
  uint64_t token, place = 0;
  fcgi_shared_value value = {.kind = FCGI_SHARED_BYTES, .data = bytes};
  size_t len = next_random(random) % 8 ? 1 : 1 + next_random(random) % 1999;
  memset(key, 'a' + (int)(next_random(random) % 26), sizeof key);
  value.len = next_random(random) % sizeof bytes;
  assert_true(is_plausible(fcgi_shared_set(d, key, len, &value)));
  assert_true(
      is_plausible(fcgi_shared_get(d, key, len, bytes, sizeof bytes, &value)));
  assert_true(is_plausible(fcgi_shared_incr(d, "n", 1, 1, &zero, 9, &sum)));
  assert_true(is_plausible(fcgi_shared_expire(d, key, len, 1000)));
  assert_true(
      is_plausible(fcgi_shared_lock(d, key, len, 1, FCGI_WAIT_NEVER, &token)));
  assert_true(is_plausible(fcgi_shared_unlock(d, key, len, token)));
  if (next_random(random) % 2)
    assert_true(is_plausible(fcgi_shared_delete(d, key, len)));
  for (int i = 0; i < 20; i++)
    if (fcgi_shared_next(d, &place, key) <= 0)
      break;
}

/* Words of the memory get other values, those that lead somewhere above all. */
static void write_over(fcgi_shared *d, uint32_t *random) {
  uint32_t *words = &d->head->emptying;
  size_t all = (d->size - offsetof(fcgi__shared_head, emptying)) / 4 - 1,
         few = 40 + next_random(random) % 200;
  size_t count = 1 + next_random(random) % 20;
  for (size_t i = 0; i < count; i++) {
    size_t where = next_random(random) % (next_random(random) % 2 ? all : few);
    uint32_t what = next_random(random);
    words[where] = what % 3 == 0   ? what % (d->block_count + 2)
                   : what % 3 == 1 ? words[next_random(random) % all]
                                   : what << 8 | what % 251;
  }
}

/* Whatever others write, nobody leaves the memory, hangs or dies, and what was
   found damaged is of use again. */
static void test_bad_memory_does_no_harm(void **state) {
  fcgi_shared *d = unit_shared(FCGI_SHARED_LEAST);
  uint32_t random = 5;
  uint64_t counts[FCGI_SHARED_COUNTS];
  (void)state;
  for (int turn = 0; turn < 3000; turn++) {
    for (int i = 0; i < 3; i++)
      use(d, &random);
    write_over(d, &random);
    if (turn % 100 == 99) {
      assert_int_equal(fcgi_shared_clear(d), 0);
      assert_null(unit_unsound(d));
      assert_int_equal(fcgi_shared_set(d, "a", 1, &three), 0);
    }
  }
  assert_int_equal(fcgi_shared_clear(d), 0);
  assert_int_equal(fcgi_shared_counts(d, counts, FCGI_SHARED_COUNTS), 0);
  fcgi_shared_free(d);
}

static fcgi__shared_block *newest(fcgi_shared *d) {
  return &d->blocks[d->head->newest - 1];
}

static void make_bucket_a_circle(fcgi_shared *d) {
  newest(d)->as.first.hash_next = d->head->newest;
  newest(d)->as.first.hash++;
}

static void make_value_endless(fcgi_shared *d) {
  newest(d)->as.first.value_len = UINT32_MAX;
}

static void cut_chain(fcgi_shared *d) {
  d->blocks[newest(d)->next - 1].next = 0;
}

static void make_chain_lead_out(fcgi_shared *d) {
  d->blocks[newest(d)->next - 1].next = UINT32_MAX;
}

static void test_damage_is_told_once(void **state) {
  static void (*const damages[])(fcgi_shared *) = {
      make_bucket_a_circle, make_value_endless, cut_chain, make_chain_lead_out};
  fcgi_shared *d = unit_shared(FCGI_SHARED_LEAST);
  char bytes[3000] = {0};
  fcgi_shared_value value;
  (void)state;
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    value = (fcgi_shared_value){
        .kind = FCGI_SHARED_BYTES, .data = bytes, .len = sizeof bytes};
    assert_int_equal(fcgi_shared_set(d, "a", 1, &value), 0);
    damages[i](d);
    assert_int_equal(fcgi_shared_get(d, "a", 1, bytes, sizeof bytes, &value),
                     FCGI_ERR_DAMAGED);
    assert_int_equal(fcgi_shared_get(d, "a", 1, bytes, sizeof bytes, &value),
                     0);
    assert_null(unit_unsound(d));
    assert_int_equal(d->head->counts[FCGI_SHARED_EMPTIED], i + 1);
  }
  fcgi_shared_free(d);
}

#define MEMORY_TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      MEMORY_TEST(test_a_worker_finds_it_by_its_name),
      MEMORY_TEST(test_a_lone_process_has_its_own),
      MEMORY_TEST(test_a_child_shares_it),
      MEMORY_TEST(test_what_is_no_dictionary_is_refused),
      MEMORY_TEST(test_bad_memory_does_no_harm),
      MEMORY_TEST(test_damage_is_told_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
