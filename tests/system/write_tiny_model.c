/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the tiny model of tests/abi to a file, for tests that are scripts: write_tiny_model PATH */
#include <stdio.h>

#include "tiny_model.h"

int main(int argc, char** argv) {
  tiny_model model = tiny_model_make();
  FILE* file = argc == 2 ? fopen(argv[1], "wb") : NULL;
  const int written = file != NULL && fwrite(model.data, 1, model.bytes, file) == model.bytes;
  const int closed = file != NULL && fclose(file) == 0;
  tiny_model_free(&model);
  if (written && closed) return 0;
  fprintf(stderr, "usage: write_tiny_model PATH\n");
  return 1;
}
