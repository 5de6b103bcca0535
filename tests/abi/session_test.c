/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: conversations and plain tokens, what is kept between answers, scoring. */
#include <math.h>

#include "abi_test.h"

static mirage_session* open_session(mirage_model* model, int64_t context) {
  mirage_session* session = NULL;
  mirage_session_options options;
  mirage_session_options_init(&options, sizeof options);
  options.context = context;
  assert_ok(mirage_session_open(model, &options, &session, &last_error));
  return session;
}

static size_t tokens_of(mirage_session* session, int32_t* tokens, size_t capacity) {
  size_t count = 0;
  assert_ok(mirage_session_get_tokens(session, tokens, capacity, &count, &last_error));
  return count;
}

static void append_text(mirage_session* session, const char* text, uint32_t flags) {
  assert_ok(mirage_session_append_text(session, text, strlen(text), flags, &last_error));
}

static void a_context_above_the_models_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = NULL;
  mirage_session_options options;
  mirage_session_options_init(&options, sizeof options);
  options.context = TINY_CONTEXT + 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_open(f->model, &options, &session, &last_error));
  assert_message_has("513");
  options.context = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_open(f->model, &options, &session, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_open(NULL, NULL, &session, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_open(f->model, NULL, NULL, &last_error));
}

static void only_the_first_text_begins_with_the_begin_token(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  int32_t tokens[8];
  append_text(session, "ab", MIRAGE_TOKENIZE_ADD_SPECIAL);
  append_text(session, "c", MIRAGE_TOKENIZE_ADD_SPECIAL);
  assert_int_equal(tokens_of(session, tokens, 8), 4);
  assert_int_equal(tokens[0], TINY_BOS);
  assert_int_not_equal(tokens[3], TINY_BOS);
  assert_int_equal(stats_of_session(session).waiting_tokens, 4);
  mirage_session_close(session);
}

static void tokens_and_messages_do_not_mix(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  const int32_t token = 65;
  assert_ok(mirage_session_append_tokens(session, &token, 1, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_message(session, "user", "hi", 2, &last_error));
  assert_ok(mirage_session_clear(session, &last_error));
  append_user(session, "hi");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_tokens(session, &token, 1, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_text(session, "hi", 2, 0, &last_error));
  mirage_session_close(session);
}

static void bad_arguments_of_appending_are_named(void** state) {
  fixture* f = (fixture*)*state;
  const int32_t outside = TINY_TOKENS;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_message(NULL, "user", "x", 1, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_message(f->session, NULL, "x", 1, &last_error));
  assert_message_has("role");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_message(f->session, "us\xFFr", "x", 1, &last_error));
  assert_message_has("role");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_message(f->session, "user", NULL, 1, &last_error));
  assert_message_has("content");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_tokens(f->session, &outside, 1, &last_error));
  assert_message_has("264");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_tokens(f->session, NULL, 1, &last_error));
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_session_append_text(f->session, "a", 1, 64, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_conversation(f->session, "[", 1, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_conversation(f->session, "{\"a\": 1}", 8, &last_error));
  assert_message_has("'a'");
  assert_int_equal(stats_of_session(f->session).messages, 0);
  assert_ok(mirage_session_clear(f->session, &last_error));
}

static void deeply_nested_conversations_are_refused(void** state) {
  fixture* f = (fixture*)*state;
  enum { DEPTH = 100000 };
  char* json = (char*)malloc(2 * DEPTH + 64);
  size_t bytes = 0;
  assert_non_null(json);
  bytes += (size_t)sprintf(json, "{\"tools\": ");
  memset(json + bytes, '[', DEPTH);
  memset(json + bytes + DEPTH, ']', DEPTH);
  bytes += 2 * DEPTH;
  json[bytes++] = '}';
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_conversation(f->session, json, bytes, &last_error));
  assert_message_has("deep");
  free(json);
}

static void a_refused_conversation_changes_nothing(void** state) {
  mirage_session* session = open_session(((fixture*)*state)->model, 0);
  const char* refused[] = {"{", "{\"x\":1}", "{\"messages\":[1]}", "{\"vars\":3}",
                           "{\"tools\":{}}"};
  size_t i;
  for (i = 0; i < sizeof refused / sizeof *refused; ++i)
    assert_status(
        MIRAGE_INVALID_ARGUMENT,
        mirage_session_append_conversation(session, refused[i], strlen(refused[i]), &last_error));
  append_text(session, "a", 0);
  mirage_session_close(session);
}

static void a_conversation_without_messages_has_no_answer(void** state) {
  mirage_session* session = open_session(((fixture*)*state)->model, 0);
  mirage_generation* generation = NULL;
  assert_ok(mirage_session_append_conversation(session, "{\"tools\":[]}", 12, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(session, NULL, &generation, &last_error));
  mirage_session_close(session);
}

static void nothing_to_answer_is_said(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  mirage_generation* generation = NULL;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(session, NULL, &generation, &last_error));
  assert_null(generation);
  mirage_session_close(session);
}

static void more_tokens_than_the_context_are_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 4);
  const int32_t tokens[5] = {65, 66, 67, 68, 69};
  assert_status(MIRAGE_CONTEXT_FULL, mirage_session_append_tokens(session, tokens, 5, &last_error));
  assert_message_has("5 tokens");
  assert_int_equal(stats_of_session(session).tokens, 0);
  mirage_session_close(session);
}

static void a_conversation_longer_than_the_context_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 8);
  mirage_generation* generation = NULL;
  append_user(session, "a question that is too long for eight tokens");
  assert_status(MIRAGE_CONTEXT_FULL,
                mirage_generation_start(session, NULL, &generation, &last_error));
  assert_int_equal(stats_of_session(session).messages, 1);
  mirage_session_close(session);
}

static void an_answer_joins_the_conversation(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  mirage_generation_options options = greedy(8);
  answer first;
  append_user(session, "hello");
  first = generate(session, &options);
  assert_int_equal(first.token_count, 8);
  append_user(session, "again");
  assert_int_equal(stats_of_session(session).messages, 3);
  mirage_session_close(session);
}

static void what_a_conversation_shares_is_not_computed_again(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  mirage_generation_options options = greedy(4);
  mirage_generation* generation;
  mirage_generation_stats stats;
  size_t prompt;
  append_user(session, "a first message of some length");
  generate(session, &options);
  prompt = stats_of_session(session).tokens - 4;
  assert_ok(mirage_session_append_message(session, "user", "next", 4, &last_error));
  generation = start(session, &options);
  read_answer(generation);
  stats.struct_size = sizeof stats;
  assert_ok(mirage_generation_get_stats(generation, &stats, &last_error));
  assert_true(stats.cached_tokens >= prompt);
  assert_true(stats.prompt_tokens > stats.cached_tokens);
  mirage_generation_close(generation);
  mirage_session_close(session);
}

static void reusing_a_prefix_changes_no_token(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  mirage_session* fresh = open_session(f->model, 0);
  mirage_generation_options options = greedy(16);
  answer reused, computed;
  int32_t tokens[256];
  size_t count;
  append_user(session, "hello");
  generate(session, &options);
  append_user(session, "and more");
  reused = generate(session, &options);
  count = tokens_of(session, tokens, 256) - reused.token_count;
  assert_ok(mirage_session_append_tokens(fresh, tokens, count, &last_error));
  computed = generate(fresh, &options);
  assert_int_equal(reused.token_count, computed.token_count);
  assert_memory_equal(reused.tokens, computed.tokens, reused.token_count * sizeof reused.tokens[0]);
  mirage_session_close(fresh);
  mirage_session_close(session);
}

static void messages_can_be_taken_back(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  mirage_generation_options options = greedy(16);
  answer first, second;
  append_user(session, "hello");
  first = generate(session, &options);
  append_user(session, "something else");
  generate(session, &options);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_truncate(session, 9, &last_error));
  assert_ok(mirage_session_truncate(session, 1, &last_error));
  assert_int_equal(stats_of_session(session).messages, 1);
  second = generate(session, &options);
  assert_memory_equal(first.tokens, second.tokens, sizeof first.tokens[0] * 16);
  mirage_session_close(session);
}

static void tokens_can_be_taken_back(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  mirage_generation_options options = greedy(16);
  const int32_t tokens[4] = {TINY_BOS, 65, 66, 67};
  answer first, second;
  assert_ok(mirage_session_append_tokens(session, tokens, 4, &last_error));
  first = generate(session, &options);
  assert_int_equal(stats_of_session(session).tokens, 20);
  assert_ok(mirage_session_truncate(session, 4, &last_error));
  assert_int_equal(stats_of_session(session).tokens, 4);
  second = generate(session, &options);
  assert_memory_equal(first.tokens, second.tokens, sizeof first.tokens[0] * 16);
  mirage_session_close(session);
}

static void tools_reach_the_template(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  const char* json =
      "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
      "\"content\": \"u\"}],"
      " \"tools\": [{\"name\": \"t\"}], \"vars\": {\"x\": 1}}";
  assert_ok(mirage_session_append_conversation(session, json, strlen(json), &last_error));
  assert_int_equal(stats_of_session(session).messages, 2);
  mirage_session_close(session);
}

static void scores_are_those_of_the_logits(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, 0);
  mirage_generation_options options = greedy(3);
  mirage_generation* generation;
  mirage_event event = new_event();
  const int32_t prompt[3] = {TINY_BOS, 72, 105};
  int32_t all[6];
  float chosen[3], scored[3];
  size_t i = 0;
  memcpy(all, prompt, sizeof prompt);
  options.logprobs = 2;
  assert_ok(mirage_session_append_tokens(session, prompt, 3, &last_error));
  generation = start(session, &options);
  while (event.kind != MIRAGE_EVENT_DONE) {
    assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
    if (event.kind != MIRAGE_EVENT_TOKENS) continue;
    assert_int_equal(event.top_count, 2);
    assert_int_equal(event.top[0].token, event.tokens[0]); /* greedy takes the likeliest */
    assert_true(event.top[0].logprob >= event.top[1].logprob && event.top[0].logprob <= 0);
    chosen[i] = event.logprobs[0];
    all[3 + i++] = event.tokens[0];
  }
  assert_int_equal(i, 3);
  assert_ok(mirage_score(f->model, all, 6, 3, scored, &last_error));
  for (i = 0; i < 3; ++i) assert_true(fabsf(scored[i] - chosen[i]) < 1e-4f);
  mirage_generation_close(generation);
  mirage_session_close(session);
}

static void bad_arguments_of_scoring_are_named(void** state) {
  fixture* f = (fixture*)*state;
  static int32_t tokens[TINY_CONTEXT + 1];
  static float logprobs[TINY_CONTEXT + 1];
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_score(NULL, tokens, 4, 1, logprobs, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_score(f->model, NULL, 4, 1, logprobs, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_score(f->model, tokens, 4, 0, logprobs, &last_error));
  assert_message_has("first");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_score(f->model, tokens, 4, 4, logprobs, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_score(f->model, tokens, 4, 1, NULL, &last_error));
  assert_status(MIRAGE_CONTEXT_FULL,
                mirage_score(f->model, tokens, TINY_CONTEXT + 1, 1, logprobs, &last_error));
  tokens[2] = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_score(f->model, tokens, 4, 1, logprobs, &last_error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_context_above_the_models_is_refused),
      cmocka_unit_test(only_the_first_text_begins_with_the_begin_token),
      cmocka_unit_test(tokens_and_messages_do_not_mix),
      cmocka_unit_test(bad_arguments_of_appending_are_named),
      cmocka_unit_test(deeply_nested_conversations_are_refused),
      cmocka_unit_test(a_refused_conversation_changes_nothing),
      cmocka_unit_test(a_conversation_without_messages_has_no_answer),
      cmocka_unit_test(nothing_to_answer_is_said),
      cmocka_unit_test(more_tokens_than_the_context_are_refused),
      cmocka_unit_test(a_conversation_longer_than_the_context_is_refused),
      cmocka_unit_test(an_answer_joins_the_conversation),
      cmocka_unit_test(what_a_conversation_shares_is_not_computed_again),
      cmocka_unit_test(reusing_a_prefix_changes_no_token),
      cmocka_unit_test(messages_can_be_taken_back),
      cmocka_unit_test(tokens_can_be_taken_back),
      cmocka_unit_test(tools_reach_the_template),
      cmocka_unit_test(scores_are_those_of_the_logits),
      cmocka_unit_test(bad_arguments_of_scoring_are_named),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
