/* SPDX-License-Identifier: Apache-2.0 */
/* Texts against grammars. */
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gbnf_accepts_and_rejects),
      cmocka_unit_test(a_regex_is_for_the_whole_text),
      cmocka_unit_test(json_is_held_to_a_schema),
      cmocka_unit_test(what_is_wrong_with_a_grammar_is_said),
      cmocka_unit_test(bad_pointers_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
