/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIRAGE_ABI_CALL_OUT_H
#define MIRAGE_ABI_CALL_OUT_H

/* Calls from the library to the application. They are C functions without unwind tables: an
 * exception that leaves an application's callback finds the end of the stack here, so that the
 * application's own std::terminate is called where it was thrown. Further up it would meet our
 * frames, whose C++ runtime, linked into the library, cannot handle the exceptions of another. */

#include <stddef.h>
#include <stdint.h>

#include "mirage/mirage.h"

#ifdef __cplusplus
extern "C" {
#endif

void AbiCallEvent(mirage_event_callback callback, mirage_generation* generation,
                  const mirage_event* event, void* user_data);
void AbiCallLog(mirage_log_callback callback, int32_t level, const char* subsystem,
                const char* message, void* user_data);
int32_t AbiCallProgress(mirage_progress_callback callback, uint64_t done_bytes,
                        uint64_t total_bytes, void* user_data);
void AbiCallRelease(mirage_release_callback callback, const void* data, uint64_t bytes,
                    void* user_data);
void* AbiCallAllocate(const mirage_allocator* allocator, size_t bytes, size_t alignment);
void AbiCallFree(const mirage_allocator* allocator, void* pointer, size_t alignment);

#ifdef __cplusplus
}
#endif

#endif
