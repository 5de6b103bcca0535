/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and answers for which the application's allocator has nothing left, at every place where
 * they allocate: each fails with OUT_OF_MEMORY and leaves everything as it was, or goes through. In
 * its own program, since the allocator comes before anything else. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
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

static void check_same_answer(const answer* expected, const answer* read) {
  assert_int_equal(read->token_count, expected->token_count);
  assert_memory_equal(read->tokens, expected->tokens, read->token_count * sizeof read->tokens[0]);
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

static mirage_status plan(fixture* f) {
  mirage_plan made;
  made.struct_size = sizeof made;
  return mirage_model_get_plan(f->model, NULL, &made, &last_error);
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
    {"tokenize", tokenize, begin_tokens, 1},
    {"tokenize_conversation", tokenize_a_conversation, begin_tokens, 1},
    {"render", render, begin_tokens, 1},
    {"grammar_check of a schema", check_a_schema, begin_tokens, 61},
    {"grammar_check of an expression", check_an_expression, begin_tokens, 31},
    {"score", score, begin_tokens, 1},
    {"get_plan", plan, begin_tokens, 1},
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

static void starting(fixture* f, int32_t samples) {
  mirage_generation_options options = greedy(5);
  mirage_generation* generation = NULL;
  mirage_status status = MIRAGE_OK;
  answer expected, read;
  long count;
  options.samples = samples;
  begin_conversation(f);
  append_user(f->session, "two");
  expected = generate(f->session, &options);
  begin_conversation(f);
  append_user(f->session, "two");
  for (count = 0;; ++count) {
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

/* A reader without memory sees an error or nothing amiss; the session goes on from where it was. */
static void reading(fixture* f, int32_t samples) {
  mirage_generation_options options = greedy(6);
  answer expected, read;
  int failures = 0;
  long count;
  options.samples = samples;
  begin_conversation(f);
  append_user(f->session, "two");
  expected = generate(f->session, &options);
  for (count = 0; count < 40 * samples; ++count) {
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
static void computing(fixture* f, int32_t samples) {
  mirage_generation_options options = greedy(6);
  answer expected, read;
  int failures = 0;
  long count, left;
  options.samples = samples;
  options.draft_tokens = 4;
  options.logprobs = 2;
  begin_tokens(f);
  expected = generate(f->session, &options);
  for (count = 0, left = 0; left == 0; ++count) {
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
static void reading_one(void** state) { reading((fixture*)*state, 1); }
static void reading_three(void** state) { reading((fixture*)*state, 3); }
static void computing_one(void** state) { computing((fixture*)*state, 1); }
static void computing_three(void** state) { computing((fixture*)*state, 3); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(opening),       cmocka_unit_test(calling),
      cmocka_unit_test(starting_one),  cmocka_unit_test(starting_three),
      cmocka_unit_test(reading_one),   cmocka_unit_test(reading_three),
      cmocka_unit_test(computing_one), cmocka_unit_test(computing_three),
      cmocka_unit_test(settling),
  };
  return cmocka_run_group_tests(tests, set_allocator, close_fixture);
}
