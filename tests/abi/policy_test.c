/* SPDX-License-Identifier: Apache-2.0 */
/* What gives way when keys and values want more than is free, or when the limit falls: other
 * generations' pages or weights. The answers are the same. */
#define _POSIX_C_SOURCE 200809L

#include <time.h>

#include "abi_test.h"

enum { SESSIONS = 6, PROMPT = 400, ANSWER = 60, ANSWERS = 3 };

static mirage_runtime* open_runtime(const char* policy) {
  mirage_runtime_options options;
  mirage_runtime* runtime = NULL;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 1;
  options.policy = policy;
  if (policy != NULL && strcmp(policy, "swap") == 0) {
    options.scratch_dir = ".";
    options.scratch_bytes = 64 << 20;
  }
  if (policy != NULL && strcmp(policy, "static-offload") == 0) options.offload_bytes = 1 << 20;
  assert_ok(mirage_runtime_open(&options, &runtime, &last_error));
  return runtime;
}

static mirage_memory memory_of(const mirage_runtime* runtime) {
  mirage_memory memory;
  memory.struct_size = sizeof memory;
  assert_ok(mirage_runtime_get_memory(runtime, &memory, &last_error));
  return memory;
}

static mirage_runtime_stats stats_of(const mirage_runtime* runtime) {
  mirage_runtime_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_runtime_get_stats(runtime, &stats, &last_error));
  return stats;
}

/* All sessions at once, with memory for `limited`; gives what the runtime did. */
static mirage_runtime_stats answer_all(const char* policy, int limited, answer* answers) {
  tiny_model file = tiny_model_of_layers(TINY_MOST_LAYERS);
  mirage_runtime* runtime = open_runtime(policy);
  mirage_model* model = NULL;
  mirage_model_options model_options;
  mirage_session* sessions[SESSIONS];
  mirage_generation* generations[SESSIONS];
  mirage_generation_options options = greedy(ANSWER);
  mirage_runtime_stats stats;
  int i;
  mirage_model_options_init(&model_options, sizeof model_options);
  model_options.context = TINY_CONTEXT;
  assert_ok(mirage_model_open_memory(runtime, file.data, file.bytes, NULL, NULL, &model_options,
                                     &model, &last_error));
  if (limited) {
    mirage_plan_options plan_options;
    mirage_plan plan;
    mirage_plan_options_init(&plan_options, sizeof plan_options);
    plan_options.context = TINY_CONTEXT;
    plan.struct_size = sizeof plan;
    assert_ok(mirage_model_get_plan(model, &plan_options, &plan, &last_error));
    /* What all sessions hold of text, but keys and values of one. */
    assert_ok(mirage_runtime_set_memory_limit(
        runtime, plan.total_bytes + SESSIONS * plan.sessions_bytes + (1 << 20), &last_error));
  }
  for (i = 0; i < SESSIONS; ++i) {
    int32_t tokens[PROMPT];
    make_tokens(tokens, PROMPT, (uint32_t)i + 1);
    assert_ok(mirage_session_open(model, NULL, &sessions[i], &last_error));
    assert_ok(mirage_session_append_tokens(sessions[i], tokens, PROMPT, &last_error));
    generations[i] = start(sessions[i], &options);
  }
  for (i = 0; i < SESSIONS; ++i) answers[i] = read_answer(generations[i]);
  stats = stats_of(runtime);
  for (i = 0; i < SESSIONS; ++i) {
    assert_int_equal(answers[i].status, MIRAGE_OK);
    mirage_generation_close(generations[i]);
    mirage_session_close(sessions[i]);
  }
  assert_true(memory_of(runtime).peak_bytes > 0);
  mirage_model_close(model);
  /* The engine's thread may be the last to let go of it. */
  for (i = 0; memory_of(runtime).used_bytes != 0; ++i) {
    const struct timespec pause = {0, 10 * 1000 * 1000};
    assert_true(i < 3000);
    nanosleep(&pause, NULL);
  }
  mirage_runtime_close(runtime);
  tiny_model_free(&file);
  return stats;
}

static void answers_are_the_same_whatever_gives_way(void** state) {
  static const char* const policies[] = {"recompute", "remap", "hybrid",
                                         "queue",     "swap",  "static-offload"};
  static answer ample[SESSIONS];
  static answer tight[SESSIONS];
  size_t p;
  (void)state;
  assert_int_equal(answer_all(NULL, 0, ample).weight_bytes_lent, 0);
  for (p = 0; p < sizeof policies / sizeof *policies; ++p) {
    const mirage_runtime_stats stats = answer_all(policies[p], 1, tight);
    int i;
    for (i = 0; i < SESSIONS; ++i) check_same_answer(&ample[i], &tight[i]);
    if (strcmp(policies[p], "recompute") == 0) assert_int_equal(stats.weight_bytes_lent, 0);
    if (strcmp(policies[p], "remap") == 0) assert_true(stats.weight_bytes_lent > 0);
    assert_int_equal(stats.kv_bytes_swapped_out > 0, strcmp(policies[p], "swap") == 0);
    assert_int_equal(stats.kv_bytes_swapped_in, stats.kv_bytes_swapped_out);
  }
}

/* Three answers of one session, the first of which takes the room for keys and values of all. While
 * the second is written the limit falls below what is held, while the third is it rises again. */
static void three_answers(int limit_changes, answer* answers) {
  tiny_model file = tiny_model_of_layers(TINY_MOST_LAYERS);
  mirage_runtime* runtime = open_runtime(NULL);
  mirage_model* model = NULL;
  mirage_model_options model_options;
  mirage_session* session = NULL;
  mirage_generation* generation;
  mirage_generation_options options = greedy(ANSWER);
  int32_t tokens[PROMPT / 2];
  const uint64_t guard = 4 << 20;
  int i;
  mirage_model_options_init(&model_options, sizeof model_options);
  model_options.context = TINY_CONTEXT;
  assert_ok(mirage_model_open_memory(runtime, file.data, file.bytes, NULL, NULL, &model_options,
                                     &model, &last_error));
  assert_ok(mirage_session_open(model, NULL, &session, &last_error));
  make_tokens(tokens, PROMPT / 2, 7);
  assert_ok(mirage_session_append_tokens(session, tokens, PROMPT / 2, &last_error));
  for (i = 0; i < ANSWERS; ++i) {
    generation = start(session, &options);
    if (limit_changes && i > 0) {
      const mirage_memory memory = memory_of(runtime);
      const uint64_t limit = i == 1 ? memory.used_bytes - memory.weights_bytes / 4 + guard : 0;
      assert_ok(mirage_runtime_set_memory_limit(runtime, limit, &last_error));
    }
    answers[i] = read_answer(generation);
    assert_int_equal(answers[i].status, MIRAGE_OK);
    mirage_generation_close(generation);
    if (limit_changes && i > 0) await_lent(model, i == 1);
  }
  mirage_session_close(session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  tiny_model_free(&file);
}

static void answers_are_the_same_when_the_limit_falls_and_rises(void** state) {
  static answer steady[ANSWERS];
  static answer changing[ANSWERS];
  int i;
  (void)state;
  three_answers(0, steady);
  three_answers(1, changing);
  for (i = 0; i < ANSWERS; ++i) check_same_answer(&steady[i], &changing[i]);
}

static void a_policy_that_is_not_there_is_named(void** state) {
  mirage_runtime_options options;
  mirage_runtime* runtime = NULL;
  (void)state;
  mirage_runtime_options_init(&options, sizeof options);
  options.policy = "wishful";
  assert_status(MIRAGE_UNSUPPORTED, mirage_runtime_open(&options, &runtime, &last_error));
  assert_message_has("wishful");
  assert_null(runtime);
}

static void refused(const mirage_runtime_options* options, mirage_status status, const char* what) {
  mirage_runtime* runtime = NULL;
  assert_status(status, mirage_runtime_open(options, &runtime, &last_error));
  assert_message_has(what);
  assert_null(runtime);
}

static void what_a_policy_needs_or_has_no_use_for_is_named(void** state) {
  mirage_runtime_options options;
  (void)state;
  mirage_runtime_options_init(&options, sizeof options);
  options.policy = "swap";
  refused(&options, MIRAGE_INVALID_ARGUMENT, "scratch_dir");
  options.scratch_dir = "/no/such/folder";
  refused(&options, MIRAGE_NOT_FOUND, "/no/such/folder");
  options.policy = "queue";
  options.scratch_dir = ".";
  refused(&options, MIRAGE_INVALID_ARGUMENT, "scratch_dir");
  options.scratch_dir = NULL;
  options.scratch_bytes = 1;
  refused(&options, MIRAGE_INVALID_ARGUMENT, "scratch_bytes");
  options.scratch_bytes = 0;
  options.offload_bytes = 1;
  refused(&options, MIRAGE_INVALID_ARGUMENT, "offload_bytes");
}

static void static_offload_streams_from_the_start(void** state) {
  tiny_model file = tiny_model_of_layers(TINY_MOST_LAYERS);
  mirage_runtime* runtime = open_runtime("static-offload");
  mirage_model* model = NULL;
  mirage_model_stats stats;
  (void)state;
  assert_ok(mirage_model_open_memory(runtime, file.data, file.bytes, NULL, NULL, NULL, &model,
                                     &last_error));
  stats.struct_size = sizeof stats;
  assert_ok(mirage_model_get_stats(model, &stats, &last_error));
  assert_true(stats.lent_bytes > 0);
  assert_true(stats.lent_bytes < stats.weights_bytes);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  tiny_model_free(&file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_are_the_same_whatever_gives_way),
      cmocka_unit_test(answers_are_the_same_when_the_limit_falls_and_rises),
      cmocka_unit_test(a_policy_that_is_not_there_is_named),
      cmocka_unit_test(what_a_policy_needs_or_has_no_use_for_is_named),
      cmocka_unit_test(static_offload_streams_from_the_start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
