/* SPDX-License-Identifier: Apache-2.0 */
/* The `tuning` of a runtime: what it changes, and that it changes no answer. */
#define _POSIX_C_SOURCE 200809L
#define MIRAGE_TOOLS_UNSTABLE

#include <unistd.h>

#include "abi_test.h"
#include "mirage/tools.h"

typedef struct folder {
  char path[64];
  char file[96];
  char machine[1024]; /* as mirage_tools_machine gives it */
} folder;

static int make_folder(void** state) {
  static folder made;
  size_t bytes = 0;
  snprintf(made.path, sizeof made.path, "/tmp/mirage-tuning-XXXXXX");
  assert_non_null(mkdtemp(made.path));
  snprintf(made.file, sizeof made.file, "%s/tuning.json", made.path);
  assert_ok(mirage_tools_machine(made.machine, sizeof made.machine - 1, &bytes, &last_error));
  made.machine[bytes] = '\0';
  *state = &made;
  return 0;
}

static int remove_folder(void** state) {
  const folder* made = *state;
  unlink(made->file);
  return rmdir(made->path); /* nothing else was left in it */
}

/* Of the machine's JSON: the rest after "key": */
static const char* value_of(const folder* f, const char* key) {
  char quoted[64];
  const char* found;
  snprintf(quoted, sizeof quoted, "\"%s\":", key);
  found = strstr(f->machine, quoted);
  assert_non_null(found);
  return found + strlen(quoted);
}

/* A tuning for the kernels "generic" of this machine, with the processors it has and `more`. */
static void write_tuning(const folder* f, int more, int decode, int prefill) {
  const char* cpu = value_of(f, "cpu");
  FILE* file = fopen(f->file, "wb");
  assert_non_null(file);
  fprintf(file,
          "{\"format\": \"mirage-tuning\", \"version\": 1, \"machine\": {\"cpu\": %.*s, "
          "\"kernels\": \"generic\", \"cpus\": %d}, \"threads\": {\"decode\": %d, \"prefill\": "
          "%d}, \"tasks\": {\"per_thread\": 9, \"panel_bytes\": 4096}}",
          (int)(strchr(cpu + 1, '"') + 1 - cpu), cpu, atoi(value_of(f, "usable_cpus")) + more,
          decode, prefill);
  assert_int_equal(fclose(file), 0);
}

static mirage_runtime_options with_tuning(const char* path) {
  mirage_runtime_options options;
  mirage_runtime_options_init(&options, sizeof options);
  options.device = "cpu:generic";
  options.tuning = path;
  return options;
}

/* The answer and the threads of a runtime with these options. */
static answer answer_with(const mirage_runtime_options* options, int32_t* threads) {
  tiny_model file = tiny_model_make();
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  mirage_session* session = NULL;
  mirage_runtime_stats stats;
  mirage_generation_options generation = greedy(40);
  answer read;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_runtime_open(options, &runtime, &last_error));
  assert_ok(mirage_runtime_get_stats(runtime, &stats, &last_error));
  assert_ok(mirage_model_open_memory(runtime, file.data, file.bytes, NULL, NULL, NULL, &model,
                                     &last_error));
  assert_ok(mirage_session_open(model, NULL, &session, &last_error));
  append_user(session, "a prompt of more than a few tokens");
  read = generate(session, &generation);
  mirage_session_close(session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  tiny_model_free(&file);
  *threads = stats.threads;
  return read;
}

static void a_tuning_says_how_many_threads_and_changes_no_answer(void** state) {
  const folder* f = *state;
  mirage_runtime_options plain = with_tuning(NULL), tuned = with_tuning(f->file);
  int32_t threads = 0;
  answer expected, read;
  expected = answer_with(&plain, &threads);
  write_tuning(f, 0, 5, 3);
  read = answer_with(&tuned, &threads);
  check_same_answer(&expected, &read);
  assert_int_equal(threads, 5);
  write_tuning(f, 0, 1, 6);
  read = answer_with(&tuned, &threads);
  check_same_answer(&expected, &read);
  assert_int_equal(threads, 6);
  tuned.threads = 2; /* who says how many is right */
  read = answer_with(&tuned, &threads);
  check_same_answer(&expected, &read);
  assert_int_equal(threads, 2);
}

static void keep_message(int32_t level, const char* subsystem, const char* message, void* kept) {
  if (level == MIRAGE_LOG_WARNING && strcmp(subsystem, "tuning") == 0)
    snprintf((char*)kept, 256, "%s", message);
}

static void one_of_another_machine_is_not_used_and_the_log_says_so(void** state) {
  const folder* f = *state;
  mirage_runtime_options plain = with_tuning(NULL), tuned = with_tuning(f->file);
  char message[256] = "";
  int32_t threads = 0, default_threads = 0;
  answer_with(&plain, &default_threads);
  write_tuning(f, 1, default_threads + 1, default_threads + 1);
  tuned.log_callback = keep_message;
  tuned.log_user_data = message;
  answer_with(&tuned, &threads);
  assert_int_equal(threads, default_threads);
  assert_non_null(strstr(message, "processors"));
}

static void bad_files_are_errors_that_name_them(void** state) {
  const folder* f = *state;
  mirage_runtime_options options = with_tuning("/nowhere/tuning.json");
  mirage_runtime* runtime = NULL;
  assert_status(MIRAGE_NOT_FOUND, mirage_runtime_open(&options, &runtime, &last_error));
  assert_message_has("/nowhere/tuning.json");
  options.tuning = "";
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_open(&options, &runtime, &last_error));
  assert_message_has("tuning");
  options.tuning = f->file;
  write_tuning(f, 0, 1, 0);
  assert_status(MIRAGE_CORRUPT, mirage_runtime_open(&options, &runtime, &last_error));
  assert_message_has("'threads.prefill'");
  assert_message_has(f->file);
  assert_null(runtime);
}

static int32_t stop_at_once(uint64_t done, uint64_t total, void* calls) {
  assert_true(done <= total);
  ++*(int*)calls;
  return 1;
}

static void tuning_checks_its_arguments_and_is_cancelled(void** state) {
  const folder* f = *state;
  int calls = 0;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_tools_tune(NULL, NULL, NULL, NULL, &last_error));
  assert_status(MIRAGE_UNSUPPORTED, mirage_tools_tune("gpu", f->file, NULL, NULL, &last_error));
  assert_status(MIRAGE_NOT_FOUND,
                mirage_tools_tune(NULL, "/nowhere/t.json", NULL, NULL, &last_error));
  assert_status(MIRAGE_CANCELLED,
                mirage_tools_tune(NULL, f->file, stop_at_once, &calls, &last_error));
  assert_int_equal(calls, 1);
  assert_int_not_equal(access(f->file, F_OK), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_tuning_says_how_many_threads_and_changes_no_answer,
                                      make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(one_of_another_machine_is_not_used_and_the_log_says_so,
                                      make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(bad_files_are_errors_that_name_them, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(tuning_checks_its_arguments_and_is_cancelled, make_folder,
                                      remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
