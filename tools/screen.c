/* SPDX-License-Identifier: MIT */
#include "screen.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 512, SLICE_MS = 100 };

static sigset_t ending_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

/* Signals that would end the program with the terminal in disorder are only
   looked at. */
static void take_keyboard(screen *to) {
  struct termios raw;
  sigset_t set = ending_signals();
  sigprocmask(SIG_BLOCK, &set, &to->mask);
  to->is_keyboard = tcgetattr(STDIN_FILENO, &to->saved) == 0;
  if (!to->is_keyboard)
    return;
  raw = to->saved;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* 1049: the other screen; 25l: no cursor. */
void screen_open(screen *to, int plain) {
  *to = (screen){.is_terminal = !plain && isatty(STDOUT_FILENO)};
  if (!to->is_terminal)
    return;
  take_keyboard(to);
  fputs("\033[?1049h\033[?25l", stdout);
}

void screen_close(screen *to) {
  if (!to->is_terminal)
    return;
  fputs("\033[?25h\033[?1049l", stdout);
  fflush(stdout);
  if (to->is_keyboard)
    tcsetattr(STDIN_FILENO, TCSANOW, &to->saved);
  sigprocmask(SIG_SETMASK, &to->mask, NULL);
}

static int is_asked_to_end(const screen *to, int ms) {
  struct pollfd at = {.fd = to->is_keyboard ? STDIN_FILENO : -1,
                      .events = POLLIN};
  sigset_t pending, set = ending_signals();
  char key;
  if (poll(&at, 1, ms) > 0 &&
      (read(STDIN_FILENO, &key, 1) != 1 || strchr("qQ\033\003", key)))
    return 1;
  sigpending(&pending);
  for (int number = 1; number < 32; number++)
    if (sigismember(&set, number) == 1 && sigismember(&pending, number) == 1)
      return 1;
  return 0;
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int screen_pause(screen *to, double seconds) {
  double end = now() + seconds, left = seconds;
  if (!to->is_terminal) {
    struct timespec wait = {.tv_sec = (time_t)seconds};
    wait.tv_nsec = (long)((seconds - (double)wait.tv_sec) * 1e9);
    fflush(stdout);
    nanosleep(&wait, NULL);
    return 0;
  }
  if (to->rows == 0)
    end = now() + SLICE_MS / 1e3;
  for (; left > 0; left = end - now())
    if (is_asked_to_end(to, left * 1e3 < SLICE_MS ? (int)(left * 1e3) + 1
                                                  : SLICE_MS))
      return 1;
  return 0;
}

void screen_begin(screen *to) {
  struct winsize size;
  to->used = 0;
  to->rows = 24;
  to->columns = 80;
  if (!to->is_terminal)
    return;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
    to->rows = size.ws_row;
    to->columns = size.ws_col;
  }
  fputs("\033[H", stdout);
}

/* The last column is left free: a terminal may or may not have gone to the
   next line after it. */
static void put(screen *to, const char *before, char *text, const char *after) {
  for (char *at = text; *at; at++)
    if (*at < ' ' || *at > '~')
      *at = '?';
  if (!to->is_terminal) {
    printf("%s\n", text);
    return;
  }
  if (to->used >= to->rows)
    return;
  printf("%s\033[K%s%.*s%s", to->used ? "\r\n" : "", before, to->columns - 1,
         text, after);
  to->used++;
}

void screen_line(screen *to, const char *format, ...) {
  char text[LINE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  put(to, "", text, "");
}

void screen_title(screen *to, const char *text) {
  char copy[LINE], nothing[1] = "";
  snprintf(copy, sizeof copy, "%s", text);
  put(to, "", nothing, "");
  put(to, "\033[7m", copy, "\033[0m");
}

void screen_end(screen *to) {
  if (to->is_terminal)
    fputs("\033[J", stdout);
  fflush(stdout);
}
