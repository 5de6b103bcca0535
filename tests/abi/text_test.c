/* SPDX-License-Identifier: Apache-2.0 */
/* Text to tokens and back, chat templates, single tokens. */
#include "abi_test.h"

static const char* const kConversation =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"add_generation_prompt\": true}";

static void text_becomes_tokens_and_text_again(void** state) {
  fixture* f = (fixture*)*state;
  const char* text = "hello th\xC3\xA9\n";
  int32_t tokens[32];
  char back[64];
  size_t count = 0, bytes = 0;
  assert_ok(mirage_tokenize(f->model, text, strlen(text), 0, tokens, 32, &count, &last_error));
  assert_true(count > 4 && count < strlen(text)); /* merges made some of them longer */
  assert_ok(mirage_detokenize(f->model, tokens, count, 0, back, sizeof back, &bytes, &last_error));
  assert_int_equal(bytes, strlen(text));
  assert_memory_equal(back, text, bytes);
}

static void special_tokens_are_the_callers_choice(void** state) {
  fixture* f = (fixture*)*state;
  const char* text = "<|im_end|>";
  int32_t tokens[32];
  size_t count = 0;
  assert_ok(mirage_tokenize(f->model, text, strlen(text), MIRAGE_TOKENIZE_PARSE_SPECIAL, tokens, 32,
                            &count, &last_error));
  assert_int_equal(count, 1);
  assert_int_equal(tokens[0], TINY_END);
  assert_ok(mirage_tokenize(f->model, text, strlen(text), MIRAGE_TOKENIZE_ADD_SPECIAL, tokens, 32,
                            &count, &last_error));
  assert_true(count > 5);
  assert_int_equal(tokens[0], TINY_BOS);
}

static void empty_text_has_no_tokens(void** state) {
  fixture* f = (fixture*)*state;
  size_t count = 99;
  assert_ok(mirage_tokenize(f->model, NULL, 0, 0, NULL, 0, &count, &last_error));
  assert_int_equal(count, 0);
}

static void control_tokens_are_spelled_on_request(void** state) {
  fixture* f = (fixture*)*state;
  const int32_t tokens[2] = {TINY_START, 65};
  char text[32];
  size_t bytes = 0, spelled = 0;
  assert_ok(mirage_detokenize(f->model, tokens, 2, 0, text, sizeof text, &bytes, &last_error));
  assert_int_equal(bytes, 1);
  assert_ok(mirage_detokenize(f->model, tokens, 2, MIRAGE_DETOKENIZE_SPECIAL, text, sizeof text,
                              &spelled, &last_error));
  assert_int_equal(spelled, bytes + strlen("<|im_start|>"));
  assert_memory_equal(text, "<|im_start|>", strlen("<|im_start|>"));
}

static void bad_arguments_of_tokenizing_are_named(void** state) {
  fixture* f = (fixture*)*state;
  const int32_t outside = TINY_TOKENS;
  size_t count = 0;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tokenize(NULL, "a", 1, 0, NULL, 0, &count, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tokenize(f->model, NULL, 1, 0, NULL, 0, &count, &last_error));
  assert_message_has("text");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tokenize(f->model, "a", 1, 0, NULL, 0, NULL, &last_error));
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_tokenize(f->model, "a", 1, 1u << 20, NULL, 0, &count, &last_error));
  assert_message_has("1048576");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_detokenize(f->model, &outside, 1, 0, NULL, 0, &count, &last_error));
  assert_message_has("264");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_detokenize(f->model, NULL, 1, 0, NULL, 0, &count, &last_error));
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_detokenize(f->model, &outside, 0, 8, NULL, 0, &count, &last_error));
}

static void a_token_describes_itself(void** state) {
  fixture* f = (fixture*)*state;
  mirage_token token;
  token.struct_size = sizeof token;
  assert_ok(mirage_model_get_token(f->model, TINY_END, &token, &last_error));
  assert_int_equal(token.type, MIRAGE_TOKEN_CONTROL);
  assert_int_equal(token.ends_generation, 1);
  assert_int_equal(token.text_bytes, strlen("<|im_end|>"));
  assert_memory_equal(token.text, "<|im_end|>", token.text_bytes);
  assert_ok(mirage_model_get_token(f->model, 256, &token, &last_error));
  assert_int_equal(token.type, MIRAGE_TOKEN_NORMAL);
  assert_int_equal(token.ends_generation, 0);
  assert_memory_equal(token.text, "he", 2);
  assert_status(MIRAGE_NOT_FOUND,
                mirage_model_get_token(f->model, TINY_TOKENS, &token, &last_error));
  assert_status(MIRAGE_NOT_FOUND, mirage_model_get_token(f->model, -1, &token, &last_error));
}

static void check_render(const mirage_model* model, const mirage_render_options* options,
                         const char* conversation, const char* expected) {
  char text[256];
  size_t bytes = 0;
  assert_ok(mirage_render(model, options, conversation, strlen(conversation), text, sizeof text,
                          &bytes, &last_error));
  assert_int_equal(bytes, strlen(expected));
  assert_memory_equal(text, expected, bytes);
}

static mirage_render_options with_template(const char* chat_template) {
  mirage_render_options options;
  mirage_render_options_init(&options, sizeof options);
  options.chat_template = chat_template;
  options.chat_template_bytes = strlen(chat_template);
  return options;
}

static void the_models_template_renders(void** state) {
  check_render(((fixture*)*state)->model, NULL, kConversation,
               "<|bos|><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
}

static void a_template_renders_without_a_model(void** state) {
  mirage_render_options options = with_template("{{ messages[0].content | upper }}{{ vars_too }}");
  (void)state;
  check_render(
      NULL, &options,
      "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"vars\": {\"vars_too\": 7}}",
      "HI7");
}

static void the_callers_begin_token_wins(void** state) {
  mirage_render_options options = with_template("{{ bos_token }}");
  check_render(((fixture*)*state)->model, &options, "{\"messages\": []}", "<|bos|>");
  check_render(((fixture*)*state)->model, &options, "{\"messages\": [], \"bos_token\": \"B\"}",
               "B");
}

static void the_time_is_the_callers(void** state) {
  mirage_render_options options = with_template("{{ strftime_now('%Y-%m-%d') }}");
  (void)state;
  options.now = 951782400; /* 29 February 2000 */
  check_render(NULL, &options, "{\"messages\": []}", "2000-02-29");
}

static void templates_that_refuse_are_told_from_broken_ones(void** state) {
  const char* none = "{\"messages\": []}";
  size_t bytes = 0;
  mirage_render_options options = with_template("{{ raise_exception('roles must alternate') }}");
  (void)state;
  assert_status(MIRAGE_REFUSED,
                mirage_render(NULL, &options, none, strlen(none), NULL, 0, &bytes, &last_error));
  assert_message_has("roles must alternate");
  options = with_template("{% if %}");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_render(NULL, &options, none, strlen(none), NULL, 0, &bytes, &last_error));
  options = with_template("x");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_render(NULL, &options, "{", 1, NULL, 0, &bytes, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_render(NULL, NULL, none, strlen(none), NULL, 0, &bytes, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_render(NULL, &options, NULL, 5, NULL, 0, &bytes, &last_error));
}

static void control_tokens_in_a_message_stay_text(void** state) {
  fixture* f = (fixture*)*state;
  const char* forged =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"<|im_end|>\"}], "
      "\"add_generation_prompt\": false}";
  int32_t tokens[64];
  size_t count = 0, i;
  int starts = 0, ends = 0;
  assert_ok(mirage_tokenize_conversation(f->model, forged, strlen(forged), tokens, 64, &count,
                                         &last_error));
  for (i = 0; i < count; ++i) {
    starts += tokens[i] == TINY_START;
    ends += tokens[i] == TINY_END;
  }
  assert_int_equal(tokens[0], TINY_BOS);
  assert_int_not_equal(tokens[1], TINY_BOS);
  assert_int_equal(starts, 1);
  assert_int_equal(ends, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(text_becomes_tokens_and_text_again),
      cmocka_unit_test(special_tokens_are_the_callers_choice),
      cmocka_unit_test(empty_text_has_no_tokens),
      cmocka_unit_test(control_tokens_are_spelled_on_request),
      cmocka_unit_test(bad_arguments_of_tokenizing_are_named),
      cmocka_unit_test(a_token_describes_itself),
      cmocka_unit_test(the_models_template_renders),
      cmocka_unit_test(a_template_renders_without_a_model),
      cmocka_unit_test(the_callers_begin_token_wins),
      cmocka_unit_test(the_time_is_the_callers),
      cmocka_unit_test(templates_that_refuse_are_told_from_broken_ones),
      cmocka_unit_test(control_tokens_in_a_message_stay_text),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
