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
  TINY_FIM_PREFIX = 256,
  TINY_FIM_SUFFIX = 257,
  TINY_FIM_MIDDLE = 258,
  TINY_CONTEXT = 512,
  TINY_LAYERS = 2,
  TINY_MOST_LAYERS = 40
};

typedef struct tiny_model {
  unsigned char* data;
  size_t bytes;
} tiny_model;

/* Exits on failure to allocate: a test cannot go on without it. */
tiny_model tiny_model_make(void);
/* The same with more layers, at most TINY_MOST_LAYERS: there the weights are most of it. */
tiny_model tiny_model_of_layers(uint32_t layers);
/* The same whose file says how its embeddings are pooled, by llama.cpp's number. */
tiny_model tiny_model_of_pooling(uint32_t type);
/* A Qwen 3 reranker: two classes, whose rows are those of tokens
 * TINY_YES and TINY_NO of the head, and llama.cpp's pooling type for that. */
enum { TINY_YES = 'y', TINY_NO = 'n' };
tiny_model tiny_model_reranker(void);
/* The same whose template shows tools, their calls and reasoning as Hermes models write them. */
tiny_model tiny_model_of_tools(void);
/* The same whose file names tokens for filling in the middle: TINY_FIM_x. */
tiny_model tiny_model_of_infill(void);
void tiny_model_free(tiny_model* model);

/* A LoRA adapter of every matrix of its layers, of a rank of 2 to 64: random, another one for each
 * seed, and strong enough that answers change. */
tiny_model tiny_adapter_make(uint32_t layers, uint32_t rank, uint32_t seed);

/* Writes the bytes to a new file and gives its path, which the caller frees and unlinks. */
char* tiny_file_of(const tiny_model* bytes);
/* Writes the model to a new file and gives its path, which the caller frees and unlinks. */
char* tiny_model_file(void);

#ifdef __cplusplus
}
#endif

#endif
