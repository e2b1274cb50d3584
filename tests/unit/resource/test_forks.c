/* SPDX-License-Identifier: MIT */
/* A child of fork(2): what the parent's holders had, what its threads locked,
   and where its handles were counted. */
#include "resource/holder.h"
#include "resource/resource.h"
#include "support/keeping.h"
#include "support/unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG_S = 60 };

typedef int open_fn(void **value, char *why, size_t len, void *data);

/* `k` is the user data of the callbacks, so it is the first member. */
typedef struct scene {
  keeping k;                   /* What they want. */
  fcgi_resource_config config; /* Of that. */
  open_fn *open;               /* Its own open. */
  fcgi_holder *holder;         /* Who has a handle of it. */
  pid_t parent;                /* Who runs the tests. */
  fcgi__sink sink;             /* Where it is counted. */
} scene;

static scene *begin(fcgi_resource_scope scope) {
  scene *s = calloc(1, sizeof *s);
  s->config = keeping_config(&s->k);
  s->config.scope = scope;
  s->open = s->config.open;
  s->parent = getpid();
  assert_int_equal(fcgi_holder_new(&s->holder, NULL), 0);
  return s;
}

static void end(scene *s) {
  fcgi_holder_free(s->holder);
  keeping_end(&s->k);
  free(s);
}

/* The exit status of a child that does this, and that is not to hang. */
static int in_a_fork(int (*run)(scene *), scene *s) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0) {
    alarm(LONG_S);
    _exit(run(s));
  }
  assert_true(pid > 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int is_untouched(const scene *s) {
  return atomic_load(&s->k.resets) == 0 && atomic_load(&s->k.closes) == 0;
}

static int takes_its_own(scene *s) {
  void *value;
  fcgi_resource_renew(s->k.resource);
  if (fcgi_resource_held(s->k.resource, s->holder) ||
      fcgi_resource_get(s->k.resource, s->holder, &value) ||
      value != &s->k.values[1])
    return 1;
  if (fcgi_holder_end(s->holder) || atomic_load(&s->k.resets) != 1 ||
      atomic_load(&s->k.closes) != 0)
    return 2;
  return keeping_stats(&s->k).in_use || keeping_stats(&s->k).open != 1 ? 3 : 0;
}

static int ends_the_holder(scene *s) {
  fcgi_resource_renew(s->k.resource);
  if (fcgi_holder_is_busy(s->holder) || fcgi_holder_end(s->holder))
    return 1;
  fcgi_holder_free(s->holder);
  return keeping_stats(&s->k).in_use || !is_untouched(s) ? 2 : 0;
}

/* Freed before it is renewed: that finds no way to the holder any more. */
static int frees_the_holder(scene *s) {
  fcgi_holder_free(s->holder);
  fcgi_resource_renew(s->k.resource);
  return keeping_stats(&s->k).in_use || !is_untouched(s) ? 1 : 0;
}

static void test_what_a_holder_had_is_the_parents(void **state) {
  for (int scope = 0; scope < FCGI_RESOURCE_SCOPES; scope++) {
    scene *s = begin((fcgi_resource_scope)scope);
    void *value;
    keeping_begin(&s->k, &s->config);
    assert_int_equal(fcgi_resource_take(s->k.resource, s->holder, &value), 0);
    assert_int_equal(in_a_fork(takes_its_own, s), 0);
    assert_int_equal(in_a_fork(ends_the_holder, s), 0);
    assert_int_equal(in_a_fork(frees_the_holder, s), 0);
    assert_int_equal(fcgi_resource_give(s->k.resource, s->holder), 0);
    end(s);
  }
  (void)state;
}

/* As by threads that are not in the child. */
static void test_locks_of_the_parents_threads(void **state) {
  int (*const runs[])(scene *) = {takes_its_own, ends_the_holder,
                                  frees_the_holder};
  for (int steps = 0; steps < 2; steps++)
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
      scene *s = begin(FCGI_RESOURCE_POOL);
      void *value;
      keeping_begin(&s->k, &s->config);
      assert_int_equal(fcgi_resource_take(s->k.resource, s->holder, &value), 0);
      s->k.resource->config.steps = steps && runs[i] == frees_the_holder;
      pthread_mutex_lock(&s->k.resource->lock);
      fcgi__holder_lock(s->holder);
      assert_int_equal(in_a_fork(runs[i], s), 0);
      fcgi__holder_unlock(s->holder);
      pthread_mutex_unlock(&s->k.resource->lock);
      s->k.resource->config.steps = 0;
      assert_int_equal(fcgi_resource_give(s->k.resource, s->holder), 0);
      end(s);
    }
  (void)state;
}

static int abandons(scene *s) {
  fcgi_handle_explain(fcgi_holder_first(s->holder), "never told");
  fcgi__holder_abandon(s->holder);
  return fcgi_holder_is_busy(s->holder);
}

static void test_the_parent_alone_counts(void **state) {
  scene *s = begin(FCGI_RESOURCE_POOL);
  size_t size = FCGI__ROW_COUNTS * sizeof(uint64_t);
  void *value, *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(memory, MAP_FAILED);
  keeping_begin(&s->k, &s->config);
  _Atomic uint64_t *in_use =
      (_Atomic uint64_t *)memory + fcgi__row_at(FCGI_METRIC_RESOURCES_IN_USE);
  s->sink = (fcgi__sink){.memory = memory, .size = size, .users = 1};
  fcgi__resource_count_in(s->k.resource, &s->sink, 0);
  assert_int_equal(fcgi_resource_take(s->k.resource, s->holder, &value), 0);
  pthread_mutex_lock(&s->k.resource->lock);
  assert_int_equal(in_a_fork(abandons, s), 0);
  pthread_mutex_unlock(&s->k.resource->lock);
  assert_int_equal(atomic_load(in_use), 1);
  assert_int_equal(fcgi_resource_give(s->k.resource, s->holder), 0);
  assert_int_equal(atomic_load(in_use), 0);
  end(s);
  munmap(memory, size);
  (void)state;
}

/* A callback forks, and the child goes on in it with a resource of its own. */
static int fork_in_open(void **value, char *why, size_t len, void *data) {
  scene *s = data;
  if (fork() == 0) {
    alarm(LONG_S);
    fcgi_resource_renew(s->k.resource);
  }
  return s->open(value, why, len, &s->k);
}

static void test_a_step_of_the_parents_is_none_of_the_childs(void **state) {
  scene *s = begin(FCGI_RESOURCE_POOL);
  void *value;
  int status = -1;
  s->config.open = fork_in_open;
  keeping_begin(&s->k, &s->config);
  int error = fcgi_resource_take(s->k.resource, s->holder, &value);
  if (getpid() != s->parent)
    _exit(error != FCGI_ERR_STATE || fcgi_holder_is_busy(s->holder) ||
          keeping_stats(&s->k).in_use || keeping_stats(&s->k).open);
  assert_int_equal(error, 0);
  assert_true(wait(&status) > 0);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(fcgi_resource_give(s->k.resource, s->holder), 0);
  end(s);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_a_holder_had_is_the_parents),
      cmocka_unit_test(test_locks_of_the_parents_threads),
      cmocka_unit_test(test_the_parent_alone_counts),
      cmocka_unit_test(test_a_step_of_the_parents_is_none_of_the_childs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
