/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L

#include "tiny_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  EMBEDDING = 64,
  HEADS = 4,
  KV_HEADS = 2,
  HEAD_DIM = EMBEDDING / HEADS,
  FEED_FORWARD = 96,
  ALIGNMENT = 32,
  MOST_TENSORS = 64
};

/* GGUF's numbers. */
enum { TYPE_U32 = 4, TYPE_I32 = 5, TYPE_F32 = 6, TYPE_BOOL = 7, TYPE_STRING = 8, TYPE_ARRAY = 9 };

static const char* const kTemplate =
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ "
    "message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

typedef struct Buffer {
  unsigned char* data;
  size_t bytes, capacity;
} Buffer;

typedef struct Tensor {
  char name[48];
  uint64_t cols, rows;
  uint64_t offset;
} Tensor;

typedef struct Writer {
  Buffer header;
  Tensor tensors[MOST_TENSORS];
  uint64_t tensor_count, data_bytes, key_count;
} Writer;

static void Die(const char* what) {
  perror(what);
  exit(1);
}

static void Put(Buffer* buffer, const void* data, size_t bytes) {
  if (buffer->bytes + bytes > buffer->capacity) {
    buffer->capacity = 2 * (buffer->bytes + bytes);
    buffer->data = (unsigned char*)realloc(buffer->data, buffer->capacity);
    if (buffer->data == NULL) Die("realloc");
  }
  if (bytes > 0) memcpy(buffer->data + buffer->bytes, data, bytes);
  buffer->bytes += bytes;
}

static void PutU32(Buffer* buffer, uint32_t value) { Put(buffer, &value, sizeof value); }
static void PutU64(Buffer* buffer, uint64_t value) { Put(buffer, &value, sizeof value); }
static void PutString(Buffer* buffer, const char* text) {
  PutU64(buffer, strlen(text));
  Put(buffer, text, strlen(text));
}

static void PutKey(Writer* writer, const char* key, uint32_t type) {
  PutString(&writer->header, key);
  PutU32(&writer->header, type);
  ++writer->key_count;
}

static void KeyU32(Writer* writer, const char* key, uint32_t value) {
  PutKey(writer, key, TYPE_U32);
  PutU32(&writer->header, value);
}

static void KeyF32(Writer* writer, const char* key, float value) {
  PutKey(writer, key, TYPE_F32);
  Put(&writer->header, &value, sizeof value);
}

static void KeyBool(Writer* writer, const char* key, unsigned char value) {
  PutKey(writer, key, TYPE_BOOL);
  Put(&writer->header, &value, 1);
}

static void KeyString(Writer* writer, const char* key, const char* value) {
  PutKey(writer, key, TYPE_STRING);
  PutString(&writer->header, value);
}

/* A byte as GPT-2's alphabet spells it: itself where visible, else a code point from U+0100 on. */
static void SpellByte(int byte, char out[3]) {
  int next = 0;
  int other;
  int point = byte;
  for (other = 0; other < 256; ++other) {
    const int visible =
        (other >= 33 && other <= 126) || (other >= 161 && other <= 172) || other >= 174;
    if (other == byte && !visible) point = 256 + next;
    if (!visible) ++next;
  }
  if (point < 128) {
    out[0] = (char)point;
    out[1] = '\0';
  } else {
    out[0] = (char)(0xC0 | (point >> 6));
    out[1] = (char)(0x80 | (point & 0x3F));
    out[2] = '\0';
  }
}

static void PutVocabulary(Writer* writer) {
  static const char* const kMerged[4] = {"he", "ll", "th", "in"};
  static const char* const kControl[4] = {"<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"};
  static const char* const kMerges[4] = {"h e", "l l", "t h", "i n"};
  int i;
  PutKey(writer, "tokenizer.ggml.tokens", TYPE_ARRAY);
  PutU32(&writer->header, TYPE_STRING);
  PutU64(&writer->header, TINY_TOKENS);
  for (i = 0; i < 256; ++i) {
    char spelling[3];
    SpellByte(i, spelling);
    PutString(&writer->header, spelling);
  }
  for (i = 0; i < 4; ++i) PutString(&writer->header, kMerged[i]);
  for (i = 0; i < 4; ++i) PutString(&writer->header, kControl[i]);
  PutKey(writer, "tokenizer.ggml.token_type", TYPE_ARRAY);
  PutU32(&writer->header, TYPE_I32);
  PutU64(&writer->header, TINY_TOKENS);
  for (i = 0; i < TINY_TOKENS; ++i) PutU32(&writer->header, i >= TINY_BOS ? 3 : 1);
  PutKey(writer, "tokenizer.ggml.merges", TYPE_ARRAY);
  PutU32(&writer->header, TYPE_STRING);
  PutU64(&writer->header, 4);
  for (i = 0; i < 4; ++i) PutString(&writer->header, kMerges[i]);
  KeyString(writer, "tokenizer.ggml.model", "gpt2");
  KeyString(writer, "tokenizer.ggml.pre", "gpt-2");
  KeyU32(writer, "tokenizer.ggml.bos_token_id", TINY_BOS);
  KeyU32(writer, "tokenizer.ggml.eos_token_id", TINY_EOS);
  KeyU32(writer, "tokenizer.ggml.eot_token_id", TINY_END);
  KeyBool(writer, "tokenizer.ggml.add_bos_token", 1);
  KeyString(writer, "tokenizer.chat_template", kTemplate);
}

static void PutKeys(Writer* writer) {
  KeyString(writer, "general.architecture", "llama");
  KeyString(writer, "general.name", "tiny");
  KeyF32(writer, "general.sampling.temp", 0.5f);
  KeyU32(writer, "general.sampling.top_k", 7);
  KeyU32(writer, "llama.context_length", TINY_CONTEXT);
  KeyU32(writer, "llama.embedding_length", EMBEDDING);
  KeyU32(writer, "llama.block_count", TINY_LAYERS);
  KeyU32(writer, "llama.feed_forward_length", FEED_FORWARD);
  KeyU32(writer, "llama.attention.head_count", HEADS);
  KeyU32(writer, "llama.attention.head_count_kv", KV_HEADS);
  KeyU32(writer, "llama.rope.dimension_count", HEAD_DIM);
  KeyF32(writer, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
  PutVocabulary(writer);
}

static void AddTensor(Writer* writer, int layer, const char* name, uint64_t cols, uint64_t rows) {
  Tensor* tensor = &writer->tensors[writer->tensor_count++];
  if (layer < 0)
    snprintf(tensor->name, sizeof tensor->name, "%s.weight", name);
  else
    snprintf(tensor->name, sizeof tensor->name, "blk.%d.%s.weight", layer, name);
  tensor->cols = cols;
  tensor->rows = rows;
  tensor->offset = writer->data_bytes;
  writer->data_bytes += (cols * rows * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void AddTensors(Writer* writer) {
  int layer;
  AddTensor(writer, -1, "token_embd", EMBEDDING, TINY_TOKENS);
  for (layer = 0; layer < TINY_LAYERS; ++layer) {
    AddTensor(writer, layer, "attn_norm", EMBEDDING, 1);
    AddTensor(writer, layer, "attn_q", EMBEDDING, HEADS * HEAD_DIM);
    AddTensor(writer, layer, "attn_k", EMBEDDING, KV_HEADS * HEAD_DIM);
    AddTensor(writer, layer, "attn_v", EMBEDDING, KV_HEADS * HEAD_DIM);
    AddTensor(writer, layer, "attn_output", HEADS * HEAD_DIM, EMBEDDING);
    AddTensor(writer, layer, "ffn_norm", EMBEDDING, 1);
    AddTensor(writer, layer, "ffn_gate", EMBEDDING, FEED_FORWARD);
    AddTensor(writer, layer, "ffn_up", EMBEDDING, FEED_FORWARD);
    AddTensor(writer, layer, "ffn_down", FEED_FORWARD, EMBEDDING);
  }
  AddTensor(writer, -1, "output_norm", EMBEDDING, 1);
  AddTensor(writer, -1, "output", EMBEDDING, TINY_TOKENS);
}

/* Evenly spread over (-1, 1), the same everywhere (Numerical Recipes' generator). */
static float NextWeight(uint32_t* state) {
  *state = *state * 1664525u + 1013904223u;
  return (float)((int32_t)*state) / 2147483648.0f;
}

static void PutData(Buffer* file, const Writer* writer) {
  uint32_t state = 20260726u;
  const size_t begin = file->bytes;
  uint64_t i, element;
  for (i = 0; i < writer->tensor_count; ++i) {
    const Tensor* tensor = &writer->tensors[i];
    const float scale = tensor->rows == 1 ? 0.1f : 0.4f;
    while (file->bytes < begin + tensor->offset) Put(file, "", 1);
    for (element = 0; element < tensor->cols * tensor->rows; ++element) {
      /* Norms are near one, matrices near zero. */
      const float weight = (tensor->rows == 1 ? 1.0f : 0.0f) + scale * NextWeight(&state);
      Put(file, &weight, sizeof weight);
    }
  }
}

tiny_model tiny_model_make(void) {
  Writer writer;
  Buffer file = {NULL, 0, 0};
  tiny_model model;
  uint64_t i;
  memset(&writer, 0, sizeof writer);
  PutKeys(&writer);
  AddTensors(&writer);
  Put(&file, "GGUF", 4);
  PutU32(&file, 3);
  PutU64(&file, writer.tensor_count);
  PutU64(&file, writer.key_count);
  Put(&file, writer.header.data, writer.header.bytes);
  for (i = 0; i < writer.tensor_count; ++i) {
    const Tensor* tensor = &writer.tensors[i];
    PutString(&file, tensor->name);
    PutU32(&file, tensor->rows == 1 ? 1 : 2);
    PutU64(&file, tensor->cols);
    if (tensor->rows > 1) PutU64(&file, tensor->rows);
    PutU32(&file, 0); /* F32 */
    PutU64(&file, tensor->offset);
  }
  while (file.bytes % ALIGNMENT != 0) Put(&file, "", 1);
  PutData(&file, &writer);
  free(writer.header.data);
  model.data = file.data;
  model.bytes = file.bytes;
  return model;
}

void tiny_model_free(tiny_model* model) {
  free(model->data);
  model->data = NULL;
}

char* tiny_model_file(void) {
  const char* folder = getenv("TMPDIR");
  tiny_model model = tiny_model_make();
  char* path = (char*)malloc(4096);
  int fd;
  if (path == NULL) Die("malloc");
  snprintf(path, 4096, "%s/mirage-tiny-XXXXXX", folder != NULL ? folder : "/tmp");
  fd = mkstemp(path);
  if (fd < 0 || write(fd, model.data, model.bytes) != (ssize_t)model.bytes || close(fd) != 0)
    Die(path);
  tiny_model_free(&model);
  return path;
}
