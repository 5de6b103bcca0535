// SPDX-License-Identifier: Apache-2.0

// How far a model's logits are from those of a reference that llama-perplexity wrote, in the terms
// in which that tool compares others with it:
//
//   llama-quantize --allow-requantize model.gguf f32.gguf F32      # the weights as they are, in
//   F32 llama-perplexity -m f32.gguf -f text -ctk f32 -ctv f32 --kl-divergence-base base
//   llama-perplexity -m model.gguf --kl-divergence-base base --kl-divergence
//   divergence_bench model.gguf base
//
// The file: "_logits_", i32 context, i32 vocabulary, i32 windows, the windows' tokens, then for
// each token of the second half of each window but the last a row: f32 scale, f32 least, u16
// values; the natural log of a probability is scale * value + least.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "mirage/mirage.h"
#include "tests/bench/on_model.h"

namespace mirage::bench {
namespace {

template <typename T>
void Read(std::ifstream& in, T* values, size_t count) {
  if (!in.read(reinterpret_cast<char*>(values), static_cast<std::streamsize>(count * sizeof(T))))
    throw std::runtime_error("the reference ends early");
}

class Base {
 public:
  explicit Base(const char* path) : in_(path, std::ios::binary) {
    char magic[8] = {};
    int32_t sizes[3] = {};
    Read(in_, magic, sizeof magic);
    if (std::memcmp(magic, "_logits_", sizeof magic) != 0)
      throw std::runtime_error(std::string(path) + " is no reference of llama-perplexity's");
    Read(in_, sizes, 3);
    context = sizes[0];
    vocabulary = sizes[1];
    windows = sizes[2];
    tokens.resize(static_cast<size_t>(context) * static_cast<size_t>(windows));
    Read(in_, tokens.data(), tokens.size());
    row_.resize(static_cast<size_t>((vocabulary + 1) / 2 * 2 + 4));
    logprobs.resize(static_cast<size_t>(vocabulary));
  }

  // The next row, into logprobs.
  void Next() {
    Read(in_, row_.data(), row_.size());
    float scale_and_least[2];
    std::memcpy(scale_and_least, row_.data(), sizeof scale_and_least);
    for (size_t i = 0; i < logprobs.size(); ++i)
      logprobs[i] = scale_and_least[0] * row_[4 + i] + scale_and_least[1];
  }

  int32_t context = 0;
  int32_t vocabulary = 0;
  int32_t windows = 0;
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;

 private:
  std::ifstream in_;
  std::vector<uint16_t> row_;
};

struct Sums {
  double divergence = 0;
  double nll = 0;
  double nll_base = 0;
  int64_t same_top = 0;
  int64_t count = 0;

  void Add(const float* logits, const std::vector<float>& base, int32_t token) {
    size_t top = 0;
    size_t top_base = 0;
    for (size_t i = 1; i < base.size(); ++i) {
      if (logits[i] > logits[top]) top = i;
      if (base[i] > base[top_base]) top_base = i;
    }
    double sum = 0;
    for (size_t i = 0; i < base.size(); ++i) sum += std::exp(logits[i] - logits[top]);
    const double log_sum = logits[top] + std::log(sum);
    for (size_t i = 0; i < base.size(); ++i)
      if (base[i] > -16) divergence += std::exp(base[i]) * (base[i] - (logits[i] - log_sum));
    nll += log_sum - logits[token];
    nll_base -= base[static_cast<size_t>(token)];
    same_top += top == top_base ? 1 : 0;
    ++count;
  }
};

// The token that begins a text, or -1.
int32_t BeginToken(mirage_model* model) {
  mirage_error error = MIRAGE_ERROR_INIT;
  int32_t token = -1;
  size_t count = 0;
  Check(mirage_tokenize(model, "", 0, MIRAGE_TOKENIZE_ADD_SPECIAL, &token, 1, &count, &error),
        error);
  return count > 0 ? token : -1;
}

// One window: its tokens are fed one after the other once its first half has been read.
void AddWindow(mirage_model* model, std::vector<int32_t> tokens, Base& base, Sums* sums) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_session* session = nullptr;
  mirage_generation* generation = nullptr;
  const size_t first = tokens.size() / 2;
  Check(mirage_session_open(model, nullptr, &session, &error), error);
  Check(mirage_session_append_tokens(session, tokens.data(), first + 1, &error), error);
  mirage_generation_options options;
  mirage_generation_options_init(&options, sizeof options);
  options.sampler = MIRAGE_SAMPLER_EXTERNAL;
  options.ignore_eos = 1;
  options.max_tokens = static_cast<int64_t>(tokens.size() - first);
  Check(mirage_generation_start(session, &options, &generation, &error), error);
  mirage_event event{};
  event.struct_size = sizeof event;
  for (size_t i = first; i + 1 < tokens.size();) {
    Check(mirage_generation_next(generation, -1, &event, &error), error);
    if (event.kind != MIRAGE_EVENT_LOGITS) continue;
    base.Next();
    sums->Add(event.logits, base.logprobs, tokens[i + 1]);
    ++i;
    if (i + 1 < tokens.size())
      Check(mirage_generation_accept(generation, tokens[i], &error), error);
  }
  mirage_generation_close(generation);
  mirage_session_close(session);
}

int Run(const char* model_path, const char* base_path) {
  Base base(base_path);
  OnModel(model_path, base.context + 32, 1, [&](mirage_model* model) {
    const int32_t begin = BeginToken(model);
    Sums sums;
    for (int32_t window = 0; window < base.windows; ++window) {
      const auto* from = base.tokens.data() + static_cast<ptrdiff_t>(window) * base.context;
      std::vector<int32_t> tokens(from, from + base.context);
      if (begin >= 0) tokens[0] = begin;
      AddWindow(model, std::move(tokens), base, &sums);
    }
    const auto count = static_cast<double>(sums.count);
    std::printf(
        "positions %lld  KL divergence %.6f  same top token %.3f %%  perplexity %.4f, reference "
        "%.4f, ratio %.5f\n",
        static_cast<long long>(sums.count), sums.divergence / count,
        100 * static_cast<double>(sums.same_top) / count, std::exp(sums.nll / count),
        std::exp(sums.nll_base / count), std::exp((sums.nll - sums.nll_base) / count));
  });
  return 0;
}

}  // namespace
}  // namespace mirage::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s MODEL.gguf REFERENCE\n", argv[0]);
    return 2;
  }
  try {
    return mirage::bench::Run(argv[1], argv[2]);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s: %s\n", argv[0], failure.what());
    return 1;
  }
}
