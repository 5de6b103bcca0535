/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIRAGE_TESTS_ABI_ABI_TEST_H
#define MIRAGE_TESTS_ABI_ABI_TEST_H

/* What all tests of the C interface share: cmocka, the tiny model opened, an answer read to its
 * end. They are C99 and link libmirage.so alone. */

/* clang-format off: cmocka.h needs what stands before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
/* clang-format on */

#include "mirage/mirage.h"
#include "tiny_model.h"

/* The error of the last call in a test; shown when a status is not the expected one. */
extern mirage_error last_error;

void check_status(mirage_status expected, mirage_status status, const char* call, const char* file,
                  int line);
#define assert_status(expected, call) check_status((expected), (call), #call, __FILE__, __LINE__)
#define assert_ok(call) assert_status(MIRAGE_OK, call)
/* The message names the thing. */
#define assert_message_has(text) assert_non_null(strstr(last_error.message, (text)))

typedef struct fixture {
  tiny_model file;
  mirage_runtime* runtime;
  mirage_model* model;
  mirage_session* session;
} fixture;

/* cmocka set-up and tear-down: a runtime of one thread, the tiny model, a session. */
int open_fixture(void** state);
int open_fixture_of(void** state, tiny_model file);
int close_fixture(void** state);

/* A generation read to its end; of several samples, the first. */
typedef struct answer {
  char text[4096];
  size_t text_bytes;
  int32_t tokens[1024];
  size_t token_count;
  int32_t finish;
  mirage_status status;
} answer;

void check_same_answer(const answer* expected, const answer* read);
answer read_answer(mirage_generation* generation);
mirage_generation* start(mirage_session* session, const mirage_generation_options* options);
/* Greedy, `max_tokens`, not stopped by end tokens: the tiny model then always answers the same. */
mirage_generation_options greedy(int64_t max_tokens);
void append_user(mirage_session* session, const char* text);
/* Until some of the model's weights are lent, or none: they move between two steps of the engine
 * and while it waits. */
void await_lent(const mirage_model* model, int some);
/* Starts, reads and closes. */
answer generate(mirage_session* session, const mirage_generation_options* options);

/* Tokens, the same ones for each seed; and texts to read, given as tokens or as text. */
void make_tokens(int32_t* tokens, size_t count, uint32_t seed);
mirage_text of_tokens(const int32_t* tokens, size_t count);
mirage_text of_text(const char* words);

mirage_event new_event(void);

mirage_session_stats stats_of_session(const mirage_session* session);
mirage_generation_stats stats_of_generation(const mirage_generation* generation);

#endif
