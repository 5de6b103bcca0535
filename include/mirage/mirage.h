/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIRAGE_MIRAGE_H
#define MIRAGE_MIRAGE_H

/* mirage.h - the C interface of libmirage, an embedded engine for large language models.
 *
 * Five objects, each opened from the one before it, an adapter from a model as a session is:
 *
 *   mirage_runtime      threads, the memory limit and the log; usually one per process
 *   mirage_model        a model file: vocabulary, chat template, weights
 *   mirage_adapter      a LoRA adapter of a model, for generations to choose
 *   mirage_session      one conversation, whose keys and values stay in memory between answers
 *   mirage_generation   one answer being written
 *
 * The shortest way to an answer:
 *
 *   mirage_runtime_open(NULL, &runtime, &error);
 *   mirage_model_open(runtime, "model.gguf", NULL, &model, &error);
 *   mirage_session_open(model, NULL, &session, &error);
 *   mirage_session_append_message(session, "user", text, text_bytes, &error);
 *   mirage_generation_start(session, NULL, &generation, &error);
 *   while (mirage_generation_next(generation, -1, &event, &error) == MIRAGE_OK &&
 *          event.kind != MIRAGE_EVENT_DONE)
 *     if (event.kind == MIRAGE_EVENT_TEXT) fwrite(event.text, 1, event.text_bytes, stdout);
 *
 * samples/hello.c is that program in full. Sections below come in the order of need: version,
 * errors, runtime, model, adapter, session, generation, texts, memory, statistics, expert.
 *
 * Conventions, once for all functions:
 *
 * 1. Handles are opaque and closed by whoever opened them. close(NULL) does nothing. Handles may be
 *    closed in any order: an object keeps what it stands on alive. A runtime's threads end when the
 *    last handle that needs them is closed. There is no global set-up or tear-down.
 * 2. A call that can fail returns a mirage_status and takes a mirage_error* last, which may be
 *    NULL. The error belongs to the caller, holds no pointers, and nothing in it is to be freed.
 *    `out` parameters are set on success only, unless said otherwise; one for a handle is NULL
 *    after a call that failed.
 * 3. A struct the caller fills begins with struct_size and is prepared by
 *    mirage_<x>_options_init(&options, sizeof options); pass NULL for all defaults. A struct
 *    smaller than the first release's is INVALID_ARGUMENT. Bytes beyond what the library knows must
 *    be zero, else UNSUPPORTED names their offset: an option is never silently ignored. Reserved
 *    fields must be zero. A struct the library fills needs its struct_size set by the caller; the
 *    library writes the smaller of the two sizes and zeroes the rest; above 4096 bytes is
 *    INVALID_ARGUMENT (an error struct is then left as it is). Fields are only ever added at the
 *    end.
 * 4. Strings are UTF-8. Of bytes that are not, each longest ill-formed part counts as U+FFFD in
 *    messages and prompts, as for other tokenizers; in names, notations and stop strings they are
 *    INVALID_ARGUMENT. Those with a byte count need no terminating NUL and may contain NUL. The
 *    library keeps no pointer of the caller's after a call returns, unless its comment says so.
 * 5. A function that fills a buffer takes its capacity and gives the count needed through a
 *    pointer. With capacity 0 it only counts. A capacity above 0 but too small is INVALID_ARGUMENT;
 *    the count is set and nothing else is written.
 * 6. "Threads: any" means any number at once, on any handles. "Threads: one at a time" means that
 *    calls on the same handle must not overlap. Caller threads do no heavy work: 64 KiB of stack
 *    suffice.
 * 7. Callbacks must not throw or longjmp: there is no way through the library's frames. A C++
 *    program that lets an exception out of one meets its own std::terminate where it was thrown. In
 *    a generation's callback a call that waits for computing returns WOULD_DEADLOCK; cancel,
 * statistics and closing handles are allowed there.
 * 8. After fork() every call in the child that takes a handle returns FORKED, and closing does
 *    nothing. The parent is not disturbed.
 * 9. The library never aborts, exits, prints, changes signal handlers or reads its configuration
 *    from the environment.
 *
 * The header needs C99 or C++11 and a 64-bit Linux. Before 1.0 a minor release may change the ABI;
 * the change log says so, and the number of mirage_abi_version() tells. */

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MIRAGE_API __attribute__((visibility("default")))
#else
#define MIRAGE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ================================================================================================
 * Version
 * ============================================================================================= */

#define MIRAGE_VERSION_MAJOR 0
#define MIRAGE_VERSION_MINOR 1
#define MIRAGE_VERSION_PATCH 0

/* The ABI this header describes: 1000 * major + minor. A program runs with a library of the same
 * major and of the same or a later minor number; before 1.0 of exactly the same number. */
#define MIRAGE_ABI_VERSION 1u

/* mirage_abi_version: the MIRAGE_ABI_VERSION the loaded library was built with.
 * Threads: any. Since 0.1. */
MIRAGE_API uint32_t mirage_abi_version(void);

/* mirage_version_string: "0.1.0"; lives as long as the library is loaded.
 * Threads: any. Since 0.1. */
MIRAGE_API const char* mirage_version_string(void);

/* mirage_has_feature: 1 when this build can do what `name` says, else 0; also for names it does not
 * know. Names: "gguf", "split-files", "chat-template", "external-sampler", "logprobs", "score",
 * "plan", "memory-limit", "allocator", "saved-sessions", "fork", "prefix-sharing", "draft-tokens",
 * "draft-model", "grammar-check", "grammar", "trace", "samples", "overflow", "echo",
 * "prompt-logprobs", "tool-calls", "embed", "score-choices", "classify", "lora", "infill",
 * "pack", "policy".
 * Threads: any. Since 0.1. */
MIRAGE_API int32_t mirage_has_feature(const char* name);

/* ================================================================================================
 * Errors
 * ============================================================================================= */

/* Numbers are pinned forever. New ones may appear: treat one you do not know as a failure. */
typedef int32_t mirage_status;
enum {
  MIRAGE_OK = 0,
  MIRAGE_INVALID_ARGUMENT = 10, /* the caller's mistake: a pointer, an option, a range */
  MIRAGE_UNSUPPORTED = 11,      /* well-formed, but this build does not do it */
  MIRAGE_NOT_FOUND = 20,        /* no such file, key or index */
  MIRAGE_IO = 21,               /* the operating system refused or failed */
  MIRAGE_CORRUPT = 22,          /* a file whose bytes cannot be right */
  MIRAGE_REFUSED = 23,          /* the input's own refusal: a template's raise_exception */
  MIRAGE_OUT_OF_MEMORY = 30,    /* the limit or the machine; see needed_bytes, available_bytes */
  MIRAGE_CONTEXT_FULL = 31,     /* the session cannot hold that many tokens */
  MIRAGE_CANCELLED = 40,        /* a progress callback asked for it */
  MIRAGE_TIMEOUT = 41,          /* the time given to a wait passed */
  MIRAGE_DEADLINE = 42,         /* the deadline of the work itself passed */
  MIRAGE_BUSY = 43,             /* a generation is running on the session */
  MIRAGE_CLOSED = 44,           /* the runtime was shut down */
  MIRAGE_WOULD_DEADLOCK = 45,   /* a blocking call from inside a callback */
  MIRAGE_FORKED = 46,           /* the handle belongs to the parent process */
  MIRAGE_DEVICE = 50,           /* an accelerator failed */
  MIRAGE_INTERNAL = 90          /* a defect of the library: please report it */
};

/* What went wrong, in the caller's memory. A call that succeeds leaves status MIRAGE_OK and an
 * empty message. A call given a struct_size below 32 leaves the struct alone. */
typedef struct mirage_error {
  uint32_t struct_size; /* sizeof(mirage_error) */
  mirage_status status;
  uint64_t needed_bytes;    /* OUT_OF_MEMORY under the memory limit: the least limit that would
                               do, with all there is now; else 0 */
  uint64_t available_bytes; /* with it: the limit there is */
  uint64_t reserved[3];
  char message[464]; /* UTF-8, NUL-terminated; names the thing and the number; of one that is
                        longer the beginning and the end */
} mirage_error;

/* mirage_error error = MIRAGE_ERROR_INIT; */
#define MIRAGE_ERROR_INIT                                             \
  {                                                                   \
    (uint32_t)sizeof(mirage_error), MIRAGE_OK, 0, 0, {0, 0, 0}, { 0 } \
  }

/* mirage_status_name: "OUT_OF_MEMORY" for MIRAGE_OUT_OF_MEMORY; "UNKNOWN" for a number it does not
 * know. Never NULL; lives as long as the library is loaded.
 * Threads: any. Since 0.1. */
MIRAGE_API const char* mirage_status_name(mirage_status status);

/* ================================================================================================
 * Runtime
 * ============================================================================================= */

typedef struct mirage_runtime mirage_runtime;
typedef struct mirage_model mirage_model;
typedef struct mirage_adapter mirage_adapter;
typedef struct mirage_session mirage_session;
typedef struct mirage_generation mirage_generation;

enum { MIRAGE_LOG_ERROR = 1, MIRAGE_LOG_WARNING = 2, MIRAGE_LOG_INFO = 3, MIRAGE_LOG_DEBUG = 4 };

/* Called from any of the runtime's threads, one call at a time; must not call into the library.
 * `subsystem` and `message` are NUL-terminated and die with the call. */
typedef void (*mirage_log_callback)(int32_t level, const char* subsystem, const char* message,
                                    void* user_data);

typedef struct mirage_runtime_options {
  uint32_t struct_size;
  int32_t threads; /* that compute; 0: as `tuning` says, else one per physical core the process
                      may use */
  uint64_t memory_limit; /* bytes the library may hold, a hard limit; 0: what the process's
                            control group allows, else 80% of the memory available */
  const char* device; /* NULL or "cpu": the fastest kernels this processor runs; "cpu:NAME": those
                         of one instruction set, "generic", "avx2", "avx512vnni" or "amx" on
                         x86-64, "generic", "neon", "dotprod" or "i8mm" on aarch64. "amx" has
                         been tested by emulation only, never on a processor, so "cpu" never
                         means it; it asks the system for tile state for the whole process, with
                         which alternate signal stacks must be larger. Anything else, or what
                         this machine does not run, is UNSUPPORTED */
  mirage_log_callback log_callback; /* NULL: silent */
  void* log_user_data;              /* kept until the runtime's last handle is closed */
  int32_t log_level;                /* most detail wanted, MIRAGE_LOG_x */
  uint32_t reserved;
  int32_t max_generations; /* computed at once, each sample as one; the others wait for their turn.
                              0: as many as there are */
  uint32_t reserved2;
  const char* policy;      /* what gives way when keys and values want more memory than is free and
                              nothing is left that is only kept to be found again.
                              "recompute": a generation that came later, to be computed again.
                              "remap": weights, which are then read from the file in every step
                              until there is room for them again. "swap": a generation that came
                              later, whose keys and values are written to scratch_dir and read
                              back. "queue": nothing, a generation starts when the most that it may
                              come to hold fits. "static-offload": as "recompute", with
                              offload_bytes of each model's weights read in every step from the
                              start. "hybrid" or NULL: the cheapest of lending weights, computing
                              again, with a scratch_dir writing, and waiting. The tokens are the
                              same under all of them */
  const char* scratch_dir; /* a folder for a file without a name in which keys and values lie for a
                              while, past the system's cache; it goes with the runtime. NULL:
                              nothing is ever written. "swap" needs one, "hybrid" uses it, with
                              others it is an error */
  uint64_t scratch_bytes;  /* of that file, taken when the runtime is opened; what does not fit is
                              computed again. 0: 1 GiB */
  uint64_t offload_bytes;  /* with "static-offload", an error else: of each model's weights those
                              that are not kept even where there is memory for them, chosen evenly
                              over its layers when it is loaded and the same from then on; the slots
                              that they are read into are not freed. 0: those alone that do not fit
                              beside the keys and values that the model's options plan for */
  const char* tuning; /* path of a file that `mirage tune` wrote: how many threads compute, where
                         `threads` is 0, and how their work is cut, as measured on this
                         machine. No answer depends on it. One of another processor, of other
                         kernels than `device`'s, of another number of processors or of another
                         version is not used, which a warning of the log says with what
                         differs. NULL: none */
} mirage_runtime_options;

/* mirage_runtime_options_init: defaults into the first `struct_size` bytes of `options`.
 * Threads: any. Since 0.1. */
MIRAGE_API void mirage_runtime_options_init(mirage_runtime_options* options, size_t struct_size);

/* mirage_runtime_open: a runtime. Cheap: threads start when they are first needed.
 *
 *   options  NULL for defaults.
 *   out      the runtime; close with mirage_runtime_close().
 *
 * Fails with INVALID_ARGUMENT, UNSUPPORTED (a device this build or machine lacks), NOT_FOUND, IO
 * or CORRUPT (the tuning, naming the key).
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_runtime_open(const mirage_runtime_options* options,
                                             mirage_runtime** out, mirage_error* error);

/* mirage_runtime_shutdown: cancels every generation of the runtime and waits for its threads to
 * end. Calls that load, compute or change something then return CLOSED: opening models and
 * sessions, appending to, truncating and clearing sessions, starting generations, scoring. Closing,
 * statistics and reading go on: what was already produced, a session's tokens, metadata, the
 * tokenizer, the chat template. Shutting down twice is fine.
 *
 * Fails with WOULD_DEADLOCK inside a callback.
 * Threads: any; blocks until the threads have ended. Since 0.1. */
MIRAGE_API mirage_status mirage_runtime_shutdown(mirage_runtime* runtime, mirage_error* error);

/* mirage_runtime_close: gives up the caller's hold on the runtime; models opened from it go on
 * working.
 * Threads: any. The last close waits for the runtime's threads, but not inside a callback. Since
 * 0.1. */
MIRAGE_API void mirage_runtime_close(mirage_runtime* runtime);

/* ================================================================================================
 * Model
 * ============================================================================================= */

/* How much of a model to load. */
enum {
  MIRAGE_LOAD_ALL = 0,
  MIRAGE_LOAD_VOCABULARY = 1, /* no weights: tokenize, detokenize, render */
  MIRAGE_LOAD_METADATA = 2    /* the header alone: metadata, tensor list, plan */
};

/* The type in which a session's keys and values are kept. The quantised ones need little more than
 * a half and a quarter of F16's memory (pages are rounded up to 4 KiB), and change the answers:
 * Q8_0 hardly, Q4_0 to be seen. A saved session keeps them only for a model opened with the same
 * type; for others they are computed again. */
enum { MIRAGE_KV_DEFAULT = 0 /* F16 */, MIRAGE_KV_F16 = 1, MIRAGE_KV_Q8_0 = 2, MIRAGE_KV_Q4_0 = 3 };

/* Called while a model or an adapter loads, with bytes, on a thread of the library or the caller's;
 * and while texts are read, with tokens, on the caller's: once before, and every few milliseconds
 * while it waits. A non-zero return cancels, and the call fails with CANCELLED. Must not call into
 * the library. */
typedef int32_t (*mirage_progress_callback)(uint64_t done, uint64_t total, void* user_data);

typedef struct mirage_model_options {
  uint32_t struct_size;
  int32_t load;     /* MIRAGE_LOAD_x */
  int64_t context;  /* tokens each session may hold; 0: the model's own bound, at most 8192, and
                       less rather than streaming weights. A context given here is honoured by
                       streaming weights */
  int32_t sessions; /* sessions of a full context to plan memory for, at most 4096; 0: one. More
                       may be opened; they then share what was planned */
  int32_t kv_type;  /* MIRAGE_KV_x */
  mirage_progress_callback progress; /* NULL: none */
  void* progress_user_data;
  uint64_t adapter_bytes; /* of memory to keep for LoRA adapters, at most 2^50: a model that takes
                             all of the limit leaves room for no others. Those that need more have
                             what is free. Default 0 */
} mirage_model_options;

/* Threads: any. Since 0.1. */
MIRAGE_API void mirage_model_options_init(mirage_model_options* options, size_t struct_size);

/* mirage_model_open: loads a model from a file.
 *
 *   path     a .gguf file, the first part of a split one, whose other parts lie beside it, or a
 *            pack.
 *   options  NULL for defaults.
 *   out      the model; close with mirage_model_close().
 *
 * Fails with NOT_FOUND, IO, CORRUPT (the message names the tensor or key and the byte), UNSUPPORTED
 * (a format, architecture or type this build lacks), OUT_OF_MEMORY (no arrangement fits the limit),
 * CANCELLED, CLOSED, WOULD_DEADLOCK. A hostile file cannot do worse than that.
 *
 * The file is read for as long as the model is open: rows of the token embedding as they are
 * needed, and weights the limit has no room for. It must stay as it is (replace it by renaming
 * another one over it); one that shrinks or becomes unreadable fails the generations that need it.
 * A pack (mirage pack) whose weights all fit is mapped and read in place: one that shrinks is found
 * before each step, but in the middle of one, or where its device fails, the system ends the
 * process with SIGBUS.
 * Threads: any; blocks until loaded. Since 0.1. */
MIRAGE_API mirage_status mirage_model_open(mirage_runtime* runtime, const char* path,
                                           const mirage_model_options* options, mirage_model** out,
                                           mirage_error* error);

/* mirage_model_open_fd: the same from an open descriptor of a regular file, which is duplicated:
 * the caller closes its own when it likes. The file's position is neither used nor moved. Split
 * files are UNSUPPORTED.
 * Threads: any; blocks until loaded. Since 0.1. */
MIRAGE_API mirage_status mirage_model_open_fd(mirage_runtime* runtime, int32_t fd,
                                              const mirage_model_options* options,
                                              mirage_model** out, mirage_error* error);

/* Called once, from any thread, when the library will not read the memory again. Must not call into
 * the library. */
typedef void (*mirage_release_callback)(const void* data, uint64_t bytes, void* user_data);

/* mirage_model_open_memory: the same from memory, which is borrowed: it must stay as it is until
 * `release` is called. When the call fails, `release` is not called and the memory is the caller's
 * again. `release` may be NULL for memory that outlives the process's use of the library. Split
 * files are UNSUPPORTED.
 * Threads: any; blocks until loaded. Since 0.1. */
MIRAGE_API mirage_status mirage_model_open_memory(mirage_runtime* runtime, const void* data,
                                                  uint64_t bytes, mirage_release_callback release,
                                                  void* release_user_data,
                                                  const mirage_model_options* options,
                                                  mirage_model** out, mirage_error* error);

/* mirage_model_close: gives up the caller's hold on the model; sessions opened from it go on
 * working.
 * Threads: any. Since 0.1. */
MIRAGE_API void mirage_model_close(mirage_model* model);

/* What becomes of the hidden states of a text's tokens: its embedding. */
enum {
  MIRAGE_POOLING_DEFAULT = 0, /* what the model's file says, LAST where it says nothing */
  MIRAGE_POOLING_NONE = 1,    /* all of them, one after the other */
  MIRAGE_POOLING_MEAN = 2,    /* their mean */
  MIRAGE_POOLING_CLS = 3,     /* that of the first token */
  MIRAGE_POOLING_LAST = 4     /* that of the last token */
};

/* What a model is. Strings live until the model is closed; -1 where the model has no such token. */
typedef struct mirage_model_info {
  uint32_t struct_size;
  int32_t load;             /* MIRAGE_LOAD_x it was opened with */
  const char* architecture; /* "llama" */
  const char* name;         /* the model's own; "" when it gives none */
  uint64_t file_bytes;      /* of all parts */
  uint64_t parameters;      /* elements of all tensors */
  uint64_t metadata_count;
  uint64_t tensor_count;
  int64_t trained_context; /* tokens; 0 when the file does not say */
  int64_t context;         /* tokens a session may hold; 0 unless loaded whole */
  int32_t vocabulary;      /* tokens; 0 when opened for metadata */
  int32_t layers;
  int32_t bos_token;
  int32_t eos_token;
  int32_t adds_bos;          /* 1: a text from the start begins with bos_token */
  int32_t has_chat_template; /* 1: conversations can be rendered */
  int32_t answer_format;     /* MIRAGE_ANSWER_x that AUTO stands for; 0 when opened for metadata */
  int32_t marks_reasoning;   /* 1: it is told apart in answers */
  int32_t embedding;         /* values of a hidden state; 0 when the file does not say */
  int32_t pooling; /* MIRAGE_POOLING_x that the file asks for (ARCHITECTURE.pooling_type); DEFAULT
                      where it says nothing, or something else */
  int32_t classes; /* that mirage_classify() tells apart; 0: none, or unless loaded whole */
  int32_t reserved;
} mirage_model_info;

/* Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_model_get_info(const mirage_model* model, mirage_model_info* info,
                                               mirage_error* error);

/* The types of metadata values. */
enum {
  MIRAGE_VALUE_UINT = 1,
  MIRAGE_VALUE_INT = 2,
  MIRAGE_VALUE_FLOAT = 3,
  MIRAGE_VALUE_BOOL = 4,
  MIRAGE_VALUE_STRING = 5,
  MIRAGE_VALUE_ARRAY = 6
};

/* A metadata key and its value. `key` lives until the model is closed. */
typedef struct mirage_metadata {
  uint32_t struct_size;
  int32_t type;    /* MIRAGE_VALUE_x: says which of the fields below holds the value */
  const char* key; /* also NUL-terminated */
  size_t key_bytes;
  uint64_t u;           /* UINT, BOOL (0 or 1) */
  int64_t i;            /* INT */
  double f;             /* FLOAT */
  uint64_t count;       /* ARRAY: elements */
  int32_t element_type; /* ARRAY: MIRAGE_VALUE_x */
  uint32_t reserved;
} mirage_metadata;

/* mirage_model_get_metadata: the key and value at `index`, below metadata_count, in the file's
 * order.
 * Fails with NOT_FOUND past the end.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_model_get_metadata(const mirage_model* model, uint64_t index,
                                                   mirage_metadata* metadata, mirage_error* error);

/* mirage_model_find_metadata: the value of `key`, NUL-terminated.
 * Fails with NOT_FOUND.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_model_find_metadata(const mirage_model* model, const char* key,
                                                    mirage_metadata* metadata, mirage_error* error);

/* mirage_model_read_metadata: the value of `key` as text: a STRING as it is, anything else as JSON.
 * Bytes that are not UTF-8 become U+FFFD in JSON.
 *
 *   text  room for `capacity` bytes; see convention 5. No terminating NUL.
 *
 * Fails with NOT_FOUND, IO (a long value is read from the file again).
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_model_read_metadata(const mirage_model* model, const char* key,
                                                    char* text, size_t capacity, size_t* text_bytes,
                                                    mirage_error* error);

/* How this build computes with a tensor of some type. */
enum {
  MIRAGE_KERNEL_NONE = 0, /* not at all: such a model does not load */
  MIRAGE_KERNEL_SLOW = 1, /* correctly, without a fast kernel */
  MIRAGE_KERNEL_FAST = 2
};

/* A tensor of the file. Strings live until the model is closed. */
typedef struct mirage_tensor {
  uint32_t struct_size;
  int32_t dimensions; /* 1 to 4 */
  const char* name;   /* NUL-terminated */
  const char* type;   /* "Q8_0" */
  uint64_t shape[4];  /* elements; shape[0] is contiguous, those past `dimensions` are 1 */
  uint64_t bytes;     /* in the file */
  uint64_t offset;    /* bytes from the start of the file that holds it; of a pack's matrices, which
                         lie in parts and in another order, where the first part begins */
  uint32_t file;      /* which part of a split file, from 0 */
  int32_t kernel;     /* MIRAGE_KERNEL_x */
} mirage_tensor;

/* mirage_model_get_tensor: the tensor at `index`, below tensor_count, in the file's order.
 * Fails with NOT_FOUND past the end.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_model_get_tensor(const mirage_model* model, uint64_t index,
                                                 mirage_tensor* tensor, mirage_error* error);

/* ------------------------------------------------------------------------------------------------
 * Text and tokens. These need the vocabulary: a model opened with LOAD_METADATA gives
 * INVALID_ARGUMENT.
 * --------------------------------------------------------------------------------------------- */

enum {
  MIRAGE_TOKENIZE_ADD_SPECIAL = 1,  /* begin and end tokens as the model's own rule says */
  MIRAGE_TOKENIZE_PARSE_SPECIAL = 2 /* control tokens spelled in the text become those tokens.
                                       Leave it out for text that users wrote */
};

/* mirage_tokenize: text to tokens.
 *
 *   flags   MIRAGE_TOKENIZE_x, or'ed.
 *   tokens  room for `capacity` tokens; see convention 5.
 *
 * Fails with INVALID_ARGUMENT, OUT_OF_MEMORY.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_tokenize(const mirage_model* model, const char* text,
                                         size_t text_bytes, uint32_t flags, int32_t* tokens,
                                         size_t capacity, size_t* count, mirage_error* error);

enum { MIRAGE_DETOKENIZE_SPECIAL = 1 /* control tokens are spelled out instead of left out */ };

/* mirage_detokenize: tokens to text, without a terminating NUL. Bytes that are not UTF-8 become
 * U+FFFD.
 *
 * Fails with INVALID_ARGUMENT (a token outside of the vocabulary).
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_detokenize(const mirage_model* model, const int32_t* tokens,
                                           size_t count, uint32_t flags, char* text,
                                           size_t capacity, size_t* text_bytes,
                                           mirage_error* error);

typedef struct mirage_render_options {
  uint32_t struct_size;
  uint32_t reserved;
  const char* chat_template; /* NULL: the model's own */
  size_t chat_template_bytes;
  int64_t now; /* seconds since 1970 that a template asking for the time sees, in UTC; INT64_MIN:
                  the clock */
} mirage_render_options;

/* Threads: any. Since 0.1. */
MIRAGE_API void mirage_render_options_init(mirage_render_options* options, size_t struct_size);

/* mirage_render: a conversation to the text a chat template makes of it.
 *
 *   model         NULL when options->chat_template is given.
 *   conversation  JSON: {"messages": [{"role": "user", "content": "Hi"}, ...], "tools": [...],
 *                 "documents": [...], "add_generation_prompt": true, "bos_token": "...",
 *                 "eos_token": "...", "vars": {...}}; all but messages may be missing. The tokens
 *                 default to the model's.
 *   text          room for `capacity` bytes; see convention 5. No terminating NUL.
 *
 * Fails with INVALID_ARGUMENT (JSON, template syntax: the message gives the line), REFUSED (the
 * template's raise_exception), UNSUPPORTED.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_render(const mirage_model* model,
                                       const mirage_render_options* options,
                                       const char* conversation, size_t conversation_bytes,
                                       char* text, size_t capacity, size_t* text_bytes,
                                       mirage_error* error);

/* How models write calls of tools and reasoning into their answers. */
enum {
  MIRAGE_ANSWER_AUTO = 0,     /* as the words in the model's chat template and its control tokens
                                 tell: one of those below */
  MIRAGE_ANSWER_PLAIN = 1,    /* all is content */
  MIRAGE_ANSWER_HERMES = 2,   /* <tool_call>{"name": "f", "arguments": {}}</tool_call>: Hermes, Qwen
                                 2.5 and 3; also within <TOOLCALL> and after <|tool_call|> */
  MIRAGE_ANSWER_QWEN_XML = 3, /* <function=f><parameter=p>value</parameter></function>:
                                 Qwen3-Coder, Qwen 3.5, Seed-OSS */
  MIRAGE_ANSWER_LLAMA3 = 4,  /* {"name": "f", "parameters": {}}, <|python_tag|>: Llama 3.1 to 3.3 */
  MIRAGE_ANSWER_MISTRAL = 5, /* [TOOL_CALLS][{...}] and [TOOL_CALLS]f[ARGS]{} */
  MIRAGE_ANSWER_FUNCTIONARY_V3_1 = 6, /* <function=f>{}</function> */
  MIRAGE_ANSWER_FUNCTIONARY_V3_2 = 7, /* >>>f and {} on the next line */
  MIRAGE_ANSWER_DEEPSEEK = 8, /* tool calls begin, tool call begin, tool sep: R1, V3, V3.1 */
  MIRAGE_ANSWER_HARMONY = 9,  /* <|channel|>: gpt-oss */
  MIRAGE_ANSWER_KIMI = 10     /* <|tool_calls_section_begin|>: Kimi K2 */
};

typedef struct mirage_parse_options {
  uint32_t struct_size;
  int32_t answer_format; /* MIRAGE_ANSWER_x. Default AUTO */
  const char* tools;     /* JSON, the tools as the chat template was given them: which names are
                            calls where the format does not tell (LLAMA3, FUNCTIONARY_V3_2), and
                            which arguments are strings (QWEN_XML). NULL: any */
  size_t tools_bytes;
  int32_t in_reasoning; /* 1: the prompt ended with the tag that opens reasoning */
  uint32_t reserved;
  uint64_t id_seed; /* what the ids depend on that calls are given which come without one: give each
                       text of a conversation another. Default 0 */
} mirage_parse_options;

/* Threads: any. Since 0.1. */
MIRAGE_API void mirage_parse_options_init(mirage_parse_options* options, size_t struct_size);

/* mirage_parse_answer: an answer's text, with its control tokens spelled out
 * (MIRAGE_DETOKENIZE_SPECIAL), as a message of a conversation:
 *
 *   {"role": "assistant", "content": "...", "reasoning_content": "...", "tool_calls": [{"id":
 * "...", "type": "function", "function": {"name": "f", "arguments": {...}}}]}
 *
 * reasoning_content and tool_calls are there when there are any. Arguments are a JSON object,
 * spelled as the model spelled it but for control characters in its strings, which are escaped.
 * Code, which some formats have instead, is a call of "python" with the argument "code"; where a
 * format marks no end of it, it ends with the text, which is taken for one that the model ended
 * itself. A call's id is the one that the text gives, if that is one to 64 of the characters
 * A-Za-z0-9_.:- (MISTRAL: nine letters and digits), or else nine letters and digits made for it.
 *
 * Nothing that was written is left out but tags, white space next to them, the control token that
 * ends the turn (with a model one of the model's, whatever the format; else one of the format's),
 * and what a call's object holds besides. What looks like a call and is none is content: arguments
 * that are no object, integers of more than 64 bits, nesting of more than 48, more than 1 MiB, a
 * call without its end.
 * Reasoning begins where no content has come yet, or after a call; within it there are no calls.
 *
 *   model    for AUTO, and for the tags of reasoning; else it may be NULL.
 *   options  NULL for defaults.
 *   message  room for `capacity` bytes; see convention 5. No terminating NUL.
 *
 * Fails with INVALID_ARGUMENT (AUTO without a model; tools that are no JSON array of tools, are
 * nested more than 48 deep or have more than 1 MiB; in_reasoning where the format marks none),
 * UNSUPPORTED (an answer_format it does not know).
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_parse_answer(const mirage_model* model,
                                             const mirage_parse_options* options, const char* text,
                                             size_t text_bytes, char* message, size_t capacity,
                                             size_t* message_bytes, mirage_error* error);

/* Notations of a grammar: of which texts are allowed. */
enum {
  MIRAGE_GRAMMAR_GBNF = 1,        /* llama.cpp's notation; the text begins with the rule root */
  MIRAGE_GRAMMAR_JSON_SCHEMA = 2, /* JSON that is valid by a schema of draft 2020-12 */
  MIRAGE_GRAMMAR_REGEX = 3        /* the whole text matches */
};

/* mirage_grammar_check: whether a text is one that a grammar allows.
 *
 *   kind      MIRAGE_GRAMMAR_x.
 *   grammar   in that notation.
 *   accepted  1: the whole text is allowed; 0: it is not.
 *   position  the byte of the text that is not allowed where it stands; text_bytes when none is,
 *             but the text is accepted or ends too early.
 *
 * Fails with INVALID_ARGUMENT (the grammar: the message says where), UNSUPPORTED (the kind, what
 * the notation has but this build does not, a grammar that is too large, a text that is nested too
 * deep).
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_grammar_check(int32_t kind, const char* grammar,
                                              size_t grammar_bytes, const char* text,
                                              size_t text_bytes, int32_t* accepted,
                                              size_t* position, mirage_error* error);

/* ================================================================================================
 * Adapter
 *
 * A LoRA adapter adds an update of low rank to some of a model's matrices. A model may have any
 * number of them loaded; each generation chooses the ones it is computed with, and generations with
 * unlike ones are computed together. They may be loaded and closed at any time.
 * ============================================================================================= */

typedef struct mirage_adapter_options {
  uint32_t struct_size;
  uint32_t reserved;
  mirage_progress_callback progress; /* NULL: none; as for a model */
  void* progress_user_data;
} mirage_adapter_options;

/* Threads: any. Since 0.1. */
MIRAGE_API void mirage_adapter_options_init(mirage_adapter_options* options, size_t struct_size);

/* mirage_adapter_load: loads a LoRA adapter of a model from a file.
 *
 *   model    opened with its weights.
 *   path     a .gguf file as llama.cpp's convert_lora_to_gguf.py writes it: general.type "adapter",
 *            adapter.type "lora", tensors named as the model's with .lora_a and .lora_b behind. It
 *            is not needed after the call. Of F32, F16 and BF16 what the file holds is kept, other
 *            types are widened to F32.
 *   options  NULL for defaults.
 *   out      the adapter; close with mirage_adapter_close().
 *
 * Fails with NOT_FOUND, IO, CORRUPT, INVALID_ARGUMENT (a file that is no adapter; one of another
 * model: its architecture, a tensor's name or shape), UNSUPPORTED (what this build does not apply:
 * updates of the token embedding and of norms, adapters that begin at invocation tokens, ranks
 * above 4096), OUT_OF_MEMORY, CANCELLED, CLOSED, WOULD_DEADLOCK. The message names the file, the
 * tensor or key, and the byte. A hostile file cannot do worse than that. Threads: any; blocks until
 * loaded. Since 0.1. */
MIRAGE_API mirage_status mirage_adapter_load(mirage_model* model, const char* path,
                                             const mirage_adapter_options* options,
                                             mirage_adapter** out, mirage_error* error);

/* mirage_adapter_load_memory: the same from memory, which is not used after the call.
 * Threads: any; blocks until loaded. Since 0.1. */
MIRAGE_API mirage_status mirage_adapter_load_memory(mirage_model* model, const void* data,
                                                    uint64_t bytes,
                                                    const mirage_adapter_options* options,
                                                    mirage_adapter** out, mirage_error* error);

/* mirage_adapter_close: gives up the caller's hold on the adapter. Generations that were started
 * with it go on; its memory is given back when the last of them has ended.
 * Threads: any. Since 0.1. */
MIRAGE_API void mirage_adapter_close(mirage_adapter* adapter);

/* What an adapter is. */
typedef struct mirage_adapter_info {
  uint32_t struct_size;
  int32_t rank;     /* the largest of its matrices' */
  const char* name; /* the file's own; "" when it gives none. Lives until the adapter is closed */
  float alpha;      /* each update is scaled by alpha / rank; 0: by 1 */
  int32_t matrices; /* of the model that it changes; parts of one tensor count as one each */
  uint64_t bytes;   /* of memory it holds */
} mirage_adapter_info;

/* Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_adapter_get_info(const mirage_adapter* adapter,
                                                 mirage_adapter_info* info, mirage_error* error);

/* ================================================================================================
 * Session
 *
 * A session holds either a conversation (messages, rendered by the model's chat template) or plain
 * tokens. The first append decides; mirage_session_clear() undoes that. What is appended waits
 * until the next generation computes it. A conversation is rendered anew for each answer, and what
 * it shares with the tokens computed before is not computed again.
 *
 * While a generation runs, every call but statistics, fork and close returns BUSY. It runs until
 * its DONE event is available.
 *
 * Sessions of a model share what they compute: a prompt that begins like an earlier one, of
 * whatever session, open or closed, finds that beginning's keys and values if they are still there,
 * and the answer is the same to the bit. They are given up when memory is wanted. What was computed
 * with adapters is found with the same adapters at the same scales alone.
 * ============================================================================================= */

/* What becomes of tokens for which the context has no room. Nothing is dropped unless it is asked
 * for here, and the generation's statistics count what was.
 *
 * ERROR: a prompt that leaves no room for an answer fails with CONTEXT_FULL, and an answer that
 * fills the context ends with FINISH_LENGTH.
 *
 * TRUNCATE_MIDDLE: a prompt that leaves too little room is made shorter. Of a conversation the
 * oldest messages after the system message are left out, up to one of a user's, as few as will do;
 * the session keeps them, and each generation leaves out what it must. Where that does not do, and
 * of plain tokens, tokens after the first keep_tokens are dropped, as few as will do. Room enough
 * is max_tokens, 256 when that is -1, and in any case half of the context. Answers as with ERROR.
 *
 * SHIFT: an answer that fills the context goes on: the older half of the tokens after the first
 * keep_tokens is dropped and what is left is computed again, so that what follows is what follows
 * these tokens in a session that never held others. Penalties, DRY and banned_sequences look back
 * no further than what is left; a grammar, stop strings, min_tokens and max_tokens go on as if
 * nothing had happened. With max_tokens -1 only an end or stop token, a stop string, the deadline
 * or a cancel ends the answer, maybe never. Prompts are made shorter as with TRUNCATE_MIDDLE, but
 * in portions of half of the context without the first keep_tokens, so that the next ones find
 * computed what was left; for them 256 tokens or a quarter of the context is room enough.
 *
 * Plain tokens that were dropped are gone from the session, unless the generation is rolled back or
 * fails: then it holds what it held. */
enum { MIRAGE_OVERFLOW_ERROR = 0, MIRAGE_OVERFLOW_SHIFT = 1, MIRAGE_OVERFLOW_TRUNCATE_MIDDLE = 2 };

typedef struct mirage_session_options {
  uint32_t struct_size;
  uint32_t reserved;
  int64_t context;        /* tokens it may hold; 0: as much as the model was opened for */
  const char* cache_salt; /* sessions of unlike salts share nothing, so that from the time an answer
                             takes no tenant learns what another one asked. NULL: the common salt,
                             which is empty */
  size_t cache_salt_bytes; /* at most 1024 */
  int32_t private_cache;   /* 1: finds nothing of others and leaves nothing to be found */
  uint32_t reserved2;
  int32_t overflow; /* MIRAGE_OVERFLOW_x. Default ERROR */
  uint32_t reserved3;
  int64_t keep_tokens; /* first tokens that are never dropped, fewer than half of the context; only
                          with an `overflow` that drops. -1, the default: of a conversation the
                          rendering of the system messages it begins with, at most half of the
                          context; else 4, on which models that attend to their first tokens
                          whatever these are depend */
} mirage_session_options;

/* Threads: any. Since 0.1. */
MIRAGE_API void mirage_session_options_init(mirage_session_options* options, size_t struct_size);

/* mirage_session_open: an empty session. Memory for keys and values is taken as tokens come, not
 * here.
 *
 * Fails with INVALID_ARGUMENT (a context above the model's; a model without weights; keep_tokens
 * out of its range), UNSUPPORTED (an `overflow` this build does not know), CLOSED, OUT_OF_MEMORY.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_session_open(mirage_model* model,
                                             const mirage_session_options* options,
                                             mirage_session** out, mirage_error* error);

/* mirage_session_close: gives up the caller's hold on the session. A generation still open on it
 * goes on.
 * Threads: any. Since 0.1. */
MIRAGE_API void mirage_session_close(mirage_session* session);

/* mirage_session_fork: another session that holds what this one holds, shares its keys and values
 * until one of them goes another way, and has its options. Of a running generation it holds the
 * tokens computed so far, which may be more than were read; a conversation's running answer is not
 * a message yet. Both go on independently.
 *
 *   out  the new session; close with mirage_session_close().
 *
 * Fails with CLOSED, OUT_OF_MEMORY.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_fork(mirage_session* session, mirage_session** out,
                                             mirage_error* error);

/* mirage_session_append_message: adds a message to the conversation.
 *
 *   role     NUL-terminated; "system", "user", "assistant", "tool", or what the template knows.
 *   content  plain text; control tokens spelled in it stay text.
 *
 * Fails with INVALID_ARGUMENT (the session holds tokens), UNSUPPORTED (the model has no chat
 * template), OUT_OF_MEMORY, BUSY.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_append_message(mirage_session* session, const char* role,
                                                       const char* content, size_t content_bytes,
                                                       mirage_error* error);

/* mirage_session_append_tool_result: adds what a tool gave for a call, as a message of the role
 * "tool" with tool_call_id, name and content.
 *
 *   call_id, name  NUL-terminated; those of the call (MIRAGE_EVENT_TOOL_CALL).
 *   content        plain text, or JSON as text; control tokens spelled in it stay text.
 *
 * Fails as mirage_session_append_message() does.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_append_tool_result(mirage_session* session,
                                                           const char* call_id, const char* name,
                                                           const char* content,
                                                           size_t content_bytes,
                                                           mirage_error* error);

/* mirage_session_append_conversation: adds messages with everything a template may use, as JSON:
 * {"messages": [...], "tools": [...], "documents": [...], "vars": {...}}. All but messages replace
 * those given before. An assistant's message may hold "reasoning_content" and "tool_calls" with
 * arguments as an object or as the same in a string, and then no content: the template is shown
 * them in the form that it takes.
 *
 * Fails as mirage_session_append_message() does, and with INVALID_ARGUMENT for other JSON and for
 * tools of more than 1 MiB.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_append_conversation(mirage_session* session,
                                                            const char* json, size_t json_bytes,
                                                            mirage_error* error);

/* mirage_session_append_text: adds text, tokenized as `flags` (MIRAGE_TOKENIZE_x) say. Begin and
 * end tokens are added to an empty session only.
 *
 * Fails with INVALID_ARGUMENT (the session holds a conversation), CONTEXT_FULL (with
 * MIRAGE_OVERFLOW_ERROR), OUT_OF_MEMORY, BUSY.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_append_text(mirage_session* session, const char* text,
                                                    size_t text_bytes, uint32_t flags,
                                                    mirage_error* error);

/* mirage_session_append_infill: adds a prompt whose answer stands between two texts (fill in the
 * middle), made with the tokens that the model was trained on for it:
 *
 *   begin token, context, <prefix>, prefix, <suffix>, suffix, <middle>
 *
 *   prefix, suffix  plain text before and after what the model is to write; either may be empty.
 *   context         plain text before both, such as other files of a project; NULL for none. A
 *                   context with control tokens is appended before, by
 *                   mirage_session_append_text().
 *
 * Control tokens spelled in the texts stay text. The begin token is added to an empty session only,
 * where the model's texts have one. The answer ends by itself where it fits.
 *
 * Whatever the session's overflow, nothing is dropped while it holds such a prompt, which means
 * nothing in part: one that leaves no room for an answer fails with CONTEXT_FULL, here or in
 * mirage_generation_start(), and an answer that fills the context ends with FINISH_LENGTH.
 *
 * Fails with UNSUPPORTED (the model has no such tokens; the message names the one that is lacking
 * and its key), INVALID_ARGUMENT (the session holds a conversation), CONTEXT_FULL, OUT_OF_MEMORY,
 * BUSY.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_append_infill(mirage_session* session, const char* prefix,
                                                      size_t prefix_bytes, const char* suffix,
                                                      size_t suffix_bytes, const char* context,
                                                      size_t context_bytes, mirage_error* error);

/* mirage_session_append_tokens: adds tokens.
 *
 * Fails with INVALID_ARGUMENT (a token outside of the vocabulary; the session holds a
 * conversation), CONTEXT_FULL (with MIRAGE_OVERFLOW_ERROR), OUT_OF_MEMORY, BUSY.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_append_tokens(mirage_session* session,
                                                      const int32_t* tokens, size_t count,
                                                      mirage_error* error);

/* mirage_session_get_tokens: the session's tokens: those computed, then those waiting. For a
 * conversation, the tokens of its last rendering and answer; messages appended since are not among
 * them. Without those that were dropped (MIRAGE_OVERFLOW_x).
 *
 *   tokens  room for `capacity` tokens; see convention 5.
 *
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_get_tokens(mirage_session* session, int32_t* tokens,
                                                   size_t capacity, size_t* count,
                                                   mirage_error* error);

/* mirage_session_truncate: keeps the first `count` messages of a conversation, or else the first
 * `count` tokens. What is kept need not be computed again.
 *
 * Fails with INVALID_ARGUMENT (it holds fewer), BUSY.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_truncate(mirage_session* session, uint64_t count,
                                                 mirage_error* error);

/* mirage_session_save: writes the session to a file: conversation or tokens, what waits, and the
 * keys and values that are in memory. The file replaces one of that name only when it is whole; its
 * owner alone may read it. It may be as large as the keys and values.
 *
 * Fails with BUSY, NOT_FOUND (no such folder), UNSUPPORTED (the path is not a file), IO.
 * Threads: one at a time; blocks until written. Since 0.1. */
MIRAGE_API mirage_status mirage_session_save(mirage_session* session, const char* path,
                                             mirage_error* error);

/* mirage_session_save_memory: the same bytes to memory.
 *
 *   data  room for `capacity` bytes; see convention 5.
 *
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_save_memory(mirage_session* session, void* data,
                                                    uint64_t capacity, uint64_t* bytes,
                                                    mirage_error* error);

/* mirage_session_restore: a new session as it was when it was saved, by any process, with the same
 * model file. It goes on without computing what was saved, unless memory is short or a later
 * version keeps keys and values otherwise: then they are computed again, and the answers are the
 * same. Keys and values computed with adapters are taken up by a generation with the same ones,
 * loaded from equal files, at the same scales; any other computes its own.
 *
 *   options  as for mirage_session_open(); the saved tokens must fit the context.
 *   out      the session; close with mirage_session_close().
 *
 * Fails with NOT_FOUND, IO, CORRUPT (damaged or not a saved session), UNSUPPORTED (of a later
 * version), INVALID_ARGUMENT (saved with another model), CONTEXT_FULL, CLOSED, OUT_OF_MEMORY. Any
 * damage is found before anything is used.
 * Threads: any; blocks until read. Since 0.1. */
MIRAGE_API mirage_status mirage_session_restore(mirage_model* model, const char* path,
                                                const mirage_session_options* options,
                                                mirage_session** out, mirage_error* error);

/* mirage_session_restore_memory: the same from memory, which is not used after the call.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_session_restore_memory(mirage_model* model, const void* data,
                                                       uint64_t bytes,
                                                       const mirage_session_options* options,
                                                       mirage_session** out, mirage_error* error);

/* mirage_session_clear: as if just opened.
 * Fails with BUSY.
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_session_clear(mirage_session* session, mirage_error* error);

/* ================================================================================================
 * Generation
 *
 * A generation is computed by the runtime's own threads. Its events wait in a bounded queue until
 * they are read; a full queue pauses this generation alone. There are three ways to read them: wait
 * in mirage_generation_next(); watch a descriptor and call it when that is readable; or give a
 * callback.
 * ============================================================================================= */

enum {
  MIRAGE_EVENT_NONE = 0,
  MIRAGE_EVENT_TOKENS = 1, /* tokens chosen, with their log probabilities if those were asked for */
  MIRAGE_EVENT_TEXT = 2,   /* text they complete: whole code points, without stop string or end
                              token. Bytes that are none are U+FFFD; one that max_tokens cuts is left
                              out */
  MIRAGE_EVENT_LOGITS = 3, /* MIRAGE_SAMPLER_EXTERNAL: choose, then mirage_generation_accept() */
  MIRAGE_EVENT_DONE = 4,   /* the last event, given again as often as it is asked for */
  MIRAGE_EVENT_SAMPLE_DONE = 5, /* one of several samples has ended; never when there is only one */
  MIRAGE_EVENT_PROMPT = 6, /* tokens of the prompt with their log probabilities, if prompt_logprobs
                              asks for them: all in order, in as many events as steps compute
                              them, before the first TOKENS event of its sample */
  MIRAGE_EVENT_TOOL_CALL = 7 /* a tool called in the answer: whole, with its arguments */
};

/* What the text of a TEXT event is. */
enum {
  MIRAGE_TEXT_CONTENT = 0,  /* the answer, to be shown; with `echo` also the prompt */
  MIRAGE_TEXT_REASONING = 1 /* what the model thought before */
};

/* Why a generation ended. */
enum {
  MIRAGE_FINISH_NONE = 0,
  MIRAGE_FINISH_STOP = 1,      /* an end token, a stop token or a stop string */
  MIRAGE_FINISH_LENGTH = 2,    /* max_tokens, or the context is full and does not shift */
  MIRAGE_FINISH_CANCELLED = 3, /* mirage_generation_cancel(), or the runtime was shut down */
  MIRAGE_FINISH_DEADLINE = 4,
  MIRAGE_FINISH_ERROR = 5
};

typedef struct mirage_token_logprob {
  int32_t token;
  float logprob; /* natural logarithm of the probability before any sampling option */
} mirage_token_logprob;

/* Pointers live until the next call of mirage_generation_next() on the generation, or until the
 * callback returns. */
typedef struct mirage_event {
  uint32_t struct_size;
  int32_t kind;          /* MIRAGE_EVENT_x: says which of the fields below are set */
  int32_t sample_index;  /* of several samples, whose event it is; else 0 */
  int32_t finish;        /* SAMPLE_DONE, DONE: MIRAGE_FINISH_x. DONE of several samples: ERROR,
                            CANCELLED or DEADLINE when one of them ended so, else as the first */
  const char* text;      /* TEXT; also NUL-terminated */
  size_t text_bytes;     /* TEXT */
  const int32_t* tokens; /* TOKENS, PROMPT; an end token is among them */
  size_t token_count;    /* TOKENS, PROMPT */
  const float* logprobs; /* TOKENS, PROMPT: [token_count], of these tokens; NULL unless asked for */
  const mirage_token_logprob* top; /* TOKENS, PROMPT: [token_count][top_count], most likely first;
                                      NULL unless asked for */
  size_t top_count;                /* TOKENS, PROMPT */
  const float* logits;             /* LOGITS: [logit_count], by token, as the model gave them */
  size_t logit_count;              /* LOGITS: the vocabulary */
  uint64_t position;               /* PROMPT: of tokens[0] in the prompt, counted from 0 */
  int32_t text_kind;               /* TEXT: MIRAGE_TEXT_x */
  uint32_t reserved;               /* 0 */
  const char* call_id;             /* TOOL_CALL: the one that the model wrote, or nine letters and
                                      digits; this and the two below are also NUL-terminated */
  size_t call_id_bytes;            /* TOOL_CALL */
  const char* call_name;           /* TOOL_CALL: the tool's */
  size_t call_name_bytes;          /* TOOL_CALL */
  const char* call_arguments;      /* TOOL_CALL: a JSON object, as in mirage_parse_answer() */
  size_t call_arguments_bytes;     /* TOOL_CALL */
} mirage_event;

/* Called on the runtime's callback thread, holding no lock. A slow callback delays other callbacks,
 * not the computation. `generation` is the handle that mirage_generation_start() gives, possibly
 * before it returns. */
typedef void (*mirage_event_callback)(mirage_generation* generation, const mirage_event* event,
                                      void* user_data);

/* EXTERNAL: each token is the caller's, by mirage_generation_accept(). What chooses tokens is then
 * without use: numbers such as temperature and seed, and samplers, which may come from the model,
 * are not looked at; lists, logprobs, min_tokens and draft_tokens are refused. */
enum { MIRAGE_SAMPLER_DEFAULT = 0, MIRAGE_SAMPLER_EXTERNAL = 1 };

typedef struct mirage_logit_bias {
  int32_t token;
  float bias; /* added to the token's logit; -infinity forbids it */
} mirage_logit_bias;

typedef struct mirage_string {
  const char* text;
  size_t bytes;
} mirage_string;

typedef struct mirage_token_sequence {
  const int32_t* tokens;
  size_t count;
} mirage_token_sequence;

/* One of the adapters that an answer is computed with. */
typedef struct mirage_adapter_use {
  const mirage_adapter* adapter;
  float scale; /* of its update, besides the file's own; 0: as if it were not there */
  uint32_t reserved;
} mirage_adapter_use;

/* How to answer.
 *
 * In an answer to a conversation TEXT events tell content from reasoning, and calls of tools come
 * as TOOL_CALL events, in the order in which they were written and as soon as they are whole; what
 * is no call comes as content. It is told apart as mirage_parse_answer() says; no event holds tags.
 * Code that would have ended with the answer is content where this did not end with FINISH_STOP.
 * When it has ended, the answer joins the conversation as one message with its calls and its
 * reasoning, which the template writes in its own form for the next answer; what the tools gave is
 * appended by mirage_session_append_tool_result(). Stop strings are looked for in all that the
 * model writes, and TOKENS events give every token.
 *
 * A token is chosen in this order: logit bias, the grammar, allowed_tokens,
 * banned_sequences and min_tokens; then the stages that `samplers` names; then the draw. When these
 * leave no token, the generation fails with INVALID_ARGUMENT and a message that names them.
 *
 * An answer held to a grammar: tokens that it does not allow count as forbidden; what is left has
 * the model's probabilities. An end or stop token is chosen only where the answer may end; where
 * nothing else could follow, the answer ends with FINISH_STOP without one, whatever min_tokens and
 * ignore_eos say. FINISH_LENGTH says that it was cut short; a stop string, a deadline and a cancel
 * may cut it short, too. Control tokens are chosen only in free text before a trigger. In JSON by a
 * schema, where JSON allows white space there is at most a space, or a line break and up to 20
 * spaces or tabs, and none at the end; numbers have at most 16 digits before and after the point
 * and 2 in the exponent, unless the schema allows only longer ones. A choice among a few texts is a
 * regular expression: "yes|no|maybe". Rules are not nested more than 1000 deep; a grammar by which
 * tokens can be read in very many ways fails the generation with UNSUPPORTED. Where only one text
 * can follow, its tokens are guessed and checked together as with draft_tokens: the answer is the
 * same. Not with SAMPLER_EXTERNAL. */
typedef struct mirage_generation_options {
  uint32_t struct_size;
  int32_t samples;         /* answers at once, 1 to 128, each with draws of its own from the one
                              seed. The prompt is computed once and held once, each answer takes
                              memory of its own. Sample 0 is the answer there would be without
                              the others, and the session goes on from it. If one fails all end.
                              With SAMPLER_EXTERNAL only 1. Default 1 */
  int64_t max_tokens;      /* at least 1; -1: until the context is full, with
                              MIRAGE_OVERFLOW_SHIFT without an end */
  int64_t deadline_ms;     /* from the start; then it finishes with FINISH_DEADLINE. -1: none */
  float temperature;       /* 0: always the most likely token, the lowest on ties, whatever the
                              options below leave out. Default 0.8 */
  float top_p;             /* 1: off. Default 0.95 */
  float min_p;             /* 0: off. Default 0.05 */
  float typical_p;         /* 1: off, the default */
  float repeat_penalty;    /* 1: off, the default */
  float presence_penalty;  /* 0: off, the default; over the answer */
  float frequency_penalty; /* 0: off, the default; over the answer */
  int32_t top_k;           /* 0: off. Default 40 */
  int32_t
      repeat_last_n; /* tokens repeat_penalty looks back, prompt included; -1: all. Default 64 */
  int32_t has_seed;  /* 0: a random seed, reported in the statistics. 1: `seed` */
  uint64_t seed;
  int32_t logprobs;   /* most likely tokens to report with each token, at most 64; 0: no log
                                 probabilities at all */
  int32_t ignore_eos; /* 1: the model's end tokens do not end the answer */
  const mirage_string* stop_strings; /* each ends the answer when it appears, across tokens too */
  size_t stop_string_count;
  const int32_t* stop_tokens; /* besides the model's end tokens */
  size_t stop_token_count;
  const mirage_logit_bias* logit_bias;
  size_t logit_bias_count;
  mirage_event_callback callback; /* NULL: read with mirage_generation_next() */
  void* callback_user_data;       /* kept until the generation is closed */
  int32_t sampler;                /* MIRAGE_SAMPLER_x */
  uint32_t reserved;
  int32_t priority;     /* -100 to 100: a higher one is computed first, and has memory before lower
                           ones; these wait longer, but not forever. Default 0 */
  int32_t draft_tokens; /* tokens guessed ahead in a step, at most, from what was said before or by
                           draft_model, and checked by the model: the same answer, in fewer steps
                           where guesses come true. 0: none, the default; at most 64. A step checks
                           no more than are left of max(8, the model's `sessions`) when every
                           generation in it has its next token. Not with SAMPLER_EXTERNAL */
  const char* samplers; /* NUL-terminated: the stages in order, those left out being off. NULL:
                           "penalties;dry;top_n_sigma;top_k;typical;top_p;min_p;xtc;temperature" */
  float top_n_sigma;    /* keeps logits within so many standard deviations of the highest; 0:
                           off, the default */
  float dry_multiplier; /* lowers the logits of tokens that prolong a repetition of n tokens by
                           dry_multiplier * dry_base^(n - dry_allowed_length); 0: off, the
                           default */
  float dry_base;       /* at least 1. Default 1.75 */
  int32_t dry_allowed_length; /* shorter repetitions cost nothing. Default 2 */
  int32_t dry_penalty_last_n; /* tokens it looks back, prompt included; 0: off, -1: all, the
                                 default */
  float xtc_probability;   /* of leaving out, for a token, all candidates of at least xtc_threshold
                              probability but the least likely of them; 0: off, the default */
  float xtc_threshold;     /* above 0.5 it never applies. Default 0.1 */
  float dynatemp_range;    /* the temperature goes from temperature - range to temperature + range
                              with the entropy; 0: off, the default */
  float dynatemp_exponent; /* above 0. Default 1 */
  int32_t mirostat;        /* 1 or 2: that version steers the surprise, in place of top_n_sigma,
                              top_k, typical, top_p, min_p and xtc; 0: off, the default */
  float mirostat_tau;      /* the surprise aimed at, in bits, at most 100. Default 5 */
  float mirostat_eta;      /* how fast, at most 1. Default 0.1 */
  const mirage_string* dry_breakers; /* text over which no repetition reaches back. NULL: newline,
                                        colon, quotation mark and asterisk */
  size_t dry_breaker_count;          /* with dry_breakers not NULL, 0: no breakers */
  int64_t min_tokens; /* before so many tokens were produced no end or stop token is chosen, and
                         stop strings in their text do not end the answer. Default 0 */
  const mirage_token_sequence* banned_sequences; /* none is completed in prompt and answer */
  size_t banned_sequence_count;
  const int32_t* allowed_tokens; /* no other is chosen; without an end token among them the answer
                                    ends with its length */
  size_t allowed_token_count;    /* 0: all are allowed */
  int32_t grammar_kind; /* MIRAGE_GRAMMAR_x: the answer's text is one that `grammar` allows. 0: any
                           text, the default */
  int32_t grammar_lazy; /* 1: any text at first; the grammar is for what follows the first trigger,
                           if one comes */
  const char* grammar;  /* in that notation; read before the start returns */
  size_t grammar_bytes;
  const mirage_string* grammar_triggers; /* texts, at most 64 of at most 256 bytes each; with
                                            grammar_lazy */
  size_t grammar_trigger_count;
  const int32_t* grammar_trigger_tokens; /* tokens, such as those that begin a tool call; with
                                            grammar_lazy */
  size_t grammar_trigger_token_count;
  const mirage_model* draft_model; /* guesses draft_tokens: a smaller model of the same runtime and
                                      vocabulary (up to 512 more or fewer tokens at its end), opened
                                      with its weights. Guesses are drawn as the answer is, so they
                                      come true at any temperature as often as the models agree;
                                      it rests where they do not or where it is not fast enough. It
                                      may be closed meanwhile. NULL: guesses come from what was said
                                      before */
  int32_t echo;            /* 1: the prompt's text comes first, as TEXT events of sample 0: that of
                              all tokens the answers follow, without control tokens. No stop string
                              is looked for in it, and it is no part of a conversation's answer */
  int32_t prompt_logprobs; /* most likely tokens to report with each token of the prompt, in PROMPT
                              events of sample 0, at most 64; 0: no PROMPT events, the default. What
                              the session or others have computed of the prompt is computed again
                              from the token before the first one reported */
  int64_t prompt_logprobs_first; /* the first token reported, counted from 0 over all tokens that
                                    the answers follow; at least 1, as nothing comes before the
                                    first token, and at most the number of tokens. Default 1,
                                    and nothing else without prompt_logprobs */
  const mirage_adapter_use* adapters; /* of the session's model, each at most once: prompt and
                                         answer are computed with all of them. What the session has
                                         computed with others is computed again. They may be closed
                                         when the start has returned */
  size_t adapter_count;               /* at most 16; 0: the model as it is */
  int32_t answer_format; /* MIRAGE_ANSWER_x: how calls of tools and reasoning are told apart. AUTO,
                            the default: as the model writes them, in answers to a conversation;
                            calls only where it has "tools". One that is named: in any answer, and
                            calls always. PLAIN: all is content, as it was written */
  int32_t strict_max_tokens; /* 1: a start fails with CONTEXT_FULL and the numbers unless prompt and
                                max_tokens, which is to be given, fit the context together. 0, the
                                default: the answer is as long as there is room for, and ends with
                                FINISH_LENGTH. Of no effect where the context shifts */
} mirage_generation_options;

/* mirage_generation_options_init: the library's defaults, as in the comments above. A model may
 * have better ones: mirage_model_get_generation_options().
 * Threads: any. Since 0.1. */
MIRAGE_API void mirage_generation_options_init(mirage_generation_options* options,
                                               size_t struct_size);

/* mirage_model_get_generation_options: overwrites in `options`, which must have been initialised,
 * what the model's own generation config says of the numbers that choose a token and of `samplers`,
 * which then lives until the model is closed.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_model_get_generation_options(const mirage_model* model,
                                                             mirage_generation_options* options,
                                                             mirage_error* error);

/* mirage_generation_start: starts to answer what was appended to the session.
 *
 *   options  NULL: the library's defaults overridden by the model's own.
 *   out      the generation; close with mirage_generation_close(). It is set before the first
 *            callback.
 *
 * Fails with INVALID_ARGUMENT (an option out of its range; nothing to answer; a grammar that allows
 * no text or is none: the message says where), UNSUPPORTED (also what a grammar has but this build
 * does not), REFUSED (by the chat template), CONTEXT_FULL (the prompt is longer than the session's
 * context, with MIRAGE_OVERFLOW_ERROR), OUT_OF_MEMORY (keys and values of the prompt can never fit
 * the limit as it is: needed_bytes is for the longest answer, too; or nothing is left now for what
 * the generation keeps besides: sessions), BUSY, CLOSED. A session whose start failed is as it was.
 * Threads: one at a time per session. After the close of an unfinished generation it waits for the
 * running step to be abandoned; inside a callback it returns BUSY instead. Since 0.1. */
MIRAGE_API mirage_status mirage_generation_start(mirage_session* session,
                                                 const mirage_generation_options* options,
                                                 mirage_generation** out, mirage_error* error);

/* mirage_generation_next: the next event.
 *
 *   timeout_ms  0 does not wait, -1 waits as long as it takes.
 *   event       its struct_size must be set; the rest is overwritten, kind NONE unless OK is
 *               returned.
 *
 * Returns TIMEOUT when there was no event in time. A generation that failed gives, together with
 * DONE and FINISH_ERROR, the status and message of the failure as its own.
 * Fails with INVALID_ARGUMENT (it has a callback), BUSY (another thread is waiting), WOULD_DEADLOCK
 * (a timeout other than 0 inside a callback).
 * Threads: one at a time. Since 0.1. */
MIRAGE_API mirage_status mirage_generation_next(mirage_generation* generation, int64_t timeout_ms,
                                                mirage_event* event, mirage_error* error);

/* mirage_generation_get_fd: a descriptor for poll, epoll and the like, readable (level-triggered)
 * exactly while mirage_generation_next() would not wait. It belongs to the generation: do not read
 * or close it.
 *
 * Fails with INVALID_ARGUMENT (it has a callback), IO (no descriptors left).
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_generation_get_fd(mirage_generation* generation, int32_t* fd,
                                                  mirage_error* error);

enum {
  MIRAGE_CANCEL_STOP = 0,    /* keep what was produced: the session goes on from there */
  MIRAGE_CANCEL_ROLLBACK = 1 /* the session holds what it held before the start; what it had
                                to drop of its keys and values is computed again when needed */
};

/* mirage_generation_cancel: asks the generation to end, in the middle of a prompt too. It leaves
 * the computation within the running layer when it is alone, within the running step otherwise; its
 * DONE event then says FINISH_CANCELLED. No effect on one that has ended.
 * Threads: any; never waits. Since 0.1. */
MIRAGE_API mirage_status mirage_generation_cancel(mirage_generation* generation, int32_t mode,
                                                  mirage_error* error);

/* mirage_generation_accept: answers a LOGITS event with the token chosen.
 *
 * Fails with INVALID_ARGUMENT (no LOGITS event is unanswered; the token is not in the vocabulary),
 * CLOSED.
 * Threads: one at a time; never waits. Since 0.1. */
MIRAGE_API mirage_status mirage_generation_accept(mirage_generation* generation, int32_t token,
                                                  mirage_error* error);

/* mirage_generation_close: cancels (STOP) what is still running and gives up the generation. After
 * it returns no callback of this generation runs: it waits for one that is running now, unless it
 * is called from that callback.
 * Threads: any. Since 0.1. */
MIRAGE_API void mirage_generation_close(mirage_generation* generation);

/* ================================================================================================
 * Texts that are read and not answered
 *
 * The calls wait for the runtime's threads, which read many texts in a pass, those of other calls
 * too, between the steps of generations. What comes of a text does not depend on its company, to
 * the bit. Keys and values are kept no longer than a text is read: generations find nothing of it.
 * Adapters take no part.
 * ============================================================================================= */

/* mirage_score: how likely the model finds a text: for each token from `first` on, the natural
 * logarithm of its probability after all tokens before it. exp(-mean) is the perplexity.
 *
 *   first     at least 1, below `count`.
 *   logprobs  [count - first].
 *
 * Fails with INVALID_ARGUMENT, CONTEXT_FULL (count is above the model's context), CORRUPT
 * (the model gives no numbers), OUT_OF_MEMORY, CLOSED, WOULD_DEADLOCK.
 * Threads: any; blocks until computed. Since 0.1. */
MIRAGE_API mirage_status mirage_score(mirage_model* model, const int32_t* tokens, size_t count,
                                      size_t first, float* logprobs, mirage_error* error);

/* A text, or the tokens of one: the other pointer is NULL. */
typedef struct mirage_text {
  const char* text;
  size_t text_bytes;
  const int32_t* tokens;
  size_t token_count;
} mirage_text;

typedef struct mirage_score_options {
  uint32_t struct_size;
  uint32_t tokenize_flags; /* MIRAGE_TOKENIZE_x, or'ed, for what is given as text. Default
                              ADD_SPECIAL */
  int64_t deadline_ms; /* from the call, which then fails with DEADLINE. -1, the default: none */
  mirage_progress_callback progress; /* NULL: none */
  void* progress_user_data;
} mirage_score_options;

/* Threads: any. Since 0.1. */
MIRAGE_API void mirage_score_options_init(mirage_score_options* options, size_t struct_size);

/* mirage_score_choices: how likely each of some texts is to follow a prompt, which is computed
 * once. The likeliest by logprobs[i] is the one the model would answer; by logprobs[i] /
 * token_counts[i], of texts of unlike length, the one that surprises it least.
 *
 *   options       NULL for defaults.
 *   prompt        at least one token.
 *   choices       [choice_count], at least one token each. Given as text they are tokenized by
 *                 themselves, without begin and end tokens: a space between belongs to the choice.
 *   logprobs      [choice_count]: the natural logarithm of the probability of all its tokens, one
 *                 after the other. Written only when all were scored.
 *   token_counts  [choice_count], tokens of each; NULL: not wanted.
 *
 * Fails with INVALID_ARGUMENT (an option out of its range; no tokens, a token outside of the
 * vocabulary: the message says where; a model without weights), UNSUPPORTED (a flag this build does
 * not know), CONTEXT_FULL (prompt and choice are longer than the model's context), CORRUPT (the
 * model gives no numbers), CANCELLED, DEADLINE, OUT_OF_MEMORY, CLOSED, WOULD_DEADLOCK.
 * Threads: any; blocks until computed. Since 0.1. */
MIRAGE_API mirage_status mirage_score_choices(mirage_model* model,
                                              const mirage_score_options* options,
                                              const mirage_text* prompt, const mirage_text* choices,
                                              size_t choice_count, double* logprobs,
                                              size_t* token_counts, mirage_error* error);

/* mirage_classify: of which class each text is, by the head that the model was given for that.
 * Rerankers have one: files of Qwen 3 with the tensor cls.output.weight, whose classes are named in
 * qwen3.classifier.output_labels ("yes", "no"). The text is then what
 * tokenizer.chat_template.rerank makes of a query and a document, with
 * MIRAGE_TOKENIZE_PARSE_SPECIAL alone, and the probability of "yes" is its rank; see
 * mirage_model_read_metadata(). Of other models mirage_score_choices() asks for the likeliest of
 * any words.
 *
 *   options        NULL for defaults.
 *   texts          [text_count], each of at least one token and at most the model's context.
 *   probabilities  room for `capacity` values; see convention 5. Of each text one for each class
 *                  (`classes` of mirage_model_info), which sum to 1. Written only when all were
 *                  read.
 *   count          values in all.
 *
 * Fails with UNSUPPORTED (a model without such a head), and as mirage_embed().
 * Threads: any; blocks until computed. Since 0.1. */
MIRAGE_API mirage_status mirage_classify(mirage_model* model, const mirage_score_options* options,
                                         const mirage_text* texts, size_t text_count,
                                         float* probabilities, size_t capacity, size_t* count,
                                         mirage_error* error);

typedef struct mirage_embed_options {
  uint32_t struct_size;
  int32_t pooling;   /* MIRAGE_POOLING_x */
  int32_t normalize; /* 1, the default: each embedding is divided by its Euclidean norm, unless
                        that is 0 */
  uint32_t tokenize_flags; /* MIRAGE_TOKENIZE_x, or'ed, for what is given as text. Default
                              ADD_SPECIAL */
  int64_t deadline_ms; /* from the call, which then fails with DEADLINE. -1, the default: none */
  mirage_progress_callback progress; /* NULL: none */
  void* progress_user_data;
} mirage_embed_options;

/* Threads: any. Since 0.1. */
MIRAGE_API void mirage_embed_options_init(mirage_embed_options* options, size_t struct_size);

/* mirage_embed: texts as vectors: hidden states of the model, after its last norm, pooled. Models
 * that were made to embed say how in their files; of others the vectors are what they are.
 *
 *   options     NULL for defaults.
 *   texts       [text_count], each of at least one token and at most the model's context.
 *   embeddings  room for `capacity` values; see convention 5. A row of `embedding` values
 *               (mirage_model_info) for each text, with POOLING_NONE for each token of each text,
 *               one after the other. Written only when all texts were read.
 *   count       values in all.
 *   rows        [text_count], rows of each text; NULL: not wanted. Also set with capacity 0.
 *
 * Fails with INVALID_ARGUMENT (an option out of its range; a text without tokens, a token outside
 * of the vocabulary: the message says which text; a model without weights), UNSUPPORTED (a pooling
 * this build does not know, or that the model's file asks for), CONTEXT_FULL, CORRUPT (the model
 * gives no numbers), CANCELLED, DEADLINE, OUT_OF_MEMORY, CLOSED, WOULD_DEADLOCK. Threads: any;
 * blocks until computed. Since 0.1. */
MIRAGE_API mirage_status mirage_embed(mirage_model* model, const mirage_embed_options* options,
                                      const mirage_text* texts, size_t text_count,
                                      float* embeddings, size_t capacity, size_t* count,
                                      size_t* rows, mirage_error* error);

/* ================================================================================================
 * Memory
 * ============================================================================================= */

typedef struct mirage_plan_options {
  uint32_t struct_size;
  int32_t sessions; /* as in mirage_model_options */
  int64_t context;  /* as in mirage_model_options */
  int32_t kv_type;  /* as in mirage_model_options */
  uint32_t reserved;
  uint64_t memory_limit;  /* bytes, for this model alone; 0: the runtime's, with what its other
                             models hold or are promised left to them */
  uint64_t adapter_bytes; /* as in mirage_model_options */
} mirage_plan_options;

/* Threads: any. Since 0.1. */
MIRAGE_API void mirage_plan_options_init(mirage_plan_options* options, size_t struct_size);

/* What a model would need, in bytes. total_bytes is the sum of the parts. */
typedef struct mirage_plan {
  uint32_t struct_size;
  int32_t fits; /* 2: all weights stay in memory. 1: some are streamed from the file.
                               0: it does not fit */
  uint64_t limit_bytes;
  uint64_t total_bytes;
  uint64_t weights_bytes;   /* kept in memory */
  uint64_t kv_bytes;        /* keys and values of all sessions at full context */
  uint64_t slots_bytes;     /* for streaming weights */
  uint64_t tables_bytes;    /* vocabulary and other tables */
  uint64_t workspace_bytes; /* for computing */
  uint64_t sessions_bytes;  /* for text, tokens and answers of sessions; taken as they grow */
  uint64_t least_bytes;     /* the least limit under which this model runs at all */
  uint64_t streamed_bytes_per_token; /* read again for each step of one token, when fits is 1 */
  int64_t context;                   /* tokens per session this plan is for */
  uint64_t adapters_bytes;           /* for LoRA adapters; taken as they are loaded */
  uint64_t active_bytes; /* of all weights, what a token is computed with: less than all in a
                            mixture of experts, where it is an average. */
} mirage_plan;

/* mirage_model_get_plan: what `model`, opened in any way, would need if it were loaded with these
 * options. To ask before loading, open it with MIRAGE_LOAD_METADATA. A plan that does not fit is
 * not a failure: fits is 0.
 *
 * Fails with UNSUPPORTED (an architecture or a type this build lacks), CORRUPT.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_model_get_plan(const mirage_model* model,
                                               const mirage_plan_options* options,
                                               mirage_plan* plan, mirage_error* error);

/* What a runtime holds, in bytes, by purpose. */
typedef struct mirage_memory {
  uint32_t struct_size;
  uint32_t reserved;
  uint64_t limit_bytes;
  uint64_t used_bytes; /* the sum of those below */
  uint64_t peak_bytes;
  uint64_t weights_bytes;
  uint64_t mapped_bytes; /* weights read in place from mapped files */
  uint64_t slots_bytes;
  uint64_t kv_bytes;
  uint64_t tables_bytes;
  uint64_t workspace_bytes;
  uint64_t sessions_bytes; /* text and tokens of sessions, what answers being written may come to
                              hold of text, tokens, events and logits, traces */
  uint64_t prefix_bytes;   /* of kv_bytes: held by no session any more, kept for prompts that begin
                              like earlier ones; given up when memory is wanted */
  uint64_t adapters_bytes; /* LoRA adapters, those closed included that generations still use */
} mirage_memory;

/* Threads: any; never waits. Since 0.1. */
MIRAGE_API mirage_status mirage_runtime_get_memory(const mirage_runtime* runtime,
                                                   mirage_memory* memory, mirage_error* error);

/* mirage_runtime_set_memory_limit: changes the limit while everything runs. Lowered below what is
 * in use it holds at once for everything new; what is only kept to be found again is given up, and
 * between two steps weights are lent, as far as the policy lends any: they are read from the file
 * in every pass from then on, and the tokens are the same. Raised again, they come home one by one.
 *
 *   bytes  0: as for memory_limit in mirage_runtime_options.
 *
 * Fails with CLOSED.
 * Threads: any; never waits. Since 0.1. */
MIRAGE_API mirage_status mirage_runtime_set_memory_limit(mirage_runtime* runtime, uint64_t bytes,
                                                         mirage_error* error);

/* ================================================================================================
 * Statistics: counters since the object was opened. What an event tells of has been counted when it
 * can be read. Threads: any; never wait. Since 0.1.
 * ============================================================================================= */

typedef struct mirage_runtime_stats {
  uint32_t struct_size;
  int32_t threads; /* that compute, in the passes that have most of them */
  uint64_t steps;  /* passes over a model's weights, each for all generations that take part */
  uint64_t prompt_tokens; /* computed */
  uint64_t output_tokens; /* read, or given to a callback: counted when their event is */
  uint64_t rolled_back_steps;
  uint64_t generations;       /* started and without a DONE event to read yet; each sample is one */
  uint64_t weight_bytes_lent; /* to keys and values, or for a limit that fell, since the runtime was
                                 opened, in all */
  uint64_t weights_revived;   /* how many times a part of them came back */
  uint64_t kv_bytes_swapped_out; /* of keys and values, written to scratch_dir in all */
  uint64_t kv_bytes_swapped_in;  /* read back */
} mirage_runtime_stats;

MIRAGE_API mirage_status mirage_runtime_get_stats(const mirage_runtime* runtime,
                                                  mirage_runtime_stats* stats, mirage_error* error);

/* mirage_runtime_start_trace: records from now on what the runtime computes and why: steps, and of
 * each generation when it waited, computed its prompt, decoded, was preempted. The newest `events`
 * are kept, 1 to 1048576, about 100 bytes each, under the memory limit. Started again it forgets
 * what it had. Fails with INVALID_ARGUMENT, OUT_OF_MEMORY, CLOSED. Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_runtime_start_trace(mirage_runtime* runtime, uint64_t events,
                                                    mirage_error* error);

/* mirage_runtime_write_trace: writes what was recorded so far to a file, in the JSON format that
 * ui.perfetto.dev and Chrome's tracing read. A generation appears when it has ended.
 * Fails with INVALID_ARGUMENT (no trace was started), NOT_FOUND (no such folder), UNSUPPORTED (the
 * path is not a file), IO. Threads: any; blocks until written. Since 0.1. */
MIRAGE_API mirage_status mirage_runtime_write_trace(mirage_runtime* runtime, const char* path,
                                                    mirage_error* error);

typedef struct mirage_model_stats {
  uint32_t struct_size;
  uint32_t reserved;
  double load_s;
  uint64_t weights_bytes;  /* of all weights, wherever they are now */
  uint64_t resident_bytes; /* in memory of the library's own */
  uint64_t mapped_bytes;   /* read in place from the file */
  uint64_t lent_bytes;     /* not in memory: streamed when needed */
  uint64_t streamed_bytes; /* of weights, read from the file after loading, in all; rows of the
                              token embedding, read as they are needed, are not counted */
  double hidden_s;         /* of streaming, overlapped by computing */
  double unhidden_s;       /* of streaming, waited for */
} mirage_model_stats;

MIRAGE_API mirage_status mirage_model_get_stats(const mirage_model* model,
                                                mirage_model_stats* stats, mirage_error* error);

typedef struct mirage_session_stats {
  uint32_t struct_size;
  int32_t busy;      /* 1: a generation is running */
  uint64_t messages; /* of a conversation; an answer is one once its DONE event was read */
  uint64_t
      tokens; /* as mirage_session_get_tokens() gives them; of a conversation, as last computed */
  uint64_t waiting_tokens; /* of these, those given to no generation yet: appended since the last
                              one started, or dropped by one that was rolled back or failed. The
                              next one computes all but cached_tokens, so the rest of a prompt that
                              was stopped too */
  uint64_t cached_tokens;  /* whose keys and values are there; grows while a prompt is computed */
  uint64_t context;        /* tokens it may hold */
} mirage_session_stats;

MIRAGE_API mirage_status mirage_session_get_stats(const mirage_session* session,
                                                  mirage_session_stats* stats, mirage_error* error);

typedef struct mirage_generation_stats {
  uint32_t struct_size;
  int32_t finish;           /* MIRAGE_FINISH_x; NONE until its DONE event was read */
  uint64_t seed;            /* used */
  uint64_t prompt_tokens;   /* of the whole prompt */
  uint64_t cached_tokens;   /* of these, computed before, by this session or another, and reused */
  uint64_t output_tokens;   /* produced, read or not */
  double wait_s;            /* from the start to the first step it took part in */
  double prompt_s;          /* from there to the first token */
  double output_s;          /* from the first token to the last */
  uint64_t memory_waits;    /* steps it sat out for want of memory */
  uint64_t preemptions;     /* times its keys and values were given up, to be computed again, or
                               read back */
  uint64_t drafted_tokens;  /* guessed ahead and checked */
  uint64_t accepted_tokens; /* of these, those that the model chose too */
  uint64_t dropped_tokens;  /* for want of room in the context: left out of the prompt, and in each
                               shift */
  uint64_t shifts;          /* times the context was full and its older half was dropped */
} mirage_generation_stats;

MIRAGE_API mirage_status mirage_generation_get_stats(const mirage_generation* generation,
                                                     mirage_generation_stats* stats,
                                                     mirage_error* error);

/* ================================================================================================
 * Expert
 * ============================================================================================= */

/* What a token is. */
enum {
  MIRAGE_TOKEN_NORMAL = 1,
  MIRAGE_TOKEN_UNKNOWN = 2,
  MIRAGE_TOKEN_CONTROL = 3,
  MIRAGE_TOKEN_USER_DEFINED = 4,
  MIRAGE_TOKEN_UNUSED = 5,
  MIRAGE_TOKEN_BYTE = 6
};

typedef struct mirage_token {
  uint32_t struct_size;
  int32_t type; /* MIRAGE_TOKEN_x */
  const char*
      text; /* the bytes it stands for; not NUL-terminated; lives until the model is closed */
  size_t text_bytes;
  int32_t ends_generation; /* 1: one of the model's end tokens */
  uint32_t reserved;
} mirage_token;

/* mirage_model_get_token: a token of the vocabulary.
 * Fails with NOT_FOUND past the end.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_model_get_token(const mirage_model* model, int32_t token,
                                                mirage_token* info, mirage_error* error);

/* mirage_tokenize_conversation: the tokens a session would compute for a conversation, in the JSON
 * form of mirage_render(), where "add_generation_prompt" is true as it is in a session. Unlike the
 * rendered text tokenized by hand, control tokens spelled in a message stay text.
 * Threads: any. Since 0.1. */
MIRAGE_API mirage_status mirage_tokenize_conversation(const mirage_model* model,
                                                      const char* conversation,
                                                      size_t conversation_bytes, int32_t* tokens,
                                                      size_t capacity, size_t* count,
                                                      mirage_error* error);

/* Where the library gets memory for its own objects; model data comes from the operating system
 * directly. Both functions are called from any thread. */
typedef struct mirage_allocator {
  uint32_t struct_size;
  uint32_t reserved;
  void* (*allocate)(size_t bytes, size_t alignment, void* user_data); /* NULL when there is none */
  void (*release)(void* pointer, size_t alignment, void* user_data);
  void* user_data; /* kept for as long as the process lives */
} mirage_allocator;

/* mirage_set_allocator: for the whole process, before any other call of the library but those that
 * fill options.
 * Fails with BUSY when the library has already allocated, INVALID_ARGUMENT.
 * Threads: one at a time, before others use the library. Since 0.1. */
MIRAGE_API mirage_status mirage_set_allocator(const mirage_allocator* allocator,
                                              mirage_error* error);

#ifdef __cplusplus
}
#endif

#endif /* MIRAGE_MIRAGE_H */
