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
  MOST_TENSORS = 4 + 14 * TINY_MOST_LAYERS
};

/* GGUF's numbers. */
enum { TYPE_U32 = 4, TYPE_I32 = 5, TYPE_F32 = 6, TYPE_BOOL = 7, TYPE_STRING = 8, TYPE_ARRAY = 9 };

static const char* const kTemplate =
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ "
    "message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static const char* const kToolTemplate =
    "{{ bos_token }}{% if tools %}{{ tools | tojson }}\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}"
    "{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>{\"name\": "
    "\"{{ call.function.name }}\", \"arguments\": {{ call.function.arguments | tojson }}}"
    "</tool_call>{% endfor %}<|im_end|>\n"
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

/* What one of the models has that others have not. */
typedef struct Shape {
  uint32_t layers;
  const char* architecture;
  const uint32_t* pooling; /* NULL: the file says nothing */
  int reranker;            /* 1: the file has a head of two classes */
  const char* chat_template;
  int infill; /* 1: the file names tokens for filling in the middle */
} Shape;

typedef struct Writer {
  Buffer header;
  Tensor tensors[MOST_TENSORS];
  Shape shape;
  uint64_t tensor_count, data_bytes, key_count;
  uint32_t seed;
  float scale; /* of a matrix's values */
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
  if (writer->shape.infill) {
    KeyU32(writer, "tokenizer.ggml.fim_pre_token_id", TINY_FIM_PREFIX);
    KeyU32(writer, "tokenizer.ggml.fim_suf_token_id", TINY_FIM_SUFFIX);
    KeyU32(writer, "tokenizer.ggml.fim_mid_token_id", TINY_FIM_MIDDLE);
  }
  KeyString(writer, "tokenizer.chat_template", writer->shape.chat_template);
}

static const char* ArchKey(Writer* writer, const char* name, char key[96]) {
  snprintf(key, 96, "%s.%s", writer->shape.architecture, name);
  return key;
}

static void ArchU32(Writer* writer, const char* name, uint32_t value) {
  char key[96];
  KeyU32(writer, ArchKey(writer, name, key), value);
}

static void ArchF32(Writer* writer, const char* name, float value) {
  char key[96];
  KeyF32(writer, ArchKey(writer, name, key), value);
}

static void PutKeys(Writer* writer) {
  KeyString(writer, "general.architecture", writer->shape.architecture);
  KeyString(writer, "general.name", "tiny");
  KeyF32(writer, "general.sampling.temp", 0.5f);
  KeyU32(writer, "general.sampling.top_k", 7);
  ArchU32(writer, "vocab_size", TINY_TOKENS);
  ArchU32(writer, "context_length", TINY_CONTEXT);
  ArchU32(writer, "embedding_length", EMBEDDING);
  ArchU32(writer, "block_count", writer->shape.layers);
  ArchU32(writer, "feed_forward_length", FEED_FORWARD);
  ArchU32(writer, "attention.head_count", HEADS);
  ArchU32(writer, "attention.head_count_kv", KV_HEADS);
  ArchU32(writer, "rope.dimension_count", HEAD_DIM);
  ArchF32(writer, "attention.layer_norm_rms_epsilon", 1e-5f);
  if (writer->shape.pooling != NULL) ArchU32(writer, "pooling_type", *writer->shape.pooling);
  PutVocabulary(writer);
}

static void AddNamed(Writer* writer, int layer, const char* name, uint64_t cols, uint64_t rows) {
  Tensor* tensor = &writer->tensors[writer->tensor_count++];
  if (layer < 0)
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
  else
    snprintf(tensor->name, sizeof tensor->name, "blk.%d.%s", layer, name);
  tensor->cols = cols;
  tensor->rows = rows;
  tensor->offset = writer->data_bytes;
  writer->data_bytes += (cols * rows * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void AddTensor(Writer* writer, int layer, const char* name, uint64_t cols, uint64_t rows) {
  char full[40];
  snprintf(full, sizeof full, "%s.weight", name);
  AddNamed(writer, layer, full, cols, rows);
}

static void AddTensors(Writer* writer) {
  int layer;
  AddTensor(writer, -1, "token_embd", EMBEDDING, TINY_TOKENS);
  for (layer = 0; layer < (int)writer->shape.layers; ++layer) {
    AddTensor(writer, layer, "attn_norm", EMBEDDING, 1);
    AddTensor(writer, layer, "attn_q", EMBEDDING, HEADS * HEAD_DIM);
    AddTensor(writer, layer, "attn_k", EMBEDDING, KV_HEADS * HEAD_DIM);
    AddTensor(writer, layer, "attn_v", EMBEDDING, KV_HEADS * HEAD_DIM);
    if (writer->shape.reranker) {
      AddTensor(writer, layer, "attn_q_norm", HEAD_DIM, 1);
      AddTensor(writer, layer, "attn_k_norm", HEAD_DIM, 1);
    }
    AddTensor(writer, layer, "attn_output", HEADS * HEAD_DIM, EMBEDDING);
    AddTensor(writer, layer, "ffn_norm", EMBEDDING, 1);
    AddTensor(writer, layer, "ffn_gate", EMBEDDING, FEED_FORWARD);
    AddTensor(writer, layer, "ffn_up", EMBEDDING, FEED_FORWARD);
    AddTensor(writer, layer, "ffn_down", FEED_FORWARD, EMBEDDING);
  }
  AddTensor(writer, -1, "output_norm", EMBEDDING, 1);
  AddTensor(writer, -1, "output", EMBEDDING, TINY_TOKENS);
  if (writer->shape.reranker) AddTensor(writer, -1, "cls.output", EMBEDDING, 2);
}

/* Evenly spread over (-1, 1), the same everywhere (Numerical Recipes' generator). */
static float NextWeight(uint32_t* state) {
  *state = *state * 1664525u + 1013904223u;
  return (float)((int32_t)*state) / 2147483648.0f;
}

static void PutData(Buffer* file, const Writer* writer) {
  uint32_t state = writer->seed;
  const size_t begin = file->bytes;
  uint64_t i, element;
  for (i = 0; i < writer->tensor_count; ++i) {
    const Tensor* tensor = &writer->tensors[i];
    const float scale = tensor->rows == 1 ? 0.1f : writer->scale;
    while (file->bytes < begin + tensor->offset) Put(file, "", 1);
    for (element = 0; element < tensor->cols * tensor->rows; ++element) {
      /* Norms are near one, matrices near zero. */
      const float weight = (tensor->rows == 1 ? 1.0f : 0.0f) + scale * NextWeight(&state);
      Put(file, &weight, sizeof weight);
    }
  }
}

/* The rows of the head that a reranker keeps, which come last in the file. */
static void PutClasses(Buffer* file) {
  float* classes = (float*)(void*)(file->data + file->bytes) - 2 * EMBEDDING;
  const float* head = classes - (size_t)TINY_TOKENS * EMBEDDING;
  memcpy(classes, head + (size_t)TINY_YES * EMBEDDING, EMBEDDING * sizeof(float));
  memcpy(classes + EMBEDDING, head + (size_t)TINY_NO * EMBEDDING, EMBEDDING * sizeof(float));
}

/* Frees the writer. */
static tiny_model Finish(Writer* writer) {
  Buffer file = {NULL, 0, 0};
  tiny_model model;
  uint64_t i;
  Put(&file, "GGUF", 4);
  PutU32(&file, 3);
  PutU64(&file, writer->tensor_count);
  PutU64(&file, writer->key_count);
  Put(&file, writer->header.data, writer->header.bytes);
  for (i = 0; i < writer->tensor_count; ++i) {
    const Tensor* tensor = &writer->tensors[i];
    PutString(&file, tensor->name);
    PutU32(&file, tensor->rows == 1 ? 1 : 2);
    PutU64(&file, tensor->cols);
    if (tensor->rows > 1) PutU64(&file, tensor->rows);
    PutU32(&file, 0); /* F32 */
    PutU64(&file, tensor->offset);
  }
  while (file.bytes % ALIGNMENT != 0) Put(&file, "", 1);
  PutData(&file, writer);
  if (writer->shape.reranker) PutClasses(&file);
  free(writer->header.data);
  free(writer);
  model.data = file.data;
  model.bytes = file.bytes;
  return model;
}

/* Not on the stack, which may be a small one. */
static Writer* NewWriter(uint32_t seed, float scale) {
  Writer* writer = (Writer*)calloc(1, sizeof *writer);
  if (writer == NULL) Die("calloc");
  writer->seed = seed;
  writer->scale = scale;
  return writer;
}

static tiny_model Make(Shape shape) {
  Writer* writer = NewWriter(20260726u, 0.4f);
  writer->shape = shape;
  PutKeys(writer);
  AddTensors(writer);
  return Finish(writer);
}

static Shape Plain(void) {
  Shape plain;
  memset(&plain, 0, sizeof plain);
  plain.layers = TINY_LAYERS;
  plain.architecture = "llama";
  plain.chat_template = kTemplate;
  return plain;
}

tiny_model tiny_model_make(void) { return Make(Plain()); }

tiny_model tiny_model_of_layers(uint32_t layers) {
  Shape shape = Plain();
  shape.layers = layers;
  return Make(shape);
}

tiny_model tiny_model_of_pooling(uint32_t type) {
  Shape shape = Plain();
  shape.pooling = &type;
  return Make(shape);
}

tiny_model tiny_model_of_tools(void) {
  Shape shape = Plain();
  shape.chat_template = kToolTemplate;
  return Make(shape);
}

tiny_model tiny_model_of_infill(void) {
  Shape shape = Plain();
  shape.infill = 1;
  return Make(shape);
}

tiny_model tiny_model_reranker(void) {
  const uint32_t rank = 4;
  Shape shape = Plain();
  shape.architecture = "qwen3";
  shape.pooling = &rank;
  shape.reranker = 1;
  return Make(shape);
}

static void AddUpdate(Writer* writer, int layer, const char* name, uint64_t cols, uint64_t rows,
                      uint32_t rank) {
  char half[40];
  snprintf(half, sizeof half, "%s.weight.lora_a", name);
  AddNamed(writer, layer, half, cols, rank);
  snprintf(half, sizeof half, "%s.weight.lora_b", name);
  AddNamed(writer, layer, half, rank, rows);
}

tiny_model tiny_adapter_make(uint32_t layers, uint32_t rank, uint32_t seed) {
  Writer* writer = NewWriter(seed, 0.3f);
  int layer;
  KeyString(writer, "general.architecture", "llama");
  KeyString(writer, "general.type", "adapter");
  KeyString(writer, "general.name", "tiny adapter");
  KeyString(writer, "adapter.type", "lora");
  KeyF32(writer, "adapter.lora.alpha", 2.0f * (float)rank);
  for (layer = 0; layer < (int)layers; ++layer) {
    AddUpdate(writer, layer, "attn_q", EMBEDDING, HEADS * HEAD_DIM, rank);
    AddUpdate(writer, layer, "attn_k", EMBEDDING, KV_HEADS * HEAD_DIM, rank);
    AddUpdate(writer, layer, "attn_v", EMBEDDING, KV_HEADS * HEAD_DIM, rank);
    AddUpdate(writer, layer, "attn_output", HEADS * HEAD_DIM, EMBEDDING, rank);
    AddUpdate(writer, layer, "ffn_gate", EMBEDDING, FEED_FORWARD, rank);
    AddUpdate(writer, layer, "ffn_up", EMBEDDING, FEED_FORWARD, rank);
    AddUpdate(writer, layer, "ffn_down", FEED_FORWARD, EMBEDDING, rank);
  }
  return Finish(writer);
}

void tiny_model_free(tiny_model* model) {
  free(model->data);
  model->data = NULL;
}

char* tiny_file_of(const tiny_model* bytes) {
  const char* folder = getenv("TMPDIR");
  char* path = (char*)malloc(4096);
  int fd;
  if (path == NULL) Die("malloc");
  snprintf(path, 4096, "%s/mirage-tiny-XXXXXX", folder != NULL ? folder : "/tmp");
  fd = mkstemp(path);
  if (fd < 0 || write(fd, bytes->data, bytes->bytes) != (ssize_t)bytes->bytes || close(fd) != 0)
    Die(path);
  return path;
}

char* tiny_model_file(void) {
  tiny_model model = tiny_model_make();
  char* path = tiny_file_of(&model);
  tiny_model_free(&model);
  return path;
}
