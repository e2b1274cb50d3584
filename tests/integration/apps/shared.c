/* SPDX-License-Identifier: MIT */
/* A program that does as the query string says with the dictionary "cache":
   "count" adds 1 to a number, "fill" stores more than there is room for,
   "damage" writes over what every process has mapped. */
#include <fastcgi/fastcgi.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fill(fcgi_shared *cache) {
  const fcgi_shared_value value = {.kind = FCGI_SHARED_INTEGER};
  int gone = 0;
  for (int i = 0; i < 100000 && gone == 0; i++)
    gone = fcgi_shared_set(cache, &i, sizeof i, &value);
  return gone;
}

/* Its memory as the process has it, without the library. */
static void damage(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  unsigned long begin, end;
  while (maps && fgets(line, sizeof line, maps))
    if (strstr(line, "fastcgi-shared") &&
        sscanf(line, "%lx-%lx", &begin, &end) == 2)
      memset((char *)begin + 1120, 0xaa, end - begin - 1120);
  if (maps)
    fclose(maps);
}

static int answer(fcgi_request *request, void *user_data) {
  fcgi_shared *cache = user_data;
  const char *told = fcgi_request_param(request, "QUERY_STRING");
  const int64_t init = 0;
  int64_t sum = 0;
  char text[128];
  int result = 0;
  if (told && strcmp(told, "fill") == 0)
    result = fill(cache);
  else if (told && strcmp(told, "damage") == 0)
    damage();
  else
    result = fcgi_shared_incr(cache, "n", 1, 1, &init, 0, &sum);
  snprintf(text, sizeof text, "%ld %d %" PRId64, (long)getpid(), result, sum);
  return fcgi_request_reply(request, 200, "text/plain", text, strlen(text));
}

int main(int argc, char **argv) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = answer};
  fcgi_shared *cache;
  int error = fcgi_shared_open(&cache, "cache", NULL);
  if (error) {
    fprintf(stderr, "cache: %s\n", fcgi_error_name(error));
    return 1;
  }
  error = fcgi_serve(fcgi_serve_address(argc, argv), &handler, cache);
  fcgi_shared_free(cache);
  return error ? 1 : 0;
}
