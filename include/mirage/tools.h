/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIRAGE_TOOLS_H
#define MIRAGE_TOOLS_H

/* tools.h - what the `mirage` command needs beyond mirage.h: measuring the machine, packing models.
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
 * "isa", "physical_cores", "usable_cpus", "memory_bytes".
 *
 *   json  room for `capacity` bytes, without a terminating NUL; see convention 5.
 *
 * Threads: any. */
MIRAGE_API mirage_status mirage_tools_machine(char* json, size_t capacity, size_t* json_bytes,
                                              mirage_error* error);

/* mirage_tools_bandwidth: reads memory as fast as `threads` threads can and gives the best of
 * several passes over a buffer of 64 to 512 MiB, half of what the process may still take.
 *
 *   gb_s  10^9 bytes per second.
 *
 * Fails with OUT_OF_MEMORY (less than 128 MiB are left).
 * Threads: any; blocks for about a second. */
MIRAGE_API mirage_status mirage_tools_bandwidth(int32_t threads, double* gb_s, mirage_error* error);

/* mirage_tools_tune: measures on weights made up for it with how many threads, and in pieces of
 * which size, this machine computes fastest, and writes that as what `tuning` in
 * mirage_runtime_options takes.
 *
 *   device     as in mirage_runtime_options.
 *   out        its path. The file appears whole, in place of one that was there, or not at all.
 *   progress   NULL: none; milliseconds, on the caller's thread. Non-zero cancels.
 *
 * Means something only while nothing else computes. Fails with UNSUPPORTED (`device`),
 * OUT_OF_MEMORY (less than 128 MiB are left), NOT_FOUND, IO, CANCELLED.
 * Threads: any; blocks for about 20 seconds. */
MIRAGE_API mirage_status mirage_tools_tune(const char* device, const char* out,
                                           mirage_progress_callback progress, void* user_data,
                                           mirage_error* error);

typedef struct mirage_tools_pack_options {
  uint32_t struct_size;
  int32_t threads;   /* 0: one for each core */
  const char* quant; /* "F16", "Q4_0", "Q8_0", "Q4_K" or "Q6_K": what the matrices become, in
                        either case; NULL: every tensor keeps its type */
  mirage_progress_callback
      progress; /* NULL: none; bytes, on the caller's thread. Non-zero cancels */
  void* progress_user_data;
} mirage_tools_pack_options;

/* mirage_tools_pack_options_init: the defaults. Threads: any. */
MIRAGE_API void mirage_tools_pack_options_init(mirage_tools_pack_options* options,
                                               size_t struct_size);

typedef struct mirage_tools_pack_report {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t file_bytes;
  uint64_t padding_bytes; /* of these, what is there for alignment */
  uint64_t regions;
} mirage_tools_pack_report;

/* mirage_tools_pack: writes a model file as a pack: in the layout that kernels read, so that
 * opening it is a map, or one read per region.
 *
 *   in      a model that mirage_model_open opens; of a split one the first file.
 *   out     its new name. It appears whole and read through once, in place of a file that was
 *           there, or not at all, also when the process is killed.
 *   report  may be NULL.
 *
 * With `quant`, rows whose length is no multiple of its block become Q5_0 (for Q4_K), Q8_0 (Q6_K)
 * or F16, and the vocabulary's matrices Q6_K for Q4_0 and Q4_K. Vectors become F32.
 *
 * Fails as opening the model does, with UNSUPPORTED for another `quant` or one that cannot hold a
 * weight, INVALID_ARGUMENT where `out` is a file that is read, or named as one of several, IO,
 * CANCELLED. A report is looked at first.
 * Threads: any; blocks for as long as it takes, with 256 MiB of regions in memory, or one tensor
 * where that is more. */
MIRAGE_API mirage_status mirage_tools_pack(const char* in, const char* out,
                                           const mirage_tools_pack_options* options,
                                           mirage_tools_pack_report* report, mirage_error* error);

#ifdef __cplusplus
}
#endif

#endif /* MIRAGE_TOOLS_H */
