/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include "abi_test.h"

#include <time.h>

mirage_error last_error = MIRAGE_ERROR_INIT;

void check_status(mirage_status expected, mirage_status status, const char* call, const char* file,
                  int line) {
  if (status == expected) return;
  print_error("%s\n  gives %s, not %s: %s\n", call, mirage_status_name(status),
              mirage_status_name(expected), last_error.message);
  _fail(file, line);
}

int open_fixture(void** state) { return open_fixture_of(state, tiny_model_make()); }

int open_fixture_of(void** state, tiny_model file) {
  fixture* made = (fixture*)calloc(1, sizeof *made);
  mirage_runtime_options options;
  if (made == NULL) return -1;
  made->file = file;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 1;
  assert_ok(mirage_runtime_open(&options, &made->runtime, &last_error));
  assert_ok(mirage_model_open_memory(made->runtime, made->file.data, made->file.bytes, NULL, NULL,
                                     NULL, &made->model, &last_error));
  assert_ok(mirage_session_open(made->model, NULL, &made->session, &last_error));
  *state = made;
  return 0;
}

int close_fixture(void** state) {
  fixture* made = (fixture*)*state;
  mirage_session_close(made->session);
  mirage_model_close(made->model);
  mirage_runtime_close(made->runtime);
  tiny_model_free(&made->file);
  free(made);
  return 0;
}

mirage_event new_event(void) {
  mirage_event event;
  memset(&event, 0, sizeof event);
  event.struct_size = sizeof event;
  return event;
}

void check_same_answer(const answer* expected, const answer* read) {
  assert_int_equal(read->token_count, expected->token_count);
  assert_memory_equal(read->tokens, expected->tokens, read->token_count * sizeof read->tokens[0]);
}

static uint64_t lent_bytes_of(const mirage_model* model) {
  mirage_model_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_model_get_stats(model, &stats, &last_error));
  return stats.lent_bytes;
}

void await_lent(const mirage_model* model, int some) {
  int i;
  for (i = 0; (lent_bytes_of(model) > 0) != some; ++i) {
    const struct timespec pause = {0, 10 * 1000 * 1000};
    assert_true(i < 3000);
    nanosleep(&pause, NULL);
  }
}

answer read_answer(mirage_generation* generation) {
  answer read;
  mirage_event event = new_event();
  memset(&read, 0, sizeof read);
  for (;;) {
    read.status = mirage_generation_next(generation, 60000, &event, &last_error);
    if (event.kind == MIRAGE_EVENT_DONE) break;
    if (read.status != MIRAGE_OK) return read;
    if (event.sample_index != 0) continue;
    if (event.kind == MIRAGE_EVENT_TEXT) {
      assert_true(read.text_bytes + event.text_bytes < sizeof read.text);
      memcpy(read.text + read.text_bytes, event.text, event.text_bytes);
      read.text_bytes += event.text_bytes;
    }
    if (event.kind == MIRAGE_EVENT_TOKENS) {
      assert_true(read.token_count + event.token_count <=
                  sizeof read.tokens / sizeof read.tokens[0]);
      memcpy(read.tokens + read.token_count, event.tokens,
             event.token_count * sizeof event.tokens[0]);
      read.token_count += event.token_count;
    }
  }
  read.finish = event.finish;
  return read;
}

mirage_generation* start(mirage_session* session, const mirage_generation_options* options) {
  mirage_generation* generation = NULL;
  assert_ok(mirage_generation_start(session, options, &generation, &last_error));
  return generation;
}

mirage_generation_options greedy(int64_t max_tokens) {
  mirage_generation_options options;
  mirage_generation_options_init(&options, sizeof options);
  options.temperature = 0;
  options.max_tokens = max_tokens;
  options.ignore_eos = 1;
  return options;
}

void make_tokens(int32_t* tokens, size_t count, uint32_t seed) {
  size_t i;
  for (i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens[i] = (int32_t)(seed >> 24);
  }
}

mirage_text of_tokens(const int32_t* tokens, size_t count) {
  mirage_text text = {NULL, 0, NULL, 0};
  text.tokens = tokens;
  text.token_count = count;
  return text;
}

mirage_text of_text(const char* words) {
  mirage_text text = {NULL, 0, NULL, 0};
  text.text = words;
  text.text_bytes = strlen(words);
  return text;
}

void append_user(mirage_session* session, const char* text) {
  assert_ok(mirage_session_append_message(session, "user", text, strlen(text), &last_error));
}

answer generate(mirage_session* session, const mirage_generation_options* options) {
  mirage_generation* generation = start(session, options);
  answer read = read_answer(generation);
  mirage_generation_close(generation);
  return read;
}

mirage_session_stats stats_of_session(const mirage_session* session) {
  mirage_session_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_session_get_stats(session, &stats, &last_error));
  return stats;
}

mirage_generation_stats stats_of_generation(const mirage_generation* generation) {
  mirage_generation_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_generation_get_stats(generation, &stats, &last_error));
  return stats;
}
