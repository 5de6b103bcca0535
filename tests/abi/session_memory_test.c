/* SPDX-License-Identifier: Apache-2.0 */
/* What sessions hold besides keys and values is under the memory limit: it grows with their text,
 * goes with it, and is refused with the limit that would do. */
#define _POSIX_C_SOURCE 200809L

#include "abi_test.h"

enum { STEP = 4096 }; /* sessions are charged in such steps */

static mirage_memory memory_of(const fixture* f) {
  mirage_memory memory;
  memory.struct_size = sizeof memory;
  assert_ok(mirage_runtime_get_memory(f->runtime, &memory, &last_error));
  return memory;
}

static uint64_t session_bytes(const fixture* f) { return memory_of(f).sessions_bytes; }

static mirage_plan plan_of(const fixture* f) {
  mirage_plan plan;
  plan.struct_size = sizeof plan;
  assert_ok(mirage_model_get_plan(f->model, NULL, &plan, &last_error));
  return plan;
}

static char* long_text(size_t bytes) {
  char* text = malloc(bytes);
  assert_non_null(text);
  memset(text, 'x', bytes);
  return text;
}

/* No more than the model's plan, so that what sessions may take is what that has for them. */
static void leave_the_plan(const fixture* f) {
  const uint64_t guard = 4 << 20;
  assert_ok(
      mirage_runtime_set_memory_limit(f->runtime, plan_of(f).total_bytes + guard, &last_error));
}

static void text_is_counted_while_it_is_there(void** state) {
  fixture* f = (fixture*)*state;
  const size_t bytes = 300000;
  char* text = long_text(bytes);
  const uint64_t empty = session_bytes(f);
  mirage_session* fork = NULL;
  assert_ok(mirage_session_append_message(f->session, "user", text, bytes, &last_error));
  assert_in_range(session_bytes(f) - empty, bytes - STEP, bytes + STEP);
  assert_ok(mirage_session_fork(f->session, &fork, &last_error));
  assert_in_range(session_bytes(f) - empty, 2 * bytes - STEP, 2 * (bytes + STEP));
  mirage_session_close(fork);
  assert_in_range(session_bytes(f) - empty, bytes - STEP, bytes + STEP);
  assert_ok(mirage_session_truncate(f->session, 0, &last_error));
  assert_int_equal(session_bytes(f), empty);
  assert_ok(mirage_session_append_message(f->session, "user", text, bytes, &last_error));
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_int_equal(session_bytes(f), empty);
  free(text);
}

static void an_answer_is_counted_while_it_is_written(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(20);
  mirage_generation* generation;
  mirage_model_info info;
  const uint64_t empty = session_bytes(f);
  uint64_t waiting;
  uint64_t one;
  uint64_t with_row;
  info.struct_size = sizeof info;
  assert_ok(mirage_model_get_info(f->model, &info, &last_error));
  append_user(f->session, "hello");
  waiting = session_bytes(f);
  generation = start(f->session, &options);
  one = session_bytes(f) - waiting;
  assert_true(one > 0);
  read_answer(generation);
  mirage_generation_close(generation);
  assert_ok(mirage_session_truncate(f->session, 1, &last_error));
  assert_true(session_bytes(f) < waiting + 2 * STEP);

  options.samples = 4;
  generation = start(f->session, &options);
  assert_true(session_bytes(f) - waiting > 3 * one);
  read_answer(generation);
  mirage_generation_close(generation);
  assert_ok(mirage_session_truncate(f->session, 1, &last_error));

  options.samples = 1;
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  generation = start(f->session, &options);
  with_row = session_bytes(f) - waiting;
  assert_true(with_row >= (uint64_t)info.vocabulary * sizeof(float));
  assert_ok(mirage_generation_cancel(generation, MIRAGE_CANCEL_STOP, &last_error));
  read_answer(generation);
  mirage_generation_close(generation);
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_int_equal(session_bytes(f), empty);
}

static void a_plan_keeps_room_for_what_sessions_say(void** state) {
  fixture* f = (fixture*)*state;
  mirage_session* sessions[32];
  mirage_generation_options options = greedy(4);
  answer said;
  size_t i;
  leave_the_plan(f);
  for (i = 0; i < 32; ++i) {
    sessions[i] = NULL;
    assert_ok(mirage_session_open(f->model, NULL, &sessions[i], &last_error));
    append_user(sessions[i], "hello");
  }
  for (i = 0; i < 32; ++i) {
    said = generate(sessions[i], &options);
    assert_int_equal(said.finish, MIRAGE_FINISH_LENGTH);
  }
  for (i = 0; i < 32; ++i) mirage_session_close(sessions[i]);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
}

static void text_beyond_the_limit_is_refused_with_the_limit_that_does(void** state) {
  fixture* f = (fixture*)*state;
  const size_t bytes = 3 << 20;
  char* text = long_text(bytes);
  const uint64_t empty = session_bytes(f);
  mirage_session_stats stats;
  uint64_t needed;
  uint64_t available;
  leave_the_plan(f);
  append_user(f->session, "hello");
  assert_status(MIRAGE_OUT_OF_MEMORY,
                mirage_session_append_message(f->session, "user", text, bytes, &last_error));
  assert_message_has("text");
  needed = last_error.needed_bytes;
  available = last_error.available_bytes;
  assert_int_equal(available, memory_of(f).limit_bytes);
  assert_true(needed > available);
  stats = stats_of_session(f->session);
  assert_int_equal(stats.messages, 1);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, needed, &last_error));
  assert_ok(mirage_session_append_message(f->session, "user", text, bytes, &last_error));
  assert_true(memory_of(f).used_bytes <= needed);
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_int_equal(session_bytes(f), empty);
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
  free(text);
}

/* A running answer that can never fit names the limit under which it does. */
static void an_answer_that_cannot_fit_names_the_limit_that_does(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(-1);
  mirage_generation* generation = NULL;
  answer said;
  uint64_t charged;
  uint64_t needed;
  uint64_t available;
  append_user(f->session, "hello");
  generation = start(f->session, &options);
  charged = session_bytes(f);
  said = read_answer(generation);
  mirage_generation_close(generation);
  assert_int_equal(said.finish, MIRAGE_FINISH_LENGTH);
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "hello");
  /* Drops what is cached, and no more: else weights would give way too. */
  assert_ok(mirage_runtime_set_memory_limit(
      f->runtime, memory_of(f).used_bytes - memory_of(f).kv_bytes + (4 << 20), &last_error));
  /* Room for the answer's text, for keys and values of one of the two layers only. */
  assert_ok(mirage_runtime_set_memory_limit(
      f->runtime, memory_of(f).used_bytes + charged + (4 << 20) + 65536, &last_error));
  assert_status(MIRAGE_OUT_OF_MEMORY,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_null(generation);
  assert_message_has("limit of");
  needed = last_error.needed_bytes;
  available = last_error.available_bytes;
  assert_int_equal(available, memory_of(f).limit_bytes);
  assert_true(needed > available);
  /* That limit is enough for all of the answer. */
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, needed, &last_error));
  generation = start(f->session, &options);
  said = read_answer(generation);
  mirage_generation_close(generation);
  assert_int_equal(said.finish, MIRAGE_FINISH_LENGTH);
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_is_counted_while_it_is_there),
      cmocka_unit_test(an_answer_is_counted_while_it_is_written),
      cmocka_unit_test(a_plan_keeps_room_for_what_sessions_say),
      cmocka_unit_test(text_beyond_the_limit_is_refused_with_the_limit_that_does),
      cmocka_unit_test(an_answer_that_cannot_fit_names_the_limit_that_does),
  };
  return cmocka_run_group_tests_name("session_memory", tests, open_fixture, close_fixture);
}
