/* SPDX-License-Identifier: Apache-2.0 */
/* Embeddings: against the logits that come of the same hidden states, each pooling against the
 * others, alone and in company, and what is refused. */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <pthread.h>

#include "abi_test.h"

enum { WIDTH = 64, MOST_TOKENS = 200, TEXTS = 24, THREADS = 8 };

static mirage_embed_options with_pooling(int32_t pooling, int32_t normalize) {
  mirage_embed_options options;
  mirage_embed_options_init(&options, sizeof options);
  options.pooling = pooling;
  options.normalize = normalize;
  return options;
}

/* One text; the values written. */
static size_t embed(fixture* f, mirage_text text, int32_t pooling, int32_t normalize, float* values,
                    size_t capacity) {
  const mirage_embed_options options = with_pooling(pooling, normalize);
  size_t count = 0;
  assert_ok(
      mirage_embed(f->model, &options, &text, 1, values, capacity, &count, NULL, &last_error));
  return count;
}

/* The head of the tiny model is the last tensor of its file, in float32: the logits after a text
 * are its rows times the text's last hidden state. */
static void the_last_hidden_state_gives_the_logits(void** state) {
  fixture* f = (fixture*)*state;
  const float* head =
      (const float*)(const void*)(f->file.data + f->file.bytes) - (size_t)WIDTH * TINY_TOKENS;
  int32_t tokens[MOST_TOKENS];
  float hidden[WIDTH];
  mirage_generation_options options = greedy(1);
  mirage_event event = new_event();
  mirage_generation* generation;
  size_t token, i;
  make_tokens(tokens, MOST_TOKENS, 1);
  assert_int_equal(embed(f, of_tokens(tokens, MOST_TOKENS), MIRAGE_POOLING_LAST, 0, hidden, WIDTH),
                   WIDTH);
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_tokens(f->session, tokens, MOST_TOKENS, &last_error));
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  generation = start(f->session, &options);
  assert_ok(mirage_generation_next(generation, 60000, &event, &last_error));
  assert_int_equal(event.kind, MIRAGE_EVENT_LOGITS);
  for (token = 0; token < event.logit_count; ++token) {
    double logit = 0;
    for (i = 0; i < WIDTH; ++i) logit += (double)head[token * WIDTH + i] * (double)hidden[i];
    assert_float_equal(logit, event.logits[token], 1e-4);
  }
  mirage_generation_close(generation);
  assert_ok(mirage_session_clear(f->session, &last_error));
}

static void poolings_are_of_the_same_hidden_states(void** state) {
  fixture* f = (fixture*)*state;
  static const size_t kLengths[] = {1, 2, 31, 33, MOST_TOKENS};
  static float all[MOST_TOKENS * WIDTH];
  int32_t tokens[MOST_TOKENS];
  float row[WIDTH];
  size_t i, j, k;
  make_tokens(tokens, MOST_TOKENS, 2);
  for (k = 0; k < sizeof kLengths / sizeof kLengths[0]; ++k) {
    const size_t length = kLengths[k];
    const mirage_text text = of_tokens(tokens, length);
    assert_int_equal(embed(f, text, MIRAGE_POOLING_NONE, 0, all, MOST_TOKENS * WIDTH),
                     length * WIDTH);
    embed(f, text, MIRAGE_POOLING_CLS, 0, row, WIDTH);
    assert_memory_equal(row, all, sizeof row);
    embed(f, text, MIRAGE_POOLING_LAST, 0, row, WIDTH);
    assert_memory_equal(row, all + (length - 1) * WIDTH, sizeof row);
    embed(f, text, MIRAGE_POOLING_DEFAULT, 0, row, WIDTH); /* the file says nothing: LAST */
    assert_memory_equal(row, all + (length - 1) * WIDTH, sizeof row);
    embed(f, text, MIRAGE_POOLING_MEAN, 0, row, WIDTH);
    for (i = 0; i < WIDTH; ++i) {
      double sum = 0;
      for (j = 0; j < length; ++j) sum += (double)all[j * WIDTH + i];
      assert_float_equal(row[i], sum / (double)length, 1e-6);
    }
  }
}

static void normalised_ones_have_length_one_and_their_direction(void** state) {
  fixture* f = (fixture*)*state;
  static float plain[3 * WIDTH], normalised[3 * WIDTH];
  int32_t tokens[3];
  mirage_embed_options defaults;
  float by_default[WIDTH];
  mirage_text text;
  size_t row, i, count = 0;
  make_tokens(tokens, 3, 3);
  text = of_tokens(tokens, 3);
  embed(f, text, MIRAGE_POOLING_NONE, 0, plain, 3 * WIDTH);
  embed(f, text, MIRAGE_POOLING_NONE, 1, normalised, 3 * WIDTH);
  for (row = 0; row < 3; ++row) {
    double squares = 0, length = 0;
    for (i = 0; i < WIDTH; ++i) {
      const double value = (double)normalised[row * WIDTH + i];
      squares += value * value;
      length += (double)plain[row * WIDTH + i] * (double)plain[row * WIDTH + i];
    }
    assert_float_equal(squares, 1, 1e-5);
    for (i = 0; i < WIDTH; ++i)
      assert_float_equal(normalised[row * WIDTH + i], plain[row * WIDTH + i] / sqrt(length), 1e-6);
  }
  mirage_embed_options_init(&defaults, sizeof defaults);
  assert_int_equal(defaults.normalize, 1);
  assert_ok(mirage_embed(f->model, NULL, &text, 1, by_default, WIDTH, &count, NULL, &last_error));
  assert_memory_equal(by_default, normalised + 2 * WIDTH, sizeof by_default);
}

static void texts_are_tokenized_as_they_would_be(void** state) {
  fixture* f = (fixture*)*state;
  static const char kText[] = "hello <|im_end|> w\xC3\xB6rld";
  static const uint32_t kFlags[] = {0, MIRAGE_TOKENIZE_ADD_SPECIAL, MIRAGE_TOKENIZE_PARSE_SPECIAL,
                                    MIRAGE_TOKENIZE_ADD_SPECIAL | MIRAGE_TOKENIZE_PARSE_SPECIAL};
  size_t i;
  for (i = 0; i < sizeof kFlags / sizeof kFlags[0]; ++i) {
    mirage_embed_options options = with_pooling(MIRAGE_POOLING_MEAN, 1);
    int32_t tokens[64];
    float by_text[WIDTH], by_tokens[WIDTH];
    size_t token_count = 0, count = 0;
    mirage_text text = of_text(kText);
    assert_ok(mirage_tokenize(f->model, kText, strlen(kText), kFlags[i], tokens, 64, &token_count,
                              &last_error));
    options.tokenize_flags = kFlags[i];
    assert_ok(
        mirage_embed(f->model, &options, &text, 1, by_text, WIDTH, &count, NULL, &last_error));
    text = of_tokens(tokens, token_count);
    assert_ok(
        mirage_embed(f->model, &options, &text, 1, by_tokens, WIDTH, &count, NULL, &last_error));
    assert_memory_equal(by_text, by_tokens, sizeof by_text);
  }
}

typedef struct corpus {
  int32_t tokens[TEXTS][MOST_TOKENS];
  mirage_text texts[TEXTS];
  float alone[TEXTS][WIDTH];
} corpus;

static void make_corpus(fixture* f, corpus* made) {
  size_t i;
  for (i = 0; i < TEXTS; ++i) {
    const size_t length = 1 + (i * 83) % MOST_TOKENS;
    make_tokens(made->tokens[i], length, (uint32_t)i + 10);
    made->texts[i] = of_tokens(made->tokens[i], length);
    embed(f, made->texts[i], MIRAGE_POOLING_MEAN, 1, made->alone[i], WIDTH);
  }
}

static void many_are_those_of_each_alone(void** state) {
  fixture* f = (fixture*)*state;
  static corpus texts;
  static float together[TEXTS][WIDTH];
  mirage_embed_options options = with_pooling(MIRAGE_POOLING_MEAN, 1);
  mirage_generation_options answering = greedy(300);
  mirage_generation* generation;
  answer expected, read;
  size_t rows[TEXTS], count = 0, i;
  make_corpus(f, &texts);
  assert_ok(mirage_embed(f->model, &options, texts.texts, TEXTS, together[0], TEXTS * WIDTH, &count,
                         rows, &last_error));
  assert_int_equal(count, TEXTS * WIDTH);
  for (i = 0; i < TEXTS; ++i) assert_int_equal(rows[i], 1);
  assert_memory_equal(together, texts.alone, sizeof together);

  /* Beside an answer, which goes on as it would. */
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "one");
  expected = generate(f->session, &answering);
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "one");
  generation = start(f->session, &answering);
  memset(together, 0, sizeof together);
  assert_ok(mirage_embed(f->model, &options, texts.texts, TEXTS, together[0], TEXTS * WIDTH, &count,
                         NULL, &last_error));
  read = read_answer(generation);
  mirage_generation_close(generation);
  assert_memory_equal(together, texts.alone, sizeof together);
  check_same_answer(&expected, &read);
  assert_ok(mirage_session_clear(f->session, &last_error));
}

typedef struct caller {
  fixture* f;
  const corpus* texts;
  mirage_status status;
  float embeddings[TEXTS][WIDTH];
} caller;

static void* call(void* at) {
  caller* own = (caller*)at;
  const mirage_embed_options options = with_pooling(MIRAGE_POOLING_MEAN, 1);
  size_t count = 0;
  own->status = mirage_embed(own->f->model, &options, own->texts->texts, TEXTS, own->embeddings[0],
                             TEXTS * WIDTH, &count, NULL, NULL);
  return NULL;
}

static void many_callers_at_once_get_the_same(void** state) {
  fixture* f = (fixture*)*state;
  static corpus texts;
  static caller callers[THREADS];
  pthread_t threads[THREADS];
  size_t i;
  make_corpus(f, &texts);
  for (i = 0; i < THREADS; ++i) {
    callers[i].f = f;
    callers[i].texts = &texts;
    assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
  }
  for (i = 0; i < THREADS; ++i) pthread_join(threads[i], NULL);
  for (i = 0; i < THREADS; ++i) {
    assert_int_equal(callers[i].status, MIRAGE_OK);
    assert_memory_equal(callers[i].embeddings, texts.alone, sizeof texts.alone);
  }
}

static void counts_come_without_computing(void** state) {
  fixture* f = (fixture*)*state;
  mirage_embed_options options = with_pooling(MIRAGE_POOLING_NONE, 1);
  mirage_text texts[2];
  mirage_model_info info;
  float values[3 * WIDTH];
  size_t rows[2] = {0, 0}, count = 0;
  info.struct_size = sizeof info;
  assert_ok(mirage_model_get_info(f->model, &info, &last_error));
  assert_int_equal(info.embedding, WIDTH);
  assert_int_equal(info.pooling, MIRAGE_POOLING_DEFAULT);
  texts[0] = of_text("ab"); /* with the begin token */
  texts[1] = of_text("");
  assert_ok(mirage_embed(f->model, &options, texts, 2, NULL, 0, &count, rows, &last_error));
  assert_int_equal(count, 4 * WIDTH);
  assert_int_equal(rows[0], 3);
  assert_int_equal(rows[1], 1);
  count = 0;
  memset(values, 0x5A, sizeof values);
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_embed(f->model, &options, texts, 2, values,
                                                      3 * WIDTH, &count, NULL, &last_error));
  assert_int_equal(count, 4 * WIDTH);
  assert_int_equal(((unsigned char*)values)[0], 0x5A);
  assert_ok(
      mirage_embed(f->model, &options, NULL, 0, values, 3 * WIDTH, &count, NULL, &last_error));
  assert_int_equal(count, 0);
}

static void a_file_says_how_it_is_pooled(void** state) {
  fixture* f = (fixture*)*state;
  static const int32_t kOwn[] = {MIRAGE_POOLING_NONE, MIRAGE_POOLING_MEAN, MIRAGE_POOLING_CLS,
                                 MIRAGE_POOLING_LAST, MIRAGE_POOLING_DEFAULT};
  static float expected[5 * WIDTH], got[5 * WIDTH];
  int32_t tokens[5];
  uint32_t type;
  make_tokens(tokens, 5, 4);
  for (type = 0; type < 5; ++type) {
    fixture own = *f;
    mirage_text text = of_tokens(tokens, 5);
    mirage_model_info info;
    size_t count = 0;
    own.file = tiny_model_of_pooling(type);
    info.struct_size = sizeof info;
    assert_ok(mirage_model_open_memory(f->runtime, own.file.data, own.file.bytes, NULL, NULL, NULL,
                                       &own.model, &last_error));
    assert_ok(mirage_model_get_info(own.model, &info, &last_error));
    assert_int_equal(info.pooling, kOwn[type]);
    if (type == 4) { /* a reranker's */
      assert_status(MIRAGE_UNSUPPORTED, mirage_embed(own.model, NULL, &text, 1, got, 5 * WIDTH,
                                                     &count, NULL, &last_error));
      assert_message_has("key 'llama.pooling_type' is 4");
      embed(&own, text, MIRAGE_POOLING_MEAN, 1, got, WIDTH); /* asked for it works */
    } else {
      const size_t values = embed(f, text, kOwn[type], 1, expected, 5 * WIDTH);
      assert_int_equal(embed(&own, text, MIRAGE_POOLING_DEFAULT, 1, got, 5 * WIDTH), values);
      assert_memory_equal(got, expected, values * sizeof got[0]);
    }
    mirage_model_close(own.model);
    tiny_model_free(&own.file);
  }
}

static void bad_arguments_are_named(void** state) {
  fixture* f = (fixture*)*state;
  static int32_t long_tokens[TINY_CONTEXT + 1];
  static const int32_t outside[] = {1, TINY_TOKENS};
  static const int32_t negative[] = {-1};
  mirage_embed_options options;
  mirage_model_options vocabulary;
  mirage_model* without_weights = NULL;
  float values[4 * WIDTH];
  size_t count = 0;
  mirage_text texts[2];
  texts[0] = of_text("fine");
  texts[1] = of_text("fine too");
#define REFUSED(status, text, field, value)                                                     \
  options = with_pooling(MIRAGE_POOLING_MEAN, 1);                                               \
  options.field = (value);                                                                      \
  assert_status((status), mirage_embed(f->model, &options, texts, 2, values, 4 * WIDTH, &count, \
                                       NULL, &last_error));                                     \
  assert_message_has(text)
  REFUSED(MIRAGE_UNSUPPORTED, "pooling is 5", pooling, 5);
  REFUSED(MIRAGE_UNSUPPORTED, "pooling is -1", pooling, -1);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "normalize is 2", normalize, 2);
  REFUSED(MIRAGE_UNSUPPORTED, "tokenize flags 8", tokenize_flags, 8);
  REFUSED(MIRAGE_INVALID_ARGUMENT, "deadline_ms is -2", deadline_ms, -2);
#undef REFUSED
#define BAD_TEXT(status, text, bad)                                                               \
  texts[1] = (bad);                                                                               \
  assert_status((status), mirage_embed(f->model, NULL, texts, 2, values, 4 * WIDTH, &count, NULL, \
                                       &last_error));                                             \
  assert_message_has("text 1");                                                                   \
  assert_message_has(text)
  BAD_TEXT(MIRAGE_INVALID_ARGUMENT, "no tokens", of_tokens(long_tokens, 0));
  BAD_TEXT(MIRAGE_INVALID_ARGUMENT, "token 264", of_tokens(outside, 2));
  BAD_TEXT(MIRAGE_INVALID_ARGUMENT, "token -1", of_tokens(negative, 1));
  BAD_TEXT(MIRAGE_CONTEXT_FULL, "513 tokens", of_tokens(long_tokens, TINY_CONTEXT + 1));
  BAD_TEXT(MIRAGE_INVALID_ARGUMENT, "NULL", of_tokens(NULL, 3));
  texts[1] = of_tokens(outside, 1);
  texts[1].text = "and a text";
  texts[1].text_bytes = 10;
  BAD_TEXT(MIRAGE_INVALID_ARGUMENT, "both", texts[1]);
  texts[1] = of_text("fine");
  texts[1].text = NULL;
  BAD_TEXT(MIRAGE_INVALID_ARGUMENT, "NULL", texts[1]);
#undef BAD_TEXT
  texts[1] = of_text("fine");
#define REFUSED(...) \
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_embed(__VA_ARGS__, NULL, &last_error))
  REFUSED(NULL, NULL, texts, 2, values, 4 * WIDTH, &count);
  REFUSED(f->model, NULL, NULL, 2, values, 4 * WIDTH, &count);
  REFUSED(f->model, NULL, texts, 2, NULL, 4 * WIDTH, &count);
  REFUSED(f->model, NULL, texts, 2, values, 4 * WIDTH, NULL);
  mirage_model_options_init(&vocabulary, sizeof vocabulary);
  vocabulary.load = MIRAGE_LOAD_VOCABULARY;
  assert_ok(mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes, NULL, NULL,
                                     &vocabulary, &without_weights, &last_error));
  REFUSED(without_weights, NULL, texts, 2, values, 4 * WIDTH, &count);
  assert_message_has("weights");
  mirage_model_close(without_weights);
#undef REFUSED
  assert_ok(mirage_embed(f->model, NULL, texts, 2, values, 4 * WIDTH, &count, NULL, &last_error));
}

typedef struct watch {
  uint64_t calls, last_done, total;
  uint64_t cancel_at; /* this call; 0: never */
  pthread_t thread;
} watch;

static int32_t look(uint64_t done, uint64_t total, void* user_data) {
  watch* seen = (watch*)user_data;
  assert_true(pthread_equal(seen->thread, pthread_self()));
  assert_true(done >= seen->last_done && done <= total);
  seen->last_done = done;
  seen->total = total;
  return ++seen->calls == seen->cancel_at;
}

/* A long call, so that it is asked on its way. */
static mirage_status embed_long(fixture* f, const mirage_embed_options* options) {
  enum { MANY = 400 };
  static float values[MANY * WIDTH];
  static int32_t tokens[MOST_TOKENS];
  static mirage_text texts[MANY];
  size_t i, count = 0;
  make_tokens(tokens, MOST_TOKENS, 5);
  for (i = 0; i < MANY; ++i) texts[i] = of_tokens(tokens, MOST_TOKENS);
  return mirage_embed(f->model, options, texts, MANY, values, MANY * WIDTH, &count, NULL,
                      &last_error);
}

static void a_call_ends_when_its_caller_likes(void** state) {
  fixture* f = (fixture*)*state;
  mirage_embed_options options = with_pooling(MIRAGE_POOLING_MEAN, 1);
  watch seen;
  uint64_t at;
  options.deadline_ms = 0;
  assert_status(MIRAGE_DEADLINE, embed_long(f, &options));
  options.deadline_ms = 3;
  assert_status(MIRAGE_DEADLINE, embed_long(f, &options));
  options.deadline_ms = INT64_MAX;
  options.progress = look;
  options.progress_user_data = &seen;
  for (at = 1; at <= 3; ++at) {
    memset(&seen, 0, sizeof seen);
    seen.thread = pthread_self();
    seen.cancel_at = at;
    assert_status(MIRAGE_CANCELLED, embed_long(f, &options));
    assert_true(seen.calls >= at);
    assert_int_equal(seen.total, 400 * MOST_TOKENS);
    if (at == 1) assert_int_equal(seen.last_done, 0);
  }
  memset(&seen, 0, sizeof seen);
  seen.thread = pthread_self();
  assert_ok(embed_long(f, &options));
  assert_true(seen.calls > 3);
  assert_true(seen.last_done > 0);
}

static void embed_inside(mirage_generation* generation, const mirage_event* event,
                         void* user_data) {
  fixture* f = (fixture*)user_data;
  const mirage_text text = of_text("x");
  float values[WIDTH];
  size_t count = 0;
  (void)generation;
  (void)event;
  assert_int_equal(mirage_embed(f->model, NULL, &text, 1, values, WIDTH, &count, NULL, NULL),
                   MIRAGE_WOULD_DEADLOCK);
}

static void inside_a_callback_it_would_wait_for_itself(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(2);
  mirage_generation* generation;
  assert_ok(mirage_session_clear(f->session, &last_error));
  append_user(f->session, "one");
  options.callback = embed_inside;
  options.callback_user_data = f;
  generation = start(f->session, &options);
  while (stats_of_generation(generation).finish == MIRAGE_FINISH_NONE) {
  }
  mirage_generation_close(generation);
  assert_ok(mirage_session_clear(f->session, &last_error));
}

static mirage_memory memory_of(const fixture* f) {
  mirage_memory memory;
  memory.struct_size = sizeof memory;
  assert_ok(mirage_runtime_get_memory(f->runtime, &memory, &last_error));
  return memory;
}

static void what_it_holds_is_under_the_limit(void** state) {
  fixture* f = (fixture*)*state;
  const mirage_embed_options options = with_pooling(MIRAGE_POOLING_MEAN, 1);
  const uint64_t before = memory_of(f).sessions_bytes;
  uint64_t kv, needed;
  int tries;
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 1, &last_error)); /* drops what is cached */
  kv = memory_of(f).kv_bytes;
  assert_status(MIRAGE_OUT_OF_MEMORY, embed_long(f, &options));
  for (tries = 0; last_error.status == MIRAGE_OUT_OF_MEMORY && tries < 64; ++tries) {
    needed = last_error.needed_bytes;
    assert_true(needed > last_error.available_bytes);
    assert_ok(mirage_runtime_set_memory_limit(f->runtime, needed, &last_error));
    (void)embed_long(f, &options);
    assert_true(memory_of(f).used_bytes <= needed);
  }
  assert_int_equal(last_error.status, MIRAGE_OK);
  assert_int_equal(memory_of(f).sessions_bytes, before);
  assert_int_equal(memory_of(f).kv_bytes, kv); /* none is kept */
  assert_ok(mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
}

static void* embed_until_it_ends(void* at) {
  caller* own = (caller*)at;
  const mirage_embed_options options = with_pooling(MIRAGE_POOLING_MEAN, 1);
  do {
    size_t count = 0;
    own->status = mirage_embed(own->f->model, &options, own->texts->texts, TEXTS,
                               own->embeddings[0], TEXTS * WIDTH, &count, NULL, NULL);
  } while (own->status == MIRAGE_OK);
  return NULL;
}

static void a_shutdown_ends_it(void** state) {
  void* at = NULL;
  static corpus texts;
  static caller callers[2];
  pthread_t threads[2];
  fixture* f;
  size_t i;
  (void)state;
  assert_int_equal(open_fixture(&at), 0);
  f = (fixture*)at;
  make_corpus(f, &texts);
  for (i = 0; i < 2; ++i) {
    callers[i].f = f;
    callers[i].texts = &texts;
    assert_int_equal(pthread_create(&threads[i], NULL, embed_until_it_ends, &callers[i]), 0);
  }
  assert_ok(mirage_runtime_shutdown(f->runtime, &last_error));
  for (i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  for (i = 0; i < 2; ++i) assert_int_equal(callers[i].status, MIRAGE_CLOSED);
  close_fixture(&at);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_last_hidden_state_gives_the_logits),
      cmocka_unit_test(poolings_are_of_the_same_hidden_states),
      cmocka_unit_test(normalised_ones_have_length_one_and_their_direction),
      cmocka_unit_test(texts_are_tokenized_as_they_would_be),
      cmocka_unit_test(many_are_those_of_each_alone),
      cmocka_unit_test(many_callers_at_once_get_the_same),
      cmocka_unit_test(counts_come_without_computing),
      cmocka_unit_test(a_file_says_how_it_is_pooled),
      cmocka_unit_test(bad_arguments_are_named),
      cmocka_unit_test(a_call_ends_when_its_caller_likes),
      cmocka_unit_test(inside_a_callback_it_would_wait_for_itself),
      cmocka_unit_test(what_it_holds_is_under_the_limit),
      cmocka_unit_test(a_shutdown_ends_it),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
