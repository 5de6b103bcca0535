/* SPDX-License-Identifier: Apache-2.0 */
/* The application's allocator: in its own program, since it must come before anything else. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>

#include "abi_test.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long live = 0;
static long made = 0;

static void* count_allocate(size_t bytes, size_t alignment, void* user_data) {
  void* pointer = NULL;
  assert_ptr_equal(user_data, &live);
  if (posix_memalign(&pointer, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes) != 0)
    return NULL;
  pthread_mutex_lock(&mutex);
  ++live;
  ++made;
  pthread_mutex_unlock(&mutex);
  return pointer;
}

static void count_release(void* pointer, size_t alignment, void* user_data) {
  (void)alignment;
  (void)user_data;
  pthread_mutex_lock(&mutex);
  --live;
  pthread_mutex_unlock(&mutex);
  free(pointer);
}

static mirage_allocator counting(void) {
  mirage_allocator allocator = {sizeof(mirage_allocator), 0, count_allocate, count_release, NULL};
  allocator.user_data = &live;
  return allocator;
}

static void an_allocator_must_be_whole(void** state) {
  mirage_allocator allocator = counting();
  (void)state;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_set_allocator(NULL, &last_error));
  allocator.release = NULL;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_set_allocator(&allocator, &last_error));
  allocator = counting();
  allocator.struct_size = 8;
  assert_status(MIRAGE_INVALID_ARGUMENT, mirage_set_allocator(&allocator, &last_error));
  allocator = counting();
  allocator.reserved = 1;
  assert_status(MIRAGE_UNSUPPORTED, mirage_set_allocator(&allocator, &last_error));
}

/* Also shows that loading the library allocates nothing: BUSY otherwise. */
static void everything_the_library_allocates_comes_from_it(void** state) {
  mirage_allocator allocator = counting();
  fixture* f = NULL;
  mirage_generation_options options = greedy(4);
  long opened;
  (void)state;
  assert_ok(mirage_set_allocator(&allocator, &last_error));
  assert_int_equal(made, 0);
  assert_int_equal(open_fixture((void**)&f), 0);
  opened = live;
  assert_true(opened > 100);
  append_user(f->session, "hello");
  assert_int_equal(generate(f->session, &options).token_count, 4);
  close_fixture((void**)&f);
  /* What stays is made once for the process. */
  assert_true(live < opened / 4);
}

static void it_cannot_come_later(void** state) {
  mirage_allocator allocator = counting();
  (void)state;
  assert_status(MIRAGE_BUSY, mirage_set_allocator(&allocator, &last_error));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_allocator_must_be_whole),
      cmocka_unit_test(everything_the_library_allocates_comes_from_it),
      cmocka_unit_test(it_cannot_come_later),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
