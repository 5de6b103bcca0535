/* SPDX-License-Identifier: Apache-2.0 */
/* Tool calls and reasoning as events of a generation and as messages of its session. A grammar of
 * one text makes the tiny model write what a test needs. */
#include "abi_test.h"

static const char kAsked[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"tools\": [{\"type\": "
    "\"function\", \"function\": {\"name\": \"f\"}}]}";
static const char kCalls[] =
    "<think>Hm.</think>I look.<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>"
    "<tool_call>{\"name\": \"f\"}</tool_call>";

static int open_tools(void** state) { return open_fixture_of(state, tiny_model_of_tools()); }

/* A grammar that allows this text alone. */
static const char* only(const char* text) {
  static char grammar[1024];
  size_t at = (size_t)snprintf(grammar, sizeof grammar, "root ::= \"");
  for (; *text != '\0'; ++text) {
    assert_true(at + 4 < sizeof grammar);
    if (*text == '"' || *text == '\\') grammar[at++] = '\\';
    grammar[at++] = *text;
  }
  memcpy(grammar + at, "\"", 2);
  return grammar;
}

static mirage_generation_options writing(const char* text) {
  mirage_generation_options options = greedy(-1);
  options.ignore_eos = 0;
  options.has_seed = 1;
  options.grammar_kind = MIRAGE_GRAMMAR_GBNF;
  options.grammar = only(text);
  options.grammar_bytes = strlen(options.grammar);
  return options;
}

/* What the events of a sample said. */
typedef struct told {
  char content[512], reasoning[512], calls[512]; /* of calls "name arguments;" */
  char ids[4][64];
  size_t call_count;
} told;

static void append(char* to, size_t capacity, const char* text, size_t bytes) {
  const size_t length = strlen(to);
  assert_true(length + bytes < capacity);
  memcpy(to + length, text, bytes);
  to[length + bytes] = '\0';
}

static void take_call(told* read, const mirage_event* event) {
  assert_int_equal(strlen(event->call_id), event->call_id_bytes);
  assert_int_equal(strlen(event->call_name), event->call_name_bytes);
  assert_int_equal(strlen(event->call_arguments), event->call_arguments_bytes);
  assert_true(read->call_count < 4);
  snprintf(read->ids[read->call_count++], 64, "%s", event->call_id);
  append(read->calls, sizeof read->calls, event->call_name, event->call_name_bytes);
  append(read->calls, sizeof read->calls, " ", 1);
  append(read->calls, sizeof read->calls, event->call_arguments, event->call_arguments_bytes);
  append(read->calls, sizeof read->calls, ";", 1);
}

/* Of sample 0 and, where there are two, sample 1. */
static void tell(mirage_session* session, const mirage_generation_options* options, told read[2]) {
  mirage_generation* generation = start(session, options);
  mirage_event event = new_event();
  memset(read, 0, 2 * sizeof read[0]);
  while (event.kind != MIRAGE_EVENT_DONE) {
    told* sample;
    assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
    sample = &read[event.sample_index];
    if (event.kind == MIRAGE_EVENT_TOOL_CALL) take_call(sample, &event);
    if (event.kind != MIRAGE_EVENT_TEXT) continue;
    assert_int_equal(strlen(event.text), event.text_bytes);
    if (event.text_kind == MIRAGE_TEXT_REASONING) {
      append(sample->reasoning, sizeof sample->reasoning, event.text, event.text_bytes);
    } else {
      assert_int_equal(event.text_kind, MIRAGE_TEXT_CONTENT);
      append(sample->content, sizeof sample->content, event.text, event.text_bytes);
    }
  }
  assert_int_equal(event.finish, MIRAGE_FINISH_STOP);
  mirage_generation_close(generation);
}

static void append_json(mirage_session* session, const char* json) {
  assert_ok(mirage_session_append_conversation(session, json, strlen(json), &last_error));
}

/* The text of all that the session has computed, control tokens spelled. */
static const char* text_of(const fixture* f) {
  static char text[4096];
  static int32_t tokens[TINY_CONTEXT];
  size_t count = 0, bytes = 0;
  assert_ok(mirage_session_get_tokens(f->session, tokens, TINY_CONTEXT, &count, &last_error));
  assert_ok(mirage_detokenize(f->model, tokens, count, MIRAGE_DETOKENIZE_SPECIAL, text,
                              sizeof text - 1, &bytes, &last_error));
  text[bytes] = '\0';
  return text;
}

static void answer_shortly(mirage_session* session) {
  const mirage_generation_options options = greedy(1);
  assert_int_equal(generate(session, &options).status, MIRAGE_OK);
}

static void calls_and_reasoning_come_as_events(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = writing(kCalls);
  mirage_model_info info;
  told read[2];
  info.struct_size = sizeof info;
  assert_ok(mirage_model_get_info(f->model, &info, &last_error));
  assert_int_equal(info.answer_format, MIRAGE_ANSWER_HERMES);
  append_json(f->session, kAsked);
  tell(f->session, &options, read);
  assert_string_equal(read[0].reasoning, "Hm.");
  assert_string_equal(read[0].content, "I look.");
  assert_string_equal(read[0].calls, "f {\"a\": 1};f {};");
  assert_int_equal(strlen(read[0].ids[0]), 9);
  assert_string_not_equal(read[0].ids[0], read[0].ids[1]);
}

static void the_next_turn_is_rendered_with_them(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = writing(kCalls);
  told read[2];
  const char* text;
  append_json(f->session, kAsked);
  tell(f->session, &options, read);
  assert_ok(mirage_session_append_tool_result(f->session, read[0].ids[0], "f", "is <|im_end|>", 13,
                                              &last_error));
  assert_int_equal(stats_of_session(f->session).messages, 3);
  answer_shortly(f->session);
  text = text_of(f);
  assert_non_null(strstr(text,
                         "<|im_start|>assistant\n<think>Hm.</think>I look.<tool_call>{"
                         "\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>"
                         "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>"
                         "<|im_end|>\n<|im_start|>tool\nis <|im_end|><|im_end|>\n"));
}

static void messages_with_calls_can_be_appended(void** state) {
  fixture* f = (fixture*)*state;
  append_json(f->session, kAsked);
  append_json(f->session,
              "{\"messages\": [{\"role\": \"assistant\", \"reasoning_content\": \"So.\", "
              "\"tool_calls\": [{\"id\": \"x\", \"type\": \"function\", \"function\": {\"name\": "
              "\"f\", \"arguments\": \"{\\\"b\\\": 2}\"}}]}, {\"role\": \"tool\", "
              "\"tool_call_id\": \"x\", \"name\": \"f\", \"content\": \"two\"}]}");
  answer_shortly(f->session);
  assert_non_null(
      strstr(text_of(f),
             "<|im_start|>assistant\n<think>So.</think><tool_call>{\"name\": \"f\", "
             "\"arguments\": {\"b\": 2}}</tool_call><|im_end|>\n<|im_start|>tool\ntwo"));
}

static void without_tools_calls_are_content(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = writing(kCalls);
  told read[2];
  append_user(f->session, "hi");
  tell(f->session, &options, read);
  assert_string_equal(read[0].reasoning, "Hm.");
  assert_string_equal(read[0].content, strstr(kCalls, "I look."));
  assert_int_equal(read[0].call_count, 0);
}

static void a_format_can_be_named(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = writing("[TOOL_CALLS]g[ARGS]{\"a\": 1}");
  told read[2];
  options.answer_format = MIRAGE_ANSWER_MISTRAL;
  append_user(f->session, "hi");
  tell(f->session, &options, read);
  assert_string_equal(read[0].calls, "g {\"a\": 1};");
  assert_ok(mirage_session_clear(f->session, &last_error));

  append_json(f->session, kAsked);
  options = writing(kCalls);
  options.answer_format = MIRAGE_ANSWER_PLAIN;
  tell(f->session, &options, read);
  assert_string_equal(read[0].content, kCalls);
}

static void plain_tokens_are_content_unless_a_format_is_named(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = writing(kCalls);
  told read[2];
  assert_ok(
      mirage_session_append_text(f->session, "hi", 2, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  tell(f->session, &options, read);
  assert_string_equal(read[0].content, kCalls);
  options.answer_format = MIRAGE_ANSWER_HERMES;
  tell(f->session, &options, read);
  assert_string_equal(read[0].calls, "f {\"a\": 1};f {};");
}

static void a_prompt_may_open_reasoning(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = writing("Hm.</think>Yes.");
  told read[2];
  options.answer_format = MIRAGE_ANSWER_HERMES;
  assert_ok(mirage_session_append_text(f->session, "hi<think>", 9, MIRAGE_TOKENIZE_ADD_SPECIAL,
                                       &last_error));
  tell(f->session, &options, read);
  assert_string_equal(read[0].reasoning, "Hm.");
  assert_string_equal(read[0].content, "Yes.");
}

static void each_sample_tells_its_own(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = writing(kCalls);
  told read[2];
  options.samples = 2;
  append_json(f->session, kAsked);
  tell(f->session, &options, read);
  assert_string_equal(read[1].content, "I look.");
  assert_string_equal(read[1].calls, read[0].calls);
  assert_string_not_equal(read[1].ids[0], read[0].ids[0]);
}

static void ids_differ_from_answer_to_answer(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = writing("<tool_call>{\"name\": \"f\"}</tool_call>");
  told first[2], second[2], again[2];
  append_json(f->session, kAsked);
  tell(f->session, &options, first);
  assert_ok(
      mirage_session_append_tool_result(f->session, first[0].ids[0], "f", "", 0, &last_error));
  tell(f->session, &options, second);
  assert_string_not_equal(first[0].ids[0], second[0].ids[0]);
  assert_ok(mirage_session_truncate(f->session, 1, &last_error));
  tell(f->session, &options, again);
  assert_string_equal(first[0].ids[0], again[0].ids[0]);
}

static void bad_arguments_are_named(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(1);
  mirage_generation* generation = NULL;
  append_user(f->session, "hi");
  options.answer_format = 99;
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_generation_start(f->session, &options, &generation, &last_error));
  assert_message_has("99");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_tool_result(NULL, "x", "f", "", 0, &last_error));
  assert_message_has("session");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_tool_result(f->session, NULL, "f", "", 0, &last_error));
  assert_message_has("call_id");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_tool_result(f->session, "x", NULL, "", 0, &last_error));
  assert_message_has("name");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_tool_result(f->session, "x", "f", NULL, 1, &last_error));
  assert_message_has("content");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_session_append_tool_result(f->session, "\xFF", "f", "", 0, &last_error));
  assert_message_has("UTF-8");
  assert_int_equal(stats_of_session(f->session).messages, 1);
}

#define TOOL_TEST(test) cmocka_unit_test_setup_teardown(test, open_tools, close_fixture)

int main(void) {
  const struct CMUnitTest tests[] = {
      TOOL_TEST(calls_and_reasoning_come_as_events),
      TOOL_TEST(the_next_turn_is_rendered_with_them),
      TOOL_TEST(messages_with_calls_can_be_appended),
      TOOL_TEST(without_tools_calls_are_content),
      TOOL_TEST(a_format_can_be_named),
      TOOL_TEST(plain_tokens_are_content_unless_a_format_is_named),
      TOOL_TEST(a_prompt_may_open_reasoning),
      TOOL_TEST(each_sample_tells_its_own),
      TOOL_TEST(ids_differ_from_answer_to_answer),
      TOOL_TEST(bad_arguments_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
