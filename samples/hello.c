/* SPDX-License-Identifier: Apache-2.0 */

/* hello: the shortest whole program. Asks a model one question and prints the answer as it comes.
 *
 *   cc hello.c $(pkg-config --cflags --libs mirage) -o hello
 *   ./hello model.gguf "Why is the sky blue?" */

#include <mirage/mirage.h>
#include <stdio.h>
#include <string.h>

static int Fail(const mirage_error* error) {
  fprintf(stderr, "hello: %s: %s\n", mirage_status_name(error->status), error->message);
  return 1;
}

static int Answer(mirage_generation* generation, mirage_error* error) {
  mirage_event event;
  memset(&event, 0, sizeof event);
  event.struct_size = sizeof event;
  while (event.kind != MIRAGE_EVENT_DONE) {
    if (mirage_generation_next(generation, -1, &event, error) != MIRAGE_OK) return Fail(error);
    if (event.kind == MIRAGE_EVENT_TEXT) {
      fwrite(event.text, 1, event.text_bytes, stdout);
      fflush(stdout);
    }
  }
  printf("\n");
  return 0;
}

int main(int argc, char** argv) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  mirage_session* session = NULL;
  mirage_generation* generation = NULL;
  int result = 0;

  if (argc != 3) {
    fprintf(stderr, "usage: hello MODEL.gguf PROMPT\n");
    return 2;
  }
  if (mirage_runtime_open(NULL, &runtime, &error) != MIRAGE_OK ||
      mirage_model_open(runtime, argv[1], NULL, &model, &error) != MIRAGE_OK ||
      mirage_session_open(model, NULL, &session, &error) != MIRAGE_OK ||
      mirage_session_append_message(session, "user", argv[2], strlen(argv[2]), &error) !=
          MIRAGE_OK ||
      mirage_generation_start(session, NULL, &generation, &error) != MIRAGE_OK)
    result = Fail(&error);
  else
    result = Answer(generation, &error);

  /* In any order; closing NULL is fine. */
  mirage_generation_close(generation);
  mirage_session_close(session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  return result;
}
