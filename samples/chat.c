/* SPDX-License-Identifier: Apache-2.0 */

/* chat: a conversation in an event loop. One thread waits in poll() for the user's lines and for
 * the model's words, so it also shows how to wait for a generation beside anything else: its
 * descriptor is readable while there is something to read. Ctrl-C ends an answer and keeps what was
 * said; the session remembers the conversation.
 *
 *   cc chat.c $(pkg-config --cflags --libs mirage) -o chat
 *   ./chat model.gguf */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <mirage/mirage.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Chat {
  mirage_session* session;
  mirage_generation* generation; /* NULL while the user speaks */
  mirage_error error;
} Chat;

static volatile sig_atomic_t interrupted = 0;

static void NoteInterrupt(int number) {
  (void)number;
  interrupted = 1;
}

static void Prompt(void) {
  fputs("> ", stdout);
  fflush(stdout);
}

/* A line of the user's: the next message, and the start of the answer. */
static mirage_status Hear(Chat* chat, const char* line) {
  mirage_status status =
      mirage_session_append_message(chat->session, "user", line, strlen(line), &chat->error);
  if (status != MIRAGE_OK) return status;
  return mirage_generation_start(chat->session, NULL, &chat->generation, &chat->error);
}

/* Whatever the model has ready, without waiting for more. */
static mirage_status Speak(Chat* chat) {
  mirage_event event;
  mirage_status status;
  memset(&event, 0, sizeof event);
  event.struct_size = sizeof event;
  while ((status = mirage_generation_next(chat->generation, 0, &event, &chat->error)) ==
         MIRAGE_OK) {
    if (event.kind == MIRAGE_EVENT_TEXT) {
      fwrite(event.text, 1, event.text_bytes, stdout);
      fflush(stdout);
    }
    if (event.kind == MIRAGE_EVENT_DONE) {
      mirage_generation_close(chat->generation);
      chat->generation = NULL;
      fputs("\n", stdout);
      Prompt();
      return MIRAGE_OK;
    }
  }
  return status == MIRAGE_TIMEOUT ? MIRAGE_OK : status;
}

static mirage_status Wait(Chat* chat, struct pollfd* source) {
  source->fd = STDIN_FILENO;
  source->events = POLLIN;
  source->revents = 0;
  if (chat->generation != NULL) {
    int32_t fd = -1;
    mirage_status status = mirage_generation_get_fd(chat->generation, &fd, &chat->error);
    if (status != MIRAGE_OK) return status;
    source->fd = fd;
  }
  if (poll(source, 1, -1) < 0 && errno != EINTR) return MIRAGE_IO;
  return MIRAGE_OK;
}

static mirage_status Converse(Chat* chat) {
  char line[4096];
  Prompt();
  for (;;) {
    struct pollfd source;
    mirage_status status = Wait(chat, &source);
    if (status != MIRAGE_OK) return status;
    if (interrupted) {
      interrupted = 0;
      if (chat->generation == NULL) return MIRAGE_OK;
      status = mirage_generation_cancel(chat->generation, MIRAGE_CANCEL_STOP, &chat->error);
    } else if (source.revents != 0 && chat->generation != NULL) {
      status = Speak(chat);
    } else if (source.revents != 0) {
      if (fgets(line, sizeof line, stdin) == NULL) return MIRAGE_OK;
      line[strcspn(line, "\n")] = '\0';
      if (line[0] != '\0') status = Hear(chat, line);
    }
    if (status != MIRAGE_OK) return status;
  }
}

int main(int argc, char** argv) {
  Chat chat = {NULL, NULL, MIRAGE_ERROR_INIT};
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  mirage_status status;
  struct sigaction action;

  if (argc != 2) {
    fprintf(stderr, "usage: chat MODEL.gguf\n");
    return 2;
  }
  memset(&action, 0, sizeof action);
  action.sa_handler = NoteInterrupt;
  sigaction(SIGINT, &action, NULL);
  setvbuf(stdin, NULL, _IONBF, 0); /* so that poll() sees every line */

  status = mirage_runtime_open(NULL, &runtime, &chat.error);
  if (status == MIRAGE_OK) status = mirage_model_open(runtime, argv[1], NULL, &model, &chat.error);
  if (status == MIRAGE_OK) status = mirage_session_open(model, NULL, &chat.session, &chat.error);
  if (status == MIRAGE_OK) status = Converse(&chat);
  if (status != MIRAGE_OK)
    fprintf(stderr, "chat: %s: %s\n", mirage_status_name(status), chat.error.message);

  mirage_generation_close(chat.generation);
  mirage_session_close(chat.session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  return status == MIRAGE_OK ? 0 : 1;
}
