/* SPDX-License-Identifier: Apache-2.0 */
/* Opening models from paths, descriptors and memory; what a file says; the plan; memory limits. */
#define _POSIX_C_SOURCE 200809L

#include <fcntl.h>
#include <unistd.h>

#include "abi_test.h"

static mirage_model_info info_of(const mirage_model* model) {
  mirage_model_info info;
  info.struct_size = sizeof info;
  assert_ok(mirage_model_get_info(model, &info, &last_error));
  return info;
}

static mirage_model_options loading(int32_t load) {
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.load = load;
  return options;
}

static void a_missing_file_is_not_found(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  assert_status(MIRAGE_NOT_FOUND,
                mirage_model_open(f->runtime, "/no/such/model.gguf", NULL, &model, &last_error));
  assert_message_has("/no/such/model.gguf");
  assert_null(model);
}

/* What is wrong with it is said even where its name alone would fill the message. */
static void the_end_of_a_long_message_is_kept(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  char path[2000];
  size_t room = sizeof last_error.message - 1;
  size_t i;
  /* Two bytes a letter: cut in the middle of one it would be no text. */
  for (i = 0; i + 2 < sizeof path; i += 2) memcpy(path + i, "\xC3\xA9", 2);
  path[sizeof path - 1] = '\0';
  path[sizeof path - 2] = 'x';
  path[0] = path[1] = '/';
  assert_status(MIRAGE_NOT_FOUND, mirage_model_open(f->runtime, path, NULL, &model, &last_error));
  assert_in_range(strlen(last_error.message), room - 2, room);
  assert_memory_equal(last_error.message, path, 100);
  assert_message_has(" ... ");
  assert_string_equal(strrchr(last_error.message, ':'), ": File name too long");
  for (i = 2; last_error.message[i] != ' '; i += 2)
    assert_memory_equal(last_error.message + i, "\xC3\xA9", 2);
  i = (size_t)(strstr(last_error.message, " ... ") - last_error.message) + 5;
  for (; last_error.message[i] != 'x'; i += 2)
    assert_memory_equal(last_error.message + i, "\xC3\xA9", 2);
}

static void a_folder_is_not_a_model(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  assert_status(MIRAGE_UNSUPPORTED, mirage_model_open(f->runtime, "/", NULL, &model, &last_error));
}

static void null_arguments_are_named(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_model_open(NULL, "x", NULL, &model, &last_error));
  assert_message_has("runtime");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_open(f->runtime, NULL, NULL, &model, &last_error));
  assert_message_has("path");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_open(f->runtime, "x", NULL, NULL, &last_error));
  assert_message_has("out");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_open_fd(f->runtime, -1, NULL, &model, &last_error));
  assert_message_has("fd");
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_model_open_memory(f->runtime, NULL, 5, NULL, NULL,
                                                                  NULL, &model, &last_error));
  assert_message_has("data");
  assert_null(model);
}

static void a_model_opens_from_a_path(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  char* path = tiny_model_file();
  assert_ok(mirage_model_open(f->runtime, path, NULL, &model, &last_error));
  unlink(path);
  free(path);
  assert_int_equal(info_of(model).vocabulary, TINY_TOKENS);
  mirage_model_close(model);
}

static void a_descriptor_is_duplicated_and_not_moved(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  char* path = tiny_model_file();
  int fd = open(path, O_RDONLY);
  assert_true(fd >= 0);
  assert_int_equal(lseek(fd, 7, SEEK_SET), 7);
  assert_ok(mirage_model_open_fd(f->runtime, fd, NULL, &model, &last_error));
  assert_int_equal(lseek(fd, 0, SEEK_CUR), 7);
  close(fd);
  unlink(path);
  free(path);
  assert_int_equal(info_of(model).tensor_count, 3 + 9 * TINY_LAYERS);
  mirage_model_close(model);
}

static void a_descriptor_of_a_pipe_is_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_model_open_fd(f->runtime, ends[0], NULL, &model, &last_error));
  close(ends[0]);
  close(ends[1]);
}

typedef struct release_count {
  int calls;
  const void* data;
  uint64_t bytes;
} release_count;

static void count_release(const void* data, uint64_t bytes, void* user_data) {
  release_count* count = (release_count*)user_data;
  ++count->calls;
  count->data = data;
  count->bytes = bytes;
}

static void borrowed_memory_is_released_once_after_the_last_use(void** state) {
  fixture* f = (fixture*)*state;
  release_count count = {0, NULL, 0};
  mirage_model* model = NULL;
  mirage_session* session = NULL;
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, count_release, &count,
                                     NULL, &model, &last_error));
  assert_ok(mirage_session_open(model, NULL, &session, &last_error));
  mirage_model_close(model);
  assert_int_equal(count.calls, 0);
  mirage_session_close(session);
  assert_int_equal(count.calls, 1);
  assert_ptr_equal(count.data, f->file.data);
  assert_int_equal(count.bytes, f->file.bytes);
}

static void memory_of_a_failed_open_stays_the_callers(void** state) {
  fixture* f = (fixture*)*state;
  release_count count = {0, NULL, 0};
  mirage_model* model = NULL;
  assert_status(MIRAGE_CORRUPT,
                mirage_model_open_memory(f->runtime, f->file.data, 100, count_release, &count, NULL,
                                         &model, &last_error));
  assert_null(model);
  assert_int_equal(count.calls, 0);
}

static void bytes_that_are_no_model_are_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  const char* text = "This is not a model, just a sentence that is long enough.";
  assert_status(MIRAGE_UNSUPPORTED, mirage_model_open_memory(f->runtime, text, strlen(text), NULL,
                                                             NULL, NULL, &model, &last_error));
}

static void a_cut_file_is_corrupt(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  assert_status(MIRAGE_CORRUPT,
                mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes - 1000, NULL, NULL,
                                         NULL, &model, &last_error));
  assert_message_has("output.weight");
}

static int32_t cancel_at_once(uint64_t done, uint64_t total, void* user_data) {
  (void)done;
  (void)total;
  ++*(int*)user_data;
  return 1;
}

static int32_t watch_progress(uint64_t done, uint64_t total, void* user_data) {
  uint64_t* last = (uint64_t*)user_data;
  assert_true(done <= total);
  *last = done == total ? total : 0;
  return 0;
}

static void progress_ends_at_the_total(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  uint64_t last = 0;
  mirage_model_options options = loading(MIRAGE_LOAD_ALL);
  options.progress = watch_progress;
  options.progress_user_data = &last;
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL, &options,
                                     &model, &last_error));
  assert_true(last > 0);
  mirage_model_close(model);
}

static void progress_cancels_a_load_and_gives_everything_back(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  mirage_memory before, after;
  int calls = 0;
  mirage_model_options options = loading(MIRAGE_LOAD_ALL);
  options.progress = cancel_at_once;
  options.progress_user_data = &calls;
  before.struct_size = after.struct_size = sizeof before;
  assert_ok(mirage_runtime_get_memory(f->runtime, &before, &last_error));
  assert_status(MIRAGE_CANCELLED,
                mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL,
                                         &options, &model, &last_error));
  assert_int_equal(calls, 1);
  assert_null(model);
  assert_ok(mirage_runtime_get_memory(f->runtime, &after, &last_error));
  assert_int_equal(after.used_bytes, before.used_bytes);
}

static void unknown_option_values_are_refused(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  mirage_model_options options = loading(77);
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL,
                                         &options, &model, &last_error));
  assert_message_has("77");
  options = loading(MIRAGE_LOAD_ALL);
  options.kv_type = 99;
  assert_status(MIRAGE_UNSUPPORTED,
                mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL,
                                         &options, &model, &last_error));
  assert_message_has("99");
  options = loading(MIRAGE_LOAD_ALL);
  options.context = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL,
                                         &options, &model, &last_error));
  options = loading(MIRAGE_LOAD_ALL);
  options.sessions = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL,
                                         &options, &model, &last_error));
}

static void info_says_what_the_model_is(void** state) {
  mirage_model_info info = info_of(((fixture*)*state)->model);
  assert_string_equal(info.architecture, "llama");
  assert_string_equal(info.name, "tiny");
  assert_int_equal(info.load, MIRAGE_LOAD_ALL);
  assert_int_equal(info.file_bytes, ((fixture*)*state)->file.bytes);
  assert_int_equal(info.trained_context, TINY_CONTEXT);
  assert_int_equal(info.context, TINY_CONTEXT);
  assert_int_equal(info.vocabulary, TINY_TOKENS);
  assert_int_equal(info.layers, TINY_LAYERS);
  assert_int_equal(info.bos_token, TINY_BOS);
  assert_int_equal(info.eos_token, TINY_EOS);
  assert_int_equal(info.adds_bos, 1);
  assert_int_equal(info.has_chat_template, 1);
  assert_true(info.parameters > 2 * TINY_TOKENS * 64);
}

static void metadata_is_typed(void** state) {
  fixture* f = (fixture*)*state;
  mirage_metadata value;
  value.struct_size = sizeof value;
  assert_ok(mirage_model_get_metadata(f->model, 0, &value, &last_error));
  assert_string_equal(value.key, "general.architecture");
  assert_int_equal(value.key_bytes, strlen("general.architecture"));
  assert_int_equal(value.type, MIRAGE_VALUE_STRING);
  assert_ok(mirage_model_find_metadata(f->model, "llama.block_count", &value, &last_error));
  assert_int_equal(value.type, MIRAGE_VALUE_UINT);
  assert_int_equal(value.u, TINY_LAYERS);
  assert_ok(mirage_model_find_metadata(f->model, "general.sampling.temp", &value, &last_error));
  assert_int_equal(value.type, MIRAGE_VALUE_FLOAT);
  assert_true(value.f == 0.5);
  assert_ok(
      mirage_model_find_metadata(f->model, "tokenizer.ggml.add_bos_token", &value, &last_error));
  assert_int_equal(value.type, MIRAGE_VALUE_BOOL);
  assert_int_equal(value.u, 1);
  assert_ok(mirage_model_find_metadata(f->model, "tokenizer.ggml.tokens", &value, &last_error));
  assert_int_equal(value.type, MIRAGE_VALUE_ARRAY);
  assert_int_equal(value.element_type, MIRAGE_VALUE_STRING);
  assert_int_equal(value.count, TINY_TOKENS);
}

static void check_value(const mirage_model* model, const char* key, const char* expected) {
  char text[256];
  size_t bytes = 0;
  assert_ok(mirage_model_read_metadata(model, key, text, sizeof text, &bytes, &last_error));
  assert_int_equal(bytes, strlen(expected));
  assert_memory_equal(text, expected, bytes);
}

static void metadata_reads_as_text(void** state) {
  fixture* f = (fixture*)*state;
  check_value(f->model, "general.name", "tiny");
  check_value(f->model, "llama.context_length", "512");
  check_value(f->model, "general.sampling.temp", "0.5");
  check_value(f->model, "llama.attention.layer_norm_rms_epsilon", "1e-05");
  check_value(f->model, "tokenizer.ggml.add_bos_token", "true");
  check_value(f->model, "tokenizer.ggml.merges", "[\"h e\",\"l l\",\"t h\",\"i n\"]");
}

static void metadata_that_is_not_there_is_not_found(void** state) {
  fixture* f = (fixture*)*state;
  mirage_metadata value;
  size_t bytes = 0;
  value.struct_size = sizeof value;
  assert_status(MIRAGE_NOT_FOUND, mirage_model_get_metadata(f->model, 1000, &value, &last_error));
  assert_status(MIRAGE_NOT_FOUND,
                mirage_model_find_metadata(f->model, "no.such.key", &value, &last_error));
  assert_message_has("no.such.key");
  assert_status(MIRAGE_NOT_FOUND,
                mirage_model_read_metadata(f->model, "no.such.key", NULL, 0, &bytes, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_find_metadata(f->model, NULL, &value, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_model_get_metadata(NULL, 0, &value, &last_error));
}

static void a_buffer_too_small_tells_the_size_and_is_left_alone(void** state) {
  fixture* f = (fixture*)*state;
  char text[4] = "abc";
  size_t bytes = 0;
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_read_metadata(f->model, "general.name", text, 3, &bytes, &last_error));
  assert_int_equal(bytes, 4);
  assert_string_equal(text, "abc");
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_read_metadata(f->model, "general.name", NULL, 3, &bytes, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_model_read_metadata(f->model, "general.name", text, 3, NULL, &last_error));
}

static void tensors_are_listed(void** state) {
  fixture* f = (fixture*)*state;
  mirage_tensor tensor;
  tensor.struct_size = sizeof tensor;
  assert_ok(mirage_model_get_tensor(f->model, 0, &tensor, &last_error));
  assert_string_equal(tensor.name, "token_embd.weight");
  assert_string_equal(tensor.type, "F32");
  assert_int_equal(tensor.dimensions, 2);
  assert_int_equal(tensor.shape[0], 64);
  assert_int_equal(tensor.shape[1], TINY_TOKENS);
  assert_int_equal(tensor.shape[3], 1);
  assert_int_equal(tensor.bytes, 64 * TINY_TOKENS * 4);
  assert_true(tensor.kernel != MIRAGE_KERNEL_NONE);
  assert_status(MIRAGE_NOT_FOUND, mirage_model_get_tensor(f->model, 1000, &tensor, &last_error));
}

static void a_vocabulary_tokenizes_but_does_not_answer(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  mirage_session* session = NULL;
  float logprob;
  const int32_t tokens[2] = {65, 66};
  mirage_model_options options = loading(MIRAGE_LOAD_VOCABULARY);
  size_t count = 0;
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL, &options,
                                     &model, &last_error));
  assert_int_equal(info_of(model).vocabulary, TINY_TOKENS);
  assert_int_equal(info_of(model).context, 0);
  assert_ok(mirage_tokenize(model, "abc", 3, 0, NULL, 0, &count, &last_error));
  assert_int_equal(count, 3);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_session_open(model, NULL, &session, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_score(model, tokens, 2, 1, &logprob, &last_error));
  mirage_model_close(model);
}

static void metadata_alone_gives_lists_and_plans(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* model = NULL;
  mirage_plan plan;
  mirage_metadata value;
  size_t count = 0;
  mirage_model_options options = loading(MIRAGE_LOAD_METADATA);
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL, &options,
                                     &model, &last_error));
  value.struct_size = sizeof value;
  assert_ok(mirage_model_find_metadata(model, "general.name", &value, &last_error));
  plan.struct_size = sizeof plan;
  assert_ok(mirage_model_get_plan(model, NULL, &plan, &last_error));
  assert_int_equal(plan.fits, 2);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_tokenize(model, "abc", 3, 0, NULL, 0, &count, &last_error));
  mirage_model_close(model);
}

static void a_plan_is_the_sum_of_its_parts(void** state) {
  fixture* f = (fixture*)*state;
  mirage_plan plan;
  plan.struct_size = sizeof plan;
  assert_ok(mirage_model_get_plan(f->model, NULL, &plan, &last_error));
  assert_int_equal(plan.total_bytes, plan.weights_bytes + plan.kv_bytes + plan.slots_bytes +
                                         plan.tables_bytes + plan.workspace_bytes +
                                         plan.sessions_bytes + plan.adapters_bytes);
  assert_true(plan.weights_bytes > 0 && plan.kv_bytes > 0 && plan.tables_bytes > 0 &&
              plan.workspace_bytes > 0);
  assert_true(plan.least_bytes > 0 && plan.least_bytes <= plan.limit_bytes);
  assert_int_equal(plan.context, TINY_CONTEXT);
}

static void a_plan_before_loading_is_that_of_loading(void** state) {
  fixture* f = (fixture*)*state;
  mirage_model* header = NULL;
  mirage_plan before, loaded;
  mirage_model_options options = loading(MIRAGE_LOAD_METADATA);
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL, &options,
                                     &header, &last_error));
  before.struct_size = loaded.struct_size = sizeof before;
  assert_ok(mirage_model_get_plan(header, NULL, &before, &last_error));
  assert_ok(mirage_model_get_plan(f->model, NULL, &loaded, &last_error));
  assert_int_equal(before.total_bytes, loaded.total_bytes);
  assert_int_equal(before.weights_bytes, loaded.weights_bytes);
  mirage_model_close(header);
}

static void a_plan_that_does_not_fit_says_what_would(void** state) {
  fixture* f = (fixture*)*state;
  mirage_plan plan;
  mirage_plan_options options;
  mirage_plan_options_init(&options, sizeof options);
  options.memory_limit = 4 << 20;
  plan.struct_size = sizeof plan;
  assert_ok(mirage_model_get_plan(f->model, &options, &plan, &last_error));
  assert_int_equal(plan.fits, 0);
  assert_true(plan.least_bytes > options.memory_limit);
  options.memory_limit = plan.least_bytes;
  assert_ok(mirage_model_get_plan(f->model, &options, &plan, &last_error));
  assert_true(plan.fits > 0);
}

static void a_limit_too_low_names_the_least_that_works(void** state) {
  fixture* f = (fixture*)*state;
  mirage_runtime_options options;
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  uint64_t least;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 1;
  options.memory_limit = 4 << 20;
  assert_ok(mirage_runtime_open(&options, &runtime, &last_error));
  assert_status(MIRAGE_OUT_OF_MEMORY,
                mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL, NULL, NULL,
                                         &model, &last_error));
  least = last_error.needed_bytes;
  assert_true(least > options.memory_limit);
  assert_true(last_error.available_bytes <= options.memory_limit);
  assert_ok(mirage_runtime_set_memory_limit(runtime, least, &last_error));
  assert_ok(mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL, NULL, NULL, &model,
                                     &last_error));
  mirage_model_close(model);
  mirage_runtime_close(runtime);
}

static void a_limit_beside_another_model_names_the_least_that_works(void** state) {
  fixture* f = (fixture*)*state;
  mirage_runtime_options options;
  mirage_model_options first_options = loading(MIRAGE_LOAD_ALL);
  mirage_model_options header_options = loading(MIRAGE_LOAD_METADATA);
  mirage_runtime* runtime = NULL;
  mirage_model* first = NULL;
  mirage_model* header = NULL;
  mirage_model* second = NULL;
  mirage_plan plan;
  mirage_plan of_first;
  mirage_memory memory;
  uint64_t limit;
  uint64_t least;
  plan.struct_size = sizeof plan;
  of_first.struct_size = sizeof of_first;
  memory.struct_size = sizeof memory;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 1;
  assert_ok(mirage_runtime_open(&options, &runtime, &last_error));
  first_options.sessions = 4;
  assert_ok(mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL, NULL,
                                     &first_options, &first, &last_error));
  assert_ok(mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL, NULL,
                                     &header_options, &header, &last_error));
  /* A limit that holds the first one's plan, what is to be kept free, and nothing else. */
  assert_ok(mirage_model_get_plan(first, NULL, &of_first, &last_error));
  limit = of_first.total_bytes + (4 << 20);
  assert_ok(mirage_runtime_set_memory_limit(runtime, limit, &last_error));
  assert_ok(mirage_model_get_plan(header, NULL, &plan, &last_error));
  assert_int_equal(plan.fits, 0);
  assert_true(plan.least_bytes > of_first.total_bytes);
  assert_ok(mirage_model_get_plan(first, NULL, &of_first, &last_error));
  assert_true(of_first.fits > 0);
  assert_status(MIRAGE_OUT_OF_MEMORY,
                mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL, NULL, NULL,
                                         &second, &last_error));
  least = last_error.needed_bytes;
  assert_int_equal(least, plan.least_bytes);
  assert_int_equal(last_error.available_bytes, limit);
  assert_message_has("promised");
  assert_ok(mirage_runtime_set_memory_limit(runtime, least, &last_error));
  assert_ok(mirage_model_get_plan(header, NULL, &plan, &last_error));
  assert_true(plan.fits > 0);
  assert_ok(mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL, NULL, NULL,
                                     &second, &last_error));
  assert_ok(mirage_runtime_get_memory(runtime, &memory, &last_error));
  assert_true(memory.used_bytes <= least);
  mirage_model_close(second);
  mirage_model_close(header);
  mirage_model_close(first);
  mirage_runtime_close(runtime);
}

static void a_model_holds_what_its_plan_said(void** state) {
  fixture* f = (fixture*)*state;
  mirage_memory memory;
  mirage_plan plan;
  mirage_model_stats stats;
  memory.struct_size = sizeof memory;
  plan.struct_size = sizeof plan;
  stats.struct_size = sizeof stats;
  assert_ok(mirage_runtime_get_memory(f->runtime, &memory, &last_error));
  assert_ok(mirage_model_get_plan(f->model, NULL, &plan, &last_error));
  assert_ok(mirage_model_get_stats(f->model, &stats, &last_error));
  assert_int_equal(memory.weights_bytes + memory.mapped_bytes, plan.weights_bytes);
  assert_int_equal(memory.tables_bytes, plan.tables_bytes);
  assert_int_equal(memory.workspace_bytes, plan.workspace_bytes);
  assert_int_equal(memory.used_bytes, memory.weights_bytes + memory.mapped_bytes +
                                          memory.slots_bytes + memory.kv_bytes +
                                          memory.tables_bytes + memory.workspace_bytes +
                                          memory.sessions_bytes + memory.adapters_bytes);
  assert_true(memory.used_bytes <= memory.limit_bytes && memory.peak_bytes >= memory.used_bytes);
  assert_true(stats.load_s > 0);
  assert_true(stats.weights_bytes > 0);
}

static void closing_null_is_harmless(void** state) {
  (void)state;
  mirage_generation_close(NULL);
  mirage_session_close(NULL);
  mirage_model_close(NULL);
  mirage_runtime_close(NULL);
}

static void bad_runtime_options_are_refused(void** state) {
  mirage_runtime_options options;
  mirage_runtime* runtime = NULL;
  (void)state;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = -1;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_open(&options, &runtime, &last_error));
  mirage_runtime_options_init(&options, sizeof options);
  options.device = "abacus";
  assert_status(MIRAGE_UNSUPPORTED, mirage_runtime_open(&options, &runtime, &last_error));
  assert_message_has("abacus");
  options.device = "cpu:abacus";
  assert_status(MIRAGE_UNSUPPORTED, mirage_runtime_open(&options, &runtime, &last_error));
  assert_message_has("abacus");
  assert_message_has("generic");
  options.device = "cpu:";
  assert_status(MIRAGE_UNSUPPORTED, mirage_runtime_open(&options, &runtime, &last_error));
  options.device = "cpux";
  assert_status(MIRAGE_UNSUPPORTED, mirage_runtime_open(&options, &runtime, &last_error));
  mirage_runtime_options_init(&options, sizeof options);
  options.log_level = 9;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_open(&options, &runtime, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_runtime_open(NULL, NULL, &last_error));
  assert_null(runtime);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_missing_file_is_not_found),
      cmocka_unit_test(the_end_of_a_long_message_is_kept),
      cmocka_unit_test(a_folder_is_not_a_model),
      cmocka_unit_test(null_arguments_are_named),
      cmocka_unit_test(a_model_opens_from_a_path),
      cmocka_unit_test(a_descriptor_is_duplicated_and_not_moved),
      cmocka_unit_test(a_descriptor_of_a_pipe_is_refused),
      cmocka_unit_test(borrowed_memory_is_released_once_after_the_last_use),
      cmocka_unit_test(memory_of_a_failed_open_stays_the_callers),
      cmocka_unit_test(bytes_that_are_no_model_are_refused),
      cmocka_unit_test(a_cut_file_is_corrupt),
      cmocka_unit_test(progress_ends_at_the_total),
      cmocka_unit_test(progress_cancels_a_load_and_gives_everything_back),
      cmocka_unit_test(unknown_option_values_are_refused),
      cmocka_unit_test(info_says_what_the_model_is),
      cmocka_unit_test(metadata_is_typed),
      cmocka_unit_test(metadata_reads_as_text),
      cmocka_unit_test(metadata_that_is_not_there_is_not_found),
      cmocka_unit_test(a_buffer_too_small_tells_the_size_and_is_left_alone),
      cmocka_unit_test(tensors_are_listed),
      cmocka_unit_test(a_vocabulary_tokenizes_but_does_not_answer),
      cmocka_unit_test(metadata_alone_gives_lists_and_plans),
      cmocka_unit_test(a_plan_is_the_sum_of_its_parts),
      cmocka_unit_test(a_plan_before_loading_is_that_of_loading),
      cmocka_unit_test(a_plan_that_does_not_fit_says_what_would),
      cmocka_unit_test(a_limit_too_low_names_the_least_that_works),
      cmocka_unit_test(a_limit_beside_another_model_names_the_least_that_works),
      cmocka_unit_test(a_model_holds_what_its_plan_said),
      cmocka_unit_test(closing_null_is_harmless),
      cmocka_unit_test(bad_runtime_options_are_refused),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
