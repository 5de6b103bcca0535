/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MIRAGE_TESTS_ABI_TINY_MODEL_H
#define MIRAGE_TESTS_ABI_TINY_MODEL_H

/* A whole model in memory, so that tests need no download: two llama layers of random weights, a
 * vocabulary of the 256 bytes, a few merges and control tokens, and a chat template. Its answers
 * are random bytes, the same every time. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  TINY_TOKENS = 264,
  TINY_BOS = 260,
  TINY_EOS = 261,
  TINY_START = 262, /* <|im_start|> */
  TINY_END = 263,   /* <|im_end|>, which ends an answer */
  TINY_CONTEXT = 512,
  TINY_LAYERS = 2
};

typedef struct tiny_model {
  unsigned char* data;
  size_t bytes;
} tiny_model;

/* Exits on failure to allocate: a test cannot go on without it. */
tiny_model tiny_model_make(void);
void tiny_model_free(tiny_model* model);

/* Writes the model to a new file and gives its path, which the caller frees and unlinks. */
char* tiny_model_file(void);

#ifdef __cplusplus
}
#endif

#endif
