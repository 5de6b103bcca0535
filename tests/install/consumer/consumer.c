/* SPDX-License-Identifier: Apache-2.0 */

/* A program that knows Mirage as it is installed and nothing else: the header compiles, the library links and loads,
 * and both are of the same version. */

#include <mirage/mirage.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  char version[32];

  snprintf(version, sizeof version, "%d.%d.%d", MIRAGE_VERSION_MAJOR, MIRAGE_VERSION_MINOR, MIRAGE_VERSION_PATCH);
  if (strcmp(version, mirage_version_string()) != 0 || mirage_abi_version() != MIRAGE_ABI_VERSION) {
    fprintf(stderr, "header %s, library %s\n", version, mirage_version_string());
    return 1;
  }
  if (mirage_runtime_open(NULL, &runtime, &error) != MIRAGE_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  /* The library works as far as a program without a model can see: it says what is wrong. */
  if (mirage_model_open(runtime, "no-such-model.gguf", NULL, &model, &error) != MIRAGE_NOT_FOUND ||
      strstr(error.message, "no-such-model.gguf") == NULL) {
    fprintf(stderr, "unexpected answer for a missing file: %s\n", error.message);
    return 1;
  }
  mirage_runtime_close(runtime);
  printf("mirage %s\n", version);
  return 0;
}
