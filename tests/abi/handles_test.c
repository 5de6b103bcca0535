/* SPDX-License-Identifier: Apache-2.0 */
/* A call that fails leaves NULL where a handle was to be, whatever stood there before: the caller
 * may close it. */
#include "abi_test.h"

/* Stands for whatever the caller's variable held. */
static char elsewhere;
#define GARBAGE ((void*)&elsewhere)

#define assert_fails_with_null(handle, expected, call) \
  do {                                                 \
    (handle) = GARBAGE;                                \
    assert_status((expected), (call));                 \
    assert_null(handle);                               \
  } while (0)

static void a_runtime_that_does_not_open_is_null(void** state) {
  mirage_runtime_options options;
  mirage_runtime* runtime = NULL;
  (void)state;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = -1;
  assert_fails_with_null(runtime, MIRAGE_INVALID_ARGUMENT,
                         mirage_runtime_open(&options, &runtime, &last_error));
  options.struct_size = 1;
  assert_fails_with_null(runtime, MIRAGE_INVALID_ARGUMENT,
                         mirage_runtime_open(&options, &runtime, &last_error));
  mirage_runtime_close(runtime);
}

static void a_model_that_does_not_open_is_null(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  mirage_runtime_options options;
  mirage_runtime* small = NULL;
  assert_fails_with_null(model, MIRAGE_NOT_FOUND,
                         mirage_model_open(f->runtime, "/no/such", NULL, &model, &last_error));
  assert_fails_with_null(model, MIRAGE_INVALID_ARGUMENT,
                         mirage_model_open(NULL, "/no/such", NULL, &model, &last_error));
  assert_fails_with_null(model, MIRAGE_INVALID_ARGUMENT,
                         mirage_model_open_fd(f->runtime, -1, NULL, &model, &last_error));
  assert_fails_with_null(model, MIRAGE_CORRUPT,
                         mirage_model_open_memory(f->runtime, f->file.data, 100, NULL, NULL, NULL,
                                                  &model, &last_error));
  mirage_runtime_options_init(&options, sizeof options);
  options.memory_limit = (uint64_t)5 << 20;
  options.threads = 1;
  assert_ok(mirage_runtime_open(&options, &small, &last_error));
  assert_ok(mirage_runtime_set_memory_limit(small, 1, &last_error));
  assert_fails_with_null(model, MIRAGE_OUT_OF_MEMORY,
                         mirage_model_open_memory(small, f->file.data, f->file.bytes, NULL, NULL,
                                                  NULL, &model, &last_error));
  mirage_model_close(model);
  mirage_runtime_close(small);
}

static void a_session_that_does_not_open_is_null(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = NULL;
  mirage_session_options options;
  mirage_session_options_init(&options, sizeof options);
  options.context = TINY_CONTEXT + 1;
  assert_fails_with_null(session, MIRAGE_INVALID_ARGUMENT,
                         mirage_session_open(f->model, &options, &session, &last_error));
  assert_fails_with_null(session, MIRAGE_INVALID_ARGUMENT,
                         mirage_session_open(NULL, NULL, &session, &last_error));
  assert_fails_with_null(session, MIRAGE_INVALID_ARGUMENT,
                         mirage_session_fork(NULL, &session, &last_error));
  assert_fails_with_null(session, MIRAGE_NOT_FOUND,
                         mirage_session_restore(f->model, "/no/such", NULL, &session, &last_error));
  assert_fails_with_null(
      session, MIRAGE_CORRUPT,
      mirage_session_restore_memory(f->model, "damaged", 7, NULL, &session, &last_error));
  mirage_session_close(session);
}

static void ignore(mirage_generation* generation, const mirage_event* event, void* user_data) {
  (void)generation;
  (void)event;
  (void)user_data;
}

static void a_generation_that_does_not_start_is_null(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation* generation = NULL;
  mirage_generation_options options = greedy(4);
  assert_fails_with_null(generation, MIRAGE_INVALID_ARGUMENT,
                         mirage_generation_start(NULL, &options, &generation, &last_error));
  /* Nothing to answer. */
  assert_fails_with_null(generation, MIRAGE_INVALID_ARGUMENT,
                         mirage_generation_start(f->session, &options, &generation, &last_error));
  options.samples = 129;
  assert_fails_with_null(generation, MIRAGE_INVALID_ARGUMENT,
                         mirage_generation_start(f->session, &options, &generation, &last_error));
  options.samples = 2;
  options.callback = ignore;
  assert_fails_with_null(generation, MIRAGE_INVALID_ARGUMENT,
                         mirage_generation_start(f->session, &options, &generation, &last_error));
  mirage_generation_close(generation);
}

/* All calls that make handles, after a shutdown. */
static void nothing_is_made_of_a_runtime_that_was_shut_down(void** state) {
  fixture* f = NULL;
  static char saved[1 << 20];
  uint64_t saved_bytes = 0;
  mirage_model* model = NULL;
  mirage_session* session = NULL;
  mirage_generation* generation = NULL;
  mirage_generation_options options = greedy(4);
  (void)state;
  assert_int_equal(open_fixture((void**)&f), 0);
  append_user(f->session, "one");
  assert_ok(mirage_session_save_memory(f->session, saved, sizeof saved, &saved_bytes, &last_error));
  assert_ok(mirage_runtime_shutdown(f->runtime, &last_error));
  assert_fails_with_null(model, MIRAGE_CLOSED,
                         mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL,
                                                  NULL, NULL, &model, &last_error));
  assert_fails_with_null(session, MIRAGE_CLOSED,
                         mirage_session_open(f->model, NULL, &session, &last_error));
  assert_fails_with_null(session, MIRAGE_CLOSED,
                         mirage_session_fork(f->session, &session, &last_error));
  assert_fails_with_null(
      session, MIRAGE_CLOSED,
      mirage_session_restore_memory(f->model, saved, saved_bytes, NULL, &session, &last_error));
  assert_fails_with_null(generation, MIRAGE_CLOSED,
                         mirage_generation_start(f->session, &options, &generation, &last_error));
  close_fixture((void**)&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_runtime_that_does_not_open_is_null),
      cmocka_unit_test(a_model_that_does_not_open_is_null),
      cmocka_unit_test(a_session_that_does_not_open_is_null),
      cmocka_unit_test(a_generation_that_does_not_start_is_null),
      cmocka_unit_test(nothing_is_made_of_a_runtime_that_was_shut_down),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
