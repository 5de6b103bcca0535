/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts that fill in the middle. */
#include "abi_test.h"

static int open_infill(void** state) { return open_fixture_of(state, tiny_model_of_infill()); }

static mirage_status append(const fixture* f, const char* prefix, const char* suffix,
                            const char* context) {
  return mirage_session_append_infill(f->session, prefix, strlen(prefix), suffix, strlen(suffix),
                                      context, context != NULL ? strlen(context) : 0, &last_error);
}

static void check_tokens(const fixture* f, const int32_t* expected, size_t expected_count) {
  int32_t tokens[64];
  size_t count = 0;
  assert_ok(mirage_session_get_tokens(f->session, tokens, 64, &count, &last_error));
  assert_int_equal(count, expected_count);
  assert_memory_equal(tokens, expected, count * sizeof tokens[0]);
}
#define assert_tokens(f, expected) check_tokens(f, expected, sizeof(expected) / sizeof *(expected))

static void texts_stand_behind_their_tokens(void** state) {
  const fixture* f = (const fixture*)*state;
  const int32_t expected[] = {TINY_BOS,        'x', TINY_FIM_PREFIX, 'a',
                              TINY_FIM_SUFFIX, 'b', TINY_FIM_MIDDLE};
  const mirage_generation_options options = greedy(3);
  assert_ok(append(f, "a", "b", "x"));
  assert_tokens(f, expected);
  assert_int_equal(generate(f->session, &options).token_count, 3);
}

static void texts_may_be_empty_and_follow_others(void** state) {
  const fixture* f = (const fixture*)*state;
  const int32_t expected[] = {TINY_BOS, 'y', TINY_START,      TINY_FIM_PREFIX,
                              '<',      'x', TINY_FIM_SUFFIX, TINY_FIM_MIDDLE};
  assert_ok(mirage_session_append_text(f->session, "y<|im_start|>", 13,
                                       MIRAGE_TOKENIZE_ADD_SPECIAL | MIRAGE_TOKENIZE_PARSE_SPECIAL,
                                       &last_error));
  assert_ok(append(f, "<x", "", NULL));
  assert_tokens(f, expected);
}

/* Half of such a prompt would ask for something else. */
static void nothing_is_dropped_of_it(void** state) {
  enum { CONTEXT = 64 };
  const fixture* f = (const fixture*)*state;
  static const char text[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
  const mirage_generation_options options = greedy(-1);
  mirage_generation_options strict = greedy(CONTEXT);
  int32_t overflow;
  strict.strict_max_tokens = 1;
  for (overflow = MIRAGE_OVERFLOW_ERROR; overflow <= MIRAGE_OVERFLOW_TRUNCATE_MIDDLE; ++overflow) {
    mirage_session_options of_session;
    mirage_session* session = NULL;
    mirage_generation* generation = NULL;
    mirage_session_options_init(&of_session, sizeof of_session);
    of_session.context = CONTEXT;
    of_session.overflow = overflow;
    assert_ok(mirage_session_open(f->model, &of_session, &session, &last_error));
    assert_status(MIRAGE_CONTEXT_FULL,
                  mirage_session_append_infill(session, text, sizeof text, text, sizeof text, NULL,
                                               0, &last_error));
    assert_int_equal(stats_of_session(session).tokens, 0);
    assert_ok(
        mirage_session_append_infill(session, text, sizeof text, "a", 1, NULL, 0, &last_error));
    assert_status(MIRAGE_CONTEXT_FULL,
                  mirage_generation_start(session, &strict, &generation, &last_error));
    assert_int_equal(generate(session, &options).finish, MIRAGE_FINISH_LENGTH);
    assert_int_equal(stats_of_session(session).tokens, CONTEXT);
    assert_status(MIRAGE_CONTEXT_FULL,
                  mirage_generation_start(session, &options, &generation, &last_error));
    mirage_session_close(session);
  }
}

static void a_model_without_the_tokens_is_told(void** state) {
  const fixture* f = (const fixture*)*state;
  assert_status(MIRAGE_UNSUPPORTED, append(f, "a", "b", NULL));
  assert_message_has("prefix");
  assert_message_has("tokenizer.ggml.fim_pre_token_id");
  assert_int_equal(stats_of_session(f->session).tokens, 0);
}

static void bad_arguments_are_named(void** state) {
  const fixture* f = (const fixture*)*state;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_infill(NULL, "a", 1, "b", 1, NULL, 0, &last_error));
  assert_message_has("session");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_infill(f->session, NULL, 1, "b", 1, NULL, 0, &last_error));
  assert_message_has("prefix");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_infill(f->session, "a", 1, NULL, 1, NULL, 0, &last_error));
  assert_message_has("suffix");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_infill(f->session, "a", 1, "b", 1, NULL, 1, &last_error));
  assert_message_has("context");
  append_user(f->session, "hi");
  assert_status(MIRAGE_INVALID_ARGUMENT, append(f, "a", "b", NULL));
  assert_message_has("conversation");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(texts_stand_behind_their_tokens, open_infill, close_fixture),
      cmocka_unit_test_setup_teardown(texts_may_be_empty_and_follow_others, open_infill,
                                      close_fixture),
      cmocka_unit_test_setup_teardown(nothing_is_dropped_of_it, open_infill, close_fixture),
      cmocka_unit_test_setup_teardown(a_model_without_the_tokens_is_told, open_fixture,
                                      close_fixture),
      cmocka_unit_test_setup_teardown(bad_arguments_are_named, open_infill, close_fixture),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
