/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of programs built with an older or a newer header: every options struct and every struct
 * the library fills. */
#include "abi_test.h"

enum { ROOM = 1024 };

typedef union space {
  unsigned char bytes[ROOM];
  uint32_t struct_size;
  uint64_t aligned;
} space;

/* One call per options struct: `options` at any size. */
typedef mirage_status (*options_call)(fixture* f, const void* options);

static mirage_status with_runtime(fixture* f, const void* options) {
  mirage_runtime* runtime = NULL;
  mirage_status status =
      mirage_runtime_open((const mirage_runtime_options*)options, &runtime, &last_error);
  (void)f;
  mirage_runtime_close(runtime);
  return status;
}

static mirage_status with_model(fixture* f, const void* options) {
  mirage_model* model = NULL;
  mirage_status status =
      mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL,
                               (const mirage_model_options*)options, &model, &last_error);
  mirage_model_close(model);
  return status;
}

static mirage_status with_render(fixture* f, const void* options) {
  const char* conversation = "{\"messages\": []}";
  size_t bytes = 0;
  return mirage_render(f->model, (const mirage_render_options*)options, conversation,
                       strlen(conversation), NULL, 0, &bytes, &last_error);
}

static mirage_status with_session(fixture* f, const void* options) {
  mirage_session* session = NULL;
  mirage_status status =
      mirage_session_open(f->model, (const mirage_session_options*)options, &session, &last_error);
  mirage_session_close(session);
  return status;
}

static mirage_status with_generation(fixture* f, const void* options) {
  const int32_t token = 65;
  mirage_generation* generation = NULL;
  mirage_status status;
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_tokens(f->session, &token, 1, &last_error));
  status = mirage_generation_start(f->session, (const mirage_generation_options*)options,
                                   &generation, &last_error);
  mirage_generation_close(generation);
  return status;
}

static mirage_status with_adapter(fixture* f, const void* options) {
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 2, 1);
  mirage_adapter* adapter = NULL;
  mirage_status status =
      mirage_adapter_load_memory(f->model, file.data, file.bytes,
                                 (const mirage_adapter_options*)options, &adapter, &last_error);
  mirage_adapter_close(adapter);
  tiny_model_free(&file);
  return status;
}

static mirage_status with_plan(fixture* f, const void* options) {
  mirage_plan plan;
  plan.struct_size = sizeof plan;
  return mirage_model_get_plan(f->model, (const mirage_plan_options*)options, &plan, &last_error);
}

static mirage_status with_parse(fixture* f, const void* options) {
  size_t bytes = 0;
  return mirage_parse_answer(f->model, (const mirage_parse_options*)options, "a", 1, NULL, 0,
                             &bytes, &last_error);
}
static mirage_status with_embed(fixture* f, const void* options) {
  const mirage_text text = {"a", 1, NULL, 0};
  float values[64];
  size_t count = 0;
  return mirage_embed(f->model, (const mirage_embed_options*)options, &text, 1, values, 64, &count,
                      NULL, &last_error);
}

static mirage_status with_score(fixture* f, const void* options) {
  const mirage_text text = {"a", 1, NULL, 0};
  double logprob;
  return mirage_score_choices(f->model, (const mirage_score_options*)options, &text, &text, 1,
                              &logprob, NULL, &last_error);
}

typedef void (*options_init)(void* options, size_t size);
static void init_runtime(void* o, size_t n) {
  mirage_runtime_options_init((mirage_runtime_options*)o, n);
}
static void init_model(void* o, size_t n) {
  mirage_model_options_init((mirage_model_options*)o, n);
}
static void init_render(void* o, size_t n) {
  mirage_render_options_init((mirage_render_options*)o, n);
}
static void init_session(void* o, size_t n) {
  mirage_session_options_init((mirage_session_options*)o, n);
}
static void init_generation(void* o, size_t n) {
  mirage_generation_options_init((mirage_generation_options*)o, n);
}
static void init_adapter(void* o, size_t n) {
  mirage_adapter_options_init((mirage_adapter_options*)o, n);
}
static void init_plan(void* o, size_t n) { mirage_plan_options_init((mirage_plan_options*)o, n); }
static void init_parse(void* o, size_t n) {
  mirage_parse_options_init((mirage_parse_options*)o, n);
}
static void init_embed(void* o, size_t n) {
  mirage_embed_options_init((mirage_embed_options*)o, n);
}
static void init_score(void* o, size_t n) {
  mirage_score_options_init((mirage_score_options*)o, n);
}

static const struct {
  const char* name;
  size_t size;  /* in this release */
  size_t first; /* in the release that brought it */
  options_init init;
  options_call call;
} kOptions[] = {
    {"mirage_runtime_options", sizeof(mirage_runtime_options), 48, init_runtime, with_runtime},
    {"mirage_model_options", sizeof(mirage_model_options), 40, init_model, with_model},
    {"mirage_render_options", sizeof(mirage_render_options), 32, init_render, with_render},
    {"mirage_session_options", sizeof(mirage_session_options), 16, init_session, with_session},
    {"mirage_generation_options", sizeof(mirage_generation_options), 152, init_generation,
     with_generation},
    {"mirage_adapter_options", sizeof(mirage_adapter_options), 24, init_adapter, with_adapter},
    {"mirage_plan_options", sizeof(mirage_plan_options), 32, init_plan, with_plan},
    {"mirage_parse_options", sizeof(mirage_parse_options), 40, init_parse, with_parse},
    {"mirage_score_options", sizeof(mirage_score_options), 32, init_score, with_score},
    {"mirage_embed_options", sizeof(mirage_embed_options), 40, init_embed, with_embed},
};
enum { OPTIONS = sizeof kOptions / sizeof kOptions[0] };

static void initialised_options_are_accepted(void** state) {
  size_t i;
  for (i = 0; i < OPTIONS; ++i) {
    space options;
    memset(&options, 0x5A, sizeof options);
    kOptions[i].init(&options, kOptions[i].size);
    assert_int_equal(options.struct_size, kOptions[i].size);
    assert_int_equal(options.bytes[kOptions[i].size], 0x5A);
    assert_ok(kOptions[i].call((fixture*)*state, &options));
  }
}

static void no_options_are_all_defaults(void** state) {
  size_t i;
  for (i = 0; i < OPTIONS; ++i) assert_ok(kOptions[i].call((fixture*)*state, NULL));
}

static void options_shorter_than_the_first_release_are_refused(void** state) {
  size_t i;
  for (i = 0; i < OPTIONS; ++i) {
    space options;
    kOptions[i].init(&options, kOptions[i].size);
    options.struct_size = (uint32_t)kOptions[i].first;
    assert_ok(kOptions[i].call((fixture*)*state, &options));
    options.struct_size = (uint32_t)kOptions[i].first - 1;
    assert_status(MIRAGE_INVALID_ARGUMENT, kOptions[i].call((fixture*)*state, &options));
    assert_message_has(kOptions[i].name);
    options.struct_size = 0;
    assert_status(MIRAGE_INVALID_ARGUMENT, kOptions[i].call((fixture*)*state, &options));
  }
}

static void longer_options_are_accepted_when_the_rest_is_zero(void** state) {
  size_t i;
  for (i = 0; i < OPTIONS; ++i) {
    space options;
    memset(&options, 0x5A, sizeof options);
    kOptions[i].init(&options, kOptions[i].size + 24);
    assert_int_equal(options.struct_size, kOptions[i].size + 24);
    assert_ok(kOptions[i].call((fixture*)*state, &options));
  }
}

static void a_byte_set_beyond_what_is_known_is_named(void** state) {
  size_t i;
  for (i = 0; i < OPTIONS; ++i) {
    space options;
    char offset[32];
    kOptions[i].init(&options, kOptions[i].size + 24);
    options.bytes[kOptions[i].size + 17] = 1;
    snprintf(offset, sizeof offset, "offset %u", (unsigned)(kOptions[i].size + 17));
    assert_status(MIRAGE_UNSUPPORTED, kOptions[i].call((fixture*)*state, &options));
    assert_message_has(kOptions[i].name);
    assert_message_has(offset);
  }
}

static void a_size_that_was_never_set_is_refused(void** state) {
  size_t i;
  for (i = 0; i < OPTIONS; ++i) {
    space options;
    kOptions[i].init(&options, kOptions[i].size);
    options.struct_size = 0xFFFFFFFFu;
    assert_status(MIRAGE_INVALID_ARGUMENT, kOptions[i].call((fixture*)*state, &options));
  }
}

static void reserved_fields_must_be_zero(void** state) {
  fixture* f = (fixture*)*state;
  mirage_runtime_options runtime;
  mirage_session_options session;
  mirage_generation_options generation;
  mirage_render_options render;
  mirage_plan_options plan;
  mirage_runtime_options_init(&runtime, sizeof runtime);
  mirage_session_options_init(&session, sizeof session);
  mirage_generation_options_init(&generation, sizeof generation);
  mirage_render_options_init(&render, sizeof render);
  mirage_plan_options_init(&plan, sizeof plan);
  runtime.reserved = session.reserved = generation.reserved = render.reserved = plan.reserved = 1;
  assert_status(MIRAGE_UNSUPPORTED, with_runtime(f, &runtime));
  assert_status(MIRAGE_UNSUPPORTED, with_session(f, &session));
  assert_status(MIRAGE_UNSUPPORTED, with_generation(f, &generation));
  assert_status(MIRAGE_UNSUPPORTED, with_render(f, &render));
  assert_status(MIRAGE_UNSUPPORTED, with_plan(f, &plan));
  runtime.reserved = session.reserved = generation.reserved = 0;
  runtime.reserved2 = session.reserved2 = 1;
  assert_status(MIRAGE_UNSUPPORTED, with_runtime(f, &runtime));
  assert_status(MIRAGE_UNSUPPORTED, with_session(f, &session));
}

static void initialising_nothing_is_harmless(void** state) {
  space options;
  size_t i;
  (void)state;
  for (i = 0; i < OPTIONS; ++i) {
    kOptions[i].init(NULL, kOptions[i].size);
    memset(&options, 0x5A, sizeof options);
    kOptions[i].init(&options, 3);
    assert_int_equal(options.bytes[0], 0x5A);
  }
}

/* One call per struct the library fills. */
typedef mirage_status (*fill_call)(fixture* f, void* out);
static mirage_status fill_info(fixture* f, void* out) {
  return mirage_model_get_info(f->model, (mirage_model_info*)out, &last_error);
}
static mirage_status fill_metadata(fixture* f, void* out) {
  return mirage_model_get_metadata(f->model, 0, (mirage_metadata*)out, &last_error);
}
static mirage_status fill_tensor(fixture* f, void* out) {
  return mirage_model_get_tensor(f->model, 0, (mirage_tensor*)out, &last_error);
}
static mirage_status fill_token(fixture* f, void* out) {
  return mirage_model_get_token(f->model, 65, (mirage_token*)out, &last_error);
}
static mirage_status fill_adapter(fixture* f, void* out) {
  tiny_model file = tiny_adapter_make(TINY_LAYERS, 2, 1);
  mirage_adapter* adapter = NULL;
  mirage_status status;
  assert_ok(
      mirage_adapter_load_memory(f->model, file.data, file.bytes, NULL, &adapter, &last_error));
  status = mirage_adapter_get_info(adapter, (mirage_adapter_info*)out, &last_error);
  mirage_adapter_close(adapter);
  tiny_model_free(&file);
  return status;
}
static mirage_status fill_plan(fixture* f, void* out) {
  return mirage_model_get_plan(f->model, NULL, (mirage_plan*)out, &last_error);
}
static mirage_status fill_memory(fixture* f, void* out) {
  return mirage_runtime_get_memory(f->runtime, (mirage_memory*)out, &last_error);
}
static mirage_status fill_runtime_stats(fixture* f, void* out) {
  return mirage_runtime_get_stats(f->runtime, (mirage_runtime_stats*)out, &last_error);
}
static mirage_status fill_model_stats(fixture* f, void* out) {
  return mirage_model_get_stats(f->model, (mirage_model_stats*)out, &last_error);
}
static mirage_status fill_session_stats(fixture* f, void* out) {
  return mirage_session_get_stats(f->session, (mirage_session_stats*)out, &last_error);
}

static const struct {
  size_t size;
  fill_call call;
} kFilled[] = {
    {sizeof(mirage_model_info), fill_info},
    {sizeof(mirage_metadata), fill_metadata},
    {sizeof(mirage_tensor), fill_tensor},
    {sizeof(mirage_token), fill_token},
    {sizeof(mirage_adapter_info), fill_adapter},
    {sizeof(mirage_plan), fill_plan},
    {sizeof(mirage_memory), fill_memory},
    {sizeof(mirage_runtime_stats), fill_runtime_stats},
    {sizeof(mirage_model_stats), fill_model_stats},
    {sizeof(mirage_session_stats), fill_session_stats},
};
enum { FILLED = sizeof kFilled / sizeof kFilled[0] };

static void filled_structs_end_where_the_caller_says(void** state) {
  size_t i;
  for (i = 0; i < FILLED; ++i) {
    space out;
    memset(&out, 0x5A, sizeof out);
    out.struct_size = (uint32_t)kFilled[i].size - 8;
    assert_ok(kFilled[i].call((fixture*)*state, &out));
    assert_int_equal(out.struct_size, kFilled[i].size - 8);
    assert_int_equal(out.bytes[kFilled[i].size - 8], 0x5A);
  }
}

static void filled_structs_are_zero_past_what_is_known(void** state) {
  size_t i, byte;
  for (i = 0; i < FILLED; ++i) {
    space out;
    memset(&out, 0x5A, sizeof out);
    out.struct_size = (uint32_t)kFilled[i].size + 24;
    assert_ok(kFilled[i].call((fixture*)*state, &out));
    for (byte = kFilled[i].size; byte < kFilled[i].size + 24; ++byte)
      assert_int_equal(out.bytes[byte], 0);
    assert_int_equal(out.bytes[kFilled[i].size + 24], 0x5A);
  }
}

static void filled_structs_need_their_size(void** state) {
  size_t i;
  for (i = 0; i < FILLED; ++i) {
    space out;
    memset(&out, 0, sizeof out);
    assert_status(MIRAGE_INVALID_ARGUMENT, kFilled[i].call((fixture*)*state, &out));
    out.struct_size = 0xFFFFFFFFu;
    assert_status(MIRAGE_INVALID_ARGUMENT, kFilled[i].call((fixture*)*state, &out));
    assert_status(MIRAGE_INVALID_ARGUMENT, kFilled[i].call((fixture*)*state, NULL));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(initialised_options_are_accepted),
      cmocka_unit_test(no_options_are_all_defaults),
      cmocka_unit_test(options_shorter_than_the_first_release_are_refused),
      cmocka_unit_test(longer_options_are_accepted_when_the_rest_is_zero),
      cmocka_unit_test(a_byte_set_beyond_what_is_known_is_named),
      cmocka_unit_test(a_size_that_was_never_set_is_refused),
      cmocka_unit_test(reserved_fields_must_be_zero),
      cmocka_unit_test(initialising_nothing_is_harmless),
      cmocka_unit_test(filled_structs_end_where_the_caller_says),
      cmocka_unit_test(filled_structs_are_zero_past_what_is_known),
      cmocka_unit_test(filled_structs_need_their_size),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
