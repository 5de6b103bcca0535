/* SPDX-License-Identifier: Apache-2.0 */
/* Texts against grammars, and answers held to them. */
#include "abi_test.h"

static void check(int32_t kind, const char* grammar, const char* text, int32_t expected,
                  size_t expected_position) {
  int32_t accepted = -1;
  size_t position = 99;
  assert_ok(mirage_grammar_check(kind, grammar, strlen(grammar), text, strlen(text), &accepted,
                                 &position, &last_error));
  assert_int_equal(accepted, expected);
  assert_int_equal(position, expected_position);
}

static void gbnf_accepts_and_rejects(void** state) {
  const char* nested = "root ::= \"(\" root \")\" | \"x\"";
  (void)state;
  check(MIRAGE_GRAMMAR_GBNF, nested, "((x))", 1, 5);
  check(MIRAGE_GRAMMAR_GBNF, nested, "((x)", 0, 4);
  check(MIRAGE_GRAMMAR_GBNF, nested, "((x)))", 0, 5);
  check(MIRAGE_GRAMMAR_GBNF, nested, "(y)", 0, 1);
}

static void a_regex_is_for_the_whole_text(void** state) {
  (void)state;
  check(MIRAGE_GRAMMAR_REGEX, "[a-c]{2,3}", "abc", 1, 3);
  check(MIRAGE_GRAMMAR_REGEX, "[a-c]{2,3}", "a", 0, 1);
  check(MIRAGE_GRAMMAR_REGEX, "[a-c]{2,3}", "xab", 0, 0);
  check(MIRAGE_GRAMMAR_REGEX, "", "", 1, 0);
}

static void json_is_held_to_a_schema(void** state) {
  const char* schema =
      "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"},"
      " \"age\": {\"type\": \"integer\", \"minimum\": 0}}, \"required\": [\"name\"],"
      " \"additionalProperties\": false}";
  (void)state;
  check(MIRAGE_GRAMMAR_JSON_SCHEMA, schema, "{\"age\": 3, \"name\": \"x\"}", 1, 23);
  check(MIRAGE_GRAMMAR_JSON_SCHEMA, schema, "{\"age\": -3", 0, 9);
  check(MIRAGE_GRAMMAR_JSON_SCHEMA, schema, "{\"age\": 3}", 0, 9);
  check(MIRAGE_GRAMMAR_JSON_SCHEMA, schema, "{\"name\": \"x\"", 0, 12);
}

static void what_is_wrong_with_a_grammar_is_said(void** state) {
  int32_t accepted = 7;
  size_t position = 7;
  (void)state;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_grammar_check(MIRAGE_GRAMMAR_GBNF, "root ::= a", 10, "a", 1, &accepted,
                                     &position, &last_error));
  assert_message_has("1:10: rule 'a'");
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, "(a", 2, "a", 1,
                                                              &accepted, &position, &last_error));
  assert_message_has("position 3");
  assert_status(MIRAGE_UNSUPPORTED, mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, "(?=a)", 5, "a", 1,
                                                         &accepted, &position, &last_error));
  assert_message_has("look-ahead");
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_grammar_check(MIRAGE_GRAMMAR_JSON_SCHEMA, "{\"uniqueItems\": true}", 21,
                                     "[]", 2, &accepted, &position, &last_error));
  assert_message_has("#: the keyword 'uniqueItems'");
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_grammar_check(17, "a", 1, "a", 1, &accepted, &position, &last_error));
  assert_message_has("17");
  assert_int_equal(accepted, 7);
  assert_int_equal(position, 7);
}

static void bad_pointers_are_named(void** state) {
  int32_t accepted = 0;
  size_t position = 0;
  (void)state;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, NULL, 1, "a", 1,
                                                              &accepted, &position, &last_error));
  assert_message_has("grammar");
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, "a", 1, NULL, 1,
                                                              &accepted, &position, &last_error));
  assert_message_has("text");
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, "a", 1, "a", 1,
                                                              NULL, &position, &last_error));
  assert_message_has("accepted");
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, "a", 1, "a", 1,
                                                              &accepted, NULL, &last_error));
  assert_message_has("position");
  assert_ok(
      mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, NULL, 0, NULL, 0, &accepted, &position, NULL));
  assert_int_equal(accepted, 1);
}

static void begin(fixture* f) {
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(
      mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
}

static mirage_generation_options held(int32_t kind, const char* grammar, uint64_t seed) {
  mirage_generation_options options = greedy(400);
  options.temperature = 1;
  options.has_seed = 1;
  options.seed = seed;
  options.grammar_kind = kind;
  options.grammar = grammar;
  options.grammar_bytes = strlen(grammar);
  return options;
}

static void answers_are_held_to_a_grammar(void** state) {
  static const char* const schemas[] = {
      "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": 9},"
      " \"age\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 99}},"
      " \"required\": [\"name\", \"age\"], \"additionalProperties\": false}",
      "{\"type\": \"array\", \"items\": {\"enum\": [\"\\u00e9\", null]}, \"maxItems\": 3}"};
  fixture* f = (fixture*)*state;
  size_t i;
  uint64_t seed;
  for (i = 0; i < sizeof schemas / sizeof schemas[0]; ++i)
    for (seed = 0; seed < 5; ++seed) {
      mirage_generation_options options = held(MIRAGE_GRAMMAR_JSON_SCHEMA, schemas[i], seed);
      answer read;
      begin(f);
      read = generate(f->session, &options);
      assert_int_equal(read.status, MIRAGE_OK);
      assert_int_equal(read.finish, MIRAGE_FINISH_STOP);
      read.text[read.text_bytes] = '\0';
      check(MIRAGE_GRAMMAR_JSON_SCHEMA, schemas[i], read.text, 1, read.text_bytes);
    }
}

static void a_choice_is_a_regular_expression(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = held(MIRAGE_GRAMMAR_REGEX, "yes|no|maybe", 1);
  answer read;
  begin(f);
  read = generate(f->session, &options);
  read.text[read.text_bytes] = '\0';
  assert_int_equal(read.finish, MIRAGE_FINISH_STOP);
  check(MIRAGE_GRAMMAR_REGEX, "yes|no|maybe", read.text, 1, read.text_bytes);
}

static void what_is_cut_short_ends_with_length(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = held(MIRAGE_GRAMMAR_REGEX, "[a-z]{50}", 1);
  answer read;
  options.max_tokens = 10;
  begin(f);
  read = generate(f->session, &options);
  assert_int_equal(read.finish, MIRAGE_FINISH_LENGTH);
  assert_int_equal(read.token_count, 10);
}

static void guessing_changes_no_token(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options =
      held(MIRAGE_GRAMMAR_GBNF, "root ::= (\"the same \" [a-c] \" again\\n\"){6}", 1);
  answer plain, guessed;
  begin(f);
  plain = generate(f->session, &options);
  options.draft_tokens = 6;
  begin(f);
  guessed = generate(f->session, &options);
  assert_int_equal(plain.finish, MIRAGE_FINISH_STOP);
  assert_int_equal(plain.token_count, guessed.token_count);
  assert_memory_equal(plain.tokens, guessed.tokens, plain.token_count * sizeof plain.tokens[0]);
}

static void a_trigger_begins_the_grammar(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = held(MIRAGE_GRAMMAR_REGEX, "[0-9]{4}", 1);
  mirage_string trigger;
  const int32_t token = TINY_START;
  mirage_logit_bias bias;
  answer read;
  size_t at;
  trigger.text = "q";
  trigger.bytes = 1;
  options.grammar_lazy = 1;
  options.grammar_triggers = &trigger;
  options.grammar_trigger_count = 1;
  options.top_k = 0;
  bias.token = 'q'; /* tokens of single bytes come first */
  bias.bias = 3;
  options.logit_bias = &bias;
  options.logit_bias_count = 1;
  begin(f);
  read = generate(f->session, &options);
  read.text[read.text_bytes] = '\0';
  assert_int_equal(read.finish, MIRAGE_FINISH_STOP);
  assert_non_null(strchr(read.text, 'q'));
  at = (size_t)(strchr(read.text, 'q') - read.text);
  assert_true(at > 0); /* free text before it */
  check(MIRAGE_GRAMMAR_REGEX, "[0-9]{4}", read.text + at + 1, 1, 4);

  bias.token = TINY_START;
  bias.bias = 100;
  options.grammar_triggers = NULL;
  options.grammar_trigger_count = 0;
  options.grammar_trigger_tokens = &token;
  options.grammar_trigger_token_count = 1;
  begin(f);
  read = generate(f->session, &options);
  read.text[read.text_bytes] = '\0';
  assert_int_equal(read.tokens[0], TINY_START);
  check(MIRAGE_GRAMMAR_REGEX, "[0-9]{4}", read.text, 1, 4);
}

static void refuse(fixture* f, const mirage_generation_options* options, mirage_status status,
                   const char* message) {
  mirage_generation* generation = NULL;
  assert_status(status, mirage_generation_start(f->session, options, &generation, &last_error));
  assert_message_has(message);
  assert_null(generation);
}

static void what_is_wrong_is_said_at_the_start(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options;
  mirage_string trigger;
  const int32_t token = TINY_TOKENS;
  begin(f);
  options = held(MIRAGE_GRAMMAR_REGEX, "(a", 1);
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "position 3");
  options = held(MIRAGE_GRAMMAR_JSON_SCHEMA, "{\"uniqueItems\": true}", 1);
  refuse(f, &options, MIRAGE_UNSUPPORTED, "uniqueItems");
  options = held(MIRAGE_GRAMMAR_JSON_SCHEMA, "false", 1);
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "allows no text");
  options = held(9, "a", 1);
  refuse(f, &options, MIRAGE_UNSUPPORTED, "kind 9");
  options = held(0, "a", 1);
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "grammar_kind is 0");
  options = held(MIRAGE_GRAMMAR_REGEX, "a", 1);
  options.grammar = NULL;
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "grammar is NULL");
  options = held(MIRAGE_GRAMMAR_REGEX, "a", 1);
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "grammar_kind");
  options = held(MIRAGE_GRAMMAR_REGEX, "a", 1);
  options.grammar_lazy = 2;
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "grammar_lazy");
  options.grammar_lazy = 1;
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "no triggers");
  trigger.text = "";
  trigger.bytes = 0;
  options.grammar_triggers = &trigger;
  options.grammar_trigger_count = 1;
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "trigger of 0 bytes");
  options.grammar_lazy = 0;
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "grammar_lazy is 0");
  options = held(MIRAGE_GRAMMAR_REGEX, "a", 1);
  options.grammar_lazy = 1;
  options.grammar_trigger_tokens = &token;
  options.grammar_trigger_token_count = 1;
  refuse(f, &options, MIRAGE_INVALID_ARGUMENT, "trigger token 0");
}

static uint64_t table_bytes(const fixture* f) {
  mirage_memory memory;
  memory.struct_size = sizeof memory;
  assert_ok(mirage_runtime_get_memory(f->runtime, &memory, &last_error));
  return memory.tables_bytes;
}

/* First of those that hold answers: it counts from none. */
static void memory_of_grammars_is_counted_and_bounded(void** state) {
  fixture* f = (fixture*)*state;
  const uint64_t before = table_bytes(f);
  uint64_t one = 0;
  int i;
  for (i = 0; i < 12; ++i) {
    char grammar[] = "a{500}b";
    mirage_generation_options options;
    grammar[6] = (char)('b' + i);
    options = held(MIRAGE_GRAMMAR_REGEX, grammar, 1);
    options.max_tokens = 3;
    begin(f);
    generate(f->session, &options);
    if (i == 0) one = table_bytes(f) - before;
  }
  assert_true(one > 0);
  assert_true(table_bytes(f) - before <= 4 * one);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gbnf_accepts_and_rejects),
      cmocka_unit_test(a_regex_is_for_the_whole_text),
      cmocka_unit_test(json_is_held_to_a_schema),
      cmocka_unit_test(what_is_wrong_with_a_grammar_is_said),
      cmocka_unit_test(bad_pointers_are_named),
      cmocka_unit_test(memory_of_grammars_is_counted_and_bounded),
      cmocka_unit_test(answers_are_held_to_a_grammar),
      cmocka_unit_test(a_choice_is_a_regular_expression),
      cmocka_unit_test(what_is_cut_short_ends_with_length),
      cmocka_unit_test(guessing_changes_no_token),
      cmocka_unit_test(a_trigger_begins_the_grammar),
      cmocka_unit_test(what_is_wrong_is_said_at_the_start),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
