/* SPDX-License-Identifier: MIT */
/* Takes a thread's handle and gives it back, as often as the argument says. */
#include <fastcgi/resource.h>
#include <stdlib.h>

static int open_it(void **value, char *why, size_t len, void *user_data) {
  (void)why;
  (void)len;
  *value = user_data;
  return 0;
}

int main(int argc, char **argv) {
  fcgi_resource_config config = {
      .size = sizeof config, .open = open_it, .user_data = argv};
  int count = argc > 1 ? atoi(argv[1]) : 1;
  fcgi_resource *resource;
  fcgi_holder *holder;
  void *value;
  if (fcgi_resource_new(&resource, &config, NULL, 0) ||
      fcgi_holder_new(&holder, NULL))
    return 1;
  for (int i = 0; i < count; i++)
    if (fcgi_resource_take(resource, holder, &value) ||
        fcgi_resource_give(resource, holder))
      return 1;
  fcgi_holder_free(holder);
  fcgi_resource_free(resource);
  return 0;
}
