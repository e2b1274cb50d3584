/* SPDX-License-Identifier: MIT */
/* A program that takes as long as the query string says, and answers with its
   process id: "gate=NAME" marks its beginning in the file NAME.PID and waits
   until there is a file NAME, "sleep=MS" sleeps, "spin=MS" computes, anything
   else answers at once. nap.py is the same. Here alone "door=FIFO" waits in the
   kernel until somebody opens the FIFO for writing, and "work=NAME" computes
   until there is a file NAME. */
#include <fastcgi/fastcgi.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void nap(long us) {
  const struct timespec time = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&time, NULL);
}

static double processor_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void wait_at(const char *gate) {
  char mark[512];
  snprintf(mark, sizeof mark, "%s.%ld", gate, (long)getpid());
  close(open(mark, O_CREAT | O_WRONLY, 0600));
  while (access(gate, F_OK) != 0)
    nap(5000);
}

/* Functions of their own, as the slow log names them. */
__attribute__((noinline)) static void wait_at_door(const char *name) {
  int fd = open(name, O_RDONLY);
  close(fd);
}

__attribute__((noinline)) static void work_until(const char *name) {
  volatile unsigned long count = 0;
  while (++count % 1000000 || access(name, F_OK) != 0)
    ;
}

static void take_time(const char *told) {
  double end;
  if (strncmp(told, "gate=", 5) == 0)
    wait_at(told + 5);
  else if (strncmp(told, "sleep=", 6) == 0)
    nap((long)(atof(told + 6) * 1000));
  else if (strncmp(told, "spin=", 5) == 0)
    for (end = processor_ms() + atof(told + 5); processor_ms() < end;)
      ;
  else if (strncmp(told, "door=", 5) == 0)
    wait_at_door(told + 5);
  else if (strncmp(told, "work=", 5) == 0)
    work_until(told + 5);
}

static int answer(fcgi_request *request, void *user_data) {
  const char *told = fcgi_request_param(request, "QUERY_STRING");
  char body[24];
  int len = snprintf(body, sizeof body, "%ld", (long)getpid());
  (void)user_data;
  take_time(told ? told : "");
  return fcgi_request_reply(request, 200, "text/plain", body, (size_t)len);
}

int main(int argc, char **argv) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = answer};
  return fcgi_serve(fcgi_serve_address(argc, argv), &handler, NULL) ? 1 : 0;
}
