/* SPDX-License-Identifier: MIT */
/* Hands every file of the folders named to the fuzz target it is linked
   with: `replay FOLDER...`. */
#define _POSIX_C_SOURCE 200809L
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <limits.h>

static int replay_file(const char *path) {
  size_t size = 0, room = 1 << 20;
  uint8_t *data = malloc(room), *exact;
  FILE *file = fopen(path, "rb");
  if (!file || !data) {
    fprintf(stderr, "replay: cannot read %s\n", path);
    exit(1);
  }
  size = fread(data, 1, room, file);
  fclose(file);
  exact = fuzz_copy(data, size);
  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
  free(data);
  return 1;
}

static int replay_folder(const char *folder) {
  char path[PATH_MAX];
  struct dirent *entry;
  int count = 0;
  DIR *dir = opendir(folder);
  while (dir && (entry = readdir(dir))) {
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (entry->d_name[0] != '.')
      count += replay_file(path);
  }
  if (dir)
    closedir(dir);
  return count;
}

int main(int argc, char **argv) {
  int count = 0;
  for (int i = 1; i < argc; i++)
    count += replay_folder(argv[i]);
  printf("%d inputs\n", count);
  return count == 0;
}
