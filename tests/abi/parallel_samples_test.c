/* SPDX-License-Identifier: Apache-2.0 */
/* Several samples of one prompt in one generation. */
#define _POSIX_C_SOURCE 200809L

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi_test.h"

enum { SAMPLES = 4 };

/* What a generation of several samples gave. */
typedef struct samples {
  answer of[SAMPLES];
  int32_t done[SAMPLES]; /* SAMPLE_DONE events of each */
  int32_t finish;        /* of DONE */
  mirage_status status;  /* with it */
  int32_t switches;      /* how often the events went over from one sample to another */
  int32_t last_index;
} samples;

static void begin(fixture* f, const char* text) {
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_text(f->session, text, strlen(text), MIRAGE_TOKENIZE_ADD_SPECIAL,
                                       &last_error));
}

static mirage_generation_options drawn(int32_t count, int64_t max_tokens) {
  mirage_generation_options options = greedy(max_tokens);
  options.samples = count;
  options.temperature = 1.5f;
  options.top_k = 0;
  options.has_seed = 1;
  options.seed = 77;
  return options;
}

static void take(samples* all, const mirage_event* event) {
  answer* of;
  assert_in_range(event->sample_index, 0, SAMPLES - 1);
  of = &all->of[event->sample_index];
  all->switches += event->sample_index != all->last_index;
  all->last_index = event->sample_index;
  if (event->kind != MIRAGE_EVENT_DONE) assert_int_equal(all->done[event->sample_index], 0);
  if (event->kind == MIRAGE_EVENT_TEXT) {
    memcpy(of->text + of->text_bytes, event->text, event->text_bytes);
    of->text_bytes += event->text_bytes;
  } else if (event->kind == MIRAGE_EVENT_TOKENS) {
    memcpy(of->tokens + of->token_count, event->tokens, event->token_count * sizeof(int32_t));
    of->token_count += event->token_count;
  } else if (event->kind == MIRAGE_EVENT_SAMPLE_DONE) {
    ++all->done[event->sample_index];
    of->finish = event->finish;
  } else {
    assert_int_equal(event->kind, MIRAGE_EVENT_DONE);
    assert_int_equal(event->sample_index, 0);
    all->finish = event->finish;
  }
}

/* Into static memory: it is large. */
static samples* read_samples(mirage_generation* generation) {
  static samples all;
  mirage_event event = new_event();
  memset(&all, 0, sizeof all);
  while (event.kind != MIRAGE_EVENT_DONE) {
    all.status = mirage_generation_next(generation, 60000, &event, &last_error);
    assert_true(all.status == MIRAGE_OK || event.kind == MIRAGE_EVENT_DONE);
    take(&all, &event);
  }
  return &all;
}

static void each_sample_has_its_own_draws_and_end(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 30);
  mirage_generation* generation;
  mirage_generation_stats stats;
  mirage_event event = new_event();
  samples* all;
  answer alone;
  int32_t held[64];
  size_t count = 0;
  int i, j;
  begin(f, "abc");
  generation = start(f->session, &options);
  all = read_samples(generation);
  assert_int_equal(all->finish, MIRAGE_FINISH_LENGTH);
  for (i = 0; i < SAMPLES; ++i) {
    assert_int_equal(all->of[i].token_count, 30);
    assert_int_equal(all->of[i].finish, MIRAGE_FINISH_LENGTH);
    assert_int_equal(all->done[i], 1);
    for (j = 0; j < i; ++j)
      assert_memory_not_equal(all->of[i].tokens, all->of[j].tokens, 30 * sizeof(int32_t));
  }
  assert_true(all->switches >= SAMPLES); /* they come together, not one after the other */
  assert_ok(mirage_generation_next(generation, 0, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_DONE); /* again */
  stats.struct_size = sizeof stats;
  assert_ok(mirage_generation_get_stats(generation, &stats, &last_error));
  assert_int_equal(stats.output_tokens, SAMPLES * 30);
  assert_int_equal(stats.prompt_tokens, 4);
  assert_int_equal(stats.seed, 77);
  mirage_generation_close(generation);

  /* The session goes on from sample 0, which is the answer there would be alone. */
  assert_ok(mirage_session_get_tokens(f->session, held, 64, &count, &last_error));
  assert_int_equal(count, 34);
  assert_memory_equal(held + 4, all->of[0].tokens, 30 * sizeof(int32_t));
  options.samples = 1;
  begin(f, "abc");
  alone = generate(f->session, &options);
  assert_memory_equal(alone.tokens, all->of[0].tokens, 30 * sizeof(int32_t));
  assert_int_equal(alone.text_bytes, all->of[0].text_bytes);
  assert_memory_equal(alone.text, all->of[0].text, alone.text_bytes);
}

static void a_sample_that_ends_leaves_the_others_running(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 60);
  const mirage_logit_bias often_end = {TINY_END, 3};
  samples* all;
  mirage_generation* generation;
  int i, stopped = 0, shortest = 60, longest = 0;
  options.ignore_eos = 0;
  options.min_p = 0;
  options.logit_bias = &often_end;
  options.logit_bias_count = 1;
  begin(f, "abc");
  generation = start(f->session, &options);
  all = read_samples(generation);
  for (i = 0; i < SAMPLES; ++i) {
    const int count = (int)all->of[i].token_count;
    stopped += all->of[i].finish == MIRAGE_FINISH_STOP;
    shortest = count < shortest ? count : shortest;
    longest = count > longest ? count : longest;
  }
  assert_true(stopped > 0);
  assert_true(shortest < longest);
  assert_int_equal(all->finish, all->of[0].finish);
  mirage_generation_close(generation);
}

/* What a runtime of its own held at most for `count` samples of a prompt of 321 tokens, 11 pages of
 * each layer, on a session that shares with nobody else; without the samples' text and tokens. */
static uint64_t peak_of_samples(int32_t count) {
  fixture* f = NULL;
  mirage_session_options alone;
  mirage_generation_options options = drawn(count, 20);
  mirage_generation* generation;
  mirage_runtime_stats stats;
  mirage_memory held;
  uint64_t of_text;
  char prompt[321];
  stats.struct_size = sizeof stats;
  held.struct_size = sizeof held;
  mirage_session_options_init(&alone, sizeof alone);
  alone.private_cache = 1;
  assert_int_equal(open_fixture((void**)&f), 0);
  mirage_session_close(f->session);
  assert_ok(mirage_session_open(f->model, &alone, &f->session, &last_error));
  memset(prompt, 'q', sizeof prompt - 1);
  prompt[sizeof prompt - 1] = '\0';
  begin(f, prompt);
  generation = start(f->session, &options);
  assert_ok(mirage_runtime_get_memory(f->runtime, &held, &last_error));
  of_text = held.sessions_bytes;
  read_samples(generation);
  mirage_generation_close(generation);
  assert_ok(mirage_runtime_get_stats(f->runtime, &stats, &last_error));
  assert_int_equal(stats.prompt_tokens, 321);
  assert_ok(mirage_runtime_get_memory(f->runtime, &held, &last_error));
  close_fixture((void**)&f);
  return held.peak_bytes - of_text;
}

static void one_computed_prompt_serves_all(void** state) {
  (void)state;
  /* Ten pages of each layer are shared and one is each sample's own: they fit the 16 of a piece of
   * the arena, as one sample's do. Each with pages of its own would take three. */
  assert_int_equal(peak_of_samples(4), peak_of_samples(1));
}

static void cancelling_ends_all_and_rolls_back(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 400);
  mirage_generation* generation;
  mirage_event event = new_event();
  mirage_session_stats held;
  samples* all;
  int mode, i;
  for (mode = MIRAGE_CANCEL_STOP; mode <= MIRAGE_CANCEL_ROLLBACK; ++mode) {
    begin(f, "abc");
    generation = start(f->session, &options);
    assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
    assert_ok(mirage_generation_cancel(generation, mode, &last_error));
    all = read_samples(generation);
    assert_int_equal(all->finish, MIRAGE_FINISH_CANCELLED);
    for (i = 0; i < SAMPLES; ++i) assert_int_equal(all->done[i], 1);
    mirage_generation_close(generation);
    held.struct_size = sizeof held;
    assert_ok(mirage_session_truncate(f->session, 4, &last_error)); /* takes the end in */
    assert_ok(mirage_session_get_stats(f->session, &held, &last_error));
    assert_int_equal(held.tokens, 4);
    assert_int_equal(held.waiting_tokens, mode == MIRAGE_CANCEL_ROLLBACK ? 4 : 0);
  }
}

static void rolling_back_takes_back_a_first_sample_that_has_ended(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 500);
  const mirage_logit_bias sometimes_end = {TINY_END, 1};
  mirage_session_stats held;
  int found = 0;
  options.ignore_eos = 0;
  options.min_p = 0;
  options.top_p = 1;
  options.logit_bias = &sometimes_end;
  options.logit_bias_count = 1;
  held.struct_size = sizeof held;
  /* With some seed sample 0 ends while others run. */
  for (options.seed = 1; options.seed < 100 && !found; ++options.seed) {
    mirage_generation* generation;
    mirage_event event = new_event();
    int first_ended = 0;
    begin(f, "abc");
    generation = start(f->session, &options);
    while (event.kind != MIRAGE_EVENT_DONE) {
      assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
      if (event.kind != MIRAGE_EVENT_SAMPLE_DONE || event.sample_index != 0) continue;
      first_ended = event.finish == MIRAGE_FINISH_STOP;
      assert_ok(mirage_generation_cancel(generation, MIRAGE_CANCEL_ROLLBACK, &last_error));
    }
    mirage_generation_close(generation);
    if (!first_ended || event.finish != MIRAGE_FINISH_CANCELLED) continue;
    found = 1;
    assert_ok(mirage_session_truncate(f->session, 4, &last_error)); /* takes the end in */
    assert_ok(mirage_session_get_stats(f->session, &held, &last_error));
    assert_int_equal(held.waiting_tokens, 4);
  }
  assert_true(found);
}

static void closing_at_once_leaves_the_session_usable(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 400);
  answer read_one;
  int i;
  for (i = 0; i < 5; ++i) {
    begin(f, "abc");
    mirage_generation_close(start(f->session, &options));
  }
  options.samples = 1;
  options.max_tokens = 3;
  begin(f, "abc");
  read_one = generate(f->session, &options);
  assert_int_equal(read_one.token_count, 3);
}

static void a_sample_that_fails_ends_all(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 400);
  const int32_t allowed[] = {'x', 'y'};
  const int32_t xx[] = {'x', 'x'};
  const int32_t xy[] = {'x', 'y'}; /* after an x nothing may come */
  const mirage_token_sequence banned[] = {{xx, 2}, {xy, 2}};
  mirage_generation* generation;
  samples* all;
  int i, failed = 0;
  options.min_p = 0;
  options.top_p = 1;
  options.allowed_tokens = allowed;
  options.allowed_token_count = 2;
  options.banned_sequences = banned;
  options.banned_sequence_count = 2;
  begin(f, "abc");
  generation = start(f->session, &options);
  all = read_samples(generation);
  assert_int_equal(all->finish, MIRAGE_FINISH_ERROR);
  assert_int_equal(all->status, MIRAGE_INVALID_ARGUMENT);
  assert_message_has("allowed_tokens, banned_sequences");
  for (i = 0; i < SAMPLES; ++i) failed += all->of[i].finish == MIRAGE_FINISH_ERROR;
  assert_true(failed > 0);
  mirage_generation_close(generation);
}

static void the_descriptor_is_readable_exactly_while_next_would_not_wait(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 20);
  mirage_generation* generation;
  mirage_event event = new_event();
  struct pollfd waiting;
  int ended = 0;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_ok(mirage_generation_get_fd(generation, &waiting.fd, &last_error));
  waiting.events = POLLIN;
  while (event.kind != MIRAGE_EVENT_DONE) {
    assert_int_equal(poll(&waiting, 1, 60000), 1);
    assert_ok(mirage_generation_next(generation, 0, &event, &last_error));
    ended += event.kind == MIRAGE_EVENT_SAMPLE_DONE;
  }
  assert_int_equal(ended, SAMPLES);
  mirage_generation_close(generation);
}

typedef struct listener {
  samples called;
  int told[2]; /* a pipe: a byte when DONE has been taken */
} listener;

static void on_event(mirage_generation* generation, const mirage_event* event, void* user_data) {
  listener* const mine = (listener*)user_data;
  (void)generation;
  take(&mine->called, event);
  if (event->kind == MIRAGE_EVENT_DONE && write(mine->told[1], "", 1) != 1) abort();
}

static void a_callback_gets_the_events_of_all(void** state) {
  fixture* f = (fixture*)*state;
  static listener mine;
  mirage_generation_options options = drawn(SAMPLES, 20);
  mirage_generation* generation;
  samples* pulled;
  char byte;
  int i;
  begin(f, "abc");
  generation = start(f->session, &options);
  pulled = read_samples(generation);
  mirage_generation_close(generation);
  memset(&mine, 0, sizeof mine);
  assert_int_equal(pipe(mine.told), 0);
  options.callback = on_event;
  options.callback_user_data = &mine;
  begin(f, "abc");
  generation = start(f->session, &options);
  assert_int_equal(read(mine.told[0], &byte, 1), 1);
  mirage_generation_close(generation);
  for (i = 0; i < SAMPLES; ++i) {
    assert_int_equal(mine.called.done[i], 1);
    assert_memory_equal(mine.called.of[i].tokens, pulled->of[i].tokens, 20 * sizeof(int32_t));
  }
  close(mine.told[0]);
  close(mine.told[1]);
}

static void guesses_and_logprobs_change_no_sample(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 60);
  static answer expected[SAMPLES];
  mirage_generation* generation;
  mirage_generation_stats stats;
  mirage_event event = new_event();
  size_t next[SAMPLES] = {0};
  int i;
  options.temperature = 0.2f; /* repeats itself, as the guesses need */
  begin(f, "abababababababab");
  generation = start(f->session, &options);
  memcpy(expected, read_samples(generation)->of, sizeof expected);
  mirage_generation_close(generation);

  options.draft_tokens = 4;
  options.logprobs = 2;
  begin(f, "abababababababab");
  generation = start(f->session, &options);
  for (;;) {
    assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
    if (event.kind == MIRAGE_EVENT_DONE) break;
    if (event.kind != MIRAGE_EVENT_TOKENS) continue;
    i = event.sample_index;
    assert_int_equal(event.tokens[0], expected[i].tokens[next[i]++]);
    assert_int_equal(event.top_count, 2);
    assert_true(event.logprobs[0] <= 0 && event.top[0].logprob >= event.top[1].logprob);
  }
  for (i = 0; i < SAMPLES; ++i) assert_int_equal(next[i], expected[i].token_count);
  stats.struct_size = sizeof stats;
  assert_ok(mirage_generation_get_stats(generation, &stats, &last_error));
  assert_true(stats.drafted_tokens > 0);
  mirage_generation_close(generation);
}

static void a_deadline_is_that_of_all(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 400);
  mirage_generation* generation;
  samples* all;
  int i;
  options.deadline_ms = 0;
  begin(f, "abc");
  generation = start(f->session, &options);
  all = read_samples(generation);
  assert_int_equal(all->finish, MIRAGE_FINISH_DEADLINE);
  for (i = 0; i < SAMPLES; ++i) assert_int_equal(all->of[i].finish, MIRAGE_FINISH_DEADLINE);
  mirage_generation_close(generation);
}

static void they_are_the_same_where_one_is_computed_at_a_time(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(SAMPLES, 30);
  static answer expected[SAMPLES];
  mirage_runtime_options one_at_a_time;
  fixture other = *f;
  mirage_generation* generation;
  samples* all;
  int i;
  begin(f, "abc");
  generation = start(f->session, &options);
  memcpy(expected, read_samples(generation)->of, sizeof expected);
  mirage_generation_close(generation);

  mirage_runtime_options_init(&one_at_a_time, sizeof one_at_a_time);
  one_at_a_time.max_generations = 1;
  assert_ok(mirage_runtime_open(&one_at_a_time, &other.runtime, &last_error));
  assert_ok(mirage_model_open_memory(other.runtime, f->file.data, f->file.bytes, NULL, NULL, NULL,
                                     &other.model, &last_error));
  assert_ok(mirage_session_open(other.model, NULL, &other.session, &last_error));
  begin(&other, "abc");
  generation = start(other.session, &options);
  all = read_samples(generation);
  for (i = 0; i < SAMPLES; ++i)
    assert_memory_equal(all->of[i].tokens, expected[i].tokens, 30 * sizeof(int32_t));
  mirage_generation_close(generation);
  mirage_session_close(other.session);
  mirage_model_close(other.model);
  mirage_runtime_close(other.runtime);
}

static void a_sampler_of_the_callers_gives_one_answer(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = drawn(2, 20);
  mirage_generation* generation = NULL;
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  begin(f, "abc");
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_message_has("samples is 2");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_sample_has_its_own_draws_and_end),
      cmocka_unit_test(a_sample_that_ends_leaves_the_others_running),
      cmocka_unit_test(one_computed_prompt_serves_all),
      cmocka_unit_test(cancelling_ends_all_and_rolls_back),
      cmocka_unit_test(rolling_back_takes_back_a_first_sample_that_has_ended),
      cmocka_unit_test(closing_at_once_leaves_the_session_usable),
      cmocka_unit_test(a_sample_that_fails_ends_all),
      cmocka_unit_test(the_descriptor_is_readable_exactly_while_next_would_not_wait),
      cmocka_unit_test(a_callback_gets_the_events_of_all),
      cmocka_unit_test(guesses_and_logprobs_change_no_sample),
      cmocka_unit_test(a_deadline_is_that_of_all),
      cmocka_unit_test(they_are_the_same_where_one_is_computed_at_a_time),
      cmocka_unit_test(a_sampler_of_the_callers_gives_one_answer),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
