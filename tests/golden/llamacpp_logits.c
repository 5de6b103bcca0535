/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the logits llama.cpp computes for a golden model, as a second opinion on the file.
 * Usage: llamacpp_logits MODEL.gguf TOKENS.i32 CONTEXT LOGITS.f32 ; float32 KV, no flash attention,
 * so that what is compared is the meaning of the file. */
#include <stdio.h>
#include <stdlib.h>

#include "llama.h"

static void Quiet(enum ggml_log_level level, const char* text, void* user) {
  (void)user;
  if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  llama_log_set(Quiet, NULL);
  struct llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (!model) return 1;

  int32_t tokens[4096];
  FILE* in = fopen(argv[2], "rb");
  if (!in) return 1;
  const int n_tokens = (int)fread(tokens, sizeof(int32_t), 4096, in);
  fclose(in);

  struct llama_context_params params = llama_context_default_params();
  params.n_ctx = (uint32_t)atoi(argv[3]);
  params.n_batch = params.n_ubatch = 4096;
  params.n_threads = params.n_threads_batch = 1;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  struct llama_context* context = llama_init_from_model(model, params);
  if (!context) return 1;

  struct llama_batch batch = llama_batch_init(n_tokens, 0, 1);
  batch.n_tokens = n_tokens;
  for (int i = 0; i < n_tokens; i++) {
    batch.token[i] = tokens[i];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  if (llama_decode(context, batch) != 0) return 1;

  const size_t n_vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
  FILE* out = fopen(argv[4], "wb");
  if (!out) return 1;
  for (int i = 0; i < n_tokens; i++) {
    fwrite(llama_get_logits_ith(context, i), sizeof(float), n_vocab, out);
  }
  return fclose(out);
}
