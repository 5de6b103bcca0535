/* SPDX-License-Identifier: Apache-2.0 */
/* Counters are exact at the moment an event is read, not soon after it. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <time.h>

#include "abi_test.h"

static mirage_runtime_stats runtime_stats(const fixture* f) {
  mirage_runtime_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_runtime_get_stats(f->runtime, &stats, &last_error));
  return stats;
}

static void begin(fixture* f) {
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(
      mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
}

/* Many times: what is counted a moment too late is seen some of the times. */
static void a_generation_is_counted_from_its_start_to_its_last_event(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(2);
  int i;
  for (i = 0; i < 200; ++i) {
    mirage_event event = new_event();
    mirage_generation* generation;
    options.sampler = i % 2 == 0 ? MIRAGE_SAMPLER_EXTERNAL : MIRAGE_SAMPLER_DEFAULT;
    begin(f);
    generation = start(f->session, &options);
    if (options.sampler == MIRAGE_SAMPLER_EXTERNAL) /* it cannot have ended without an answer */
      assert_int_equal(runtime_stats(f).generations, 1);
    while (event.kind != MIRAGE_EVENT_DONE) {
      assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
      if (event.kind == MIRAGE_EVENT_LOGITS)
        assert_ok(mirage_generation_accept(generation, 65, &last_error));
    }
    assert_int_equal(runtime_stats(f).generations, 0);
    assert_int_equal(stats_of_session(f->session).busy, 0);
    mirage_generation_close(generation);
  }
}

static void output_tokens_are_those_read(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(12);
  mirage_generation* generation;
  mirage_event event = new_event();
  const mirage_runtime_stats before = runtime_stats(f);
  uint64_t read = 0;
  begin(f);
  generation = start(f->session, &options);
  while (event.kind != MIRAGE_EVENT_DONE) {
    assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
    if (event.kind == MIRAGE_EVENT_TOKENS) {
      read += event.token_count;
      /* The step that gave it has been counted, and the prompt with the first one. */
      assert_true(runtime_stats(f).steps - before.steps >= read);
      assert_int_equal(runtime_stats(f).prompt_tokens - before.prompt_tokens, 4);
      assert_true(stats_of_generation(generation).output_tokens >= read);
    }
    assert_int_equal(runtime_stats(f).output_tokens - before.output_tokens, read);
  }
  assert_int_equal(read, 12);
  assert_int_equal(stats_of_generation(generation).output_tokens, 12);
  assert_int_equal(runtime_stats(f).steps - before.steps, 12);
  mirage_generation_close(generation);
}

static void tokens_nobody_reads_are_no_output(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(12);
  mirage_generation* generation;
  const uint64_t before = runtime_stats(f).output_tokens;
  begin(f);
  generation = start(f->session, &options);
  mirage_generation_close(generation);
  assert_ok(mirage_session_clear(f->session, &last_error)); /* waits for its end */
  assert_int_equal(runtime_stats(f).output_tokens, before);
}

static void an_end_is_reported_once_it_was_read(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(3);
  mirage_generation* generation;
  mirage_event event = new_event();
  begin(f);
  generation = start(f->session, &options);
  while (event.kind != MIRAGE_EVENT_DONE) {
    assert_int_equal(stats_of_generation(generation).finish, MIRAGE_FINISH_NONE);
    assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  }
  assert_int_equal(stats_of_generation(generation).finish, MIRAGE_FINISH_LENGTH);
  mirage_generation_close(generation);
}

typedef struct watcher {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  fixture* f;
  uint64_t before, read, counted_otherwise, generations_at_end;
  int done;
} watcher;

static void watch(mirage_generation* generation, const mirage_event* event, void* user_data) {
  watcher* w = (watcher*)user_data;
  mirage_runtime_stats stats;
  (void)generation;
  stats.struct_size = sizeof stats;
  mirage_runtime_get_stats(w->f->runtime, &stats, NULL);
  pthread_mutex_lock(&w->mutex);
  if (event->kind == MIRAGE_EVENT_TOKENS) w->read += event->token_count;
  w->counted_otherwise += stats.output_tokens - w->before != w->read;
  if (event->kind == MIRAGE_EVENT_DONE) {
    w->generations_at_end = stats.generations;
    w->done = 1;
    pthread_cond_broadcast(&w->changed);
  }
  pthread_mutex_unlock(&w->mutex);
}

static void callbacks_see_the_same_counters(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(20);
  mirage_generation* generation;
  watcher w;
  memset(&w, 0, sizeof w);
  pthread_mutex_init(&w.mutex, NULL);
  pthread_cond_init(&w.changed, NULL);
  w.f = f;
  w.before = runtime_stats(f).output_tokens;
  options.callback = watch;
  options.callback_user_data = &w;
  begin(f);
  generation = start(f->session, &options);
  pthread_mutex_lock(&w.mutex);
  while (!w.done) pthread_cond_wait(&w.changed, &w.mutex);
  pthread_mutex_unlock(&w.mutex);
  assert_int_equal(w.read, 20);
  assert_int_equal(w.counted_otherwise, 0);
  assert_int_equal(w.generations_at_end, 0);
  mirage_generation_close(generation);
}

static size_t token_count(fixture* f) {
  size_t count = 0;
  assert_ok(mirage_session_get_tokens(f->session, NULL, 0, &count, &last_error));
  return count;
}

static void read_to_the_end(mirage_generation* generation) {
  mirage_event event = new_event();
  while (event.kind != MIRAGE_EVENT_DONE)
    assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
}

/* A conversation of one exchange and a question, the answer to which is then rolled back. */
static void a_rolled_back_conversation_is_described_as_it_is(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(6);
  mirage_generation* generation;
  mirage_event event = new_event();
  mirage_session_stats first, now;
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "one");
  generation = start(f->session, &options);
  read_to_the_end(generation);
  first = stats_of_session(
      f->session); /* right at the event, before another call takes the answer in */
  assert_int_equal(first.messages, 2);
  assert_int_equal(first.tokens, token_count(f));
  assert_int_equal(stats_of_session(f->session).messages, 2);
  mirage_generation_close(generation);

  append_user(f->session, "two");
  options.sampler = MIRAGE_SAMPLER_EXTERNAL; /* the cancel surely comes before the end */
  generation = start(f->session, &options);
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  assert_ok(mirage_generation_cancel(generation, MIRAGE_CANCEL_ROLLBACK, &last_error));
  read_to_the_end(generation);
  now = stats_of_session(f->session);
  assert_int_equal(now.messages, 3);
  assert_int_equal(now.tokens, first.tokens); /* those of the last rendering and answer */
  assert_int_equal(now.tokens, token_count(f));
  assert_int_equal(stats_of_session(f->session).tokens, now.tokens);
  assert_int_equal(stats_of_session(f->session).waiting_tokens, now.waiting_tokens);
  assert_int_equal(stats_of_session(f->session).messages, 3);
  mirage_generation_close(generation);
}

static void each_sample_is_counted(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(9);
  mirage_generation* generation;
  mirage_event event = new_event();
  const mirage_runtime_stats before = runtime_stats(f);
  uint64_t read = 0;
  options.samples = 3;
  begin(f);
  generation = start(f->session, &options);
  while (event.kind != MIRAGE_EVENT_DONE) {
    assert_int_equal(stats_of_generation(generation).finish, MIRAGE_FINISH_NONE);
    assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
    if (event.kind == MIRAGE_EVENT_TOKENS) read += event.token_count;
    assert_int_equal(runtime_stats(f).output_tokens - before.output_tokens, read);
  }
  assert_int_equal(read, 27);
  assert_int_equal(stats_of_generation(generation).output_tokens, 27);
  assert_int_equal(runtime_stats(f).prompt_tokens - before.prompt_tokens, 4);
  assert_int_equal(runtime_stats(f).generations, 0);
  assert_int_equal(stats_of_session(f->session).busy, 0);
  assert_int_equal(stats_of_session(f->session).tokens, 4 + 9);
  mirage_generation_close(generation);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_generation_is_counted_from_its_start_to_its_last_event),
      cmocka_unit_test(output_tokens_are_those_read),
      cmocka_unit_test(tokens_nobody_reads_are_no_output),
      cmocka_unit_test(an_end_is_reported_once_it_was_read),
      cmocka_unit_test(callbacks_see_the_same_counters),
      cmocka_unit_test(each_sample_is_counted),
      cmocka_unit_test(a_rolled_back_conversation_is_described_as_it_is),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
