/* SPDX-License-Identifier: Apache-2.0 */
/* Version, features, status names, and what a mirage_error receives. */
#include "abi_test.h"

static void library_and_header_agree(void** state) {
  char version[32];
  (void)state;
  assert_int_equal(mirage_abi_version(), MIRAGE_ABI_VERSION);
  snprintf(version, sizeof version, "%d.%d.%d", MIRAGE_VERSION_MAJOR, MIRAGE_VERSION_MINOR,
           MIRAGE_VERSION_PATCH);
  assert_string_equal(mirage_version_string(), version);
}

static void features_are_known_by_name(void** state) {
  (void)state;
  assert_int_equal(mirage_has_feature("gguf"), 1);
  assert_int_equal(mirage_has_feature("external-sampler"), 1);
  assert_int_equal(mirage_has_feature("saved-sessions"), 1);
  assert_int_equal(mirage_has_feature("fork"), 1);
  assert_int_equal(mirage_has_feature("prefix-sharing"), 1);
  assert_int_equal(mirage_has_feature("draft-tokens"), 1);
  assert_int_equal(mirage_has_feature("grammar-check"), 1);
  assert_int_equal(mirage_has_feature("grammar"), 1);
  assert_int_equal(mirage_has_feature("trace"), 1);
  assert_int_equal(mirage_has_feature("samples"), 1);
  assert_int_equal(mirage_has_feature("lora"), 1);
  assert_int_equal(mirage_has_feature("pack"), 1);
  assert_int_equal(mirage_has_feature("policy"), 1);
  assert_int_equal(mirage_has_feature("time-travel"), 0);
  assert_int_equal(mirage_has_feature(""), 0);
  assert_int_equal(mirage_has_feature(NULL), 0);
}

static void statuses_have_names(void** state) {
  (void)state;
  assert_string_equal(mirage_status_name(MIRAGE_OK), "OK");
  assert_string_equal(mirage_status_name(MIRAGE_OUT_OF_MEMORY), "OUT_OF_MEMORY");
  assert_string_equal(mirage_status_name(MIRAGE_INTERNAL), "INTERNAL");
  assert_string_equal(mirage_status_name(12345), "UNKNOWN");
}

static void an_error_may_be_null(void** state) {
  (void)state;
  assert_int_equal(mirage_runtime_shutdown(NULL, NULL), MIRAGE_INVALID_ARGUMENT);
}

static void a_failure_names_what_was_wrong(void** state) {
  (void)state;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_shutdown(NULL, &last_error));
  assert_int_equal(last_error.status, MIRAGE_INVALID_ARGUMENT);
  assert_message_has("runtime is NULL");
}

static void success_clears_the_error(void** state) {
  mirage_runtime* runtime = NULL;
  (void)state;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_shutdown(NULL, &last_error));
  assert_ok(mirage_runtime_open(NULL, &runtime, &last_error));
  assert_int_equal(last_error.status, MIRAGE_OK);
  assert_string_equal(last_error.message, "");
  mirage_runtime_close(runtime);
}

static void an_error_too_small_is_left_alone(void** state) {
  mirage_error error;
  mirage_error before;
  (void)state;
  memset(&error, 0x5A, sizeof error);
  error.struct_size = 16;
  before = error;
  assert_int_equal(mirage_runtime_shutdown(NULL, &error), MIRAGE_INVALID_ARGUMENT);
  assert_memory_equal(&error, &before, sizeof error);
}

static void an_error_of_an_older_header_is_not_overrun(void** state) {
  mirage_error error;
  (void)state;
  memset(&error, 0x5A, sizeof error);
  error.struct_size = (uint32_t)offsetof(mirage_error, message) + 8;
  assert_int_equal(mirage_runtime_shutdown(NULL, &error), MIRAGE_INVALID_ARGUMENT);
  assert_int_equal(error.status, MIRAGE_INVALID_ARGUMENT);
  assert_string_equal(error.message, "runtime");
  assert_int_equal(error.message[8], 0x5A);
}

static void an_error_of_a_newer_header_is_zeroed_past_what_is_known(void** state) {
  struct {
    mirage_error error;
    char more[16];
  } newer;
  size_t i;
  (void)state;
  memset(&newer, 0x5A, sizeof newer);
  newer.error.struct_size = sizeof newer;
  assert_int_equal(mirage_runtime_shutdown(NULL, &newer.error), MIRAGE_INVALID_ARGUMENT);
  assert_string_equal(newer.error.message, "runtime is NULL");
  for (i = 0; i < sizeof newer.more; ++i) assert_int_equal(newer.more[i], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(library_and_header_agree),
      cmocka_unit_test(features_are_known_by_name),
      cmocka_unit_test(statuses_have_names),
      cmocka_unit_test(an_error_may_be_null),
      cmocka_unit_test(a_failure_names_what_was_wrong),
      cmocka_unit_test(success_clears_the_error),
      cmocka_unit_test(an_error_too_small_is_left_alone),
      cmocka_unit_test(an_error_of_an_older_header_is_not_overrun),
      cmocka_unit_test(an_error_of_a_newer_header_is_zeroed_past_what_is_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
