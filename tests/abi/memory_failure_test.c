/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and answers for which the application's allocator has nothing left, at every place where
 * they allocate: each fails with OUT_OF_MEMORY and leaves everything as it was, or goes through. In
 * its own program, since the allocator comes before anything else. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "abi_test.h"

/* Whose allocations are counted. A call's are those of every thread where it has some of the
 * library's work for it, as long as no answer is computed meanwhile. */
typedef enum whose { OF_THIS_THREAD, OF_OTHER_THREADS, OF_ALL_THREADS } whose;

static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;
static long allocations_left = -1; /* then all fail; -1: no end */
static whose counted = OF_THIS_THREAD;
static pthread_t this_thread;

static int has_memory(void) {
  int has = 1;
  pthread_mutex_lock(&counting);
  if (counted == OF_ALL_THREADS ||
      (counted == OF_THIS_THREAD) == (pthread_equal(pthread_self(), this_thread) != 0)) {
    has = allocations_left != 0;
    if (allocations_left > 0) --allocations_left;
  }
  pthread_mutex_unlock(&counting);
  return has;
}

static void* allocate(size_t bytes, size_t alignment, void* user_data) {
  void* pointer = NULL;
  (void)user_data;
  if (!has_memory()) return NULL;
  if (posix_memalign(&pointer, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes) != 0)
    return NULL;
  return pointer;
}

static void release(void* pointer, size_t alignment, void* user_data) {
  (void)alignment;
  (void)user_data;
  free(pointer);
}

static int set_allocator(void** state) {
  mirage_allocator allocator = {sizeof(mirage_allocator), 0, allocate, release, NULL};
  this_thread = pthread_self();
  if (mirage_set_allocator(&allocator, &last_error) != MIRAGE_OK) return -1;
  return open_fixture(state);
}

static void spend(whose threads, long count) {
  pthread_mutex_lock(&counting);
  counted = threads;
  allocations_left = count;
  pthread_mutex_unlock(&counting);
}

/* What was left of it. */
static long stop_spending(void) {
  long left;
  pthread_mutex_lock(&counting);
  left = allocations_left;
  allocations_left = -1;
  pthread_mutex_unlock(&counting);
  return left;
}

/* `call` with `count` allocations to spend; true when it went through. */
#define goes_through(threads, count, status, call)                \
  (spend((threads), (count)), (status) = (call), stop_spending(), \
   (status) == MIRAGE_OK ? 1 : (assert_int_equal((status), MIRAGE_OUT_OF_MEMORY), 0))

typedef struct held {
  size_t tokens;
  uint64_t messages;
} held;

static held held_by(fixture* f) {
  held now;
  mirage_session_stats stats;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_session_get_tokens(f->session, NULL, 0, &now.tokens, &last_error));
  assert_ok(mirage_session_get_stats(f->session, &stats, &last_error));
  now.messages = stats.messages;
  return now;
}

static void check_held(fixture* f, held expected) {
  const held now = held_by(f);
  assert_int_equal(now.tokens, expected.tokens);
  assert_int_equal(now.messages, expected.messages);
}

/* A conversation whose next answer has tokens to drop and to compute. */
static void begin_conversation(fixture* f) {
  mirage_generation_options options = greedy(5);
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "one");
  generate(f->session, &options);
}

static void begin_tokens(fixture* f) {
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(
      mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
}

/* Several pages of keys and values. */
static void begin_long(fixture* f) {
  mirage_generation_options options = greedy(2);
  char text[300];
  memset(text, 'q', sizeof text);
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_text(f->session, text, sizeof text, MIRAGE_TOKENIZE_ADD_SPECIAL,
                                       &last_error));
  generate(f->session, &options);
}

/* Longer than a string holds without memory of its own. */
static const char kText[] = "a text too long for a string to hold it without memory of its own";
static const char kConversation[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"as long as it takes to need memory\"}],"
    "\"tools\":[{\"name\":\"a tool of some length\",\"nested\":[[1],{\"a\":2}]}]}";
static const char kSchema[] =
    "{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[1,{\"b\":[2]}]}},\"required\":[\"a\"]}";

/* Where saved sessions and traces go. */
static char path[] = "/tmp/mirage_memory_failure_XXXXXX";
static char saved[1 << 20];
static uint64_t saved_bytes;

static mirage_status append_a_message(fixture* f) {
  return mirage_session_append_message(f->session, "user", kText, strlen(kText), &last_error);
}

static mirage_status append_a_conversation(fixture* f) {
  return mirage_session_append_conversation(f->session, kConversation, strlen(kConversation),
                                            &last_error);
}

static mirage_status append_a_text(fixture* f) {
  return mirage_session_append_text(f->session, kText, strlen(kText), 0, &last_error);
}

static mirage_status append_tokens(fixture* f) {
  static const int32_t tokens[400] = {65, 66, 67};
  return mirage_session_append_tokens(f->session, tokens, 400, &last_error);
}

static mirage_status get_tokens(fixture* f) {
  size_t count = 0;
  return mirage_session_get_tokens(f->session, NULL, 0, &count, &last_error);
}

static mirage_status close_made(mirage_status status, mirage_session* made) {
  assert_true((status == MIRAGE_OK) == (made != NULL));
  mirage_session_close(made);
  return status;
}

static mirage_status open_a_session(fixture* f) {
  mirage_session* made = NULL;
  const mirage_status status = mirage_session_open(f->model, NULL, &made, &last_error);
  return close_made(status, made);
}

static mirage_status fork_it(fixture* f) {
  mirage_session* made = NULL;
  const mirage_status status = mirage_session_fork(f->session, &made, &last_error);
  return close_made(status, made);
}

static mirage_status save_to_memory(fixture* f) {
  return mirage_session_save_memory(f->session, saved, sizeof saved, &saved_bytes, &last_error);
}

static mirage_status restore_from_memory(fixture* f) {
  mirage_session* made = NULL;
  const mirage_status status =
      mirage_session_restore_memory(f->model, saved, saved_bytes, NULL, &made, &last_error);
  return close_made(status, made);
}

static mirage_status save_to_a_file(fixture* f) {
  return mirage_session_save(f->session, path, &last_error);
}

static mirage_status restore_from_a_file(fixture* f) {
  mirage_session* made = NULL;
  const mirage_status status = mirage_session_restore(f->model, path, NULL, &made, &last_error);
  return close_made(status, made);
}

static mirage_status tokenize(fixture* f) {
  size_t count = 0;
  return mirage_tokenize(f->model, kText, strlen(kText), 0, NULL, 0, &count, &last_error);
}

static mirage_status tokenize_a_conversation(fixture* f) {
  size_t count = 0;
  return mirage_tokenize_conversation(f->model, kConversation, strlen(kConversation), NULL, 0,
                                      &count, &last_error);
}

static mirage_status render(fixture* f) {
  size_t bytes = 0;
  return mirage_render(f->model, NULL, kConversation, strlen(kConversation), NULL, 0, &bytes,
                       &last_error);
}

static mirage_status parse_an_answer(fixture* f) {
  static const char kTools[] =
      "[{\"type\":\"function\",\"function\":{\"name\":\"a_tool_of_some_length\",\"parameters\":"
      "{\"properties\":{\"a\":{\"type\":\"string\",\"enum\":[\"b\"]}}}}}]";
  static const char kAnswer[] =
      "<think>longer than a string holds by itself</think>as long as that, too"
      "<tool_call>{\"name\":\"a_tool_of_some_length\",\"arguments\":{\"a\":\"b\\n\"}}</tool_call>";
  mirage_parse_options options;
  size_t bytes = 0;
  (void)f;
  mirage_parse_options_init(&options, sizeof options);
  options.answer_format = MIRAGE_ANSWER_HERMES;
  options.tools = kTools;
  options.tools_bytes = strlen(kTools);
  return mirage_parse_answer(NULL, &options, kAnswer, strlen(kAnswer), NULL, 0, &bytes,
                             &last_error);
}

static mirage_status check_a_schema(fixture* f) {
  int32_t accepted = 0;
  size_t position = 0;
  (void)f;
  return mirage_grammar_check(MIRAGE_GRAMMAR_JSON_SCHEMA, kSchema, strlen(kSchema),
                              "{\"a\":{\"b\":[2]}}", 15, &accepted, &position, &last_error);
}

static mirage_status check_an_expression(fixture* f) {
  int32_t accepted = 0;
  size_t position = 0;
  (void)f;
  return mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, "(ab|c){2,5}[^x]*", 16, "abcc", 4, &accepted,
                              &position, &last_error);
}

static mirage_status score(fixture* f) {
  static const int32_t tokens[] = {65, 66, 67, 68};
  float logprobs[3];
  return mirage_score(f->model, tokens, 4, 1, logprobs, &last_error);
}

static mirage_status embed(fixture* f) {
  static const int32_t tokens[40] = {65, 66, 67, 68};
  mirage_text texts[3] = {
      {kText, sizeof kText - 1, NULL, 0}, {NULL, 0, tokens, 40}, {"short", 5, NULL, 0}};
  mirage_embed_options options;
  float values[3 * 64];
  size_t count = 0;
  mirage_embed_options_init(&options, sizeof options);
  options.pooling = MIRAGE_POOLING_MEAN;
  return mirage_embed(f->model, &options, texts, 3, values, 3 * 64, &count, NULL, &last_error);
}

static mirage_status score_choices(fixture* f) {
  const mirage_text prompt = {kText, sizeof kText - 1, NULL, 0};
  const mirage_text choices[2] = {{" one of the choices there are", 29, NULL, 0},
                                  {" another one", 12, NULL, 0}};
  double logprobs[2];
  return mirage_score_choices(f->model, NULL, &prompt, choices, 2, logprobs, NULL, &last_error);
}

static mirage_status plan(fixture* f) {
  mirage_plan made;
  made.struct_size = sizeof made;
  return mirage_model_get_plan(f->model, NULL, &made, &last_error);
}

static mirage_status load_an_adapter(fixture* f) {
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 4, 1);
  mirage_adapter* adapter = NULL;
  const mirage_status status =
      mirage_adapter_load_memory(f->model, file.data, file.bytes, NULL, &adapter, &last_error);
  assert_true((status == MIRAGE_OK) == (adapter != NULL));
  mirage_adapter_close(adapter);
  tiny_model_free(&file);
  return status;
}

static mirage_status start_a_trace(fixture* f) {
  return mirage_runtime_start_trace(f->runtime, 100, &last_error);
}

static mirage_status write_a_trace(fixture* f) {
  return mirage_runtime_write_trace(f->runtime, path, &last_error);
}

/* In this order: some use what an earlier one made. `stride`: where there are thousands of places,
 * one of so many is tried. */
static const struct {
  const char* name;
  mirage_status (*make)(fixture* f);
  void (*begin)(fixture* f);
  long stride;
} calls[] = {
    {"append_message", append_a_message, begin_conversation, 1},
    {"append_conversation", append_a_conversation, begin_conversation, 1},
    {"append_text", append_a_text, begin_tokens, 1},
    {"append_tokens", append_tokens, begin_tokens, 1},
    {"get_tokens", get_tokens, begin_conversation, 1},
    {"open", open_a_session, begin_conversation, 1},
    {"fork", fork_it, begin_conversation, 1},
    {"save_memory", save_to_memory, begin_conversation, 1},
    {"restore_memory", restore_from_memory, begin_conversation, 1},
    {"save", save_to_a_file, begin_conversation, 1},
    {"restore", restore_from_a_file, begin_conversation, 1},
    {"save_memory of some pages", save_to_memory, begin_long, 1},
    {"restore_memory of some pages", restore_from_memory, begin_long, 1},
    {"tokenize", tokenize, begin_tokens, 1},
    {"tokenize_conversation", tokenize_a_conversation, begin_tokens, 1},
    {"render", render, begin_tokens, 1},
    {"parse_answer", parse_an_answer, begin_tokens, 1},
    {"grammar_check of a schema", check_a_schema, begin_tokens, 61},
    {"grammar_check of an expression", check_an_expression, begin_tokens, 31},
    {"score", score, begin_tokens, 1},
    {"embed", embed, begin_tokens, 1},
    {"score_choices", score_choices, begin_tokens, 1},
    {"get_plan", plan, begin_tokens, 1},
    {"adapter_load", load_an_adapter, begin_tokens, 1},
    {"start_trace", start_a_trace, begin_tokens, 1},
    {"write_trace", write_a_trace, begin_conversation, 1},
};

static void calling(void** state) {
  fixture* f = (fixture*)*state;
  size_t i;
  const int file = mkstemp(path);
  assert_true(file >= 0);
  close(file);
  for (i = 0; i < sizeof calls / sizeof calls[0]; ++i) {
    mirage_status status = MIRAGE_OK;
    held before;
    long count = 0;
    print_message("  %s\n", calls[i].name);
    calls[i].begin(f);
    before = held_by(f);
    while (!goes_through(OF_ALL_THREADS, count, status, calls[i].make(f))) {
      check_held(f, before);
      count += calls[i].stride;
    }
    assert_true(count > 0);
  }
  unlink(path);
}

/* `stride` as above. */
static void starting_with(fixture* f, mirage_generation_options options, long stride) {
  mirage_generation* generation = NULL;
  mirage_status status = MIRAGE_OK;
  answer expected, read;
  long count;
  begin_conversation(f);
  append_user(f->session, "two");
  expected = generate(f->session, &options);
  begin_conversation(f);
  append_user(f->session, "two");
  for (count = 0;; count += stride) {
    const held before = held_by(f);
    if (goes_through(OF_THIS_THREAD, count, status,
                     mirage_generation_start(f->session, &options, &generation, &last_error)))
      break;
    assert_null(generation);
    check_held(f, before);
  }
  assert_true(count > 10);
  read = read_answer(generation);
  mirage_generation_close(generation);
  check_same_answer(&expected, &read);
}

static void starting(fixture* f, int32_t samples) {
  mirage_generation_options options = greedy(5);
  options.samples = samples;
  starting_with(f, options, 1);
}

/* A grammar that was not asked for before, so that it is compiled. */
static void starting_with_a_grammar(void** state) {
  mirage_generation_options options = greedy(5);
  options.grammar_kind = MIRAGE_GRAMMAR_REGEX;
  options.grammar = "(ab|c){2,5}[^x]*";
  options.grammar_bytes = strlen(options.grammar);
  starting_with((fixture*)*state, options, 31);
}

/* A reader without memory sees an error or nothing amiss; the session goes on from where it was. */
static void reading_with(fixture* f, mirage_generation_options options) {
  answer expected, read;
  int failures = 0;
  long count;
  begin_conversation(f);
  append_user(f->session, "two");
  expected = generate(f->session, &options);
  for (count = 0; count < 40 * options.samples; ++count) {
    mirage_event event = new_event();
    mirage_generation* generation;
    held before;
    begin_conversation(f);
    append_user(f->session, "two");
    before = held_by(f);
    generation = start(f->session, &options);
    spend(OF_THIS_THREAD, count);
    while (event.kind != MIRAGE_EVENT_DONE) {
      const mirage_status status = mirage_generation_next(generation, -1, &event, &last_error);
      if (status == MIRAGE_OUT_OF_MEMORY)
        ++failures;
      else
        assert_ok(status);
    }
    stop_spending();
    assert_int_equal(event.kind, MIRAGE_EVENT_DONE);
    mirage_generation_close(generation);
    if (event.finish != MIRAGE_FINISH_ERROR) {
      assert_int_equal(event.finish, MIRAGE_FINISH_LENGTH);
      continue;
    }
    check_held(f, before);
    read = generate(f->session, &options);
    check_same_answer(&expected, &read);
  }
  assert_true(failures > 0);
}

/* The answer is taken in by the next call: one that fails is tried again without losing it. */
static void settling(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(6);
  long count;
  for (count = 0; count < 20; ++count) {
    mirage_generation* generation;
    mirage_status status = MIRAGE_OK;
    size_t tokens = 0;
    begin_conversation(f);
    append_user(f->session, "two");
    generation = start(f->session, &options);
    read_answer(generation);
    mirage_generation_close(generation);
    (void)goes_through(OF_ALL_THREADS, count, status,
                       mirage_session_get_tokens(f->session, NULL, 0, &tokens, &last_error));
    assert_int_equal(held_by(f).messages, 4);
  }
}

/* The threads that compute have nothing left: the answer is the same or ends with an error, after
 * which the session goes on from where it was. */
static void computing_with(fixture* f, mirage_generation_options options, long stride) {
  answer expected, read;
  int failures = 0;
  long count, left;
  options.draft_tokens = 4;
  options.logprobs = 2;
  begin_tokens(f);
  expected = generate(f->session, &options);
  for (count = 0, left = 0; left == 0; count += stride) {
    mirage_generation* generation;
    held before;
    begin_tokens(f);
    before = held_by(f);
    spend(OF_OTHER_THREADS, count);
    generation = start(f->session, &options);
    read = read_answer(generation);
    mirage_generation_close(generation);
    left = stop_spending();
    if (read.finish == MIRAGE_FINISH_ERROR) {
      ++failures;
      assert_int_equal(read.status, MIRAGE_OUT_OF_MEMORY);
      check_held(f, before);
      read = generate(f->session, &options);
    }
    check_same_answer(&expected, &read);
  }
  assert_true(failures > 10);
}

static void computing(fixture* f, int32_t samples) {
  mirage_generation_options options = greedy(6);
  options.samples = samples;
  computing_with(f, options, samples);
}

static void computing_with_a_grammar(void** state) {
  mirage_generation_options options = greedy(6);
  options.grammar_kind = MIRAGE_GRAMMAR_JSON_SCHEMA;
  options.grammar = kSchema;
  options.grammar_bytes = strlen(options.grammar);
  computing_with((fixture*)*state, options, 3);
}

/* Weights are read again for every step. */
static void computing_with_streamed_weights(void** state) {
  const tiny_model file = tiny_model_of_layers(TINY_MOST_LAYERS);
  fixture small = {file, NULL, NULL, NULL};
  mirage_runtime_options options;
  mirage_model_options loading;
  mirage_model_stats stats;
  mirage_plan_options planning;
  mirage_plan plan_of_all;
  (void)state;
  stats.struct_size = sizeof stats;
  plan_of_all.struct_size = sizeof plan_of_all;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 1;
  assert_ok(mirage_runtime_open(&options, &small.runtime, &last_error));
  mirage_model_options_init(&loading, sizeof loading);
  loading.load = MIRAGE_LOAD_METADATA;
  assert_ok(mirage_model_open_memory(small.runtime, file.data, file.bytes, NULL, NULL, &loading,
                                     &small.model, &last_error));
  mirage_plan_options_init(&planning, sizeof planning);
  planning.context = 64;
  assert_ok(mirage_model_get_plan(small.model, &planning, &plan_of_all, &last_error));
  mirage_model_close(small.model);

  assert_ok(mirage_runtime_set_memory_limit(small.runtime, plan_of_all.least_bytes, &last_error));
  loading.load = MIRAGE_LOAD_ALL;
  loading.context = planning.context;
  assert_ok(mirage_model_open_memory(small.runtime, file.data, file.bytes, NULL, NULL, &loading,
                                     &small.model, &last_error));
  assert_ok(mirage_model_get_stats(small.model, &stats, &last_error));
  assert_true(stats.lent_bytes > 0);
  assert_ok(mirage_session_open(small.model, NULL, &small.session, &last_error));
  computing_with(&small, greedy(3), 97); /* fills allocate, too: there are thousands */
  mirage_session_close(small.session);
  mirage_model_close(small.model);
  mirage_runtime_close(small.runtime);
  tiny_model_free(&small.file);
}

static void computing_with_a_draft_model(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(6);
  mirage_model* twin = NULL;
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL, NULL,
                                     &twin, &last_error));
  options.draft_model = twin;
  computing_with(f, options, 1);
  mirage_model_close(twin);
}

/* The session was computed without, so that all of it is computed again. */
static void with_adapters(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(6);
  mirage_adapter_use uses[2] = {{NULL, 1.0f, 0}, {NULL, -0.5f, 0}};
  mirage_adapter* adapters[2];
  int i;
  for (i = 0; i < 2; ++i) {
    tiny_model file = tiny_adapter_make(TINY_LAYERS, 4, (uint32_t)i);
    assert_ok(mirage_adapter_load_memory(f->model, file.data, file.bytes, NULL, &adapters[i],
                                         &last_error));
    tiny_model_free(&file);
    uses[i].adapter = adapters[i];
  }
  options.adapters = uses;
  options.adapter_count = 2;
  starting_with(f, options, 1);
  computing_with(f, options, 1);
  for (i = 0; i < 2; ++i) mirage_adapter_close(adapters[i]);
}

static mirage_session* session_of(fixture* f, char letter) {
  mirage_session* session = NULL;
  char text[290];
  memset(text, letter, sizeof text);
  assert_ok(mirage_session_open(f->model, NULL, &session, &last_error));
  assert_ok(mirage_session_append_text(session, text, sizeof text, MIRAGE_TOKENIZE_ADD_SPECIAL,
                                       &last_error));
  return session;
}

/* Where the machine is slow to come here, the pages of an answer begun before may have taken what
 * this one's text needs, until that one has ended. */
static mirage_generation* start_when_there_is_room(mirage_session* session,
                                                   const mirage_generation_options* options) {
  static const struct timespec pause = {0, 1000000};
  mirage_generation* generation = NULL;
  mirage_status status;
  int tries = 60000;
  while ((status = mirage_generation_start(session, options, &generation, &last_error)) ==
             MIRAGE_OUT_OF_MEMORY &&
         --tries > 0)
    nanosleep(&pause, NULL);
  assert_ok(status);
  return generation;
}

/* Two answers for which there is not memory at once: by the policy one gives up its keys and
 * values, to be computed again, or weights are lent. */
static mirage_runtime_stats two_short_of_memory(const char* policy, uint32_t layers, long step,
                                                uint64_t* preemptions) {
  const tiny_model file = tiny_model_of_layers(layers);
  fixture own = {file, NULL, NULL, NULL};
  fixture* f = &own;
  mirage_runtime_options with_policy;
  mirage_runtime_stats stats;
  mirage_generation_options options = greedy(60);
  answer expected[2], read;
  int failures = 0;
  long count, left;
  int i;
  mirage_memory held;
  held.struct_size = sizeof held;
  stats.struct_size = sizeof stats;
  *preemptions = 0;
  mirage_runtime_options_init(&with_policy, sizeof with_policy);
  with_policy.threads = 1;
  with_policy.policy = policy;
  assert_ok(mirage_runtime_open(&with_policy, &f->runtime, &last_error));
  assert_ok(mirage_model_open_memory(f->runtime, file.data, file.bytes, NULL, NULL, NULL, &f->model,
                                     &last_error));
  for (i = 0; i < 2; ++i) {
    mirage_session* session = session_of(f, "uv"[i]);
    expected[i] = generate(session, &options);
    mirage_session_close(session);
  }
  for (count = 0, left = 0; left == 0; count += step) {
    mirage_session* sessions[2];
    mirage_generation* generations[2];
    /* Drops what is cached, and no more: else weights would give way too. */
    assert_ok(mirage_runtime_get_memory(f->runtime, &held, &last_error));
    assert_ok(mirage_runtime_set_memory_limit(
        f->runtime, held.used_bytes - held.kv_bytes + (4 << 20), &last_error));
    assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
    await_lent(f->model, 0);
    for (i = 0; i < 2; ++i) sessions[i] = session_of(f, "uv"[i]);
    assert_ok(mirage_runtime_get_memory(f->runtime, &held, &last_error));
    /* Text and tokens of two answers, and a piece of the arena in each layer: 512 positions. */
    assert_ok(mirage_runtime_set_memory_limit(
        f->runtime, held.used_bytes + (4 << 20) + 400000 + layers * 65536, &last_error));
    spend(OF_OTHER_THREADS, count);
    for (i = 0; i < 2; ++i) generations[i] = start_when_there_is_room(sessions[i], &options);
    for (i = 0; i < 2; ++i) {
      read = read_answer(generations[i]);
      if (read.finish == MIRAGE_FINISH_ERROR) {
        ++failures;
        assert_int_equal(read.status, MIRAGE_OUT_OF_MEMORY);
      } else {
        check_same_answer(&expected[i], &read);
      }
      *preemptions += stats_of_generation(generations[i]).preemptions;
    }
    left = stop_spending();
    for (i = 0; i < 2; ++i) {
      mirage_generation_close(generations[i]);
      mirage_session_close(sessions[i]);
    }
  }
  assert_true(failures > 0);
  assert_ok(mirage_runtime_get_stats(f->runtime, &stats, &last_error));
  mirage_model_close(f->model);
  mirage_runtime_close(f->runtime);
  tiny_model_free(&own.file);
  return stats;
}

/* What a session that has answered keeps is given up for what another one needs to start. */
static void an_idle_session_gives_way(void** state) {
  const tiny_model file = tiny_model_of_layers(12);
  fixture own = {file, NULL, NULL, NULL};
  fixture* f = &own;
  mirage_generation_options options = greedy(60);
  mirage_session *idle, *other;
  mirage_memory held;
  answer expected, read;
  (void)state;
  held.struct_size = sizeof held;
  assert_ok(mirage_runtime_open(NULL, &f->runtime, &last_error));
  assert_ok(mirage_model_open_memory(f->runtime, file.data, file.bytes, NULL, NULL, NULL, &f->model,
                                     &last_error));
  idle = session_of(f, 'v');
  expected = generate(idle, &options);
  mirage_session_close(idle);
  idle = session_of(f, 'u');
  other = session_of(f, 'v');
  generate(idle, &options);
  assert_ok(mirage_runtime_get_memory(f->runtime, &held, &last_error));
  /* Less than an answer's text and tokens. */
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, held.used_bytes + (4 << 20) + 100000,
                                            &last_error));
  read = generate(other, &options);
  check_same_answer(&expected, &read);
  mirage_session_close(other);
  mirage_session_close(idle);
  mirage_model_close(f->model);
  mirage_runtime_close(f->runtime);
  tiny_model_free(&own.file);
}

static void computing_with_preemption(void** state) {
  uint64_t preemptions;
  (void)state;
  assert_int_equal(
      two_short_of_memory("recompute", TINY_LAYERS, 11, &preemptions).weight_bytes_lent, 0);
  assert_true(preemptions > 0);
}

static void computing_with_weights_lent(void** state) {
  uint64_t preemptions;
  (void)state;
  assert_true(two_short_of_memory("remap", 12, 2003, &preemptions).weight_bytes_lent >
              0);
}

/* The same in a context that shifts over what an answer before had computed. */
static void shifting(void** state) {
  fixture f = *(fixture*)*state;
  mirage_session_options session_options;
  mirage_generation_options options = greedy(40);
  answer expected, read;
  int failures = 0;
  long count, left;
  mirage_session_options_init(&session_options, sizeof session_options);
  session_options.context = 32;
  session_options.overflow = MIRAGE_OVERFLOW_SHIFT;
  assert_ok(mirage_session_open(f.model, &session_options, &f.session, &last_error));
  for (count = -1, left = 0; left == 0; ++count) {
    mirage_generation_options first = greedy(10);
    mirage_generation* generation;
    int32_t before[32], after[32];
    size_t held = 0, now = 0;
    begin_tokens(&f);
    generate(f.session, &first);
    assert_ok(mirage_session_get_tokens(f.session, before, 32, &held, &last_error));
    if (count < 0) {
      expected = generate(f.session, &options);
      continue;
    }
    spend(OF_OTHER_THREADS, count);
    generation = start(f.session, &options);
    read = read_answer(generation);
    mirage_generation_close(generation);
    left = stop_spending();
    if (read.finish == MIRAGE_FINISH_ERROR) {
      ++failures;
      assert_int_equal(read.status, MIRAGE_OUT_OF_MEMORY);
      assert_ok(mirage_session_get_tokens(f.session, after, 32, &now, &last_error));
      assert_int_equal(now, held);
      assert_memory_equal(after, before, held * sizeof before[0]);
      read = generate(f.session, &options);
    }
    check_same_answer(&expected, &read);
  }
  assert_true(failures > 10);
  mirage_session_close(f.session);
}

static mirage_status open_a_runtime(mirage_runtime** runtime) {
  mirage_runtime_options options;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 2;
  return mirage_runtime_open(&options, runtime, &last_error);
}

static mirage_status open_a_model(const fixture* f, mirage_runtime* runtime, int32_t load,
                                  mirage_model** model) {
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.load = load;
  return mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL, NULL, &options, model,
                                  &last_error);
}

static void opening(void** state) {
  fixture* f = (fixture*)*state;
  static const int32_t loads[] = {MIRAGE_LOAD_VOCABULARY, MIRAGE_LOAD_ALL};
  mirage_status status = MIRAGE_OK;
  mirage_runtime* runtime = NULL;
  long count;
  size_t i;
  for (count = 0; !goes_through(OF_ALL_THREADS, count, status, open_a_runtime(&runtime)); ++count)
    assert_null(runtime);
  assert_true(count > 0);
  for (i = 0; i < sizeof loads / sizeof loads[0]; ++i) {
    mirage_model* model = NULL;
    for (count = 0;
         !goes_through(OF_ALL_THREADS, count, status, open_a_model(f, runtime, loads[i], &model));
         count += 7) /* there are thousands */
      assert_null(model);
    assert_true(count > 100);
    mirage_model_close(model);
  }
  mirage_runtime_close(runtime);
}

static void starting_one(void** state) { starting((fixture*)*state, 1); }
static void starting_three(void** state) { starting((fixture*)*state, 3); }

/* Told of the prompt, too. */
static mirage_generation_options telling(int64_t max_tokens) {
  mirage_generation_options options = greedy(max_tokens);
  options.echo = 1;
  options.prompt_logprobs = 2;
  return options;
}

static void starting_to_tell(void** state) { starting_with((fixture*)*state, telling(5), 1); }
static void reading_what_is_told(void** state) { reading_with((fixture*)*state, telling(6)); }
static void computing_what_is_told(void** state) {
  computing_with((fixture*)*state, telling(6), 1);
}

static void reading(fixture* f, int32_t samples) {
  mirage_generation_options options = greedy(6);
  options.samples = samples;
  reading_with(f, options);
}

static void reading_one(void** state) { reading((fixture*)*state, 1); }
static void reading_three(void** state) { reading((fixture*)*state, 3); }
static void computing_one(void** state) { computing((fixture*)*state, 1); }
static void computing_three(void** state) { computing((fixture*)*state, 3); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(opening),
      cmocka_unit_test(calling),
      cmocka_unit_test(starting_one),
      cmocka_unit_test(starting_three),
      cmocka_unit_test(reading_one),
      cmocka_unit_test(reading_three),
      cmocka_unit_test(computing_one),
      cmocka_unit_test(computing_three),
      cmocka_unit_test(starting_to_tell),
      cmocka_unit_test(reading_what_is_told),
      cmocka_unit_test(computing_what_is_told),
      cmocka_unit_test(settling),
      cmocka_unit_test(starting_with_a_grammar),
      cmocka_unit_test(computing_with_a_grammar),
      cmocka_unit_test(computing_with_streamed_weights),
      cmocka_unit_test(computing_with_a_draft_model),
      cmocka_unit_test(with_adapters),
      cmocka_unit_test(an_idle_session_gives_way),
      cmocka_unit_test(computing_with_preemption),
      cmocka_unit_test(computing_with_weights_lent),
      cmocka_unit_test(shifting),
  };
  return cmocka_run_group_tests(tests, set_allocator, close_fixture);
}
