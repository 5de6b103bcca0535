/* SPDX-License-Identifier: Apache-2.0 */
/* Which of some texts follows a prompt (mirage_score_choices), against mirage_score; of which class
 * a text is (mirage_classify), against the logits of the same rows of the head. */
#define _POSIX_C_SOURCE 200809L

#include <math.h>

#include "abi_test.h"

enum { MOST_TOKENS = 300, CHOICES = 12 };

/* By mirage_score(), of prompt and choice as one text. */
static double scored(fixture* f, const int32_t* prompt, size_t prompt_count, const int32_t* choice,
                     size_t count) {
  int32_t tokens[2 * MOST_TOKENS];
  float logprobs[2 * MOST_TOKENS];
  double sum = 0;
  size_t i;
  memcpy(tokens, prompt, prompt_count * sizeof *tokens);
  memcpy(tokens + prompt_count, choice, count * sizeof *tokens);
  assert_ok(
      mirage_score(f->model, tokens, prompt_count + count, prompt_count, logprobs, &last_error));
  for (i = 0; i < count; ++i) sum += (double)logprobs[i];
  return sum;
}

static void choices_are_scored_as_the_whole_text_is(void** state) {
  fixture* f = (fixture*)*state;
  static const size_t kPrompts[] = {1, 2, 31, 32, 33, 200, MOST_TOKENS};
  int32_t prompt[MOST_TOKENS], tokens[CHOICES][40];
  mirage_text choices[CHOICES], text;
  double logprobs[CHOICES];
  size_t counts[CHOICES], i, k;
  make_tokens(prompt, MOST_TOKENS, 1);
  for (i = 0; i < CHOICES; ++i) {
    make_tokens(tokens[i], 1 + 3 * i, (uint32_t)i + 2);
    choices[i] = of_tokens(tokens[i], 1 + 3 * i);
  }
  for (k = 0; k < sizeof kPrompts / sizeof kPrompts[0]; ++k) {
    text = of_tokens(prompt, kPrompts[k]);
    assert_ok(mirage_score_choices(f->model, NULL, &text, choices, CHOICES, logprobs, counts,
                                   &last_error));
    for (i = 0; i < CHOICES; ++i) {
      double alone;
      assert_int_equal(counts[i], 1 + 3 * i);
      assert_float_equal(logprobs[i], scored(f, prompt, kPrompts[k], tokens[i], counts[i]), 1e-4);
      assert_ok(
          mirage_score_choices(f->model, NULL, &text, &choices[i], 1, &alone, NULL, &last_error));
      assert_memory_equal(&alone, &logprobs[i], sizeof alone); /* to the bit */
    }
  }
}

static void texts_are_tokenized_as_they_go_on(void** state) {
  fixture* f = (fixture*)*state;
  static const char* const kWords[] = {" the", "hello", " in <|im_end|>"};
  int32_t prompt[64], tokens[64];
  mirage_score_options options;
  mirage_text text = of_text("well"), choices[3];
  double logprobs[3];
  size_t prompt_count = 0, count = 0, counts[3], i;
  for (i = 0; i < 3; ++i) choices[i] = of_text(kWords[i]);
  assert_ok(mirage_tokenize(f->model, "well", 4, MIRAGE_TOKENIZE_ADD_SPECIAL, prompt, 64,
                            &prompt_count, &last_error));
  assert_int_equal(prompt[0], TINY_BOS);
  assert_ok(mirage_score_choices(f->model, NULL, &text, choices, 3, logprobs, counts, &last_error));
  for (i = 0; i < 3; ++i) {
    assert_ok(mirage_tokenize(f->model, kWords[i], strlen(kWords[i]), 0, tokens, 64, &count,
                              &last_error));
    assert_int_equal(counts[i], count);
    assert_float_equal(logprobs[i], scored(f, prompt, prompt_count, tokens, count), 1e-4);
  }
  mirage_score_options_init(&options, sizeof options);
  options.tokenize_flags = MIRAGE_TOKENIZE_PARSE_SPECIAL;
  assert_ok(
      mirage_score_choices(f->model, &options, &text, choices, 3, logprobs, counts, &last_error));
  assert_true(counts[2] < count); /* <|im_end|> is one token, and the prompt has no begin token */
  assert_ok(
      mirage_tokenize(f->model, kWords[0], strlen(kWords[0]), 0, tokens, 64, &count, &last_error));
  assert_float_equal(logprobs[0], scored(f, prompt + 1, prompt_count - 1, tokens, count), 1e-4);
}

static void the_likeliest_choice_is_the_models_answer(void** state) {
  fixture* f = (fixture*)*state;
  static int32_t all[TINY_TOKENS];
  static mirage_text choices[TINY_TOKENS];
  static double logprobs[TINY_TOKENS];
  int32_t prompt[50];
  mirage_text text;
  mirage_generation_options options = greedy(1);
  answer said;
  double sum = 0;
  size_t best = 0, i;
  make_tokens(prompt, 50, 9);
  text = of_tokens(prompt, 50);
  for (i = 0; i < TINY_TOKENS; ++i) {
    all[i] = (int32_t)i;
    choices[i] = of_tokens(&all[i], 1);
  }
  assert_ok(mirage_score_choices(f->model, NULL, &text, choices, TINY_TOKENS, logprobs, NULL,
                                 &last_error));
  for (i = 0; i < TINY_TOKENS; ++i) {
    sum += exp(logprobs[i]);
    if (logprobs[i] > logprobs[best]) best = i;
  }
  assert_float_equal(sum, 1, 1e-6); /* of all tokens there are */
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_tokens(f->session, prompt, 50, &last_error));
  said = generate(f->session, &options);
  assert_int_equal(said.tokens[0], (int32_t)best);
  assert_ok(mirage_session_clear(f->session, &last_error));
}

static void bad_choices_are_named(void** state) {
  fixture* f = (fixture*)*state;
  static int32_t long_tokens[TINY_CONTEXT];
  static const int32_t outside[] = {TINY_TOKENS};
  mirage_score_options options;
  mirage_text prompt = of_text("well"), empty = of_tokens(long_tokens, 0), choices[2];
  double logprobs[2];
  choices[0] = of_text(" a");
  choices[1] = of_text(" b");
#define REFUSED(status, text, ...)                                               \
  assert_status((status), mirage_score_choices(__VA_ARGS__, NULL, &last_error)); \
  assert_message_has(text)
  REFUSED(MIRAGE_INVALID_ARGUMENT, "model", NULL, NULL, &prompt, choices, 2, logprobs);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "prompt", f->model, NULL, NULL, choices, 2, logprobs);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "choices", f->model, NULL, &prompt, NULL, 2, logprobs);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "logprobs", f->model, NULL, &prompt, choices, 2, NULL);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "prompt", f->model, NULL, &empty, choices, 2, logprobs);
  choices[1] = empty;
  REFUSED(MIRAGE_INVALID_ARGUMENT, "choice 1", f->model, NULL, &prompt, choices, 2, logprobs);
  choices[1] = of_tokens(outside, 1);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "choice 1: token 264", f->model, NULL, &prompt, choices, 2,
          logprobs);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "choice 0: token 264", f->model, NULL, &prompt, choices + 1, 1,
          logprobs);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "the prompt: token 0 is 264", f->model, NULL, choices + 1,
          choices, 1, logprobs);
  choices[1] = of_tokens(long_tokens, TINY_CONTEXT);
  REFUSED(MIRAGE_CONTEXT_FULL, "choice 1", f->model, NULL, &prompt, choices, 2, logprobs);
  choices[1] = of_tokens(NULL, 3);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "choice 1", f->model, NULL, &prompt, choices, 2, logprobs);
  choices[1] = of_text(" b");
  mirage_score_options_init(&options, sizeof options);
  options.tokenize_flags = 16;
  REFUSED(MIRAGE_UNSUPPORTED, "16", f->model, &options, &prompt, choices, 2, logprobs);
  options.tokenize_flags = 0;
  options.deadline_ms = -3;
  REFUSED(MIRAGE_INVALID_ARGUMENT, "deadline_ms is -3", f->model, &options, &prompt, choices, 2,
          logprobs);
  options.deadline_ms = 0;
  REFUSED(MIRAGE_DEADLINE, "deadline", f->model, &options, &prompt, choices, 2, logprobs);
#undef REFUSED
  assert_ok(mirage_score_choices(f->model, NULL, &prompt, choices, 0, NULL, NULL, &last_error));
  assert_ok(mirage_score_choices(f->model, NULL, &prompt, choices, 2, logprobs, NULL, &last_error));
}

static void a_reranker_says_how_likely_yes_is(void** state) {
  fixture* f = (fixture*)*state;
  fixture own = *f;
  int32_t tokens[MOST_TOKENS];
  mirage_text texts[4];
  float probabilities[4][2], alone[2];
  double logprobs[2];
  mirage_text choices[2];
  static const int32_t kClasses[2] = {TINY_YES, TINY_NO};
  mirage_model_info info;
  size_t count = 0, i;
  own.file = tiny_model_reranker();
  info.struct_size = sizeof info;
  assert_ok(mirage_model_open_memory(f->runtime, own.file.data, own.file.bytes, NULL, NULL, NULL,
                                     &own.model, &last_error));
  assert_ok(mirage_model_get_info(own.model, &info, &last_error));
  assert_int_equal(info.classes, 2);
  make_tokens(tokens, MOST_TOKENS, 5);
  for (i = 0; i < 4; ++i) texts[i] = of_tokens(tokens + i, 1 + 90 * i);
  assert_ok(mirage_classify(own.model, NULL, texts, 4, NULL, 0, &count, &last_error));
  assert_int_equal(count, 8);
  assert_ok(mirage_classify(own.model, NULL, texts, 4, probabilities[0], 8, &count, &last_error));
  choices[0] = of_tokens(&kClasses[0], 1);
  choices[1] = of_tokens(&kClasses[1], 1);
  for (i = 0; i < 4; ++i) {
    /* Of the tokens whose rows these are, one against the other. */
    double yes;
    assert_ok(
        mirage_score_choices(own.model, NULL, &texts[i], choices, 2, logprobs, NULL, &last_error));
    yes = 1 / (1 + exp(logprobs[1] - logprobs[0]));
    assert_float_equal(probabilities[i][0], yes, 1e-4);
    assert_float_equal(probabilities[i][0] + probabilities[i][1], 1, 1e-6);
    assert_ok(mirage_classify(own.model, NULL, &texts[i], 1, alone, 2, &count, &last_error));
    assert_memory_equal(alone, probabilities[i], sizeof alone);
  }
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_classify(own.model, NULL, texts, 4,
                                                         probabilities[0], 7, &count, &last_error));
  assert_int_equal(count, 8);
  texts[2] = of_tokens(tokens, 0);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_classify(own.model, NULL, texts, 4,
                                                         probabilities[0], 8, &count, &last_error));
  assert_message_has("text 2");
  mirage_model_close(own.model);
  tiny_model_free(&own.file);
}

/* Its rows come last in the file. */
static void a_class_that_is_no_number_is_found_at_the_load(void** state) {
  fixture* f = (fixture*)*state;
  const float nan_value = NAN;
  tiny_model file = tiny_model_reranker();
  mirage_model* model = NULL;
  memcpy(file.data + file.bytes - sizeof nan_value, &nan_value, sizeof nan_value);
  assert_status(MIRAGE_CORRUPT, mirage_model_open_memory(f->runtime, file.data, file.bytes, NULL,
                                                         NULL, NULL, &model, &last_error));
  assert_message_has("'cls.output.weight' holds a weight that is not a finite number");
  tiny_model_free(&file);
}

static void other_models_do_not_classify(void** state) {
  fixture* f = (fixture*)*state;
  const mirage_text text = of_text("x");
  float probabilities[2];
  mirage_model_info info;
  size_t count = 0;
  info.struct_size = sizeof info;
  assert_ok(mirage_model_get_info(f->model, &info, &last_error));
  assert_int_equal(info.classes, 0);
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_classify(f->model, NULL, &text, 1, probabilities, 2, &count, &last_error));
  assert_message_has("cls.output.weight");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_classify(NULL, NULL, &text, 1, probabilities, 2, &count, &last_error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(choices_are_scored_as_the_whole_text_is),
      cmocka_unit_test(texts_are_tokenized_as_they_go_on),
      cmocka_unit_test(the_likeliest_choice_is_the_models_answer),
      cmocka_unit_test(bad_choices_are_named),
      cmocka_unit_test(a_reranker_says_how_likely_yes_is),
      cmocka_unit_test(a_class_that_is_no_number_is_found_at_the_load),
      cmocka_unit_test(other_models_do_not_classify),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
