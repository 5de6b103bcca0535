/* SPDX-License-Identifier: Apache-2.0 */
/* Calls for which the application's allocator has nothing left, at every place where they allocate:
 * each fails with OUT_OF_MEMORY and leaves everything as it was, or goes through. In its own
 * program, since the allocator comes before anything else. */
#define _POSIX_C_SOURCE 200809L

#include "abi_test.h"

/* Of this thread: allocations left, then all fail; -1: no end. */
static __thread long allocations_left = -1;

static void* allocate(size_t bytes, size_t alignment, void* user_data) {
  void* pointer = NULL;
  (void)user_data;
  if (allocations_left == 0) return NULL;
  if (allocations_left > 0) --allocations_left;
  if (posix_memalign(&pointer, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes) != 0)
    return NULL;
  return pointer;
}

static void release(void* pointer, size_t alignment, void* user_data) {
  (void)alignment;
  (void)user_data;
  free(pointer);
}

static int set_allocator(void** state) {
  mirage_allocator allocator = {sizeof(mirage_allocator), 0, allocate, release, NULL};
  if (mirage_set_allocator(&allocator, &last_error) != MIRAGE_OK) return -1;
  return open_fixture(state);
}

/* `call` with `count` allocations to spend; true when it went through. */
#define goes_through(count, status, call)                                \
  (allocations_left = (count), (status) = (call), allocations_left = -1, \
   (status) == MIRAGE_OK ? 1 : (assert_int_equal((status), MIRAGE_OUT_OF_MEMORY), 0))

typedef struct held {
  size_t tokens;
  uint64_t messages;
} held;

static held held_by(fixture* f) {
  held now;
  mirage_session_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_session_get_tokens(f->session, NULL, 0, &now.tokens, &last_error));
  assert_ok(mirage_session_get_stats(f->session, &stats, &last_error));
  now.messages = stats.messages;
  return now;
}

static void check_held(fixture* f, held expected) {
  const held now = held_by(f);
  assert_int_equal(now.tokens, expected.tokens);
  assert_int_equal(now.messages, expected.messages);
}

/* A conversation whose next answer has tokens to drop and to compute. */
static void begin_conversation(fixture* f) {
  mirage_generation_options options = greedy(5);
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "one");
  generate(f->session, &options);
}

static void appending(void** state) {
  fixture* f = (fixture*)*state;
  const char* long_text = "a text too long for a string to hold it without memory of its own";
  mirage_status status = MIRAGE_OK;
  long count;
  begin_conversation(f);
  for (count = 0;; ++count) {
    const held before = held_by(f);
    if (goes_through(count, status,
                     mirage_session_append_message(f->session, "user", long_text, strlen(long_text),
                                                   &last_error)))
      break;
    check_held(f, before);
  }
  assert_true(count > 0);
}

static void starting(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(5);
  mirage_generation* generation = NULL;
  mirage_status status = MIRAGE_OK;
  answer expected, read;
  long count;
  begin_conversation(f);
  append_user(f->session, "two");
  expected = generate(f->session, &options);
  begin_conversation(f);
  append_user(f->session, "two");
  for (count = 0;; ++count) {
    const held before = held_by(f);
    if (goes_through(count, status,
                     mirage_generation_start(f->session, &options, &generation, &last_error)))
      break;
    assert_null(generation);
    check_held(f, before);
  }
  assert_true(count > 10);
  read = read_answer(generation);
  mirage_generation_close(generation);
  assert_int_equal(read.token_count, expected.token_count);
  assert_memory_equal(read.tokens, expected.tokens, read.token_count * sizeof read.tokens[0]);
}

/* A reader without memory sees an error or nothing amiss; the session goes on from where it was. */
static void reading(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(6);
  answer expected, read;
  int failures = 0;
  long count;
  begin_conversation(f);
  append_user(f->session, "two");
  expected = generate(f->session, &options);
  for (count = 0; count < 40; ++count) {
    mirage_event event = new_event();
    mirage_generation* generation;
    held before;
    begin_conversation(f);
    append_user(f->session, "two");
    before = held_by(f);
    generation = start(f->session, &options);
    allocations_left = count;
    while (event.kind != MIRAGE_EVENT_DONE) {
      const mirage_status status = mirage_generation_next(generation, -1, &event, NULL);
      if (status == MIRAGE_OUT_OF_MEMORY) ++failures;
      if (status != MIRAGE_OK && status != MIRAGE_OUT_OF_MEMORY) break;
    }
    allocations_left = -1;
    assert_int_equal(event.kind, MIRAGE_EVENT_DONE);
    mirage_generation_close(generation);
    if (event.finish != MIRAGE_FINISH_ERROR) {
      assert_int_equal(event.finish, MIRAGE_FINISH_LENGTH);
      continue;
    }
    check_held(f, before);
    read = generate(f->session, &options);
    assert_int_equal(read.token_count, expected.token_count);
    assert_memory_equal(read.tokens, expected.tokens, read.token_count * sizeof read.tokens[0]);
  }
  assert_true(failures > 0);
}

/* The answer is taken in by the next call: one that fails is tried again without losing it. */
static void settling(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(6);
  long count;
  for (count = 0; count < 20; ++count) {
    mirage_generation* generation;
    mirage_status status = MIRAGE_OK;
    size_t tokens = 0;
    begin_conversation(f);
    append_user(f->session, "two");
    generation = start(f->session, &options);
    read_answer(generation);
    mirage_generation_close(generation);
    (void)goes_through(count, status,
                       mirage_session_get_tokens(f->session, NULL, 0, &tokens, &last_error));
    assert_int_equal(held_by(f).messages, 4);
  }
}

static void opening(void** state) {
  fixture* f = (fixture*)*state;
  mirage_status status = MIRAGE_OK;
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  mirage_session* session = NULL;
  mirage_model_options vocabulary;
  long count;
  mirage_model_options_init(&vocabulary, sizeof vocabulary);
  vocabulary.load = MIRAGE_LOAD_VOCABULARY;
  for (count = 0; !goes_through(count, status, mirage_runtime_open(NULL, &runtime, &last_error));
       ++count)
    assert_null(runtime);
  assert_true(count > 0);
  /* Every seventh place: there are thousands. */
  for (count = 0; !goes_through(count, status,
                                mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL,
                                                         NULL, &vocabulary, &model, &last_error));
       count += 7)
    assert_null(model);
  assert_true(count > 100);
  for (count = 0;
       !goes_through(count, status, mirage_session_open(f->model, NULL, &session, &last_error));
       ++count)
    assert_null(session);
  assert_true(count > 0);
  mirage_session_close(session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(opening), cmocka_unit_test(appending), cmocka_unit_test(starting),
      cmocka_unit_test(reading), cmocka_unit_test(settling),
  };
  return cmocka_run_group_tests(tests, set_allocator, close_fixture);
}
