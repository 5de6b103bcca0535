/* SPDX-License-Identifier: Apache-2.0 */
/* Generations: events by pull and by descriptor, ends, cancelling, seeds, stop strings, samplers of
 * the caller's. */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "abi_test.h"

static void begin(fixture* f, const char* text) {
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_text(f->session, text, strlen(text), MIRAGE_TOKENIZE_ADD_SPECIAL,
                                       &last_error));
}

static uint64_t session_tokens(const mirage_session* session) {
  mirage_session_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_session_get_stats(session, &stats, &last_error));
  return stats.tokens;
}

/* The length of the code point that begins with `byte`. */
static size_t code_point_bytes(unsigned char byte) {
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

static void max_tokens_ends_with_length(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(5);
  answer read;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.status, MIRAGE_OK);
  assert_int_equal(read.finish, MIRAGE_FINISH_LENGTH);
  assert_int_equal(read.token_count, 5);
}

static void the_context_ends_with_length(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(-1);
  answer read;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.finish, MIRAGE_FINISH_LENGTH);
  assert_int_equal(read.token_count + 4, TINY_CONTEXT);
}

static void strict_answers_fit_or_do_not_start(void** state) {
  fixture* f = (fixture*)*state;
  const int64_t room = TINY_CONTEXT - 4;
  mirage_generation_options options = greedy(room);
  mirage_generation* generation = NULL;
  answer read;
  options.strict_max_tokens = 1;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.finish, MIRAGE_FINISH_LENGTH);
  assert_int_equal(read.token_count, room);
  begin(f, "abc");
  options.max_tokens = room + 1;
  assert_status(MIRAGE_CONTEXT_FULL,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_message_has("an answer of 509 tokens after a prompt of 4 does not fit a context of 512");
  options.max_tokens = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  options.max_tokens = room + 1;
  options.strict_max_tokens = 0;
  read = generate(f->session, &options);
  assert_int_equal(read.token_count, room);
}

static void greedy_answers_are_the_same(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(32);
  answer first, second;
  begin(f, "abc");
  first = generate(f->session, &options);
  begin(f, "abc");
  second = generate(f->session, &options);
  assert_memory_equal(first.tokens, second.tokens, 32 * sizeof first.tokens[0]);
  assert_int_equal(first.text_bytes, second.text_bytes);
  assert_memory_equal(first.text, second.text, first.text_bytes);
}

static void streamed_text_is_whole_code_points(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(200);
  mirage_generation* generation;
  mirage_event event = new_event();
  options.temperature = 3; /* many different bytes, most of them no text */
  options.top_k = 0;
  options.has_seed = 1;
  begin(f, "abc");
  generation = start(f->session, &options);
  while (event.kind != MIRAGE_EVENT_DONE) {
    size_t at = 0;
    assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
    if (event.kind != MIRAGE_EVENT_TEXT) continue;
    assert_true(event.text_bytes > 0);
    assert_int_equal(event.text[event.text_bytes], '\0');
    while (at < event.text_bytes) {
      assert_true(((unsigned char)event.text[at] & 0xC0) != 0x80);
      at += code_point_bytes((unsigned char)event.text[at]);
    }
    assert_int_equal(at, event.text_bytes);
  }
  mirage_generation_close(generation);
}

static void a_seed_makes_answers_the_same_and_is_reported(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(32);
  mirage_generation* generation;
  answer first, second;
  uint64_t seed;
  options.temperature = 1.5f;
  begin(f, "abc");
  generation = start(f->session, &options);
  first = read_answer(generation);
  seed = stats_of_generation(generation).seed;
  mirage_generation_close(generation);
  options.has_seed = 1;
  options.seed = seed;
  begin(f, "abc");
  second = generate(f->session, &options);
  assert_memory_equal(first.tokens, second.tokens, 32 * sizeof first.tokens[0]);
}

static void a_stop_string_ends_the_answer_before_it(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(64);
  answer whole, cut;
  mirage_string stop[2];
  size_t at;
  begin(f, "abc");
  whole = generate(f->session, &options);
  assert_true(whole.text_bytes > 20);
  /* Four bytes in the middle, which no token border respects; and a longer one that never comes. */
  at = whole.text_bytes / 2;
  while (((unsigned char)whole.text[at] & 0xC0) == 0x80) ++at;
  stop[0].text = whole.text + at;
  stop[0].bytes = 0;
  while (stop[0].bytes < 4)
    stop[0].bytes += code_point_bytes((unsigned char)whole.text[at + stop[0].bytes]);
  stop[1].text = "this never comes";
  stop[1].bytes = strlen(stop[1].text);
  options.stop_strings = stop;
  options.stop_string_count = 2;
  begin(f, "abc");
  cut = generate(f->session, &options);
  assert_int_equal(cut.finish, MIRAGE_FINISH_STOP);
  assert_true(cut.text_bytes <= at);
  assert_memory_equal(cut.text, whole.text, cut.text_bytes);
  cut.text[cut.text_bytes] = '\0';
  whole.text[cut.text_bytes + stop[0].bytes] = '\0';
  assert_memory_equal(whole.text + cut.text_bytes, stop[0].text, stop[0].bytes);
  assert_true(cut.token_count < whole.token_count);
}

static void a_stop_token_ends_the_answer_and_is_reported(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(32);
  answer whole, cut;
  int32_t stop;
  size_t first = 0;
  begin(f, "abc");
  whole = generate(f->session, &options);
  stop = whole.tokens[10];
  while (whole.tokens[first] != stop) ++first;
  options.stop_tokens = &stop;
  options.stop_token_count = 1;
  begin(f, "abc");
  cut = generate(f->session, &options);
  assert_int_equal(cut.finish, MIRAGE_FINISH_STOP);
  assert_int_equal(cut.token_count, first + 1);
  assert_int_equal(cut.tokens[first], stop);
}

static void end_tokens_end_the_answer_unless_ignored(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(4);
  const mirage_logit_bias always_end = {TINY_END, 1e6f};
  answer read;
  options.logit_bias = &always_end;
  options.logit_bias_count = 1;
  options.ignore_eos = 0;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.finish, MIRAGE_FINISH_STOP);
  assert_int_equal(read.token_count, 1);
  assert_int_equal(read.tokens[0], TINY_END);
  assert_int_equal(read.text_bytes, 0);
  options.ignore_eos = 1;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.finish, MIRAGE_FINISH_LENGTH);
  assert_int_equal(read.token_count, 4);
}

static void the_descriptor_is_readable_exactly_while_next_would_not_wait(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(40);
  mirage_generation* generation;
  mirage_event event = new_event();
  struct pollfd waiting;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_ok(mirage_generation_get_fd(generation, &waiting.fd, &last_error));
  waiting.events = POLLIN;
  while (event.kind != MIRAGE_EVENT_DONE) {
    assert_int_equal(poll(&waiting, 1, 60000), 1);
    assert_ok(mirage_generation_next(generation, 0, &event, &last_error));
  }
  assert_int_equal(poll(&waiting, 1, 0), 1); /* DONE is given again and again */
  assert_ok(mirage_generation_next(generation, 0, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_DONE);
  mirage_generation_close(generation);
}

static void an_unanswered_choice_leaves_the_descriptor_quiet(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(2);
  mirage_generation* generation;
  mirage_event event = new_event();
  struct pollfd waiting;
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_ok(mirage_generation_get_fd(generation, &waiting.fd, &last_error));
  waiting.events = POLLIN;
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_LOGITS);
  assert_int_equal(poll(&waiting, 1, 20), 0);
  assert_ok(mirage_generation_accept(generation, 65, &last_error));
  assert_int_equal(poll(&waiting, 1, 60000), 1);
  mirage_generation_close(generation);
}

static int32_t likeliest(const mirage_event* event) {
  size_t i, best = 0;
  for (i = 1; i < event->logit_count; ++i)
    if (event->logits[i] > event->logits[best]) best = i;
  return (int32_t)best;
}

static void a_sampler_of_the_callers_gives_the_same_greedy_answer(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(12);
  mirage_generation* generation;
  mirage_event event = new_event();
  answer expected;
  size_t chosen = 0;
  begin(f, "abc");
  expected = generate(f->session, &options);
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  begin(f, "abc");
  generation = start(f->session, &options);
  while (event.kind != MIRAGE_EVENT_DONE) {
    assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
    if (event.kind != MIRAGE_EVENT_LOGITS) continue;
    assert_int_equal(event.logit_count, TINY_TOKENS);
    assert_int_equal(likeliest(&event), expected.tokens[chosen++]);
    assert_ok(mirage_generation_accept(generation, likeliest(&event), &last_error));
  }
  assert_int_equal(chosen, 12);
  mirage_generation_close(generation);
}

static void accepting_out_of_turn_or_range_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(1);
  mirage_generation* generation;
  mirage_event event = new_event();
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_accept(generation, TINY_TOKENS, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_generation_accept(generation, -1, &last_error));
  assert_ok(mirage_generation_accept(generation, 65, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_generation_accept(generation, 65, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_generation_accept(NULL, 65, &last_error));
  mirage_generation_close(generation);
}

static void cancelling_keeps_what_was_produced(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(-1);
  mirage_generation* generation;
  mirage_event event = new_event();
  answer rest;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  assert_ok(mirage_generation_cancel(generation, MIRAGE_CANCEL_STOP, &last_error));
  rest = read_answer(generation);
  assert_int_equal(rest.status, MIRAGE_OK);
  assert_true(rest.finish == MIRAGE_FINISH_CANCELLED || rest.finish == MIRAGE_FINISH_LENGTH);
  assert_int_equal(stats_of_generation(generation).finish, rest.finish);
  assert_int_equal(session_tokens(f->session), 4 + stats_of_generation(generation).output_tokens);
  mirage_generation_close(generation);
}

static void rolling_back_restores_the_session(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(-1);
  mirage_generation* generation;
  mirage_event event = new_event();
  answer rest, first, again;
  mirage_session_stats stats;
  size_t count = 0;
  options.sampler =
      MIRAGE_SAMPLER_EXTERNAL; /* waits for its token, so the cancel surely comes before the end */
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  assert_ok(mirage_generation_accept(generation, 70, &last_error));
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  assert_ok(mirage_generation_cancel(generation, MIRAGE_CANCEL_ROLLBACK, &last_error));
  rest = read_answer(generation);
  assert_int_equal(rest.finish, MIRAGE_FINISH_CANCELLED);
  mirage_generation_close(generation);
  assert_ok(mirage_session_get_tokens(f->session, NULL, 0, &count, &last_error));
  assert_int_equal(count, 4);
  stats.struct_size = sizeof stats;
  assert_ok(mirage_session_get_stats(f->session, &stats, &last_error));
  assert_int_equal(stats.waiting_tokens, 4);
  options = greedy(16);
  again = generate(f->session, &options);
  begin(f, "abc");
  first = generate(f->session, &options);
  assert_memory_equal(first.tokens, again.tokens, 16 * sizeof first.tokens[0]);
}

static void an_unknown_way_to_cancel_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(1);
  mirage_generation* generation;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_status(MIRAGE_UNSUPPORTED, mirage_generation_cancel(generation, 5, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_generation_cancel(NULL, 0, &last_error));
  mirage_generation_close(generation);
}

static void a_running_session_is_busy(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(2);
  mirage_generation* generation;
  mirage_generation* second = NULL;
  mirage_event event = new_event();
  mirage_session_stats stats;
  size_t count = 0;
  const int32_t token = 65;
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  assert_status(MIRAGE_BUSY, mirage_session_append_tokens(f->session, &token, 1, &last_error));
  assert_status(MIRAGE_BUSY, mirage_session_append_text(f->session, "a", 1, 0, &last_error));
  assert_status(MIRAGE_BUSY,
                mirage_session_append_message(f->session, "user", "a", 1, &last_error));
  assert_status(MIRAGE_BUSY, mirage_session_append_conversation(f->session, "{}", 2, &last_error));
  assert_status(MIRAGE_BUSY, mirage_session_get_tokens(f->session, NULL, 0, &count, &last_error));
  assert_status(MIRAGE_BUSY, mirage_session_truncate(f->session, 0, &last_error));
  assert_status(MIRAGE_BUSY, mirage_session_clear(f->session, &last_error));
  assert_status(MIRAGE_BUSY, mirage_generation_start(f->session, NULL, &second, &last_error));
  stats.struct_size = sizeof stats;
  assert_ok(mirage_session_get_stats(f->session, &stats, &last_error));
  assert_int_equal(stats.busy, 1);
  mirage_generation_close(generation);
  assert_ok(mirage_session_clear(f->session, &last_error)); /* the close has cancelled it */
}

static void a_time_out_is_not_the_end(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(1);
  mirage_generation* generation;
  mirage_event event = new_event();
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  assert_status(MIRAGE_TIMEOUT, mirage_generation_next(generation, 5, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_NONE);
  assert_ok(mirage_generation_accept(generation, 65, &last_error));
  assert_ok(mirage_generation_next(generation, INT64_MAX, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_TOKENS);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_next(generation, -2, &event, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_generation_next(generation, 0, NULL, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_generation_next(NULL, 0, &event, &last_error));
  mirage_generation_close(generation);
}

static void what_an_external_sampler_would_leave_unused_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(3);
  mirage_generation* generation;
  const mirage_logit_bias bias = {5, 1.0F};
  begin(f, "abc");
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  options.logprobs = 5;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_message_has("logprobs");
  options.logprobs = 0;
  options.logit_bias = &bias;
  options.logit_bias_count = 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_message_has("logit_bias");
}

static void a_deadline_past_all_times_is_none(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(3);
  const int64_t deadlines[] = {INT64_MAX, INT64_MAX / 1000, INT64_MAX / 1000000};
  size_t i;
  options.ignore_eos = 1;
  for (i = 0; i < 3; ++i) {
    options.deadline_ms = deadlines[i];
    begin(f, "abc");
    assert_int_equal(generate(f->session, &options).finish, MIRAGE_FINISH_LENGTH);
    assert_ok(mirage_session_clear(f->session, &last_error));
  }
}

static void a_deadline_ends_the_answer(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(-1);
  mirage_generation* generation;
  mirage_event event = new_event();
  answer rest;
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  options.deadline_ms = 50;
  begin(f, "abc");
  generation = start(f->session, &options);
  while (mirage_generation_next(generation, -1, &event, &last_error) == MIRAGE_OK &&
         event.kind != MIRAGE_EVENT_LOGITS && event.kind != MIRAGE_EVENT_DONE) {
  }
  rest = read_answer(generation);
  assert_int_equal(rest.finish, MIRAGE_FINISH_DEADLINE);
  mirage_generation_close(generation);
}

static void bad_options_are_named(void** state) {
  fixture* f = (fixture*)*state;
  const mirage_logit_bias outside = {TINY_TOKENS, 1.0f};
  const mirage_string empty = {"", 0};
  const int32_t no_token = -5;
  static const struct {
    size_t offset;
    float value;
  } kFloats[] = {
      {offsetof(mirage_generation_options, top_p), 1.5f},
      {offsetof(mirage_generation_options, min_p), -0.5f},
      {offsetof(mirage_generation_options, typical_p), 2.0f},
      {offsetof(mirage_generation_options, repeat_penalty), -1.0f},
  };
  mirage_generation_options options;
  mirage_generation* generation = NULL;
  size_t i;
  begin(f, "abc");
  for (i = 0; i < sizeof kFloats / sizeof kFloats[0]; ++i) {
    options = greedy(1);
    options.temperature = 1;
    memcpy((char*)&options + kFloats[i].offset, &kFloats[i].value, sizeof(float));
    assert_status(MIRAGE_INVALID_ARGUMENT,
                  mirage_generation_start(f->session, &options, &generation, &last_error));
  }
#define REFUSED(status, field, bad)                                                         \
  do {                                                                                      \
    options = greedy(1);                                                                    \
    options.field = (bad);                                                                  \
    assert_status((status),                                                                 \
                  mirage_generation_start(f->session, &options, &generation, &last_error)); \
  } while (0)
  REFUSED(MIRAGE_INVALID_ARGUMENT, samples, 0);
  REFUSED(MIRAGE_INVALID_ARGUMENT, samples, 129);
  REFUSED(MIRAGE_UNSUPPORTED, sampler, 7);
  REFUSED(MIRAGE_INVALID_ARGUMENT, max_tokens, 0);
  REFUSED(MIRAGE_INVALID_ARGUMENT, max_tokens, -2);
  REFUSED(MIRAGE_INVALID_ARGUMENT, deadline_ms, -2);
  REFUSED(MIRAGE_INVALID_ARGUMENT, top_k, -1);
  REFUSED(MIRAGE_INVALID_ARGUMENT, repeat_last_n, -2);
  REFUSED(MIRAGE_INVALID_ARGUMENT, logprobs, -1);
  REFUSED(MIRAGE_INVALID_ARGUMENT, logprobs, 65);
  REFUSED(MIRAGE_INVALID_ARGUMENT, has_seed, 2);
  REFUSED(MIRAGE_INVALID_ARGUMENT, ignore_eos, -1);
  REFUSED(MIRAGE_INVALID_ARGUMENT, strict_max_tokens, 2);
  REFUSED(MIRAGE_INVALID_ARGUMENT, stop_token_count, 1);
  REFUSED(MIRAGE_INVALID_ARGUMENT, stop_string_count, 1);
  REFUSED(MIRAGE_INVALID_ARGUMENT, logit_bias_count, 1);
#undef REFUSED
  options = greedy(1);
  options.logit_bias = &outside;
  options.logit_bias_count = 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  options = greedy(1);
  options.stop_strings = &empty;
  options.stop_string_count = 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  options = greedy(1);
  options.stop_tokens = &no_token;
  options.stop_token_count = 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(NULL, NULL, &generation, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, NULL, NULL, &last_error));
  assert_null(generation);
  assert_int_equal(session_tokens(f->session), 4);
}

static void bad_samplers_are_named(void** state) {
  fixture* f = (fixture*)*state;
  static const struct {
    size_t offset;
    float value;
    const char* name;
  } kFloats[] = {
      {offsetof(mirage_generation_options, top_n_sigma), -1.0f, "top_n_sigma is -1"},
      {offsetof(mirage_generation_options, dry_multiplier), -1.0f, "dry_multiplier is -1"},
      {offsetof(mirage_generation_options, dry_base), 0.5f, "dry_base is 0.5"},
      {offsetof(mirage_generation_options, xtc_probability), 1.5f, "xtc_probability is 1.5"},
      {offsetof(mirage_generation_options, xtc_threshold), -0.5f, "xtc_threshold is -0.5"},
      {offsetof(mirage_generation_options, dynatemp_range), -2.0f, "dynatemp_range is -2"},
      {offsetof(mirage_generation_options, dynatemp_exponent), 0.0f, "dynatemp_exponent is 0"},
      {offsetof(mirage_generation_options, mirostat_tau), 101.0f, "mirostat_tau is 101"},
      {offsetof(mirage_generation_options, mirostat_eta), 2.0f, "mirostat_eta is 2"},
  };
  const mirage_token_sequence no_tokens = {NULL, 0};
  const int32_t outside = TINY_TOKENS;
  mirage_generation_options options;
  mirage_generation* generation = NULL;
  size_t i;
  begin(f, "abc");
  for (i = 0; i < sizeof kFloats / sizeof kFloats[0]; ++i) {
    options = greedy(1);
    memcpy((char*)&options + kFloats[i].offset, &kFloats[i].value, sizeof(float));
    assert_status(MIRAGE_INVALID_ARGUMENT,
                  mirage_generation_start(f->session, &options, &generation, &last_error));
    assert_non_null(strstr(last_error.message, kFloats[i].name));
  }
#define REFUSED(field, bad, name)                                                           \
  do {                                                                                      \
    options = greedy(4);                                                                    \
    options.field = (bad);                                                                  \
    assert_status(MIRAGE_INVALID_ARGUMENT,                                                  \
                  mirage_generation_start(f->session, &options, &generation, &last_error)); \
    assert_non_null(strstr(last_error.message, (name)));                                    \
  } while (0)
  REFUSED(samplers, "top_k;dance", "'dance'");
  REFUSED(samplers, "top_k;top_k", "twice");
  REFUSED(dry_allowed_length, -1, "dry_allowed_length is -1");
  REFUSED(dry_penalty_last_n, -2, "dry_penalty_last_n is -2");
  REFUSED(mirostat, 3, "mirostat is 3");
  REFUSED(min_tokens, -1, "min_tokens is -1");
  REFUSED(min_tokens, 5, "min_tokens is 5");
  REFUSED(dry_breaker_count, 1, "dry_breakers");
  REFUSED(banned_sequence_count, 1, "banned_sequences");
  REFUSED(allowed_token_count, 1, "allowed_tokens");
#undef REFUSED
  options = greedy(1);
  options.allowed_tokens = &outside;
  options.allowed_token_count = 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  options.allowed_tokens = NULL;
  options.allowed_token_count = 0;
  options.banned_sequences = &no_tokens;
  options.banned_sequence_count = 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  options = greedy(4);
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  options.min_tokens = 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_null(generation);
  assert_int_equal(session_tokens(f->session), 4);
}

static void min_tokens_put_off_end_tokens_and_stop_strings(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(8);
  const mirage_logit_bias ends_at_once = {TINY_END, 1e6f};
  mirage_string stop;
  answer whole, read;
  size_t i;
  options.ignore_eos = 0;
  options.logit_bias = &ends_at_once;
  options.logit_bias_count = 1;
  options.min_tokens = 3;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.finish, MIRAGE_FINISH_STOP);
  assert_int_equal(read.token_count, 4);
  for (i = 0; i < 3; ++i) assert_int_not_equal(read.tokens[i], TINY_END);
  assert_int_equal(read.tokens[3], TINY_END);

  options = greedy(64);
  begin(f, "abc");
  whole = generate(f->session, &options);
  assert_true(whole.text_bytes > 20);
  stop.text = whole.text; /* all that is needed of it: it begins at once */
  stop.bytes = code_point_bytes((unsigned char)whole.text[0]);
  options.stop_strings = &stop;
  options.stop_string_count = 1;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.finish, MIRAGE_FINISH_STOP);
  assert_int_equal(read.text_bytes, 0);
  options.min_tokens = 64;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.finish, MIRAGE_FINISH_LENGTH);
  assert_int_equal(read.token_count, 64);
  assert_int_equal(read.text_bytes, whole.text_bytes);
}

static void allowed_and_banned_tokens_hold(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(20);
  const int32_t allowed[] = {'x', 'y', 'z'};
  const int32_t xy[] = {'x', 'y'};
  const int32_t z[] = {'z'};
  const mirage_token_sequence banned[] = {{xy, 2}, {z, 1}};
  mirage_event event = new_event();
  mirage_generation* generation;
  answer read;
  size_t i;
  options.temperature = 1;
  options.has_seed = 1;
  options.min_p = 0;
  options.top_p = 1;
  options.allowed_tokens = allowed;
  options.allowed_token_count = 3;
  options.banned_sequences = banned;
  options.banned_sequence_count = 2;
  begin(f, "abc");
  read = generate(f->session, &options);
  assert_int_equal(read.token_count, 20);
  for (i = 0; i < 20; ++i) {
    assert_true(read.tokens[i] == 'x' || read.tokens[i] == 'y');
    if (i > 0 && read.tokens[i] == 'y') assert_int_not_equal(read.tokens[i - 1], 'x');
  }
  options.allowed_tokens = z; /* which is banned: nothing remains */
  options.allowed_token_count = 1;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_next(generation, -1, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_DONE);
  assert_int_equal(event.finish, MIRAGE_FINISH_ERROR);
  assert_non_null(strstr(last_error.message, "allowed_tokens, banned_sequences"));
  mirage_generation_close(generation);
  assert_int_equal(session_tokens(f->session), 4);
}

static void samplers_change_the_answer_and_repeat_with_the_seed(void** state) {
  fixture* f = (fixture*)*state;
  const char* kNames[] = {"plain", "dry", "xtc", "mirostat", "dynatemp", "top_n_sigma", "order"};
  const int32_t allowed[] = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'};
  answer answers[sizeof kNames / sizeof kNames[0]];
  answer again;
  size_t i, j;
  for (i = 0; i < sizeof kNames / sizeof kNames[0]; ++i) {
    mirage_generation_options options = greedy(40);
    options.temperature = 1.5f;
    options.has_seed = 1;
    options.seed = 9;
    options.min_p = 0;
    options.top_p = 1;
    options.top_k = 0;
    options.allowed_tokens = allowed; /* few, so that repetitions come */
    options.allowed_token_count = 8;
    if (i == 1) options.dry_multiplier = 5, options.dry_allowed_length = 0;
    if (i == 2) options.xtc_probability = 1, options.xtc_threshold = 0.01f;
    if (i == 3) options.mirostat = 2, options.mirostat_tau = 1;
    if (i == 4) options.dynatemp_range = 1.4f;
    if (i == 5) options.top_n_sigma = 1;
    if (i == 6) options.samplers = "";
    begin(f, "abcabc");
    answers[i] = generate(f->session, &options);
    begin(f, "abcabc");
    again = generate(f->session, &options);
    assert_int_equal(answers[i].token_count, 40);
    assert_memory_equal(answers[i].tokens, again.tokens, 40 * sizeof again.tokens[0]);
    for (j = 0; j < i; ++j)
      assert_memory_not_equal(answers[i].tokens, answers[j].tokens, 40 * sizeof again.tokens[0]);
  }
}

static void the_models_own_options_are_taken_over(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(1);
  assert_ok(mirage_model_get_generation_options(f->model, &options, &last_error));
  assert_true(options.temperature == 0.5f);
  assert_int_equal(options.top_k, 7);
  assert_true(options.top_p == 0.95f);
  assert_int_equal(options.max_tokens, 1);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_get_generation_options(f->model, NULL, &last_error));
}

static void several_answers_at_once_are_those_of_each_alone(void** state) {
  enum { SESSIONS = 3 };
  static const char* const kPrompts[SESSIONS] = {"abc", "a longer beginning", "?"};
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(24);
  mirage_session* sessions[SESSIONS] = {NULL, NULL, NULL};
  mirage_generation* generations[SESSIONS];
  answer alone[SESSIONS];
  int i;
  for (i = 0; i < SESSIONS; ++i) {
    begin(f, kPrompts[i]);
    alone[i] = generate(f->session, &options);
  }
  for (i = 0; i < SESSIONS; ++i) {
    assert_ok(mirage_session_open(f->model, NULL, &sessions[i], &last_error));
    assert_ok(mirage_session_append_text(sessions[i], kPrompts[i], strlen(kPrompts[i]),
                                         MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  }
  for (i = 0; i < SESSIONS; ++i) generations[i] = start(sessions[i], &options);
  for (i = 0; i < SESSIONS; ++i) {
    answer together = read_answer(generations[i]);
    assert_memory_equal(together.tokens, alone[i].tokens, 24 * sizeof alone[i].tokens[0]);
    mirage_generation_close(generations[i]);
    mirage_session_close(sessions[i]);
  }
}

static void statistics_count(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(6);
  mirage_generation* generation;
  mirage_generation_stats stats;
  mirage_runtime_stats runtime;
  begin(f, "abc");
  generation = start(f->session, &options);
  read_answer(generation);
  stats = stats_of_generation(generation);
  assert_int_equal(stats.prompt_tokens, 4);
  assert_int_equal(stats.output_tokens, 6);
  assert_int_equal(stats.finish, MIRAGE_FINISH_LENGTH);
  assert_true(stats.output_s > 0);
  runtime.struct_size = sizeof runtime;
  assert_ok(mirage_runtime_get_stats(f->runtime, &runtime, &last_error));
  assert_int_equal(runtime.threads, 1);
  assert_true(runtime.steps >= 6 && runtime.output_tokens >= 5);
  mirage_generation_close(generation);
}

/* A model made to repeat itself: guesses come true. */
static void drafting_takes_fewer_steps_and_gives_the_same(void** state) {
  fixture* f = (fixture*)*state;
  const mirage_logit_bias bias = {65, 1000.0f};
  mirage_generation_options options = greedy(64);
  mirage_generation_stats stats;
  mirage_runtime_stats before;
  mirage_runtime_stats after;
  mirage_generation* generation = NULL;
  answer plain;
  answer drafted;
  int i = 0;
  options.logit_bias = &bias;
  options.logit_bias_count = 1;
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "hello");
  plain = generate(f->session, &options);
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "hello");
  options.draft_tokens = 7;
  before.struct_size = after.struct_size = sizeof before;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_runtime_get_stats(f->runtime, &before, &last_error));
  generation = start(f->session, &options);
  drafted = read_answer(generation);
  assert_ok(mirage_generation_get_stats(generation, &stats, &last_error));
  mirage_generation_close(generation);
  assert_ok(mirage_runtime_get_stats(f->runtime, &after, &last_error));
  assert_int_equal(drafted.token_count, 64);
  assert_int_equal(plain.token_count, 64);
  for (i = 0; i < 64; ++i) assert_int_equal(drafted.tokens[i], plain.tokens[i]);
  assert_true(stats.accepted_tokens > 32);
  assert_true(stats.drafted_tokens >= stats.accepted_tokens);
  assert_int_equal(stats.output_tokens, 64);
  assert_true(after.steps - before.steps < 32);
  options.draft_tokens = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  options.draft_tokens = 65;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_message_has("65");
  options.draft_tokens = 1;
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_message_has("draft_tokens");
  assert_ok(mirage_session_clear(f->session, &last_error));
}

static void a_trace_tells_of_steps_and_generations(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(5);
  mirage_memory before;
  mirage_memory after;
  char path[] = "/tmp/mirage-trace-XXXXXX";
  char text[8192];
  size_t bytes = 0;
  FILE* file = NULL;
  const int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_write_trace(f->runtime, path, &last_error));
  assert_message_has("started");
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_start_trace(f->runtime, 0, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_start_trace(NULL, 10, &last_error));
  before.struct_size = after.struct_size = sizeof before;
  assert_ok(mirage_runtime_get_memory(f->runtime, &before, &last_error));
  assert_ok(mirage_runtime_start_trace(f->runtime, 100000, &last_error));
  assert_ok(mirage_runtime_get_memory(f->runtime, &after, &last_error));
  assert_true(after.used_bytes - before.used_bytes > 5000000);
  assert_ok(
      mirage_runtime_set_memory_limit(f->runtime, after.used_bytes + (64 << 20), &last_error));
  assert_status(MIRAGE_OUT_OF_MEMORY, mirage_runtime_start_trace(f->runtime, 1048576, &last_error));
  assert_true(last_error.needed_bytes > last_error.available_bytes);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
  assert_ok(mirage_runtime_start_trace(f->runtime, 1000, &last_error));
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "hello");
  generate(f->session, &options);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_write_trace(f->runtime, NULL, &last_error));
  assert_ok(mirage_runtime_write_trace(f->runtime, path, &last_error));
  file = fopen(path, "rb");
  assert_non_null(file);
  bytes = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[bytes] = 0;
  assert_non_null(strstr(text, "\"traceEvents\""));
  assert_non_null(strstr(text, "\"step\""));
  assert_non_null(strstr(text, "\"decoding\""));
  assert_non_null(strstr(text, "\"length\""));
  unlink(path);
  assert_ok(mirage_session_clear(f->session, &last_error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(drafting_takes_fewer_steps_and_gives_the_same),
      cmocka_unit_test(a_trace_tells_of_steps_and_generations),
      cmocka_unit_test(max_tokens_ends_with_length),
      cmocka_unit_test(strict_answers_fit_or_do_not_start),
      cmocka_unit_test(the_context_ends_with_length),
      cmocka_unit_test(greedy_answers_are_the_same),
      cmocka_unit_test(streamed_text_is_whole_code_points),
      cmocka_unit_test(a_seed_makes_answers_the_same_and_is_reported),
      cmocka_unit_test(a_stop_string_ends_the_answer_before_it),
      cmocka_unit_test(a_stop_token_ends_the_answer_and_is_reported),
      cmocka_unit_test(end_tokens_end_the_answer_unless_ignored),
      cmocka_unit_test(the_descriptor_is_readable_exactly_while_next_would_not_wait),
      cmocka_unit_test(an_unanswered_choice_leaves_the_descriptor_quiet),
      cmocka_unit_test(a_sampler_of_the_callers_gives_the_same_greedy_answer),
      cmocka_unit_test(accepting_out_of_turn_or_range_is_refused),
      cmocka_unit_test(cancelling_keeps_what_was_produced),
      cmocka_unit_test(rolling_back_restores_the_session),
      cmocka_unit_test(an_unknown_way_to_cancel_is_refused),
      cmocka_unit_test(a_running_session_is_busy),
      cmocka_unit_test(a_time_out_is_not_the_end),
      cmocka_unit_test(what_an_external_sampler_would_leave_unused_is_refused),
      cmocka_unit_test(a_deadline_past_all_times_is_none),
      cmocka_unit_test(a_deadline_ends_the_answer),
      cmocka_unit_test(bad_options_are_named),
      cmocka_unit_test(bad_samplers_are_named),
      cmocka_unit_test(min_tokens_put_off_end_tokens_and_stop_strings),
      cmocka_unit_test(allowed_and_banned_tokens_hold),
      cmocka_unit_test(samplers_change_the_answer_and_repeat_with_the_seed),
      cmocka_unit_test(the_models_own_options_are_taken_over),
      cmocka_unit_test(several_answers_at_once_are_those_of_each_alone),
      cmocka_unit_test(statistics_count),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
