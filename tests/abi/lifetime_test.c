/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks, closing in any order and from anywhere, shutting down, forking, logging. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi_test.h"

/* What a callback saw, and what it is to do. */
typedef struct listener {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  mirage_session* session;
  mirage_runtime* runtime;
  mirage_generation* generation; /* the handle the callback was given */
  int tokens, texts, done, finish, after_close;
  int closed;
  int close_at_token; /* closes its own generation at this token; 0: never */
  int hold;           /* the callback waits while this is set */
  int holding;
  mirage_status next, shutdown, open, start, stats, cancel, score;
} listener;

static void listener_init(listener* l) {
  memset(l, 0, sizeof *l);
  pthread_mutex_init(&l->mutex, NULL);
  pthread_cond_init(&l->changed, NULL);
}

static void try_blocking_calls(listener* l, mirage_generation* generation) {
  mirage_event event = new_event();
  mirage_generation_stats stats;
  mirage_model* model = NULL;
  mirage_generation* other = NULL;
  stats.struct_size = sizeof stats;
  l->next = mirage_generation_next(generation, -1, &event, NULL);
  l->shutdown = mirage_runtime_shutdown(l->runtime, NULL);
  l->open = mirage_model_open(l->runtime, "/no/such/file", NULL, &model, NULL);
  l->start = mirage_generation_start(l->session, NULL, &other, NULL);
  l->stats = mirage_generation_get_stats(generation, &stats, NULL);
  l->cancel = mirage_generation_cancel(generation, MIRAGE_CANCEL_STOP, NULL);
}

static void listen(mirage_generation* generation, const mirage_event* event, void* user_data) {
  listener* l = (listener*)user_data;
  int close_now = 0;
  pthread_mutex_lock(&l->mutex);
  l->generation = generation;
  l->after_close += l->closed;
  l->tokens += event->kind == MIRAGE_EVENT_TOKENS;
  l->texts += event->kind == MIRAGE_EVENT_TEXT;
  if (event->kind == MIRAGE_EVENT_DONE) {
    ++l->done;
    l->finish = event->finish;
  }
  if (l->close_at_token > 0 && event->kind == MIRAGE_EVENT_TOKENS && l->tokens == l->close_at_token)
    close_now = 1;
  l->holding = l->hold;
  pthread_cond_broadcast(&l->changed);
  while (l->hold) pthread_cond_wait(&l->changed, &l->mutex);
  l->holding = 0;
  pthread_mutex_unlock(&l->mutex);
  if (!close_now) return;
  mirage_generation_close(generation);
  pthread_mutex_lock(&l->mutex);
  l->closed = 1;
  pthread_cond_broadcast(&l->changed);
  pthread_mutex_unlock(&l->mutex);
}

static void listen_and_block(mirage_generation* generation, const mirage_event* event,
                             void* user_data) {
  listener* l = (listener*)user_data;
  if (event->kind == MIRAGE_EVENT_TOKENS && l->tokens == 0) try_blocking_calls(l, generation);
  listen(generation, event, user_data);
}

/* Waits until `*flag` is set; fails after a minute. */
static void wait_for(listener* l, const int* flag) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 60;
  pthread_mutex_lock(&l->mutex);
  while (!*flag) assert_int_equal(pthread_cond_timedwait(&l->changed, &l->mutex, &until), 0);
  pthread_mutex_unlock(&l->mutex);
}

static mirage_generation* start_listening(fixture* f, listener* l, mirage_event_callback callback,
                                          int64_t max_tokens) {
  mirage_generation_options options = greedy(max_tokens);
  l->session = f->session;
  l->runtime = f->runtime;
  options.callback = callback;
  options.callback_user_data = l;
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(
      mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  return start(f->session, &options);
}

static void a_callback_gets_every_event_once(void** state) {
  listener l;
  mirage_generation* generation;
  listener_init(&l);
  generation = start_listening((fixture*)*state, &l, listen, 10);
  wait_for(&l, &l.done);
  assert_int_equal(l.tokens, 10);
  assert_int_equal(l.done, 1);
  assert_int_equal(l.finish, MIRAGE_FINISH_LENGTH);
  assert_ptr_equal(l.generation, generation);
  mirage_generation_close(generation);
}

static void events_that_go_to_a_callback_cannot_be_pulled(void** state) {
  listener l;
  mirage_generation* generation;
  mirage_event event = new_event();
  int32_t fd = -1;
  listener_init(&l);
  generation = start_listening((fixture*)*state, &l, listen, 3);
  assert_status(MIRAGE_INVALID_ARGUMENT,
                mirage_generation_next(generation, 0, &event, &last_error));
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_generation_get_fd(generation, &fd, &last_error));
  mirage_generation_close(generation);
}

static void blocking_calls_in_a_callback_would_deadlock(void** state) {
  listener l;
  mirage_generation* generation;
  listener_init(&l);
  generation = start_listening((fixture*)*state, &l, listen_and_block, -1);
  wait_for(&l, &l.done);
  assert_int_equal(l.next, MIRAGE_WOULD_DEADLOCK);
  assert_int_equal(l.shutdown, MIRAGE_WOULD_DEADLOCK);
  assert_int_equal(l.open, MIRAGE_WOULD_DEADLOCK);
  assert_int_equal(l.start, MIRAGE_BUSY);
  assert_int_equal(l.stats, MIRAGE_OK);
  assert_int_equal(l.cancel, MIRAGE_OK);
  mirage_generation_close(generation);
}

static void a_callback_may_close_its_own_generation(void** state) {
  listener l;
  fixture* f = (fixture*)*state;
  listener_init(&l);
  l.close_at_token = 3;
  start_listening(f, &l, listen, -1);
  wait_for(&l, &l.closed);
  assert_ok(mirage_session_clear(f->session, &last_error)); /* waits for the abandoned step */
  assert_int_equal(l.tokens, 3);
  assert_int_equal(l.done, 0);
  assert_int_equal(l.after_close, 0);
}

typedef struct closer {
  mirage_generation* generation;
  listener* l;
  int returned;
} closer;

static void* close_in_a_thread(void* argument) {
  closer* c = (closer*)argument;
  mirage_generation_close(c->generation);
  pthread_mutex_lock(&c->l->mutex);
  c->returned = 1;
  pthread_mutex_unlock(&c->l->mutex);
  return NULL;
}

static void close_waits_for_the_callback_that_is_running(void** state) {
  listener l;
  closer c;
  pthread_t thread;
  struct timespec moment = {0, 50 * 1000 * 1000};
  listener_init(&l);
  l.hold = 1;
  c.generation = start_listening((fixture*)*state, &l, listen, -1);
  c.l = &l;
  c.returned = 0;
  wait_for(&l, &l.holding);
  assert_int_equal(pthread_create(&thread, NULL, close_in_a_thread, &c), 0);
  nanosleep(&moment, NULL);
  pthread_mutex_lock(&l.mutex);
  assert_int_equal(c.returned, 0);
  l.hold = 0;
  pthread_cond_broadcast(&l.changed);
  pthread_mutex_unlock(&l.mutex);
  pthread_join(thread, NULL);
  assert_int_equal(c.returned, 1);
}

static void a_slow_callback_does_not_hold_up_other_answers(void** state) {
  fixture* f = (fixture*)*state;
  listener l;
  mirage_generation* slow;
  mirage_session* session = NULL;
  mirage_generation_options options = greedy(8);
  answer read;
  listener_init(&l);
  l.hold = 1;
  slow = start_listening(f, &l, listen, -1);
  wait_for(&l, &l.holding);
  assert_ok(mirage_session_open(f->model, NULL, &session, &last_error));
  assert_ok(
      mirage_session_append_text(session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  read = generate(session, &options);
  assert_int_equal(read.token_count, 8);
  pthread_mutex_lock(&l.mutex);
  l.hold = 0;
  pthread_cond_broadcast(&l.changed);
  pthread_mutex_unlock(&l.mutex);
  mirage_generation_close(slow);
  mirage_session_close(session);
}

static void parents_may_be_closed_first(void** state) {
  int order;
  (void)state;
  for (order = 0; order < 2; ++order) {
    fixture* f = NULL;
    mirage_generation_options options = greedy(10);
    mirage_generation* generation;
    answer read;
    assert_int_equal(open_fixture((void**)&f), 0);
    assert_ok(
        mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
    generation = start(f->session, &options);
    if (order == 0) {
      mirage_runtime_close(f->runtime);
      mirage_model_close(f->model);
      mirage_session_close(f->session);
    } else {
      mirage_session_close(f->session);
      mirage_model_close(f->model);
      mirage_runtime_close(f->runtime);
    }
    read = read_answer(generation);
    assert_int_equal(read.token_count, 10);
    mirage_generation_close(generation);
    tiny_model_free(&f->file);
    free(f);
  }
}

/* Closes everything there is, in the callback, the runtime's last handles among it. */
static void close_everything(mirage_generation* generation, const mirage_event* event,
                             void* user_data) {
  listener* l = (listener*)user_data;
  if (event->kind != MIRAGE_EVENT_TOKENS) return;
  mirage_session_close(l->session);
  mirage_runtime_close(l->runtime);
  mirage_generation_close(generation);
  pthread_mutex_lock(&l->mutex);
  l->closed = 1;
  pthread_cond_broadcast(&l->changed);
  pthread_mutex_unlock(&l->mutex);
}

static void a_callback_may_close_the_last_handles(void** state) {
  fixture* f = NULL;
  listener l;
  mirage_generation_options options = greedy(-1);
  (void)state;
  listener_init(&l);
  assert_int_equal(open_fixture((void**)&f), 0);
  l.session = f->session;
  l.runtime = f->runtime;
  options.callback = close_everything;
  options.callback_user_data = &l;
  assert_ok(
      mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  mirage_model_close(f->model);
  start(f->session, &options);
  wait_for(&l, &l.closed);
  tiny_model_free(&f->file);
  free(f);
}

/* Threads of this process; -1 where the system does not say. */
static int thread_count(void) {
  DIR* folder = opendir("/proc/self/task");
  int count = 0;
  if (folder == NULL) return -1;
  while (readdir(folder) != NULL) ++count;
  closedir(folder);
  return count - 2; /* "." and ".." */
}

static void a_shutdown_ends_the_threads(void** state) {
  fixture* f = NULL;
  mirage_generation_options options = greedy(4);
  mirage_runtime_options two;
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  mirage_session* session = NULL;
  const struct timespec millisecond = {0, 1000000};
  const int before = thread_count();
  int waited;
  (void)state;
  if (before < 0) skip();
  assert_int_equal(open_fixture((void**)&f), 0);
  mirage_runtime_options_init(&two, sizeof two);
  two.threads = 3;
  assert_ok(mirage_runtime_open(&two, &runtime, &last_error));
  assert_ok(mirage_model_open_memory(runtime, f->file.data, f->file.bytes, NULL, NULL, NULL, &model,
                                     &last_error));
  assert_ok(mirage_session_open(model, NULL, &session, &last_error));
  append_user(session, "hello");
  generate(session, &options);
  assert_true(thread_count() > before + 2);
  assert_ok(mirage_runtime_shutdown(f->runtime, &last_error));
  assert_ok(mirage_runtime_shutdown(runtime, &last_error));
  /* A thread that was joined may be listed for a moment more. */
  for (waited = 0; waited < 10000 && thread_count() > before; ++waited)
    nanosleep(&millisecond, NULL);
  assert_true(thread_count() <= before);
  mirage_session_close(session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  close_fixture((void**)&f);
}

static void after_a_shutdown_everything_is_closed(void** state) {
  fixture* f = NULL;
  mirage_generation_options options = greedy(-1);
  mirage_generation* generation;
  mirage_generation* other = NULL;
  mirage_session* session = NULL;
  mirage_model* model = NULL;
  mirage_model_info info;
  answer read;
  float logprob, values[64];
  const int32_t tokens[2] = {65, 66};
  const mirage_text text = {NULL, 0, tokens, 2};
  size_t count = 0;
  (void)state;
  assert_int_equal(open_fixture((void**)&f), 0);
  assert_ok(
      mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  generation = start(f->session, &options);
  assert_ok(mirage_runtime_shutdown(f->runtime, &last_error));
  assert_ok(mirage_runtime_shutdown(f->runtime, &last_error));
  do {
    read = read_answer(generation);
  } while (read.finish == MIRAGE_FINISH_NONE);
  assert_int_equal(read.finish, MIRAGE_FINISH_CANCELLED);
  assert_status(MIRAGE_CLOSED, mirage_generation_start(f->session, NULL, &other, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_session_append_text(f->session, "d", 1, 0, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_session_append_tokens(f->session, tokens, 2, &last_error));
  assert_status(MIRAGE_CLOSED,
                mirage_session_append_message(f->session, "user", "d", 1, &last_error));
  assert_status(MIRAGE_CLOSED,
                mirage_session_append_conversation(f->session, "{}", 2, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_session_truncate(f->session, 0, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_session_clear(f->session, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_session_open(f->model, NULL, &session, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_model_open_memory(f->runtime, f->file.data, f->file.bytes,
                                                        NULL, NULL, NULL, &model, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_score(f->model, tokens, 2, 1, &logprob, &last_error));
  assert_status(MIRAGE_CLOSED,
                mirage_embed(f->model, NULL, &text, 1, values, 64, &count, NULL, &last_error));
  assert_status(MIRAGE_CLOSED, mirage_runtime_set_memory_limit(f->runtime, 0, &last_error));
  info.struct_size = sizeof info;
  assert_ok(mirage_model_get_info(f->model, &info, &last_error));
  mirage_generation_close(generation);
  close_fixture((void**)&f);
}

static void runtimes_do_not_know_each_other(void** state) {
  fixture* first = NULL;
  fixture* second = NULL;
  mirage_generation_options options = greedy(4);
  answer read;
  (void)state;
  assert_int_equal(open_fixture((void**)&first), 0);
  assert_int_equal(open_fixture((void**)&second), 0);
  assert_ok(mirage_runtime_shutdown(first->runtime, &last_error));
  assert_ok(mirage_session_append_text(second->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL,
                                       &last_error));
  read = generate(second->session, &options);
  assert_int_equal(read.token_count, 4);
  close_fixture((void**)&first);
  close_fixture((void**)&second);
}

static int child_checks(fixture* f, mirage_generation* generation) {
  mirage_event event = new_event();
  mirage_memory memory;
  mirage_model_info info;
  mirage_session_stats stats;
  mirage_runtime* runtime = NULL;
  mirage_generation* other = NULL;
  memory.struct_size = sizeof memory;
  info.struct_size = sizeof info;
  stats.struct_size = sizeof stats;
  if (mirage_runtime_get_memory(f->runtime, &memory, NULL) != MIRAGE_FORKED) return 1;
  if (mirage_runtime_shutdown(f->runtime, NULL) != MIRAGE_FORKED) return 2;
  if (mirage_model_get_info(f->model, &info, NULL) != MIRAGE_FORKED) return 3;
  if (mirage_session_get_stats(f->session, &stats, NULL) != MIRAGE_FORKED) return 4;
  if (mirage_session_clear(f->session, NULL) != MIRAGE_FORKED) return 5;
  if (mirage_generation_start(f->session, NULL, &other, NULL) != MIRAGE_FORKED) return 6;
  if (mirage_generation_next(generation, 0, &event, NULL) != MIRAGE_FORKED) return 7;
  if (mirage_generation_cancel(generation, 0, NULL) != MIRAGE_FORKED) return 8;
  mirage_generation_close(generation);
  mirage_session_close(f->session);
  mirage_model_close(f->model);
  mirage_runtime_close(f->runtime);
  /* A runtime of the child's own is as good as any. */
  if (mirage_runtime_open(NULL, &runtime, NULL) != MIRAGE_OK) return 9;
  mirage_runtime_close(runtime);
  return 0;
}

static void a_forked_child_is_told_and_the_parent_goes_on(void** state) {
  fixture* f = (fixture*)*state;
  mirage_generation_options options = greedy(30);
  mirage_generation* generation;
  answer read;
  int status = 0;
  pid_t child;
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(
      mirage_session_append_text(f->session, "abc", 3, MIRAGE_TOKENIZE_ADD_SPECIAL, &last_error));
  generation = start(f->session, &options);
  child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(child_checks(f, generation));
  while (waitpid(child, &status, 0) < 0) assert_int_equal(errno, EINTR);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  read = read_answer(generation);
  assert_int_equal(read.token_count, 30);
  mirage_generation_close(generation);
}

/* A conversation and a template nested as deep as they may be. */
static void render_deeply(const fixture* f) {
  enum { JSON_DEPTH = 55, TEMPLATE_DEPTH = 200 };
  static const char kIf[] = "{% if true %}";
  static const char kEnd[] = "{% endif %}";
  mirage_render_options options;
  char* json = (char*)malloc(4096);
  char* source = (char*)malloc(TEMPLATE_DEPTH * 32);
  mirage_session* fork = NULL;
  uint64_t saved_bytes = 0;
  char text[16];
  size_t bytes = 0;
  size_t json_bytes = 0;
  size_t source_bytes = 0;
  int i = 0;
  json_bytes += (size_t)sprintf(json, "{\"messages\": [{\"role\": \"user\", \"content\": ");
  for (i = 0; i < JSON_DEPTH; ++i) json[json_bytes++] = '[';
  for (i = 0; i < JSON_DEPTH; ++i) json[json_bytes++] = ']';
  json_bytes += (size_t)sprintf(json + json_bytes, "}]}");
  for (i = 0; i < TEMPLATE_DEPTH; ++i, source_bytes += sizeof kIf - 1)
    memcpy(source + source_bytes, kIf, sizeof kIf - 1);
  source[source_bytes++] = 'x';
  for (i = 0; i < TEMPLATE_DEPTH; ++i, source_bytes += sizeof kEnd - 1)
    memcpy(source + source_bytes, kEnd, sizeof kEnd - 1);
  mirage_render_options_init(&options, sizeof options);
  options.chat_template = source;
  options.chat_template_bytes = source_bytes;
  assert_ok(
      mirage_render(f->model, &options, json, json_bytes, text, sizeof text, &bytes, &last_error));
  assert_int_equal(bytes, 1);
  assert_ok(mirage_session_clear(f->session, &last_error));
  assert_ok(mirage_session_append_conversation(f->session, json, json_bytes, &last_error));
  assert_ok(mirage_session_fork(f->session, &fork, &last_error));
  assert_ok(mirage_session_save_memory(fork, NULL, 0, &saved_bytes, &last_error));
  mirage_session_close(fork);
  free(source);
  free(json);
}

/* Grammars nested as deep as they may be, and a text that follows one. */
static void check_grammars_deeply(void) {
  enum { GROUPS = 49, SCHEMAS = 23, BRACKETS = 400 };
  char text[8192];
  char brackets[2 * BRACKETS];
  size_t bytes = 0;
  int32_t accepted = 0;
  size_t position = 0;
  int i = 0;
  memset(text, '(', GROUPS);
  text[GROUPS] = 'x';
  memset(text + GROUPS + 1, ')', GROUPS);
  assert_ok(mirage_grammar_check(MIRAGE_GRAMMAR_REGEX, text, 2 * GROUPS + 1, "x", 1, &accepted,
                                 &position, &last_error));
  assert_int_equal(accepted, 1);
  for (i = 0; i < SCHEMAS; ++i) bytes += (size_t)sprintf(text + bytes, "{\"items\": ");
  bytes += (size_t)sprintf(text + bytes, "true");
  for (i = 0; i < SCHEMAS; ++i) text[bytes++] = '}';
  assert_ok(mirage_grammar_check(MIRAGE_GRAMMAR_JSON_SCHEMA, text, bytes, "[[[1]]]", 7, &accepted,
                                 &position, &last_error));
  assert_int_equal(accepted, 1);
  memset(brackets, '[', BRACKETS);
  memset(brackets + BRACKETS, ']', BRACKETS);
  assert_ok(mirage_grammar_check(MIRAGE_GRAMMAR_JSON_SCHEMA, "true", 4, brackets, sizeof brackets,
                                 &accepted, &position, &last_error));
  assert_int_equal(accepted, 1);
}

static void* live_on_a_small_stack(void* argument) {
  fixture* f = NULL;
  mirage_generation_options options = greedy(6);
  (void)argument;
  open_fixture((void**)&f);
  append_user(f->session, "hello");
  assert_int_equal(generate(f->session, &options).token_count, 6);
  render_deeply(f);
  check_grammars_deeply();
  close_fixture((void**)&f);
  return NULL;
}

static void a_thread_with_a_small_stack_is_enough(void** state) {
  pthread_attr_t attributes;
  pthread_t thread;
  (void)state;
  pthread_attr_init(&attributes);
  assert_int_equal(pthread_attr_setstacksize(&attributes, 64 * 1024), 0);
  assert_int_equal(pthread_create(&thread, &attributes, live_on_a_small_stack, NULL), 0);
  pthread_join(thread, NULL);
  pthread_attr_destroy(&attributes);
}

typedef struct log_count {
  int messages;
  char last[256];
} log_count;

static void count_log(int32_t level, const char* subsystem, const char* message, void* user_data) {
  log_count* count = (log_count*)user_data;
  assert_true(level >= MIRAGE_LOG_ERROR && level <= MIRAGE_LOG_DEBUG);
  assert_non_null(subsystem);
  ++count->messages;
  snprintf(count->last, sizeof count->last, "%s", message);
}

/* The model's sampling default becomes nonsense, which costs a warning. */
static void the_log_goes_to_the_runtimes_callback(void** state) {
  tiny_model file = tiny_model_make();
  mirage_runtime_options options;
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  mirage_model_options loading;
  log_count count = {0, ""};
  const char* key = "general.sampling.temp";
  size_t at;
  (void)state;
  for (at = 0; memcmp(file.data + at, key, strlen(key)) != 0; ++at) assert_true(at < file.bytes);
  memset(file.data + at + strlen(key) + sizeof(uint32_t), 0xFF, sizeof(float)); /* not a number */
  mirage_runtime_options_init(&options, sizeof options);
  options.log_callback = count_log;
  options.log_user_data = &count;
  assert_ok(mirage_runtime_open(&options, &runtime, &last_error));
  mirage_model_options_init(&loading, sizeof loading);
  loading.load = MIRAGE_LOAD_VOCABULARY;
  assert_ok(mirage_model_open_memory(runtime, file.data, file.bytes, NULL, NULL, &loading, &model,
                                     &last_error));
  assert_true(count.messages > 0);
  assert_non_null(strstr(count.last, "general.sampling.temp"));
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  tiny_model_free(&file);
}

/* The model runs, and the contradiction is told. */
static void a_vocabulary_size_that_cannot_be_meant_is_told(void** state) {
  tiny_model file = tiny_model_make();
  mirage_runtime_options options;
  mirage_runtime* runtime = NULL;
  mirage_model* model = NULL;
  log_count count = {0, ""};
  char place[64];
  const char* key = "llama.vocab_size";
  size_t at;
  (void)state;
  for (at = 0; memcmp(file.data + at, key, strlen(key)) != 0; ++at) assert_true(at < file.bytes);
  at += strlen(key) + sizeof(uint32_t);
  file.data[at + 3] = 1; /* 16 million more */
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 1;
  options.log_callback = count_log;
  options.log_user_data = &count;
  assert_ok(mirage_runtime_open(&options, &runtime, &last_error));
  assert_ok(mirage_model_open_memory(runtime, file.data, file.bytes, NULL, NULL, NULL, &model,
                                     &last_error));
  assert_int_equal(count.messages, 1);
  snprintf(place, sizeof place, "memory: byte %zu: key 'llama.vocab_size' is 16777480", at);
  assert_non_null(strstr(count.last, place));
  mirage_model_close(model);
  mirage_runtime_close(runtime);
  tiny_model_free(&file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_callback_gets_every_event_once),
      cmocka_unit_test(events_that_go_to_a_callback_cannot_be_pulled),
      cmocka_unit_test(blocking_calls_in_a_callback_would_deadlock),
      cmocka_unit_test(a_callback_may_close_its_own_generation),
      cmocka_unit_test(close_waits_for_the_callback_that_is_running),
      cmocka_unit_test(a_slow_callback_does_not_hold_up_other_answers),
      cmocka_unit_test(parents_may_be_closed_first),
      cmocka_unit_test(a_callback_may_close_the_last_handles),
      cmocka_unit_test(a_shutdown_ends_the_threads),
      cmocka_unit_test(after_a_shutdown_everything_is_closed),
      cmocka_unit_test(runtimes_do_not_know_each_other),
      cmocka_unit_test(a_forked_child_is_told_and_the_parent_goes_on),
      cmocka_unit_test(a_thread_with_a_small_stack_is_enough),
      cmocka_unit_test(the_log_goes_to_the_runtimes_callback),
      cmocka_unit_test(a_vocabulary_size_that_cannot_be_meant_is_told),
  };
  return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
