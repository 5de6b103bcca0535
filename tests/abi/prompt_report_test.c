/* SPDX-License-Identifier: Apache-2.0 */
/* What a generation tells of its prompt: its text (echo), and how likely each of its tokens is
 * (prompt_logprobs), against what the model's logits say. */

#include <math.h>

#include "abi_test.h"

enum { TOP = 3, LENGTH = 150, MOST = 512 };

/* All PROMPT events of a generation as one, then its answer. */
typedef struct report {
  int32_t tokens[MOST];
  float logprobs[MOST];
  mirage_token_logprob top[MOST * TOP];
  size_t count;
  uint64_t first;
  size_t events;
  answer answer;
} report;

static void take_prompt_event(report* told, const mirage_event* event) {
  assert_int_equal(event->sample_index, 0);
  assert_int_equal(told->answer.token_count, 0);
  assert_int_equal(event->top_count, TOP);
  assert_true(event->token_count > 0 && told->count + event->token_count <= MOST);
  if (told->events == 0) told->first = event->position;
  assert_int_equal(event->position, told->first + told->count);
  memcpy(told->tokens + told->count, event->tokens, event->token_count * sizeof *told->tokens);
  memcpy(told->logprobs + told->count, event->logprobs,
         event->token_count * sizeof *told->logprobs);
  memcpy(told->top + told->count * TOP, event->top, event->token_count * TOP * sizeof *told->top);
  told->count += event->token_count;
  ++told->events;
}

static void take_event(report* told, const mirage_event* event) {
  if (event->kind == MIRAGE_EVENT_PROMPT) take_prompt_event(told, event);
  if (event->sample_index != 0) return;
  if (event->kind == MIRAGE_EVENT_TEXT) {
    memcpy(told->answer.text + told->answer.text_bytes, event->text, event->text_bytes);
    told->answer.text_bytes += event->text_bytes;
  }
  if (event->kind == MIRAGE_EVENT_TOKENS)
    told->answer.tokens[told->answer.token_count++] = event->tokens[0];
}

static report* report_of(mirage_session* session, const mirage_generation_options* options) {
  mirage_generation* generation = start(session, options);
  mirage_event event = new_event();
  report* told = calloc(1, sizeof *told);
  assert_non_null(told);
  while (event.kind != MIRAGE_EVENT_DONE) {
    assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
    take_event(told, &event);
  }
  told->answer.finish = event.finish;
  mirage_generation_close(generation);
  return told;
}

static mirage_generation_options scored(int64_t first) {
  mirage_generation_options options = greedy(4);
  options.prompt_logprobs = TOP;
  options.prompt_logprobs_first = first;
  return options;
}

static mirage_session* session_of(fixture* f, const int32_t* tokens, size_t count) {
  mirage_session* session = NULL;
  assert_ok(mirage_session_open(f->model, NULL, &session, &last_error));
  assert_ok(mirage_session_append_tokens(session, tokens, count, &last_error));
  return session;
}

/* By the logits that a sampler of the caller's sees, token after token. */
static void check_against_logits(fixture* f, const report* told, const int32_t* tokens,
                                 size_t count) {
  mirage_session* session = session_of(f, tokens, (size_t)told->first);
  mirage_generation_options options = greedy((int64_t)(count - told->first));
  mirage_generation* generation;
  mirage_event event = new_event();
  size_t i, rank, other;
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  generation = start(session, &options);
  for (i = 0; i < told->count; ++i) {
    double sum = 0, most = -INFINITY;
    do {
      assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
    } while (event.kind == MIRAGE_EVENT_TOKENS || event.kind == MIRAGE_EVENT_TEXT);
    assert_int_equal(event.kind, MIRAGE_EVENT_LOGITS);
    for (other = 0; other < event.logit_count; ++other) most = fmax(most, event.logits[other]);
    for (other = 0; other < event.logit_count; ++other) sum += exp(event.logits[other] - most);
    sum = most + log(sum);
    assert_int_equal(told->tokens[i], tokens[told->first + i]);
    assert_float_equal(told->logprobs[i], event.logits[told->tokens[i]] - sum, 1e-5);
    for (rank = 0; rank < TOP; ++rank) {
      const mirage_token_logprob* top = &told->top[i * TOP + rank];
      size_t likelier = 0;
      assert_float_equal(top->logprob, event.logits[top->token] - sum, 1e-5);
      for (other = 0; other < event.logit_count; ++other)
        if (event.logits[other] > event.logits[top->token] ||
            (event.logits[other] == event.logits[top->token] && (int32_t)other < top->token))
          ++likelier;
      assert_int_equal(likelier, rank);
    }
    assert_ok(mirage_generation_accept(generation, told->tokens[i], &last_error));
  }
  mirage_generation_close(generation);
  mirage_session_close(session);
}

static void check_same_report(const report* expected, const report* told) {
  assert_int_equal(told->count, expected->count);
  assert_memory_equal(told->logprobs, expected->logprobs, told->count * sizeof *told->logprobs);
  assert_memory_equal(told->top, expected->top, told->count * TOP * sizeof *told->top);
  check_same_answer(&expected->answer, &told->answer);
}

static void logprobs_are_those_of_the_logits(void** state) {
  fixture* f = (fixture*)*state;
  int32_t tokens[LENGTH];
  float scores[LENGTH];
  const mirage_generation_options options = scored(1);
  mirage_generation_options plain = greedy(4);
  mirage_session* session;
  report* told;
  answer without;
  make_tokens(tokens, LENGTH, 1);
  session = session_of(f, tokens, LENGTH);
  told = report_of(session, &options);
  mirage_session_close(session);
  assert_int_equal(told->first, 1);
  assert_int_equal(told->count, LENGTH - 1);
  check_against_logits(f, told, tokens, LENGTH);
  /* And to the bit those of mirage_score(). */
  assert_ok(mirage_score(f->model, tokens, LENGTH, 1, scores, &last_error));
  assert_memory_equal(told->logprobs, scores, (LENGTH - 1) * sizeof *scores);
  /* The answer is the one there is without them. */
  session = session_of(f, tokens, LENGTH);
  without = generate(session, &plain);
  check_same_answer(&without, &told->answer);
  mirage_session_close(session);
  free(told);
}

static void what_was_computed_before_changes_nothing(void** state) {
  fixture* f = (fixture*)*state;
  static const int64_t firsts[] = {1, 2, 33, 64, 100, LENGTH - 1, LENGTH};
  int32_t tokens[LENGTH];
  const mirage_generation_options all = scored(1);
  mirage_session* session;
  mirage_generation* generation;
  report* whole;
  size_t i;
  make_tokens(tokens, LENGTH, 2);
  session = session_of(f, tokens, LENGTH);
  whole = report_of(session, &all);
  mirage_session_close(session);
  for (i = 0; i < sizeof firsts / sizeof firsts[0]; ++i) {
    const mirage_generation_options options = scored(firsts[i]);
    const size_t first = (size_t)firsts[i];
    report* told;
    session = session_of(f, tokens, LENGTH);
    told = report_of(session, &options);
    assert_int_equal(told->count, LENGTH - first);
    assert_memory_equal(told->logprobs, whole->logprobs + first - 1,
                        told->count * sizeof *told->logprobs);
    assert_memory_equal(told->top, whole->top + (first - 1) * TOP,
                        told->count * TOP * sizeof *told->top);
    check_same_answer(&whole->answer, &told->answer);
    free(told);
    mirage_session_close(session);
  }
  /* Others' work is of use up to there. */
  {
    const mirage_generation_options late = scored(100);
    mirage_event event = new_event();
    session = session_of(f, tokens, LENGTH);
    generation = start(session, &late);
    while (event.kind != MIRAGE_EVENT_DONE)
      assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
    assert_in_range(stats_of_generation(generation).cached_tokens, 64, 99);
    mirage_generation_close(generation);
    mirage_session_close(session);
  }
  free(whole);
}

static void a_session_goes_on_and_tells_of_all_it_holds(void** state) {
  fixture* f = (fixture*)*state;
  int32_t tokens[LENGTH + 64];
  const mirage_generation_options options = scored(1);
  mirage_generation_options short_answer = greedy(10);
  mirage_session* session;
  report *told, *again;
  size_t count = 0;
  make_tokens(tokens, LENGTH, 3);
  session = session_of(f, tokens, LENGTH);
  generate(session, &short_answer);
  assert_ok(mirage_session_append_tokens(session, tokens, 20, &last_error));
  assert_ok(mirage_session_get_tokens(session, tokens, LENGTH + 64, &count, &last_error));
  assert_int_equal(count, LENGTH + 30);
  told = report_of(session, &options);
  assert_int_equal(told->count, count - 1);
  mirage_session_close(session);
  session = session_of(f, tokens, count);
  again = report_of(session, &options);
  check_same_report(again, told);
  mirage_session_close(session);
  free(told);
  free(again);
}

static void of_samples_the_first_tells(void** state) {
  fixture* f = (fixture*)*state;
  int32_t tokens[LENGTH];
  mirage_generation_options options = scored(1);
  mirage_session* session;
  report *one, *three;
  make_tokens(tokens, LENGTH, 4);
  session = session_of(f, tokens, LENGTH);
  one = report_of(session, &options);
  mirage_session_close(session);
  options.samples = 3;
  options.echo = 1;
  session = session_of(f, tokens, LENGTH);
  three = report_of(session, &options);
  check_same_report(one, three);
  mirage_session_close(session);
  free(one);
  free(three);
}

static void echo_is_the_prompts_text_before_the_answers(void** state) {
  fixture* f = (fixture*)*state;
  static const char kPrompt[] = "hello, w\xC3\xB6rld";
  const mirage_string stop = {"hell", 4};
  mirage_generation_options options = greedy(12);
  mirage_event event = new_event();
  mirage_generation* generation;
  answer plain, echoed;
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_text(f->session, kPrompt, strlen(kPrompt),
                                       MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  plain = generate(f->session, &options);
  options.echo = 1;
  options.stop_strings = &stop;
  options.stop_string_count = 1;
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_text(f->session, kPrompt, strlen(kPrompt),
                                       MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  /* It is there before anything is computed. */
  generation = start(f->session, &options);
  assert_ok(mirage_generation_next(generation, 0, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_TEXT);
  assert_int_equal(event.text_bytes, strlen(kPrompt));
  assert_memory_equal(event.text, kPrompt, strlen(kPrompt));
  echoed = read_answer(generation);
  mirage_generation_close(generation);
  assert_int_equal(echoed.finish, MIRAGE_FINISH_LENGTH);
  check_same_answer(&plain, &echoed);
  assert_int_equal(echoed.text_bytes, plain.text_bytes);
  assert_memory_equal(echoed.text, plain.text, plain.text_bytes);
}

static void echo_is_no_part_of_a_conversation(void** state) {
  fixture* f = (fixture*)*state;
  static const char kEchoed[] = "user\none\nassistant\n";
  mirage_generation_options options = greedy(6);
  answer first, echoed, next, next_after_echo;
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "one");
  first = generate(f->session, &options);
  append_user(f->session, "two");
  next = generate(f->session, &options);

  options.echo = 1;
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "one");
  echoed = generate(f->session, &options);
  assert_int_equal(echoed.text_bytes, strlen(kEchoed) + first.text_bytes);
  assert_memory_equal(echoed.text, kEchoed, strlen(kEchoed));
  assert_memory_equal(echoed.text + strlen(kEchoed), first.text, first.text_bytes);
  options.echo = 0;
  append_user(f->session, "two");
  next_after_echo = generate(f->session, &options);
  check_same_answer(&next, &next_after_echo);
  assert_ok(mirage_session_clear(f->session, &last_error));
}

static void see(mirage_generation* generation, const mirage_event* event, void* user_data) {
  (void)generation;
  take_event((report*)user_data, event);
}

static void callbacks_are_told_too(void** state) {
  fixture* f = (fixture*)*state;
  int32_t tokens[LENGTH];
  mirage_generation_options options = scored(1);
  mirage_generation* generation;
  mirage_session* session;
  report *told, *called;
  make_tokens(tokens, LENGTH, 5);
  session = session_of(f, tokens, LENGTH);
  options.echo = 1;
  told = report_of(session, &options);
  mirage_session_close(session);
  called = calloc(1, sizeof *called);
  assert_non_null(called);
  session = session_of(f, tokens, LENGTH);
  options.callback = see;
  options.callback_user_data = called;
  generation = start(session, &options);
  while (stats_of_generation(generation).finish == MIRAGE_FINISH_NONE) {
  }
  mirage_generation_close(generation);
  check_same_report(told, called);
  assert_int_equal(told->answer.text_bytes, called->answer.text_bytes);
  mirage_session_close(session);
  free(told);
  free(called);
}

static void bad_options_are_named(void** state) {
  fixture* f = (fixture*)*state;
  static const struct {
    int32_t echo, top;
    int64_t first;
    const char* named;
  } kBad[] = {
      {2, 0, 1, "echo"},
      {-1, 0, 1, "echo"},
      {0, -1, 1, "prompt_logprobs is -1"},
      {0, 65, 1, "prompt_logprobs is 65"},
      {0, 1, 0, "prompt_logprobs_first is 0"},
      {0, 1, -5, "prompt_logprobs_first is -5"},
      {0, 1, 5, "prompt_logprobs_first is 5"},
      {0, 1, INT64_MAX, "prompt_logprobs_first is"},
      {0, 0, 0, "prompt_logprobs_first is 0"},
      {0, 0, 2, "prompt_logprobs is 0"},
  };
  size_t i;
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(
      mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  for (i = 0; i < sizeof kBad / sizeof kBad[0]; ++i) {
    mirage_generation_options options = greedy(3);
    mirage_generation* generation = NULL;
    options.echo = kBad[i].echo;
    options.prompt_logprobs = kBad[i].top;
    options.prompt_logprobs_first = kBad[i].first;
    assert_status(MIRAGE_INVALID_ARGUMENT,
                  mirage_generation_start(f->session, &options, &generation, &last_error));
    assert_message_has(kBad[i].named);
    assert_null(generation);
    assert_int_equal(stats_of_session(f->session).waiting_tokens, 4);
  }
  {
    const mirage_generation_options none = scored(4); /* of four tokens */
    report* told = report_of(f->session, &none);
    assert_int_equal(told->events, 0);
    assert_int_equal(told->answer.token_count, 4);
    free(told);
  }
}

static uint64_t session_bytes(const fixture* f) {
  mirage_memory memory;
  memory.struct_size = sizeof memory;
  assert_ok(mirage_runtime_get_memory(f->runtime, &memory, &last_error));
  return memory.sessions_bytes;
}

static uint64_t charged_for(fixture* f, const int32_t* tokens,
                            const mirage_generation_options* options) {
  mirage_session* session = session_of(f, tokens, LENGTH);
  const uint64_t before = session_bytes(f);
  mirage_generation* generation = start(session, options);
  const uint64_t charged = session_bytes(f) - before;
  mirage_generation_close(generation);
  mirage_session_close(session);
  return charged;
}

static void what_is_told_is_counted(void** state) {
  fixture* f = (fixture*)*state;
  int32_t tokens[LENGTH];
  mirage_generation_options options = greedy(4);
  uint64_t plain;
  make_tokens(tokens, LENGTH, 6);
  plain = charged_for(f, tokens, &options);
  options.prompt_logprobs = 64;
  assert_true(charged_for(f, tokens, &options) - plain >
              (LENGTH - 1) * 64 * sizeof(mirage_token_logprob));
  options.prompt_logprobs = 0;
  options.echo = 1;
  assert_in_range(charged_for(f, tokens, &options) - plain, LENGTH, 4 * LENGTH);
}

/* In its own runtime. */
static void a_shutdown_ends_what_is_told(void** state) {
  void* at = NULL;
  fixture* f;
  int32_t tokens[500];
  mirage_generation_options options = scored(1);
  mirage_generation* generation;
  mirage_session* session;
  (void)state;
  assert_int_equal(open_fixture(&at), 0);
  f = (fixture*)at;
  make_tokens(tokens, 500, 7);
  session = session_of(f, tokens, 500);
  generation = start(session, &options);
  assert_ok(mirage_runtime_shutdown(f->runtime, &last_error));
  {
    const answer read = read_answer(generation);
    assert_true(read.finish == MIRAGE_FINISH_CANCELLED || read.finish == MIRAGE_FINISH_LENGTH);
  }
  mirage_generation_close(generation);
  mirage_session_close(session);
  assert_int_equal(close_fixture(&at), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(logprobs_are_those_of_the_logits),
      cmocka_unit_test(what_was_computed_before_changes_nothing),
      cmocka_unit_test(a_session_goes_on_and_tells_of_all_it_holds),
      cmocka_unit_test(of_samples_the_first_tells),
      cmocka_unit_test(echo_is_the_prompts_text_before_the_answers),
      cmocka_unit_test(echo_is_no_part_of_a_conversation),
      cmocka_unit_test(callbacks_are_told_too),
      cmocka_unit_test(bad_options_are_named),
      cmocka_unit_test(what_is_told_is_counted),
      cmocka_unit_test(a_shutdown_ends_what_is_told),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
