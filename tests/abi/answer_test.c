/* SPDX-License-Identifier: Apache-2.0 */
/* Tool calls and reasoning in answers: texts read as a whole. */
#include "abi_test.h"

static const char kCall[] =
    "<think>Hm.</think>\nI look.\n<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": "
    "1}}</tool_call>";

/* `text` in that format, as a message that ends with a NUL. */
static const char* parsed(int32_t format, const char* text, const char* tools) {
  static char message[4096];
  mirage_parse_options options;
  size_t needed = 0, bytes = 0;
  mirage_parse_options_init(&options, sizeof options);
  options.answer_format = format;
  options.tools = tools;
  options.tools_bytes = tools != NULL ? strlen(tools) : 0;
  assert_ok(mirage_parse_answer(NULL, &options, text, strlen(text), NULL, 0, &needed, &last_error));
  assert_true(needed < sizeof message);
  assert_ok(mirage_parse_answer(NULL, &options, text, strlen(text), message, sizeof message, &bytes,
                                &last_error));
  assert_int_equal(bytes, needed);
  message[bytes] = '\0';
  return message;
}

static void an_answer_becomes_a_message(void** state) {
  char expected[512];
  const char* message = parsed(MIRAGE_ANSWER_HERMES, kCall, NULL);
  const char* id = strstr(message, "\"id\":\"");
  (void)state;
  assert_non_null(id);
  snprintf(expected, sizeof expected,
           "{\"role\":\"assistant\",\"content\":\"I look.\",\"reasoning_content\":\"Hm.\","
           "\"tool_calls\":[{\"id\":\"%.9s\",\"type\":\"function\",\"function\":{\"name\":\"f\","
           "\"arguments\":{\"a\": 1}}}]}",
           id + 6);
  assert_string_equal(message, expected);
}

static void every_format_is_read(void** state) {
  static const struct {
    int32_t format;
    const char* text;
  } cases[] = {
      {MIRAGE_ANSWER_HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\": 1}}</tool_call>"},
      {MIRAGE_ANSWER_QWEN_XML, "<function=f><parameter=a>\n1\n</parameter></function>"},
      {MIRAGE_ANSWER_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"a\": 1}}"},
      {MIRAGE_ANSWER_MISTRAL, "[TOOL_CALLS]f[ARGS]{\"a\": 1}"},
      {MIRAGE_ANSWER_FUNCTIONARY_V3_1, "<function=f>{\"a\": 1}</function>"},
      {MIRAGE_ANSWER_FUNCTIONARY_V3_2, "f\n{\"a\": 1}"},
      {MIRAGE_ANSWER_DEEPSEEK,
       "<\xEF\xBD\x9Ctool\xE2\x96\x81"
       "call\xE2\x96\x81"
       "begin\xEF\xBD\x9C>f<\xEF\xBD\x9Ctool\xE2\x96\x81sep\xEF\xBD\x9C>{\"a\": 1}"},
      {MIRAGE_ANSWER_HARMONY,
       "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1}"},
      {MIRAGE_ANSWER_KIMI,
       "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{\"a\": 1}"},
  };
  size_t i;
  (void)state;
  for (i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    const char* message = parsed(cases[i].format, cases[i].text, NULL);
    assert_non_null(strstr(message, "\"name\":\"f\",\"arguments\":{\"a\": 1}"));
    assert_non_null(strstr(message, "\"content\":\"\""));
    message = parsed(MIRAGE_ANSWER_PLAIN, cases[i].text, NULL);
    assert_null(strstr(message, "tool_calls"));
  }
}

static void tools_tell_what_is_a_call(void** state) {
  const char* text = "{\"name\": \"f\", \"parameters\": {}}";
  (void)state;
  assert_non_null(strstr(parsed(MIRAGE_ANSWER_LLAMA3, text, "[{\"name\": \"f\"}]"), "tool_calls"));
  assert_null(strstr(parsed(MIRAGE_ANSWER_LLAMA3, text, "[{\"name\": \"g\"}]"), "tool_calls"));
}

static void ids_depend_on_the_seed(void** state) {
  mirage_parse_options options;
  char first[512], second[512];
  size_t bytes = 0;
  (void)state;
  mirage_parse_options_init(&options, sizeof options);
  options.answer_format = MIRAGE_ANSWER_HERMES;
  assert_ok(mirage_parse_answer(NULL, &options, kCall, strlen(kCall), first, sizeof first, &bytes,
                                &last_error));
  options.id_seed = 1;
  assert_ok(mirage_parse_answer(NULL, &options, kCall, strlen(kCall), second, sizeof second, &bytes,
                                &last_error));
  assert_memory_not_equal(first, second, bytes);
}

static void a_text_may_begin_in_reasoning(void** state) {
  mirage_parse_options options;
  char message[256];
  const char* expected =
      "{\"role\":\"assistant\",\"content\":\"Yes.\",\"reasoning_content\":\"Hm.\"}";
  const char* text = "\nHm.\n</think>\n\nYes.";
  size_t bytes = 0;
  (void)state;
  mirage_parse_options_init(&options, sizeof options);
  options.answer_format = MIRAGE_ANSWER_HERMES;
  options.in_reasoning = 1;
  assert_ok(mirage_parse_answer(NULL, &options, text, strlen(text), message, sizeof message, &bytes,
                                &last_error));
  assert_int_equal(bytes, strlen(expected));
  assert_memory_equal(message, expected, bytes);
}

static void the_token_that_ends_the_turn_is_left_out(void** state) {
  static const char kPlain[] = "{\"role\":\"assistant\",\"content\":\"Yes.\"}";
  fixture* f = (fixture*)*state;
  mirage_parse_options options;
  char message[256];
  size_t bytes = 0;
  assert_string_equal(parsed(MIRAGE_ANSWER_HERMES, "Yes.<|im_end|>\n", NULL), kPlain);
  assert_string_equal(parsed(MIRAGE_ANSWER_LLAMA3, "Yes.<|eot_id|>", NULL), kPlain);
  assert_string_equal(parsed(MIRAGE_ANSWER_MISTRAL, "Yes.</s>", NULL), kPlain);
  assert_null(strstr(parsed(MIRAGE_ANSWER_LLAMA3, "<|python_tag|>f()<|eom_id|>", NULL), "eom_id"));
  assert_non_null(strstr(parsed(MIRAGE_ANSWER_PLAIN, "Yes.</s>", NULL), "Yes.</s>"));
  /* With a model it is the model's, whatever the format. */
  mirage_parse_options_init(&options, sizeof options);
  options.answer_format = MIRAGE_ANSWER_PLAIN;
  assert_ok(mirage_parse_answer(f->model, &options, "Yes.<|im_end|>", 14, message, sizeof message,
                                &bytes, &last_error));
  assert_int_equal(bytes, strlen(kPlain));
  assert_memory_equal(message, kPlain, bytes);
}

static void the_models_format_is_told(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model_info info;
  size_t bytes = 0;
  info.struct_size = sizeof info;
  assert_ok(mirage_model_get_info(f->model, &info, &last_error));
  assert_int_equal(info.answer_format, MIRAGE_ANSWER_PLAIN);
  assert_int_equal(info.marks_reasoning, 0);
  assert_ok(
      mirage_parse_answer(f->model, NULL, kCall, strlen(kCall), NULL, 0, &bytes, &last_error));
  assert_true(bytes > strlen(kCall)); /* all of it is content */
}

static void bad_arguments_are_named(void** state) {
  fixture* f = (fixture*)*state;
  mirage_parse_options options;
  size_t bytes = 0;
  mirage_parse_options_init(&options, sizeof options);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_parse_answer(NULL, &options, "a", 1, NULL, 0, &bytes, &last_error));
  assert_message_has("AUTO");
  options.answer_format = 99;
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_parse_answer(NULL, &options, "a", 1, NULL, 0, &bytes, &last_error));
  assert_message_has("99");
  options.answer_format = MIRAGE_ANSWER_HARMONY;
  options.in_reasoning = 1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_parse_answer(NULL, &options, "a", 1, NULL, 0, &bytes, &last_error));
  assert_message_has("in_reasoning");
  options.in_reasoning = 2;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_parse_answer(NULL, &options, "a", 1, NULL, 0, &bytes, &last_error));
  options.in_reasoning = 0;
  options.tools = "{}";
  options.tools_bytes = 2;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_parse_answer(NULL, &options, "a", 1, NULL, 0, &bytes, &last_error));
  assert_message_has("array");
  options.tools = "[{\"name\": \"f\"}, {}]";
  options.tools_bytes = strlen(options.tools);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_parse_answer(NULL, &options, "a", 1, NULL, 0, &bytes, &last_error));
  assert_message_has("tool 1");
  options.tools = NULL;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_parse_answer(NULL, &options, "a", 1, NULL, 0, &bytes, &last_error));
  options.tools_bytes = 0;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_parse_answer(NULL, &options, NULL, 1, NULL, 0, &bytes, &last_error));
  assert_message_has("text");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_parse_answer(f->model, NULL, "a", 1, NULL, 0, NULL, &last_error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_answer_becomes_a_message),
      cmocka_unit_test(every_format_is_read),
      cmocka_unit_test(tools_tell_what_is_a_call),
      cmocka_unit_test(ids_depend_on_the_seed),
      cmocka_unit_test(a_text_may_begin_in_reasoning),
      cmocka_unit_test(the_models_format_is_told),
      cmocka_unit_test(the_token_that_ends_the_turn_is_left_out),
      cmocka_unit_test(bad_arguments_are_named),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
