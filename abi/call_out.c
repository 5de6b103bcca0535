/* SPDX-License-Identifier: Apache-2.0 */
#include "abi/call_out.h"

void AbiCallEvent(mirage_event_callback callback, mirage_generation* generation,
                  const mirage_event* event, void* user_data) {
  callback(generation, event, user_data);
}

void AbiCallLog(mirage_log_callback callback, int32_t level, const char* subsystem,
                const char* message, void* user_data) {
  callback(level, subsystem, message, user_data);
}

int32_t AbiCallProgress(mirage_progress_callback callback, uint64_t done_bytes,
                        uint64_t total_bytes, void* user_data) {
  return callback(done_bytes, total_bytes, user_data);
}

void AbiCallRelease(mirage_release_callback callback, const void* data, uint64_t bytes,
                    void* user_data) {
  callback(data, bytes, user_data);
}

void* AbiCallAllocate(const mirage_allocator* allocator, size_t bytes, size_t alignment) {
  return allocator->allocate(bytes, alignment, allocator->user_data);
}

void AbiCallFree(const mirage_allocator* allocator, void* pointer, size_t alignment) {
  allocator->release(pointer, alignment, allocator->user_data);
}
