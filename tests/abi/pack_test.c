/* SPDX-License-Identifier: Apache-2.0 */
/* mirage/tools.h: a model file as a pack, which answers as the file does. */
#define _POSIX_C_SOURCE 200809L
#define MIRAGE_TOOLS_UNSTABLE

#include <unistd.h>

#include "abi_test.h"
#include "mirage/tools.h"

typedef struct folder {
  char path[64];
  char in[96];
  char out[96];
} folder;

static int make_folder(void** state) {
  static folder made;
  tiny_model file = tiny_model_make();
  FILE* in;
  snprintf(made.path, sizeof made.path, "/tmp/mirage-pack-XXXXXX");
  assert_non_null(mkdtemp(made.path));
  snprintf(made.in, sizeof made.in, "%s/tiny.gguf", made.path);
  snprintf(made.out, sizeof made.out, "%s/tiny.mirage", made.path);
  in = fopen(made.in, "wb");
  assert_non_null(in);
  assert_int_equal(fwrite(file.data, 1, file.bytes, in), file.bytes);
  fclose(in);
  tiny_model_free(&file);
  *state = &made;
  return 0;
}

static int remove_folder(void** state) {
  const folder* made = *state;
  unlink(made->in);
  unlink(made->out);
  return rmdir(made->path); /* nothing else was left in it */
}

static answer answer_of(const char* path) {
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  mirage_session* session = NULL;
  mirage_generation_options options = greedy(40);
  answer read;
  assert_ok(mirage_runtime_open(NULL, &runtime, &last_error));
  assert_ok(mirage_model_open(runtime, path, NULL, &model, &last_error));
  assert_ok(mirage_session_open(model, NULL, &session, &last_error));
  append_user(session, "hello");
  read = generate(session, &options);
  mirage_session_close(session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  return read;
}

static void a_pack_answers_as_its_file(void** state) {
  const folder* f = *state;
  mirage_tools_pack_report report;
  answer from_file, from_pack;
  report.struct_size = sizeof report;
  assert_ok(mirage_tools_pack(f->in, f->out, NULL, &report, &last_error));
  assert_true(report.regions > 0);
  assert_int_equal(report.file_bytes % 4096, 0);
  assert_true(report.padding_bytes < report.file_bytes);
  from_file = answer_of(f->in);
  from_pack = answer_of(f->out);
  check_same_answer(&from_file, &from_pack);
  /* Over what was there, without a report. */
  assert_ok(mirage_tools_pack(f->in, f->out, NULL, NULL, &last_error));
  from_pack = answer_of(f->out);
  check_same_answer(&from_file, &from_pack);
}

static void a_pack_in_another_type_opens(void** state) {
  static const char* const types[] = {"F16", "q8_0", "Q6_K", "q4_k", "Q4_0"};
  const folder* f = *state;
  mirage_tools_pack_options options;
  size_t i;
  mirage_tools_pack_options_init(&options, sizeof options);
  for (i = 0; i < sizeof types / sizeof *types; ++i) {
    options.quant = types[i];
    options.threads = 2;
    assert_ok(mirage_tools_pack(f->in, f->out, &options, NULL, &last_error));
    assert_int_equal(answer_of(f->out).status, MIRAGE_OK);
  }
}

static int32_t stop_at_once(uint64_t done, uint64_t total, void* calls) {
  (void)done;
  (void)total;
  ++*(int*)calls;
  return 1;
}

static void what_cannot_be_packed_leaves_what_was_there(void** state) {
  const folder* f = *state;
  mirage_tools_pack_options options;
  mirage_tools_pack_report report;
  int calls = 0;
  assert_ok(mirage_tools_pack(f->in, f->out, NULL, NULL, &last_error));
  mirage_tools_pack_options_init(&options, sizeof options);
  options.quant = "Q9_Z";
  assert_status(MIRAGE_UNSUPPORTED, mirage_tools_pack(f->in, f->out, &options, NULL, &last_error));
  assert_message_has("Q9_Z");
  options.quant = NULL;
  options.threads = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tools_pack(f->in, f->out, &options, NULL, &last_error));
  options.threads = 1;
  options.progress = stop_at_once;
  options.progress_user_data = &calls;
  assert_status(MIRAGE_CANCELLED, mirage_tools_pack(f->in, f->out, &options, NULL, &last_error));
  assert_int_equal(calls, 1);
  assert_status(MIRAGE_NOT_FOUND,
                mirage_tools_pack("/no/such.gguf", f->out, NULL, NULL, &last_error));
  assert_message_has("/no/such.gguf");
  assert_status(MIRAGE_NOT_FOUND,
                mirage_tools_pack(f->in, "/no/such/out.mirage", NULL, NULL, &last_error));
  assert_message_has("/no/such/out.mirage");
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_tools_pack(NULL, f->out, NULL, NULL, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_tools_pack(f->in, NULL, NULL, NULL, &last_error));
  /* What is read is not written over, nor the name of one of several files used. */
  options.progress = NULL;
  options.quant = NULL;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tools_pack(f->in, f->in, &options, NULL, &last_error));
  options.quant = "F16";
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tools_pack(f->in, f->in, &options, NULL, &last_error));
  assert_message_has(f->in);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_tools_pack(f->in, "/tmp/m-00001-of-00002.gguf",
                                                           &options, NULL, &last_error));
  report.struct_size = 0;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tools_pack(f->in, f->out, NULL, &report, &last_error));
  options.struct_size = 4;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tools_pack(f->in, f->out, &options, NULL, &last_error));
  assert_int_equal(answer_of(f->out).status, MIRAGE_OK);
}

static void a_damaged_pack_names_the_region(void** state) {
  const folder* f = *state;
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  FILE* file;
  assert_ok(mirage_tools_pack(f->in, f->out, NULL, NULL, &last_error));
  file = fopen(f->out, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, -4096, SEEK_END), 0); /* the last region begins there */
  fputc(0x55, file);
  fputc(0xAA, file);
  fclose(file);
  assert_ok(mirage_runtime_open(NULL, &runtime, &last_error));
  assert_status(MIRAGE_CORRUPT, mirage_model_open(runtime, f->out, NULL, &model, &last_error));
  assert_message_has(f->out);
  assert_message_has("checksum");
  assert_null(model);
  mirage_runtime_close(runtime);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_pack_answers_as_its_file, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(a_pack_in_another_type_opens, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(what_cannot_be_packed_leaves_what_was_there, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(a_damaged_pack_names_the_region, make_folder, remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
