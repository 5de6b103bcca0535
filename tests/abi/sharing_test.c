/* SPDX-License-Identifier: Apache-2.0 */
/* What sessions share of each other's keys and values: forks, prompts that begin alike. */
#include "abi_test.h"

enum { LONG = 300 };

static mirage_session* open_session(mirage_model* model, const char* salt, int32_t private_cache) {
  mirage_session* session = NULL;
  mirage_session_options options;
  mirage_session_options_init(&options, sizeof options);
  options.cache_salt = salt;
  options.cache_salt_bytes = salt != NULL ? strlen(salt) : 0;
  options.private_cache = private_cache;
  assert_ok(mirage_session_open(model, &options, &session, &last_error));
  return session;
}

static mirage_session* fork_of(mirage_session* session) {
  mirage_session* fork = NULL;
  assert_ok(mirage_session_fork(session, &fork, &last_error));
  assert_non_null(fork);
  return fork;
}

/* `count` tokens that no other seed's begin with. */
static void append(mirage_session* session, int seed, size_t count) {
  int32_t tokens[TINY_CONTEXT];
  size_t i;
  for (i = 0; i < count; ++i) tokens[i] = (int32_t)((i * 7 + (size_t)seed * 31 + i * i) % 256);
  assert_ok(mirage_session_append_tokens(session, tokens, count, &last_error));
}

static size_t tokens_of(mirage_session* session, int32_t* tokens) {
  size_t count = 0;
  assert_ok(mirage_session_get_tokens(session, tokens, TINY_CONTEXT, &count, &last_error));
  return count;
}

static mirage_memory memory_of(fixture* f) {
  mirage_memory memory;
  memory.struct_size = sizeof memory;
  assert_ok(mirage_runtime_get_memory(f->runtime, &memory, &last_error));
  return memory;
}

static mirage_runtime_stats work_of(fixture* f) {
  mirage_runtime_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_runtime_get_stats(f->runtime, &stats, &last_error));
  return stats;
}

/* Answers with `count` tokens and gives the statistics. */
static mirage_generation_stats answer_with(mirage_session* session, int64_t count, answer* out) {
  const mirage_generation_options options = greedy(count);
  mirage_generation_stats stats;
  mirage_generation* generation = start(session, &options);
  *out = read_answer(generation);
  stats.struct_size = sizeof stats;
  assert_ok(mirage_generation_get_stats(generation, &stats, &last_error));
  mirage_generation_close(generation);
  return stats;
}

static void assert_same_answer(const answer* a, const answer* b) {
  assert_int_equal(a->token_count, b->token_count);
  assert_memory_equal(a->tokens, b->tokens, a->token_count * sizeof *a->tokens);
}

/* The answer of a session that shares nothing. */
static answer answer_alone(fixture* f, const int32_t* tokens, size_t count, int64_t length) {
  mirage_session* session = open_session(f->model, NULL, 1);
  answer alone;
  assert_ok(mirage_session_append_tokens(session, tokens, count, &last_error));
  assert_int_equal(answer_with(session, length, &alone).cached_tokens, 0);
  mirage_session_close(session);
  return alone;
}

static void a_fork_takes_no_memory_and_computes_nothing_again(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, NULL, 1);
  mirage_session* fork;
  mirage_runtime_stats before;
  mirage_runtime_stats after;
  uint64_t kv;
  int32_t tokens[TINY_CONTEXT];
  int32_t forked[TINY_CONTEXT];
  size_t count;
  answer first;
  answer of_fork;
  answer of_session;
  append(session, 1, LONG);
  answer_with(session, 5, &first);
  kv = memory_of(f).kv_bytes;
  before = work_of(f);
  fork = fork_of(session);
  assert_int_equal(memory_of(f).kv_bytes, kv);
  count = tokens_of(session, tokens);
  assert_int_equal(tokens_of(fork, forked), count);
  assert_memory_equal(tokens, forked, count * sizeof *tokens);

  /* One pass for each token; of the prompt, nothing but the one that was never computed. */
  assert_int_equal(answer_with(fork, 4, &of_fork).cached_tokens, LONG + 4);
  after = work_of(f);
  assert_int_equal(after.steps - before.steps, 4);
  assert_true(after.prompt_tokens - before.prompt_tokens <= 1);
  answer_with(session, 4, &of_session);
  assert_same_answer(&of_fork, &of_session);
  mirage_session_close(session);
  mirage_session_close(fork);
}

static void a_fork_goes_its_own_way(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, NULL, 0);
  mirage_session* fork;
  int32_t tokens[TINY_CONTEXT];
  size_t count;
  answer shared;
  answer alone;
  append(session, 2, 100);
  fork = fork_of(session); /* with its tokens still waiting */
  append(session, 3, 10);
  append(fork, 4, 10);
  count = tokens_of(fork, tokens);
  assert_int_equal(count, 110);
  answer_with(session, 8, &shared);
  answer_with(fork, 8, &shared);
  alone = answer_alone(f, tokens, count, 8);
  assert_same_answer(&shared, &alone);
  /* Back to any position, while the other one holds the pages too. */
  mirage_session_close(fork);
  fork = fork_of(session);
  assert_ok(mirage_session_truncate(fork, 45, &last_error));
  append(fork, 5, 9);
  count = tokens_of(fork, tokens);
  answer_with(fork, 8, &shared);
  alone = answer_alone(f, tokens, count, 8);
  assert_same_answer(&shared, &alone);
  count = tokens_of(session, tokens);
  answer_with(session, 8, &shared);
  alone = answer_alone(f, tokens, count, 8);
  assert_same_answer(&shared, &alone);
  mirage_session_close(session);
  mirage_session_close(fork);
}

static void a_running_session_can_be_forked(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, NULL, 0);
  mirage_session* fork;
  mirage_generation* generation;
  mirage_generation_options options = greedy(400);
  mirage_event event = new_event();
  int32_t tokens[TINY_CONTEXT];
  size_t count;
  answer of_fork;
  answer whole;
  answer alone;
  append(session, 6, 100);
  generation = start(session, &options);
  while (event.kind != MIRAGE_EVENT_TOKENS) {
    event = new_event();
    assert_ok(mirage_generation_next(generation, -1, &event, &last_error));
  }
  fork = fork_of(session);
  count = tokens_of(fork, tokens);
  assert_true(count >= 101);
  assert_ok(mirage_session_truncate(fork, 101, &last_error));
  append(fork, 7, 5);
  count = tokens_of(fork, tokens);
  answer_with(fork, 8, &of_fork);
  mirage_generation_cancel(generation, MIRAGE_CANCEL_STOP, NULL);
  whole = read_answer(generation);
  mirage_generation_close(generation);
  mirage_session_close(session);
  mirage_session_close(fork);
  (void)whole;
  alone = answer_alone(f, tokens, count, 8);
  assert_same_answer(&of_fork, &alone);
}

static void a_fork_of_a_conversation_goes_on_with_it(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, NULL, 0);
  mirage_session* fork;
  answer a;
  answer b;
  append_user(session, "Hello, who are you and what do you want?");
  answer_with(session, 6, &a);
  fork = fork_of(session);
  append_user(session, "go on");
  append_user(fork, "go on");
  answer_with(session, 6, &a);
  assert_true(answer_with(fork, 6, &b).cached_tokens > 0);
  assert_same_answer(&a, &b);
  mirage_session_close(session);
  mirage_session_close(fork);
}

static void a_prompt_that_begins_like_an_earlier_one_is_computed_from_there(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, "prefix test", 0);
  int32_t tokens[TINY_CONTEXT];
  mirage_runtime_stats before;
  mirage_runtime_stats after;
  mirage_generation_stats stats;
  size_t count;
  answer shared;
  answer alone;
  append(session, 8, 256);
  append(session, 9, 20);
  assert_int_equal(answer_with(session, 3, &shared).cached_tokens, 0);
  mirage_session_close(session);
  assert_true(memory_of(f).prefix_bytes > 0);

  session = open_session(f->model, "prefix test", 0);
  append(session, 8, 256);
  append(session, 10, 20);
  count = tokens_of(session, tokens);
  before = work_of(f);
  stats = answer_with(session, 8, &shared);
  after = work_of(f);
  assert_int_equal(stats.cached_tokens, 256);
  assert_int_equal(stats.prompt_tokens, 276);
  assert_int_equal(after.prompt_tokens - before.prompt_tokens, 20);
  mirage_session_close(session);
  alone = answer_alone(f, tokens, count, 8);
  assert_same_answer(&shared, &alone);
}

static void salts_and_private_sessions_share_nothing(void** state) {
  fixture* f = (fixture*)*state;
  struct {
    const char* salt;
    int32_t private_cache;
    uint64_t cached;
  } cases[] = {{"a", 0, 0},  {"b", 0, 0},   {NULL, 0, 0}, {"a", 1, 0},
               {NULL, 1, 0}, {"a", 0, 224}, {"", 0, 224}};
  size_t i;
  for (i = 0; i < sizeof cases / sizeof *cases; ++i) {
    mirage_session* session = open_session(f->model, cases[i].salt, cases[i].private_cache);
    answer ignored;
    append(session, 11, 230);
    assert_int_equal(answer_with(session, 1, &ignored).cached_tokens, cases[i].cached);
    mirage_session_close(session);
  }
}

static void bad_arguments_are_named(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = NULL;
  mirage_runtime* runtime = NULL;
  mirage_generation* generation = NULL;
  mirage_session_options options;
  mirage_runtime_options of_runtime;
  mirage_generation_options of_generation = greedy(1);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_fork(NULL, &session, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_fork(f->session, NULL, &last_error));
  assert_message_has("out");
  mirage_session_options_init(&options, sizeof options);
  options.private_cache = 2;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_open(f->model, &options, &session, &last_error));
  assert_message_has("private_cache");
  options.private_cache = 0;
  options.cache_salt_bytes = 3;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_open(f->model, &options, &session, &last_error));
  assert_message_has("cache_salt");
  options.cache_salt = "abc";
  options.cache_salt_bytes = 1025;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_open(f->model, &options, &session, &last_error));
  assert_message_has("1025");
  mirage_runtime_options_init(&of_runtime, sizeof of_runtime);
  of_runtime.max_generations = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_open(&of_runtime, &runtime, &last_error));
  assert_message_has("max_generations");
  append(f->session, 12, 3);
  of_generation.priority = 101;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, &of_generation, &generation, &last_error));
  assert_message_has("101");
  assert_ok(mirage_session_clear(f->session, &last_error));
}

/* Memory that is kept only to be found again stands in nobody's way. */
static void a_lowered_limit_takes_what_no_session_holds(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* session = open_session(f->model, "limit", 0);
  mirage_memory memory;
  answer ignored;
  append(session, 13, LONG);
  answer_with(session, 1, &ignored);
  mirage_session_close(session);
  memory = memory_of(f);
  assert_true(memory.prefix_bytes > 0);
  assert_true(memory.prefix_bytes <= memory.kv_bytes);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 1 << 20, &last_error));
  assert_int_equal(memory_of(f).prefix_bytes, 0);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
}

static void a_closed_runtime_forks_nothing(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* fork = NULL;
  assert_ok(mirage_runtime_shutdown(f->runtime, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_session_fork(f->session, &fork, &last_error));
  assert_null(fork);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_fork_takes_no_memory_and_computes_nothing_again),
      cmocka_unit_test(a_fork_goes_its_own_way),
      cmocka_unit_test(a_running_session_can_be_forked),
      cmocka_unit_test(a_fork_of_a_conversation_goes_on_with_it),
      cmocka_unit_test(a_prompt_that_begins_like_an_earlier_one_is_computed_from_there),
      cmocka_unit_test(salts_and_private_sessions_share_nothing),
      cmocka_unit_test(bad_arguments_are_named),
      cmocka_unit_test(a_lowered_limit_takes_what_no_session_holds),
      cmocka_unit_test(a_closed_runtime_forks_nothing), /* last: it closes the runtime */
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
