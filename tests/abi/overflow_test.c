/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of tokens that the context has no room for. */
#include <math.h>

#include "abi_test.h"

enum { CONTEXT = 64, KEEP = 8, MANY = 600 };

static mirage_session_options overflowing(int32_t overflow, int64_t keep, int64_t context) {
  mirage_session_options options;
  mirage_session_options_init(&options, sizeof options);
  options.context = context;
  options.overflow = overflow;
  options.keep_tokens = keep;
  return options;
}

static mirage_session* open_session(mirage_model* model, int32_t overflow, int64_t keep,
                                    int64_t context) {
  const mirage_session_options options = overflowing(overflow, keep, context);
  mirage_session* session = NULL;
  assert_ok(mirage_session_open(model, &options, &session, &last_error));
  return session;
}

static void append_letters(mirage_session* session, size_t count) {
  int32_t tokens[MANY];
  size_t i;
  for (i = 0; i < count; ++i) tokens[i] = 'a' + (int32_t)(i * i % 23);
  assert_ok(mirage_session_append_tokens(session, tokens, count, &last_error));
}

static size_t tokens_of(mirage_session* session, int32_t* tokens) {
  size_t count = 0;
  assert_ok(mirage_session_get_tokens(session, tokens, 2 * MANY, &count, &last_error));
  return count;
}

static void check_holds(mirage_session* session, const int32_t* tokens, size_t count) {
  int32_t now[2 * MANY];
  assert_int_equal(stats_of_session(session).tokens, count);
  assert_int_equal(tokens_of(session, now), count);
  assert_memory_equal(now, tokens, count * sizeof *tokens);
}

/* What follows `count` of `tokens`, by sessions that never shift: each ends with a full context,
 * and the next one begins with what a shift leaves of it. */
static size_t continue_anew(mirage_model* model, int32_t* tokens, size_t count, int32_t* output,
                            size_t wanted) {
  size_t made = 0;
  while (made < wanted) {
    mirage_session* session = open_session(model, MIRAGE_OVERFLOW_ERROR, -1, CONTEXT);
    const mirage_generation_options options = greedy((int64_t)(wanted - made));
    answer part;
    if (count == CONTEXT) {
      count -= (CONTEXT - KEEP) / 2;
      memmove(tokens + KEEP, tokens + KEEP + (CONTEXT - KEEP) / 2, (count - KEEP) * sizeof *tokens);
    }
    assert_ok(mirage_session_append_tokens(session, tokens, count, &last_error));
    part = generate(session, &options);
    memcpy(output + made, part.tokens, part.token_count * sizeof *output);
    memcpy(tokens + count, part.tokens, part.token_count * sizeof *tokens);
    made += part.token_count;
    count += part.token_count;
    mirage_session_close(session);
  }
  return count;
}

static void options_are_checked(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = NULL;
  mirage_session_options options = overflowing(3, -1, CONTEXT);
  assert_int_equal(mirage_has_feature("overflow"), 1);
  assert_status(MIRAGE_UNSUPPORTED, mirage_session_open(f->model, &options, &session, &last_error));
  assert_message_has("overflow is 3");
  options = overflowing(MIRAGE_OVERFLOW_ERROR, 4, CONTEXT);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_open(f->model, &options, &session, &last_error));
  assert_message_has("keep_tokens is 4");
  options = overflowing(MIRAGE_OVERFLOW_SHIFT, CONTEXT / 2, CONTEXT);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_open(f->model, &options, &session, &last_error));
  assert_message_has("32");
  options = overflowing(MIRAGE_OVERFLOW_SHIFT, -1, CONTEXT);
  options.reserved3 = 1;
  assert_status(MIRAGE_UNSUPPORTED, mirage_session_open(f->model, &options, &session, &last_error));
  assert_null(session);
}

static void what_follows_a_shift_is_what_follows_the_tokens_left(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_SHIFT, KEEP, CONTEXT);
  const mirage_generation_options options = greedy(150);
  mirage_generation* generation;
  mirage_generation_stats stats;
  int32_t expected[2 * MANY], context[2 * MANY], held[2 * MANY];
  size_t count;
  answer shifted;
  append_letters(session, 20);
  tokens_of(session, context);
  count = continue_anew(f->model, context, 20, expected, 150);
  generation = start(session, &options);
  shifted = read_answer(generation);
  assert_int_equal(shifted.token_count, 150);
  assert_memory_equal(shifted.tokens, expected, 150 * sizeof(int32_t));
  assert_int_equal(shifted.finish, MIRAGE_FINISH_LENGTH);
  stats = stats_of_generation(generation);
  assert_int_equal(stats.shifts, 4);
  assert_int_equal(stats.dropped_tokens, 4 * (CONTEXT - KEEP) / 2);
  assert_int_equal(stats.prompt_tokens, 20);
  mirage_generation_close(generation);
  assert_int_equal(tokens_of(session, held), count);
  assert_memory_equal(held, context, count * sizeof(int32_t));
  mirage_session_close(session);
}

static void company_changes_nothing(void** state) {
  fixture* f = (fixture*)*state;
  enum { SESSIONS = 3 };
  mirage_session* sessions[SESSIONS];
  mirage_generation* generations[SESSIONS];
  const mirage_generation_options options = greedy(100);
  int i;
  for (i = 0; i < SESSIONS; ++i) {
    sessions[i] = open_session(f->model, MIRAGE_OVERFLOW_SHIFT, KEEP, CONTEXT);
    append_letters(sessions[i], (size_t)(10 + 17 * i));
  }
  for (i = 0; i < SESSIONS; ++i) generations[i] = start(sessions[i], &options);
  for (i = 0; i < SESSIONS; ++i) {
    int32_t context[2 * MANY], expected[2 * MANY];
    mirage_session* letters = open_session(f->model, MIRAGE_OVERFLOW_ERROR, -1, CONTEXT);
    const answer together = read_answer(generations[i]);
    append_letters(letters, (size_t)(10 + 17 * i));
    tokens_of(letters, context);
    continue_anew(f->model, context, (size_t)(10 + 17 * i), expected, 100);
    assert_memory_equal(together.tokens, expected, 100 * sizeof(int32_t));
    mirage_generation_close(generations[i]);
    mirage_session_close(sessions[i]);
    mirage_session_close(letters);
  }
}

static void an_answer_without_end_goes_on_until_it_is_cancelled(void** state) {
  fixture* f = (fixture*)*state;
  int32_t before[2 * MANY], after[2 * MANY];
  int32_t mode;
  for (mode = MIRAGE_CANCEL_STOP; mode <= MIRAGE_CANCEL_ROLLBACK; ++mode) {
    mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_SHIFT, KEEP, CONTEXT);
    const mirage_generation_options options = greedy(-1);
    mirage_generation* generation;
    mirage_event event = new_event();
    size_t held, tokens = 0;
    append_letters(session, 30);
    held = tokens_of(session, before);
    generation = start(session, &options);
    while (tokens < 300) {
      assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
      assert_int_not_equal(event.kind, MIRAGE_EVENT_DONE);
      tokens += event.kind == MIRAGE_EVENT_TOKENS ? event.token_count : 0;
    }
    assert_ok(mirage_generation_cancel(generation, mode, &last_error));
    assert_int_equal(read_answer(generation).finish, MIRAGE_FINISH_CANCELLED);
    if (mode == MIRAGE_CANCEL_ROLLBACK) {
      check_holds(session, before, held);
      assert_int_equal(stats_of_session(session).waiting_tokens, held);
    } else {
      assert_in_range(tokens_of(session, after), KEEP, CONTEXT);
      assert_memory_equal(after, before, KEEP * sizeof(int32_t));
    }
    mirage_generation_close(generation);
    mirage_session_close(session);
  }
}

static void a_rollback_after_a_shift_brings_back_what_was_computed(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_SHIFT, KEEP, CONTEXT);
  mirage_generation_options options = greedy(10);
  mirage_generation* generation;
  mirage_event event = new_event();
  int32_t before[2 * MANY];
  size_t held;
  append_letters(session, 30);
  generate(session, &options);
  held = tokens_of(session, before);
  options = greedy(-1);
  generation = start(session, &options);
  while (stats_of_generation(generation).shifts < 2)
    assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
  assert_ok(mirage_generation_cancel(generation, MIRAGE_CANCEL_ROLLBACK, &last_error));
  read_answer(generation);
  check_holds(session, before, held);
  mirage_generation_close(generation);
  mirage_session_close(session);
}

static void a_failure_after_a_shift_brings_back_what_was_computed(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_SHIFT, KEEP, CONTEXT);
  mirage_generation_options options = greedy(10);
  const mirage_logit_bias never = {'y', -HUGE_VALF};
  mirage_generation* generation;
  int32_t before[2 * MANY];
  size_t held;
  append_letters(session, 30);
  generate(session, &options);
  held = tokens_of(session, before);
  options = greedy(-1);
  options.grammar_kind = MIRAGE_GRAMMAR_REGEX;
  options.grammar = "x{100}y";
  options.grammar_bytes = strlen(options.grammar);
  options.logit_bias = &never;
  options.logit_bias_count = 1;
  generation = start(session, &options);
  assert_int_equal(read_answer(generation).finish, MIRAGE_FINISH_ERROR);
  assert_true(stats_of_generation(generation).shifts > 0);
  check_holds(session, before, held);
  mirage_generation_close(generation);
  mirage_session_close(session);
}

static void a_prompt_that_is_too_long_keeps_its_head_and_tail(void** state) {
  fixture* f = (fixture*)*state;
  int32_t overflow;
  for (overflow = MIRAGE_OVERFLOW_SHIFT; overflow <= MIRAGE_OVERFLOW_TRUNCATE_MIDDLE; ++overflow) {
    mirage_session* session = open_session(f->model, overflow, KEEP, CONTEXT);
    mirage_generation_options options = greedy(4);
    mirage_generation* generation;
    mirage_generation_stats stats;
    int32_t all[2 * MANY], held[2 * MANY];
    size_t count, dropped;
    append_letters(session, MANY); /* more than the context */
    assert_int_equal(tokens_of(session, all), MANY);
    assert_int_equal(stats_of_session(session).waiting_tokens, MANY);
    generation = start(session, &options);
    assert_int_equal(read_answer(generation).token_count, 4);
    stats = stats_of_generation(generation);
    dropped = (size_t)stats.dropped_tokens;
    count = (size_t)stats.prompt_tokens;
    assert_int_equal(stats.shifts, 0);
    assert_int_equal(count, MANY - dropped);
    if (overflow == MIRAGE_OVERFLOW_TRUNCATE_MIDDLE)
      assert_int_equal(count, CONTEXT - 4);
    else
      assert_int_equal(dropped % ((CONTEXT - KEEP) / 2), 0);
    assert_int_equal(tokens_of(session, held), count + 4);
    assert_memory_equal(held, all, KEEP * sizeof(int32_t));
    assert_memory_equal(held + KEEP, all + KEEP + dropped, (count - KEEP) * sizeof(int32_t));
    mirage_generation_close(generation);
    mirage_session_close(session);
  }
}

static void a_prompt_cut_for_an_answer_that_is_rolled_back_is_whole_again(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_TRUNCATE_MIDDLE, KEEP, CONTEXT);
  mirage_generation_options options = greedy(5);
  mirage_generation* generation;
  mirage_event event = new_event();
  int32_t before[2 * MANY];
  size_t held;
  append_letters(session, 40);
  generate(session, &options);
  append_letters(session, 200);
  held = tokens_of(session, before);
  assert_int_equal(held, 245);
  options.sampler = MIRAGE_SAMPLER_EXTERNAL; /* which does not get on by itself */
  generation = start(session, &options);
  assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_LOGITS);
  assert_true(stats_of_generation(generation).dropped_tokens > 180);
  assert_ok(mirage_generation_cancel(generation, MIRAGE_CANCEL_ROLLBACK, &last_error));
  assert_int_equal(read_answer(generation).finish, MIRAGE_FINISH_CANCELLED);
  check_holds(session, before, held);
  mirage_generation_close(generation);
  mirage_session_close(session);
}

static size_t rendered(mirage_model* model, const char* conversation, int32_t* tokens) {
  size_t count = 0;
  assert_ok(mirage_tokenize_conversation(model, conversation, strlen(conversation), tokens,
                                         2 * MANY, &count, &last_error));
  return count;
}

static void a_conversation_leaves_out_its_oldest_messages(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_TRUNCATE_MIDDLE, -1, 128);
  const mirage_generation_options options = greedy(6);
  mirage_generation* generation;
  mirage_generation_stats stats;
  int32_t expected[2 * MANY], held[2 * MANY];
  size_t count;
  assert_ok(mirage_session_append_message(session, "system", "be kind", 7, &last_error));
  append_user(session, "the first question, which is a long one and says a lot of things");
  assert_ok(mirage_session_append_message(session, "assistant", "no", 2, &last_error));
  append_user(session, "the second");
  count = rendered(f->model,
                   "{\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"
                   "{\"role\":\"user\",\"content\":\"the second\"}],"
                   "\"add_generation_prompt\":true}",
                   expected);
  generation = start(session, &options);
  assert_int_equal(read_answer(generation).token_count, 6);
  stats = stats_of_generation(generation);
  assert_int_equal(stats.prompt_tokens, count);
  assert_true(stats.dropped_tokens > 50);
  assert_int_equal(tokens_of(session, held), count + 6);
  assert_memory_equal(held, expected, count * sizeof(int32_t));
  mirage_generation_close(generation);
  assert_int_equal(stats_of_session(session).messages, 5); /* all, and the answer */
  mirage_session_close(session);
}

static void a_conversation_that_shifts_keeps_its_system_message(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_SHIFT, -1, 128);
  const mirage_generation_options options = greedy(200);
  int32_t expected[2 * MANY], held[2 * MANY];
  size_t count;
  assert_ok(mirage_session_append_message(session, "system", "be kind", 7, &last_error));
  append_user(session, "a question");
  count = rendered(f->model, "{\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"}]}",
                   expected);
  assert_int_equal(generate(session, &options).token_count, 200);
  assert_in_range(tokens_of(session, held), count, 128);
  assert_memory_equal(held, expected, count * sizeof(int32_t));
  append_user(session, "and another"); /* after an answer longer than the context */
  assert_int_equal(generate(session, &options).token_count, 200);
  tokens_of(session, held);
  assert_memory_equal(held, expected, count * sizeof(int32_t));
  assert_int_equal(stats_of_session(session).messages, 5);
  mirage_session_close(session);
}

static void a_grammar_is_followed_over_shifts(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_SHIFT, KEEP, CONTEXT);
  mirage_generation_options options = greedy(-1);
  answer held;
  size_t i;
  options.ignore_eos = 0;
  options.grammar_kind = MIRAGE_GRAMMAR_REGEX;
  options.grammar = "([xy]{9}z){30}";
  options.grammar_bytes = strlen(options.grammar);
  append_letters(session, 20);
  held = generate(session, &options);
  assert_int_equal(held.finish, MIRAGE_FINISH_STOP);
  assert_int_equal(held.text_bytes, 300);
  for (i = 0; i < 300; ++i) assert_int_equal(held.text[i] == 'z', i % 10 == 9);
  mirage_session_close(session);
}

static void forks_and_saved_sessions_overflow_too(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, MIRAGE_OVERFLOW_SHIFT, KEEP, CONTEXT);
  mirage_session *fork = NULL, *restored = NULL;
  mirage_session_options options = overflowing(MIRAGE_OVERFLOW_ERROR, -1, CONTEXT);
  const mirage_generation_options answer_options = greedy(100);
  static unsigned char saved[1 << 20];
  uint64_t bytes = 0;
  answer first, second, third;
  append_letters(session, 200);
  assert_ok(mirage_session_fork(session, &fork, &last_error));
  assert_ok(mirage_session_save_memory(session, saved, sizeof saved, &bytes, &last_error));
  assert_status(MIRAGE_CONTEXT_FULL, mirage_session_restore_memory(f->model, saved, bytes, &options,
                                                                   &restored, &last_error));
  assert_message_has("200");
  options = overflowing(MIRAGE_OVERFLOW_SHIFT, KEEP, CONTEXT);
  assert_ok(
      mirage_session_restore_memory(f->model, saved, bytes, &options, &restored, &last_error));
  first = generate(session, &answer_options);
  second = generate(fork, &answer_options);
  third = generate(restored, &answer_options);
  assert_int_equal(first.token_count, 100);
  assert_memory_equal(second.tokens, first.tokens, 100 * sizeof(int32_t));
  assert_memory_equal(third.tokens, first.tokens, 100 * sizeof(int32_t));
  mirage_session_close(restored);
  mirage_session_close(fork);
  mirage_session_close(session);
}

static void programs_of_before_have_errors(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = NULL;
  mirage_session_options options;
  int32_t tokens[CONTEXT + 1] = {0};
  memset(&options, 0x77, sizeof options);
  mirage_session_options_init(&options, 40); /* without overflow and keep_tokens */
  options.context = CONTEXT;
  assert_ok(mirage_session_open(f->model, &options, &session, &last_error));
  assert_status(MIRAGE_CONTEXT_FULL,
                mirage_session_append_tokens(session, tokens, CONTEXT + 1, &last_error));
  mirage_session_close(session);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(options_are_checked),
      cmocka_unit_test(what_follows_a_shift_is_what_follows_the_tokens_left),
      cmocka_unit_test(company_changes_nothing),
      cmocka_unit_test(an_answer_without_end_goes_on_until_it_is_cancelled),
      cmocka_unit_test(a_rollback_after_a_shift_brings_back_what_was_computed),
      cmocka_unit_test(a_failure_after_a_shift_brings_back_what_was_computed),
      cmocka_unit_test(a_prompt_that_is_too_long_keeps_its_head_and_tail),
      cmocka_unit_test(a_prompt_cut_for_an_answer_that_is_rolled_back_is_whole_again),
      cmocka_unit_test(a_conversation_leaves_out_its_oldest_messages),
      cmocka_unit_test(a_conversation_that_shifts_keeps_its_system_message),
      cmocka_unit_test(a_grammar_is_followed_over_shifts),
      cmocka_unit_test(forks_and_saved_sessions_overflow_too),
      cmocka_unit_test(programs_of_before_have_errors),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
