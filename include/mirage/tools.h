/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIRAGE_TOOLS_H
#define MIRAGE_TOOLS_H

/* tools.h - what the `mirage` command needs beyond mirage.h: measuring the machine.
 *
 * Nothing here is promised: names, meanings and the symbol version MIRAGE_TOOLS may change with any
 * release. Programs that use it say so by defining MIRAGE_TOOLS_UNSTABLE first. The conventions of
 * mirage.h hold. */

#ifndef MIRAGE_TOOLS_UNSTABLE
#error \
    "mirage/tools.h changes with any release: define MIRAGE_TOOLS_UNSTABLE to use it nevertheless"
#endif

#include "mirage/mirage.h"

#ifdef __cplusplus
extern "C" {
#endif

/* mirage_tools_machine: the processor and memory this process runs on, as a JSON object: "cpu",
 * "isa", "physical_cores", "memory_bytes".
 *
 *   json  room for `capacity` bytes, without a terminating NUL; see convention 5.
 *
 * Threads: any. */
MIRAGE_API mirage_status mirage_tools_machine(char* json, size_t capacity, size_t* json_bytes,
                                              mirage_error* error);

/* mirage_tools_bandwidth: reads memory as fast as `threads` threads can and gives the best of
 * several passes over a buffer much larger than the caches.
 *
 *   gb_s  10^9 bytes per second.
 *
 * Fails with OUT_OF_MEMORY.
 * Threads: any; blocks for about a second. */
MIRAGE_API mirage_status mirage_tools_bandwidth(int32_t threads, double* gb_s, mirage_error* error);

#ifdef __cplusplus
}
#endif

#endif /* MIRAGE_TOOLS_H */
