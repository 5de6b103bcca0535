/* SPDX-License-Identifier: Apache-2.0 */
/* A second model that guesses: the answer is the same, whatever becomes of it. */
#include "abi_test.h"

enum { TOKENS = 96 };

/* A model of the same weights, so that its guesses come true. */
static mirage_model* open_twin(fixture* f, const mirage_model_options* options) {
  mirage_model* twin = NULL;
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL, options,
                                     &twin, &last_error));
  return twin;
}

static void begin(fixture* f) {
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "hello");
}

static mirage_generation_options drawing(int64_t tokens) {
  mirage_generation_options options = greedy(tokens);
  options.temperature = 1.2f;
  options.has_seed = 1;
  options.seed = 5;
  return options;
}

static void gives_the_same_answer(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* twin = open_twin(f, NULL);
  mirage_generation_options options = drawing(TOKENS);
  mirage_generation_stats stats;
  mirage_generation* generation = NULL;
  answer plain, drafted;
  begin(f);
  plain = generate(f->session, &options);
  options.draft_model = twin;
  options.draft_tokens = 8;
  begin(f);
  generation = start(f->session, &options);
  drafted = read_answer(generation);
  stats = stats_of_generation(generation);
  mirage_generation_close(generation);
  check_same_answer(&plain, &drafted);
  /* The two are equally slow, so it rests as soon as that is known. */
  assert_true(stats.drafted_tokens > 0);
  assert_int_equal(stats.accepted_tokens, stats.drafted_tokens);
  mirage_model_close(twin);
}

static void may_be_closed_meanwhile(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* twin = open_twin(f, NULL);
  mirage_generation_options options = drawing(TOKENS);
  mirage_generation* generation = NULL;
  answer plain, drafted;
  begin(f);
  plain = generate(f->session, &options);
  options.draft_model = twin;
  options.draft_tokens = 8;
  begin(f);
  generation = start(f->session, &options);
  mirage_model_close(twin);
  drafted = read_answer(generation);
  mirage_generation_close(generation);
  check_same_answer(&plain, &drafted);
}

static void check_refused(fixture* f, const mirage_generation_options* options, const char* words) {
  mirage_generation* generation = NULL;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_start(f->session, options, &generation, &last_error));
  assert_null(generation);
  assert_message_has(words);
}

static void that_cannot_guess_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_runtime_options other_options;
  mirage_model_options vocabulary;
  fixture other = *f;
  mirage_generation_options options = drawing(4);
  mirage_model* twin = open_twin(f, NULL);
  mirage_model* foreign = NULL;
  mirage_model* without_weights = NULL;
  begin(f);
  options.draft_model = twin;
  check_refused(f, &options, "draft_tokens is 0");
  options.draft_tokens = 4;
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  options.draft_tokens = 0;
  check_refused(f, &options, "draft_model");
  options.sampler = MIRAGE_SAMPLER_DEFAULT;
  options.draft_tokens = 4;

  options.draft_model = f->model;
  check_refused(f, &options, "itself");

  mirage_runtime_options_init(&other_options, sizeof other_options);
  other_options.threads = 1;
  assert_ok(mirage_runtime_open(&other_options, &other.runtime, &last_error));
  foreign = open_twin(&other, NULL);
  options.draft_model = foreign;
  check_refused(f, &options, "another runtime");
  mirage_model_close(foreign);
  mirage_runtime_close(other.runtime);

  mirage_model_options_init(&vocabulary, sizeof vocabulary);
  vocabulary.load = MIRAGE_LOAD_VOCABULARY;
  without_weights = open_twin(f, &vocabulary);
  options.draft_model = without_weights;
  check_refused(f, &options, "without its weights");
  mirage_model_close(without_weights);

  /* A token of another text: the 'q' of one vocabulary is a 'Q' in the other. */
  {
    fixture changed = *f;
    unsigned char* at = NULL;
    size_t i;
    static const unsigned char kQ[] = {1, 0, 0, 0, 0, 0, 0, 0, 'q', 1, 0, 0, 0, 0, 0, 0, 0, 'r'};
    changed.file.data = (unsigned char*)malloc(f->file.bytes);
    assert_non_null(changed.file.data);
    memcpy(changed.file.data, f->file.data, f->file.bytes);
    for (i = 0; at == NULL && i + sizeof kQ < f->file.bytes; ++i)
      if (memcmp(changed.file.data + i, kQ, sizeof kQ) == 0) at = changed.file.data + i;
    assert_non_null(at);
    at[8] = '~';
    foreign = open_twin(&changed, NULL);
    options.draft_model = foreign;
    check_refused(f, &options, "'~'");
    mirage_model_close(foreign);
    free(changed.file.data);
  }
  options.draft_model = twin;
  options.draft_tokens = 65;
  check_refused(f, &options, "65");
  mirage_model_close(twin);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gives_the_same_answer),
      cmocka_unit_test(may_be_closed_meanwhile),
      cmocka_unit_test(that_cannot_guess_is_refused),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
