/* SPDX-License-Identifier: MIT */
/* The handler has no state, as a library has no globals. The kernel knows the
   thread by its name, and it is asked when a signal comes, which is rare. */
#include "serve/relay.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const char thread_name[] = "fcgi-signals";

typedef enum outcome {
  PASSED,  /* The thread has it. */
  NOBODY,  /* This process has no such thread. */
  UNKNOWN, /* Nothing tells: there is no /proc, or it is another's. */
} outcome;

#ifdef __linux__

/* As getdents64(2) fills it. */
typedef struct entry {
  uint64_t inode; /* Of no use here. */
  int64_t offset; /* Nor this. */
  uint16_t len;   /* Of the entry. */
  uint8_t type;   /* Nor this. */
  char name[];    /* With its NUL. */
} entry;

/* Only async-signal-safe calls: no readdir(3), no snprintf(3). 1 when thread
   `number` of the directory `tasks` has the name; -1 when nothing tells, as
   where no descriptor is left. A thread that has ended has no name. */
static int is_named(int tasks, const char *number) {
  char path[32] = "", text[sizeof thread_name + 1];
  size_t len = strlen(number);
  ssize_t got;
  int fd;
  if (len + sizeof "/comm" > sizeof path)
    return 0;
  memcpy(path, number, len);
  memcpy(path + len, "/comm", sizeof "/comm");
  fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? 0 : -1;
  got = read(fd, text, sizeof text);
  close(fd);
  if (got < 0)
    return errno == ESRCH ? 0 : -1;
  return got == (ssize_t)sizeof thread_name &&
         memcmp(text, thread_name, sizeof thread_name - 1) == 0 &&
         text[sizeof thread_name - 1] == '\n';
}

static long number_of(const char *digits) {
  long number = 0;
  while (*digits >= '0' && *digits <= '9')
    number = 10 * number + (*digits++ - '0');
  return *digits == '\0' ? number : 0;
}

/* The thread's number, 0 when there is none in these entries, -1 when nothing
   tells. */
static long look_through(int tasks, const char *entries, long len) {
  for (long at = 0; at < len;) {
    const entry *one = (const entry *)(const void *)(entries + at);
    long number = number_of(one->name);
    int named = number > 0 ? is_named(tasks, one->name) : 0;
    if (named)
      return named > 0 ? number : -1;
    at += one->len;
  }
  return 0;
}

static outcome pass_on(int signal_number) {
  union {
    entry first;      /* Aligns the bytes. */
    char bytes[2048]; /* Some of the entries. */
  } entries;
  int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  long len = 1, thread = 0;
  if (tasks < 0)
    return UNKNOWN;
  while (thread == 0 && len > 0) {
    len = syscall(SYS_getdents64, tasks, entries.bytes, sizeof entries.bytes);
    if (len > 0)
      thread = look_through(tasks, entries.bytes, len);
  }
  close(tasks);
  if (thread <= 0)
    return len < 0 || thread < 0 ? UNKNOWN : NOBODY;
  return syscall(SYS_tgkill, getpid(), thread, signal_number) == 0 ? PASSED
                                                                   : UNKNOWN;
}

static void name_thread(pthread_t thread) {
  pthread_setname_np(thread, thread_name);
}

#else

static outcome pass_on(int signal_number) {
  (void)signal_number;
  return UNKNOWN;
}

static void name_thread(pthread_t thread) {
  (void)thread;
}

#endif

/* The signal is blocked while this runs, so what is sent comes afterwards: in a
   child by its default; where nothing tells, to another thread, as this one
   blocks it from then on. The one that sigwait(3)s is the last. */
static void take(int number, siginfo_t *about, void *context) {
  int saved = errno;
  outcome result = pass_on(number);
  (void)about;
  if (result == NOBODY)
    sigaction(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
  if (result == UNKNOWN)
    sigaddset(&((ucontext_t *)context)->uc_sigmask, number);
  if (result != PASSED)
    kill(getpid(), number);
  errno = saved;
}

static void leave_it(int number, siginfo_t *about, void *context) {
  (void)number;
  (void)about;
  (void)context;
}

void fcgi__relay_start(fcgi__relay *relay, pthread_t thread) {
  struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_RESTART};
  sigfillset(&ours.sa_mask);
  name_thread(thread);
  for (int i = 0; i < FCGI__RELAYED && relay->numbers[i]; i++) {
    ours.sa_sigaction = relay->numbers[i] == SIGHUP ? leave_it : take;
    sigaction(relay->numbers[i], &ours, &relay->before[i]);
  }
}

void fcgi__relay_stop(const fcgi__relay *relay) {
  for (int i = 0; i < FCGI__RELAYED && relay->numbers[i]; i++) {
    struct sigaction now;
    if (sigaction(relay->numbers[i], NULL, &now) == 0 &&
        (now.sa_flags & SA_SIGINFO) &&
        (now.sa_sigaction == take || now.sa_sigaction == leave_it))
      sigaction(relay->numbers[i], &relay->before[i], NULL);
  }
}
