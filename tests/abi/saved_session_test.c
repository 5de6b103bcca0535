/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions saved and restored: to memory, to files, damaged, foreign. */
#define _POSIX_C_SOURCE 200809L

#include <sys/stat.h>
#include <unistd.h>

#include "abi_test.h"

typedef struct saved {
  unsigned char* data;
  uint64_t bytes;
} saved;

static saved save(mirage_session* session) {
  saved made = {NULL, 0};
  uint64_t bytes = 0;
  assert_ok(mirage_session_save_memory(session, NULL, 0, &made.bytes, &last_error));
  made.data = (unsigned char*)malloc(made.bytes);
  assert_non_null(made.data);
  assert_ok(mirage_session_save_memory(session, made.data, made.bytes, &bytes, &last_error));
  assert_int_equal(bytes, made.bytes);
  return made;
}

/* With nothing but what was saved: what others computed is not found. */
static mirage_session* restore(mirage_model* model, const saved* from) {
  mirage_session* session = NULL;
  mirage_session_options options;
  mirage_session_options_init(&options, sizeof options);
  options.private_cache = 1;
  assert_ok(mirage_session_restore_memory(model, from->data, from->bytes, &options, &session,
                                          &last_error));
  return session;
}

static uint64_t prompt_tokens_computed(mirage_runtime* runtime) {
  mirage_runtime_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_runtime_get_stats(runtime, &stats, &last_error));
  return stats.prompt_tokens;
}

static void a_conversation_goes_on_where_it_was_saved(void** state) {
  fixture* f = (fixture*)*state;
  const mirage_generation_options options = greedy(40);
  mirage_session* copy = NULL;
  saved before;
  uint64_t computed = 0;
  uint64_t computed_once = 0;
  answer want;
  answer got;
  append_user(f->session, "tell me something, and make it long enough to fill a page or two");
  generate(f->session, &options);
  before = save(f->session);
  append_user(f->session, "and now?");
  computed = prompt_tokens_computed(f->runtime);
  want = generate(f->session, &options);
  computed_once = prompt_tokens_computed(f->runtime) - computed;

  copy = restore(f->model, &before);
  assert_int_equal(stats_of_session(copy).messages, 2);
  assert_true(stats_of_session(copy).cached_tokens > 40);
  append_user(copy, "and now?");
  computed = prompt_tokens_computed(f->runtime);
  got = generate(copy, &options);
  assert_int_equal(got.token_count, want.token_count);
  assert_memory_equal(got.tokens, want.tokens, want.token_count * sizeof want.tokens[0]);
  /* What was computed before it was saved was not computed again. */
  assert_int_equal(prompt_tokens_computed(f->runtime) - computed, computed_once);
  mirage_session_close(copy);
  free(before.data);
}

static mirage_model* open_with(const fixture* f, int32_t kv_type) {
  mirage_model* model = NULL;
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.kv_type = kv_type;
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL, &options,
                                     &model, &last_error));
  return model;
}

static void keys_and_values_are_for_models_of_their_type(void** state) {
  const fixture* f = (const fixture*)*state;
  const mirage_generation_options options = greedy(8);
  const int32_t types[] = {MIRAGE_KV_F16, MIRAGE_KV_Q8_0, MIRAGE_KV_Q4_0};
  mirage_model* models[3];
  size_t i;
  size_t j;
  for (i = 0; i < 3; ++i) models[i] = open_with(f, types[i]);
  for (i = 0; i < 3; ++i) {
    mirage_session* session = NULL;
    saved before;
    assert_ok(mirage_session_open(models[i], NULL, &session, &last_error));
    append_user(session, "a question of some length, so that it fills more than one page");
    generate(session, &options);
    before = save(session);
    for (j = 0; j < 3; ++j) {
      mirage_session* copy = restore(models[j], &before);
      assert_true((stats_of_session(copy).cached_tokens > 0) == (i == j));
      append_user(copy, "and now?");
      generate(copy, &options);
      mirage_session_close(copy);
    }
    free(before.data);
    mirage_session_close(session);
  }
  for (i = 0; i < 3; ++i) mirage_model_close(models[i]);
}

static void plain_tokens_and_those_waiting_come_back(void** state) {
  fixture* f = (fixture*)*state;
  const mirage_generation_options options = greedy(5);
  mirage_session* session = NULL;
  mirage_session* copy = NULL;
  int32_t tokens[64];
  int32_t restored[64];
  size_t count = 0;
  size_t restored_count = 0;
  saved made;
  assert_ok(mirage_session_open(f->model, NULL, &session, &last_error));
  assert_ok(mirage_session_append_text(session, "abc", 3, 0, &last_error));
  generate(session, &options);
  assert_ok(mirage_session_append_text(session, "de", 2, 0, &last_error));
  made = save(session);
  copy = restore(f->model, &made);
  assert_ok(mirage_session_get_tokens(session, tokens, 64, &count, &last_error));
  assert_ok(mirage_session_get_tokens(copy, restored, 64, &restored_count, &last_error));
  assert_int_equal(restored_count, count);
  assert_memory_equal(restored, tokens, count * sizeof tokens[0]);
  assert_int_equal(stats_of_session(copy).waiting_tokens, 2);
  mirage_session_close(copy);
  mirage_session_close(session);
  free(made.data);
}

static void an_empty_session_comes_back_empty(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = NULL;
  mirage_session* copy = NULL;
  saved made;
  assert_ok(mirage_session_open(f->model, NULL, &session, &last_error));
  made = save(session);
  copy = restore(f->model, &made);
  assert_int_equal(stats_of_session(copy).tokens, 0);
  append_user(copy, "hi"); /* neither a conversation nor tokens yet */
  mirage_session_close(copy);
  mirage_session_close(session);
  free(made.data);
}

static void a_file_is_written_whole_and_read_back(void** state) {
  fixture* f = (fixture*)*state;
  const mirage_generation_options options = greedy(5);
  char path[] = "/tmp/mirage-saved-XXXXXX";
  mirage_session* copy = NULL;
  struct stat facts;
  const int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "hello");
  generate(f->session, &options);
  assert_ok(mirage_session_save(f->session, path, &last_error));
  assert_int_equal(stat(path, &facts), 0);
  assert_int_equal(facts.st_mode & 0777, 0600);
  assert_ok(mirage_session_restore(f->model, path, NULL, &copy, &last_error));
  assert_int_equal(stats_of_session(copy).messages, 2);
  mirage_session_close(copy);
  unlink(path);
  assert_status(MIRAGE_NOT_FOUND, mirage_session_restore(f->model, path, NULL, &copy, &last_error));
  assert_status(MIRAGE_NOT_FOUND,
                mirage_session_save(f->session, "/no/such/folder/session", &last_error));
  assert_status(MIRAGE_UNSUPPORTED, mirage_session_save(f->session, "/tmp", &last_error));
}

static void damage_is_refused_wherever_it_is(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* copy = NULL;
  saved made = save(f->session);
  uint64_t step = made.bytes / 211 + 1;
  uint64_t at = 0;
  for (at = 0; at < made.bytes; at += step) {
    mirage_status status = MIRAGE_OK;
    made.data[at] ^= 0x20;
    copy = NULL;
    status =
        mirage_session_restore_memory(f->model, made.data, made.bytes, NULL, &copy, &last_error);
    assert_true(status == MIRAGE_CORRUPT || status == MIRAGE_UNSUPPORTED);
    assert_null(copy);
    made.data[at] ^= 0x20;
  }
  for (at = 0; at < made.bytes; at += step)
    assert_status(MIRAGE_CORRUPT,
                  mirage_session_restore_memory(f->model, made.data, at, NULL, &copy, &last_error));
  copy = restore(f->model, &made);
  mirage_session_close(copy);
  free(made.data);
}

static void another_models_session_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  const saved made = save(f->session);
  mirage_session* copy = NULL;
  mirage_model* other = NULL;
  tiny_model file = tiny_model_make();
  /* The last weights, which no metadata tells of, are others. */
  file.data[file.bytes - 64] ^= 1;
  file.data[file.bytes - 3000] ^= 1;
  assert_ok(mirage_model_open_memory(f->runtime, file.data, file.bytes, NULL, NULL, NULL, &other,
                                     &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_restore_memory(other, made.data, made.bytes,
                                                                       NULL, &copy, &last_error));
  assert_message_has("another model");
  mirage_model_close(other);
  tiny_model_free(&file);
  free(made.data);
}

static void what_was_saved_must_fit(void** state) {
  fixture* f = (fixture*)*state;
  const saved made = save(f->session);
  mirage_session* copy = NULL;
  mirage_session_options options;
  mirage_session_options_init(&options, sizeof options);
  options.context = 4;
  assert_status(MIRAGE_CONTEXT_FULL, mirage_session_restore_memory(f->model, made.data, made.bytes,
                                                                   &options, &copy, &last_error));
  assert_null(copy);
  free(made.data);
}

static void a_running_generation_is_busy(void** state) {
  fixture* f = (fixture*)*state;
  const mirage_generation_options options = greedy(400);
  mirage_session* session = NULL;
  mirage_generation* generation = NULL;
  uint64_t bytes = 0;
  assert_ok(mirage_session_open(f->model, NULL, &session, &last_error));
  append_user(session, "hello");
  generation = start(session, &options);
  assert_status(MIRAGE_BUSY, mirage_session_save_memory(session, NULL, 0, &bytes, &last_error));
  mirage_generation_close(generation);
  mirage_session_close(session);
}

static void bad_arguments_are_named(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* copy = NULL;
  uint64_t bytes = 0;
  char small[8];
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_save(NULL, "x", &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_save(f->session, NULL, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_save_memory(f->session, NULL, 8, &bytes, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_save_memory(f->session, small, 8, NULL, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_save_memory(f->session, small, 8, &bytes, &last_error));
  assert_true(bytes > 8);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_restore(NULL, "x", NULL, &copy, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_restore(f->model, NULL, NULL, &copy, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_restore(f->model, "x", NULL, NULL, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_restore_memory(f->model, NULL, 8, NULL, &copy, &last_error));
  assert_status(MIRAGE_CORRUPT, mirage_session_restore_memory(f->model, "no session", 10, NULL,
                                                              &copy, &last_error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_conversation_goes_on_where_it_was_saved),
      cmocka_unit_test(keys_and_values_are_for_models_of_their_type),
      cmocka_unit_test(plain_tokens_and_those_waiting_come_back),
      cmocka_unit_test(an_empty_session_comes_back_empty),
      cmocka_unit_test(damage_is_refused_wherever_it_is),
      cmocka_unit_test(another_models_session_is_refused),
      cmocka_unit_test(what_was_saved_must_fit),
      cmocka_unit_test(a_running_generation_is_busy),
      cmocka_unit_test(bad_arguments_are_named),
      cmocka_unit_test(a_file_is_written_whole_and_read_back),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
