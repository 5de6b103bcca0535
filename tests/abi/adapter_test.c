/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA adapters: loaded and closed at any time, chosen for each generation, several at once. */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <unistd.h>

#include "abi_test.h"

enum { TOKENS = 40 };

static mirage_adapter* load_of_rank(mirage_model* model, uint32_t rank, uint32_t seed) {
  tiny_model file = tiny_adapter_make(TINY_LAYERS, rank, seed);
  mirage_adapter* adapter = NULL;
  assert_ok(mirage_adapter_load_memory(model, file.data, file.bytes, NULL, &adapter, &last_error));
  assert_non_null(adapter);
  tiny_model_free(&file);
  return adapter;
}

static mirage_adapter* load(mirage_model* model, uint32_t seed) {
  return load_of_rank(model, 4, seed);
}

static mirage_memory memory_of(const fixture* f) {
  mirage_memory memory;
  memory.struct_size = sizeof memory;
  assert_ok(mirage_runtime_get_memory(f->runtime, &memory, &last_error));
  return memory;
}

static mirage_session* open_session(mirage_model* model, int32_t private_cache) {
  mirage_session_options options;
  mirage_session* session = NULL;
  mirage_session_options_init(&options, sizeof options);
  options.private_cache = private_cache;
  assert_ok(mirage_session_open(model, &options, &session, &last_error));
  return session;
}

static void ask(mirage_session* session, const char* text) {
  assert_ok(mirage_session_append_text(session, text, strlen(text), MIRAGE_TOKENIZE_ADD_SPECIAL,
                                       &last_error));
}

/* Answers with some of the adapters; the statistics where they are wanted. */
static answer answer_with(mirage_session* session, const mirage_adapter_use* uses, size_t count,
                          mirage_generation_stats* stats) {
  mirage_generation_options options = greedy(TOKENS);
  mirage_generation* generation;
  answer read;
  options.adapters = uses;
  options.adapter_count = count;
  generation = start(session, &options);
  read = read_answer(generation);
  if (stats != NULL) *stats = stats_of_generation(generation);
  mirage_generation_close(generation);
  return read;
}

static answer answer_with_one(mirage_session* session, const mirage_adapter* adapter, float scale,
                              mirage_generation_stats* stats) {
  const mirage_adapter_use use = {adapter, scale, 0};
  return answer_with(session, &use, 1, stats);
}

/* Of a session that shares nothing. */
static answer alone(fixture* f, const char* text, const mirage_adapter_use* uses, size_t count) {
  mirage_session* session = open_session(f->model, 1);
  answer read;
  ask(session, text);
  read = answer_with(session, uses, count, NULL);
  mirage_session_close(session);
  return read;
}

static int same(const answer* a, const answer* b) {
  return a->token_count == b->token_count &&
         memcmp(a->tokens, b->tokens, a->token_count * sizeof *a->tokens) == 0;
}

static void an_adapter_changes_the_answers_that_choose_it(void** state) {
  fixture* f = (fixture*)*state;
  mirage_adapter* adapter = load(f->model, 1);
  mirage_adapter* other = load(f->model, 2);
  const mirage_adapter_use use = {adapter, 1.0f, 0};
  const mirage_adapter_use weaker = {adapter, 0.25f, 0};
  const mirage_adapter_use second = {other, 1.0f, 0};
  const mirage_adapter_use nothing = {adapter, 0.0f, 0};
  const mirage_adapter_use both[2] = {{adapter, 1.0f, 0}, {other, 0.5f, 0}};
  answer plain = alone(f, "hello", NULL, 0);
  answer adapted = alone(f, "hello", &use, 1);
  answer again = alone(f, "hello", &use, 1);
  answer of_weaker = alone(f, "hello", &weaker, 1);
  answer of_other = alone(f, "hello", &second, 1);
  answer of_both = alone(f, "hello", both, 2);
  answer of_nothing = alone(f, "hello", &nothing, 1);
  assert_int_equal(plain.token_count, TOKENS);
  assert_true(same(&adapted, &again));
  assert_true(same(&plain, &of_nothing));
  assert_false(same(&plain, &adapted));
  assert_false(same(&plain, &of_weaker));
  assert_false(same(&adapted, &of_weaker));
  assert_false(same(&adapted, &of_other));
  assert_false(same(&adapted, &of_both));
  assert_false(same(&of_other, &of_both));
  mirage_adapter_close(adapter);
  mirage_adapter_close(other);
  again = alone(f, "hello", NULL, 0);
  assert_true(same(&plain, &again));
}

static void from_a_file_it_is_the_same(void** state) {
  fixture* f = (fixture*)*state;
  tiny_model bytes = tiny_adapter_make(TINY_LAYERS, 4, 1);
  char* path = tiny_file_of(&bytes);
  mirage_adapter* of_file = NULL;
  mirage_adapter* of_memory = load(f->model, 1);
  mirage_adapter_use use = {NULL, 1.0f, 0};
  answer first, second;
  assert_ok(mirage_adapter_load(f->model, path, NULL, &of_file, &last_error));
  unlink(path); /* it is not needed any more */
  use.adapter = of_file;
  first = alone(f, "hello", &use, 1);
  use.adapter = of_memory;
  second = alone(f, "hello", &use, 1);
  assert_true(same(&first, &second));
  mirage_adapter_close(of_file);
  mirage_adapter_close(of_memory);
  free(path);
  tiny_model_free(&bytes);
}

static void tells_what_it_is(void** state) {
  fixture* f = (fixture*)*state;
  const uint64_t before = memory_of(f).adapters_bytes;
  mirage_adapter* adapter = load_of_rank(f->model, 6, 1);
  mirage_adapter_info info;
  info.struct_size = sizeof info;
  assert_ok(mirage_adapter_get_info(adapter, &info, &last_error));
  assert_int_equal(info.rank, 6);
  assert_string_equal(info.name, "tiny adapter");
  assert_true(info.alpha == 12.0f);
  assert_int_equal(info.matrices, 7 * TINY_LAYERS);
  assert_int_equal(memory_of(f).adapters_bytes - before, info.bytes);
  assert_true(info.bytes > 0);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_adapter_get_info(NULL, &info, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_adapter_get_info(adapter, NULL, &last_error));
  mirage_adapter_close(adapter);
  mirage_adapter_close(NULL);
  assert_int_equal(memory_of(f).adapters_bytes, before);
}

static int32_t cancel_at_once(uint64_t done, uint64_t total, void* user_data) {
  (void)done;
  (void)total;
  (void)user_data;
  return 1;
}

static int32_t note_progress(uint64_t done, uint64_t total, void* user_data) {
  uint64_t* last = (uint64_t*)user_data;
  assert_true(done >= *last && done <= total);
  *last = done;
  return 0;
}

static void that_cannot_be_loaded_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 4, 1);
  tiny_model deeper = tiny_adapter_make(TINY_LAYERS + 1, 4, 1);
  const uint64_t used = memory_of(f).used_bytes;
  mirage_model_options vocabulary;
  mirage_model* without_weights = NULL;
  mirage_adapter_options options;
  mirage_adapter* adapter = (mirage_adapter*)f;
  uint64_t cut;

#define refused(status, call)        \
  do {                               \
    adapter = (mirage_adapter*)f;    \
    assert_status((status), (call)); \
    assert_null(adapter);            \
  } while (0)

  refused(MIRAGE_INVALID_ARGUMENT, mirage_adapter_load(NULL, "x", NULL, &adapter, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_adapter_load(f->model, "x", NULL, NULL, &last_error));
  refused(MIRAGE_INVALID_ARGUMENT,
          mirage_adapter_load(f->model, NULL, NULL, &adapter, &last_error));
  refused(MIRAGE_NOT_FOUND,
          mirage_adapter_load(f->model, "/no/such/adapter.gguf", NULL, &adapter, &last_error));
  assert_message_has("/no/such/adapter.gguf");
  refused(MIRAGE_INVALID_ARGUMENT,
          mirage_adapter_load_memory(f->model, NULL, 8, NULL, &adapter, &last_error));
  refused(MIRAGE_INVALID_ARGUMENT,
          mirage_adapter_load_memory(NULL, file.data, file.bytes, NULL, &adapter, &last_error));
  refused(MIRAGE_UNSUPPORTED, mirage_adapter_load_memory(f->model, "not a model file", 16, NULL,
                                                         &adapter, &last_error));
  refused(MIRAGE_INVALID_ARGUMENT, mirage_adapter_load_memory(f->model, f->file.data, f->file.bytes,
                                                              NULL, &adapter, &last_error));
  assert_message_has("general.type");
  refused(MIRAGE_INVALID_ARGUMENT, mirage_adapter_load_memory(f->model, deeper.data, deeper.bytes,
                                                              NULL, &adapter, &last_error));
  assert_message_has("blk.2.attn_q.weight");
  assert_message_has(": byte ");
  for (cut = 0; cut < file.bytes; cut = cut * 2 + 1) {
    adapter = (mirage_adapter*)f;
    assert_int_not_equal(mirage_adapter_load_memory(f->model, file.data, file.bytes - 1 - cut, NULL,
                                                    &adapter, &last_error),
                         MIRAGE_OK);
    assert_null(adapter);
    assert_true(last_error.status == MIRAGE_CORRUPT || last_error.status == MIRAGE_UNSUPPORTED);
  }

  mirage_adapter_options_init(&options, sizeof options);
  options.reserved = 1;
  refused(MIRAGE_UNSUPPORTED, mirage_adapter_load_memory(f->model, file.data, file.bytes, &options,
                                                         &adapter, &last_error));
  options.reserved = 0;
  options.progress = cancel_at_once;
  refused(MIRAGE_CANCELLED, mirage_adapter_load_memory(f->model, file.data, file.bytes, &options,
                                                       &adapter, &last_error));

  mirage_model_options_init(&vocabulary, sizeof vocabulary);
  vocabulary.load = MIRAGE_LOAD_VOCABULARY;
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL,
                                     &vocabulary, &without_weights, &last_error));
  refused(MIRAGE_INVALID_ARGUMENT,
          mirage_adapter_load_memory(without_weights, file.data, file.bytes, NULL, &adapter,
                                     &last_error));
  mirage_model_close(without_weights);
  assert_int_equal(memory_of(f).used_bytes, used);
  tiny_model_free(&file);
  tiny_model_free(&deeper);
}

static void its_loading_can_be_watched(void** state) {
  fixture* f = (fixture*)*state;
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 4, 1);
  mirage_adapter_options options;
  mirage_adapter* adapter = NULL;
  uint64_t last = 0;
  mirage_adapter_options_init(&options, sizeof options);
  options.progress = note_progress;
  options.progress_user_data = &last;
  assert_ok(
      mirage_adapter_load_memory(f->model, file.data, file.bytes, &options, &adapter, &last_error));
  assert_true(last > 0);
  mirage_adapter_close(adapter);
  tiny_model_free(&file);
}

static void check_choice_refused(fixture* f, mirage_status status, const mirage_adapter_use* uses,
                                 size_t count, const char* words) {
  mirage_generation_options options = greedy(TOKENS);
  mirage_generation* generation = (mirage_generation*)f;
  options.adapters = uses;
  options.adapter_count = count;
  assert_status(status, mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_null(generation);
  assert_message_has(words);
}

static void a_choice_that_makes_no_sense_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_adapter* adapter = load(f->model, 1);
  mirage_model* other_model = NULL;
  mirage_adapter* of_other = NULL;
  mirage_adapter_use uses[17];
  answer before, after;
  size_t i;
  for (i = 0; i < 17; ++i) {
    uses[i].adapter = adapter;
    uses[i].scale = 1.0f;
    uses[i].reserved = 0;
  }
  assert_ok(mirage_session_clear(f->session, &last_error));
  ask(f->session, "hello");
  check_choice_refused(f, MIRAGE_INVALID_ARGUMENT, NULL, 1, "adapters");
  check_choice_refused(f, MIRAGE_INVALID_ARGUMENT, uses, 17, "17");
  check_choice_refused(f, MIRAGE_INVALID_ARGUMENT, uses, 2, "twice");
  uses[0].scale = NAN;
  check_choice_refused(f, MIRAGE_INVALID_ARGUMENT, uses, 1, "scale");
  uses[0].scale = INFINITY;
  check_choice_refused(f, MIRAGE_INVALID_ARGUMENT, uses, 1, "scale");
  uses[0].scale = 1.0f;
  uses[0].reserved = 1;
  check_choice_refused(f, MIRAGE_UNSUPPORTED, uses, 1, "reserved");
  uses[0].reserved = 0;
  uses[0].adapter = NULL;
  check_choice_refused(f, MIRAGE_INVALID_ARGUMENT, uses, 1, "NULL");

  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL, NULL,
                                     &other_model, &last_error));
  of_other = load(other_model, 1);
  uses[0].adapter = of_other;
  check_choice_refused(f, MIRAGE_INVALID_ARGUMENT, uses, 1, "another model");
  mirage_model_close(other_model); /* before its adapter */
  mirage_adapter_close(of_other);

  /* The session is as it was. */
  before = alone(f, "hello", NULL, 0);
  after = answer_with(f->session, NULL, 0, NULL);
  assert_true(same(&before, &after));
  mirage_adapter_close(adapter);
}

/* Of one batch: with one, with another, with both, with none, and of several samples. */
static void unlike_ones_are_computed_together(void** state) {
  fixture* f = (fixture*)*state;
  mirage_adapter* first = load_of_rank(f->model, 3, 1);
  mirage_adapter* second = load_of_rank(f->model, 8, 2);
  const mirage_adapter_use choices[5][2] = {{{first, 1.0f, 0}, {NULL, 0, 0}},
                                            {{NULL, 0, 0}, {NULL, 0, 0}},
                                            {{second, 0.5f, 0}, {NULL, 0, 0}},
                                            {{second, 1.0f, 0}, {first, -0.5f, 0}},
                                            {{first, 1.0f, 0}, {NULL, 0, 0}}};
  static const size_t kCounts[5] = {1, 0, 1, 2, 1};
  static const char* const kTexts[5] = {"one", "two", "three", "two", "one"};
  mirage_session* sessions[5];
  mirage_generation* generations[5];
  answer expected[5], read;
  int i;
  for (i = 0; i < 5; ++i) expected[i] = alone(f, kTexts[i], choices[i], kCounts[i]);
  for (i = 0; i < 5; ++i) {
    sessions[i] = open_session(f->model, 0);
    ask(sessions[i], kTexts[i]);
  }
  for (i = 0; i < 5; ++i) {
    mirage_generation_options options = greedy(TOKENS);
    options.adapters = choices[i];
    options.adapter_count = kCounts[i];
    options.samples = i == 2 ? 3 : 1;
    generations[i] = start(sessions[i], &options);
  }
  for (i = 0; i < 5; ++i) {
    read = read_answer(generations[i]);
    assert_int_equal(read.status, MIRAGE_OK);
    assert_true(same(&expected[i], &read));
    mirage_generation_close(generations[i]);
    mirage_session_close(sessions[i]);
  }
  mirage_adapter_close(first);
  mirage_adapter_close(second);
}

static void nothing_computed_with_others_is_taken_over(void** state) {
  fixture* f = (fixture*)*state;
  static const char kText[] =
      "a prompt of more than a page of positions, which others may find computed already";
  mirage_adapter* first = load(f->model, 1);
  mirage_adapter* twin = load(f->model, 1);
  mirage_adapter* second = load(f->model, 2);
  const mirage_adapter_use choices[] = {
      {first, 1.0f, 0}, {NULL, 0, 0},    {second, 1.0f, 0}, {first, 0.5f, 0}, {first, 1.0f, 0},
      {twin, 1.0f, 0},  {twin, 0.5f, 0}, {second, 1.0f, 0}, {NULL, 0, 0},     {first, 0.0f, 0}};
  static const int kFinds[] = {0, 0, 0, 0, 1, 1, 1, 1, 1, 1};
  size_t i;
  for (i = 0; i < sizeof kFinds / sizeof kFinds[0]; ++i) {
    const size_t count = choices[i].adapter != NULL;
    mirage_session* session = open_session(f->model, 0);
    mirage_generation_stats stats;
    answer read, expected = alone(f, kText, &choices[i], count);
    ask(session, kText);
    read = answer_with(session, &choices[i], count, &stats);
    assert_true(same(&expected, &read));
    assert_int_equal(stats.cached_tokens > 0, kFinds[i]);
    mirage_session_close(session);
  }
  mirage_adapter_close(first);
  mirage_adapter_close(twin);
  mirage_adapter_close(second);
}

/* The tokens stay, whatever computed them. */
static void a_session_may_change_its_adapters(void** state) {
  fixture* f = (fixture*)*state;
  mirage_adapter* adapter = load(f->model, 1);
  mirage_session* session = open_session(f->model, 1);
  mirage_session* fork = NULL;
  mirage_session* fresh = open_session(f->model, 1);
  mirage_generation_stats stats;
  int32_t tokens[TINY_CONTEXT];
  size_t count = 0;
  answer read, expected;
  ask(session, "begin");
  answer_with_one(session, adapter, 1.0f, NULL);
  assert_ok(mirage_session_append_text(session, " more", 5, 0, &last_error));
  assert_ok(mirage_session_get_tokens(session, tokens, TINY_CONTEXT, &count, &last_error));
  assert_ok(mirage_session_fork(session, &fork, &last_error));

  read = answer_with(session, NULL, 0, &stats);
  assert_int_equal(stats.cached_tokens, 0);
  assert_ok(mirage_session_append_tokens(fresh, tokens, count, &last_error));
  expected = answer_with(fresh, NULL, 0, NULL);
  assert_true(same(&expected, &read));

  read = answer_with_one(fork, adapter, 1.0f, &stats);
  assert_true(stats.cached_tokens > 0);
  assert_ok(mirage_session_clear(fresh, &last_error));
  assert_ok(mirage_session_append_tokens(fresh, tokens, count, &last_error));
  expected = answer_with_one(fresh, adapter, 1.0f, NULL);
  assert_true(same(&expected, &read));

  mirage_session_close(session);
  mirage_session_close(fork);
  mirage_session_close(fresh);
  mirage_adapter_close(adapter);
}

static void a_saved_session_remembers_what_computed_it(void** state) {
  fixture* f = (fixture*)*state;
  static char saved[1 << 20];
  mirage_adapter* adapter = load(f->model, 1);
  mirage_session* session = open_session(f->model, 1);
  uint64_t bytes = 0;
  int with;
  ask(session, "to be saved");
  answer_with_one(session, adapter, 1.0f, NULL);
  assert_ok(mirage_session_save_memory(session, saved, sizeof saved, &bytes, &last_error));
  mirage_adapter_close(adapter);
  adapter = load(f->model, 1); /* another time */
  for (with = 0; with < 3; ++with) {
    const mirage_adapter_use use = {adapter, with == 1 ? 1.0f : 0.5f, 0};
    mirage_session_options options;
    mirage_session* restored = NULL;
    mirage_session* fresh = open_session(f->model, 1);
    mirage_generation_stats stats;
    int32_t tokens[TINY_CONTEXT];
    size_t count = 0;
    answer read, expected;
    mirage_session_options_init(&options, sizeof options);
    options.private_cache = 1;
    assert_ok(
        mirage_session_restore_memory(f->model, saved, bytes, &options, &restored, &last_error));
    assert_ok(mirage_session_get_tokens(restored, tokens, TINY_CONTEXT, &count, &last_error));
    assert_ok(mirage_session_append_tokens(fresh, tokens, count, &last_error));
    read = answer_with(restored, &use, with > 0, &stats);
    expected = answer_with(fresh, &use, with > 0, NULL);
    assert_true(same(&expected, &read));
    assert_int_equal(stats.cached_tokens > 0, with == 1);
    mirage_session_close(restored);
    mirage_session_close(fresh);
  }
  mirage_session_close(session);
  mirage_adapter_close(adapter);
}

static void may_be_closed_while_answers_use_it(void** state) {
  fixture* f = (fixture*)*state;
  const uint64_t before = memory_of(f).adapters_bytes;
  mirage_adapter* adapter = load(f->model, 1);
  mirage_adapter_use use = {adapter, 1.0f, 0};
  mirage_generation_options options = greedy(TOKENS);
  mirage_generation* generation;
  mirage_event event = new_event();
  answer read;
  mirage_session* session = open_session(f->model, 1);
  uint64_t held;
  ask(session, "hello");
  options.adapters = &use;
  options.adapter_count = 1;
  options.max_tokens = 400; /* more than its queue holds: it does not end unread */
  generation = start(session, &options);
  assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  mirage_adapter_close(adapter);
  held = memory_of(f).adapters_bytes;
  assert_true(held > before);
  assert_ok(mirage_generation_cancel(generation, MIRAGE_CANCEL_STOP, &last_error));
  read = read_answer(generation);
  assert_int_equal(read.finish, MIRAGE_FINISH_CANCELLED);
  assert_int_equal(memory_of(f).adapters_bytes, before);
  mirage_generation_close(generation);
  mirage_session_close(session);
}

static void loading_and_closing_leaves_nothing(void** state) {
  fixture* f = (fixture*)*state;
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 16, 1);
  mirage_session* session = open_session(f->model, 1);
  uint64_t used = 0;
  int i;
  for (i = 0; i < 100; ++i) {
    mirage_adapter* adapter = NULL;
    assert_ok(
        mirage_adapter_load_memory(f->model, file.data, file.bytes, NULL, &adapter, &last_error));
    if (i % 10 == 0) {
      assert_ok(mirage_session_clear(session, &last_error));
      ask(session, "hello");
      answer_with_one(session, adapter, 1.0f, NULL);
      assert_ok(mirage_session_clear(session, &last_error));
    }
    mirage_adapter_close(adapter);
    if (i == 0) used = memory_of(f).used_bytes;
    assert_int_equal(memory_of(f).used_bytes, used);
    assert_int_equal(memory_of(f).adapters_bytes, 0);
  }
  mirage_session_close(session);
  tiny_model_free(&file);
}

static void one_that_does_not_fit_is_refused_with_the_limit_that_would_do(void** state) {
  fixture* f = (fixture*)*state;
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 64, 1);
  mirage_adapter* adapter = NULL;
  mirage_plan plan;
  plan.struct_size = sizeof plan;
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_model_get_plan(f->model, NULL, &plan, &last_error));
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, plan.total_bytes + (4 << 20),
                                            &last_error)); /* the guard */
  assert_status(MIRAGE_OUT_OF_MEMORY, mirage_adapter_load_memory(f->model, file.data, file.bytes,
                                                                 NULL, &adapter, &last_error));
  assert_null(adapter);
  assert_true(last_error.needed_bytes > last_error.available_bytes);
  assert_int_equal(memory_of(f).adapters_bytes, 0);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
  assert_ok(
      mirage_adapter_load_memory(f->model, file.data, file.bytes, NULL, &adapter, &last_error));
  mirage_adapter_close(adapter);
  tiny_model_free(&file);
}

/* Keys and values kept only to be found again make room. */
static void takes_the_place_of_what_nobody_holds(void** state) {
  fixture* f = (fixture*)*state;
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 16, 1);
  mirage_session* session = open_session(f->model, 0);
  mirage_adapter* adapter = NULL;
  mirage_memory memory;
  uint64_t limit;
  int i;
  for (i = 0; i < 40; ++i) {
    int32_t tokens[300];
    size_t t;
    for (t = 0; t < 300; ++t) tokens[t] = (int32_t)((t * 7 + (size_t)i * 31 + t * t) % 256);
    assert_ok(mirage_session_clear(session, &last_error));
    assert_ok(mirage_session_append_tokens(session, tokens, 300, &last_error));
    answer_with(session, NULL, 0, NULL);
  }
  mirage_session_close(session);
  memory = memory_of(f);
  assert_true(memory.prefix_bytes > 1 << 20);
  limit = memory.used_bytes + (4 << 20) + (64 << 10);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, limit, &last_error));
  assert_ok(
      mirage_adapter_load_memory(f->model, file.data, file.bytes, NULL, &adapter, &last_error));
  assert_true(memory_of(f).prefix_bytes < memory.prefix_bytes);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
  mirage_adapter_close(adapter);
  tiny_model_free(&file);
}

typedef struct loading {
  fixture* f;
  tiny_model file;
  mirage_status status;
} loading;

static void load_in_a_callback(mirage_generation* generation, const mirage_event* event,
                               void* user_data) {
  loading* l = (loading*)user_data;
  mirage_adapter* adapter = NULL;
  (void)generation;
  if (event->kind != MIRAGE_EVENT_DONE) return;
  l->status =
      mirage_adapter_load_memory(l->f->model, l->file.data, l->file.bytes, NULL, &adapter, NULL);
}

static void loading_in_a_callback_would_deadlock(void** state) {
  loading l;
  mirage_generation_options options = greedy(2);
  mirage_generation* generation;
  mirage_generation_stats stats;
  l.f = (fixture*)*state;
  l.file = tiny_adapter_make(TINY_LAYERS, 4, 1);
  l.status = MIRAGE_OK;
  assert_ok(mirage_session_clear(l.f->session, &last_error));
  ask(l.f->session, "hello");
  options.callback = load_in_a_callback;
  options.callback_user_data = &l;
  generation = start(l.f->session, &options);
  do {
    stats = stats_of_generation(generation);
  } while (stats.finish == MIRAGE_FINISH_NONE);
  mirage_generation_close(generation); /* waits for the callback */
  assert_int_equal(l.status, MIRAGE_WOULD_DEADLOCK);
  tiny_model_free(&l.file);
}

static void handles_close_in_any_order(void** state) {
  void* made = NULL;
  fixture* opened;
  mirage_adapter* adapter;
  mirage_adapter_info info;
  (void)state;
  assert_int_equal(open_fixture(&made), 0);
  opened = (fixture*)made;
  adapter = load(opened->model, 1);
  mirage_session_close(opened->session);
  mirage_model_close(opened->model);
  assert_ok(mirage_runtime_shutdown(opened->runtime, &last_error));
  mirage_runtime_close(opened->runtime);
  info.struct_size = sizeof info;
  assert_ok(mirage_adapter_get_info(adapter, &info, &last_error));
  assert_string_equal(info.name, "tiny adapter");
  mirage_adapter_close(adapter);
  tiny_model_free(&opened->file);
  free(opened);
}

static void after_a_shutdown_nothing_is_loaded(void** state) {
  void* made = NULL;
  fixture* opened;
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 4, 1);
  mirage_adapter* adapter = NULL;
  (void)state;
  assert_int_equal(open_fixture(&made), 0);
  opened = (fixture*)made;
  assert_ok(mirage_runtime_shutdown(opened->runtime, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_adapter_load_memory(opened->model, file.data, file.bytes,
                                                          NULL, &adapter, &last_error));
  assert_null(adapter);
  close_fixture(&made);
  tiny_model_free(&file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_adapter_changes_the_answers_that_choose_it),
      cmocka_unit_test(from_a_file_it_is_the_same),
      cmocka_unit_test(tells_what_it_is),
      cmocka_unit_test(that_cannot_be_loaded_is_refused),
      cmocka_unit_test(its_loading_can_be_watched),
      cmocka_unit_test(a_choice_that_makes_no_sense_is_refused),
      cmocka_unit_test(unlike_ones_are_computed_together),
      cmocka_unit_test(nothing_computed_with_others_is_taken_over),
      cmocka_unit_test(a_session_may_change_its_adapters),
      cmocka_unit_test(a_saved_session_remembers_what_computed_it),
      cmocka_unit_test(may_be_closed_while_answers_use_it),
      cmocka_unit_test(loading_and_closing_leaves_nothing),
      cmocka_unit_test(takes_the_place_of_what_nobody_holds),
      cmocka_unit_test(one_that_does_not_fit_is_refused_with_the_limit_that_would_do),
      cmocka_unit_test(loading_in_a_callback_would_deadlock),
      cmocka_unit_test(handles_close_in_any_order),
      cmocka_unit_test(after_a_shutdown_nothing_is_loaded),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
