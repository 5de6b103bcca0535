// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "base/half.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/kv_page.h"
#include "kernels/ref/ref_ops.h"
#include "tests/kernels/kernel_test.h"

namespace mirage::kernels {
namespace {

constexpr float kScale = 0.125f;

struct Shape {
  int32_t heads = 4;
  int32_t kv_heads = 2;
  int32_t head_dim = 64;
  int64_t window = 0;
  float softcap = 0.0f;
  KvType type = KvType::kF16;
};

// The keys, values and queries of one sequence of `length` tokens, and pages to hold it. Memory
// that no token was written to holds NaN.
class Sequence {
 public:
  Sequence(Random& random, const Shape& shape, int64_t length, bool shuffled = true)
      : shape_(shape),
        length_(length),
        q_(random.Normals(length * shape.heads * shape.head_dim)),
        k_(random.Normals(length * shape.kv_heads * shape.head_dim)),
        v_(random.Normals(length * shape.kv_heads * shape.head_dim)) {
    const auto page_count = static_cast<size_t>((length + kPageTokens - 1) / kPageTokens);
    pages_.resize(page_count);
    std::iota(pages_.begin(), pages_.end(), 1u);
    if (shuffled)
      for (size_t i = page_count; i > 1; --i)
        std::swap(pages_[i - 1],
                  pages_[static_cast<size_t>(random.Int(0, static_cast<int64_t>(i) - 1))]);
    page_halves_ = KvPageBytes(shape.type, shape.kv_heads, shape.head_dim) / 2 + 64;
    memory_.assign((page_count + 1) * page_halves_, 0x7E00);  // NaN
  }

  [[nodiscard]] int64_t length() const { return length_; }
  [[nodiscard]] std::vector<float> Queries(int64_t position, int64_t tokens) const {
    const int64_t width = int64_t{shape_.heads} * shape_.head_dim;
    return {q_.begin() + position * width, q_.begin() + (position + tokens) * width};
  }
  [[nodiscard]] KvLayer Layer() {
    return {reinterpret_cast<std::byte*>(memory_.data()), page_halves_ * 2, shape_.kv_heads,
            shape_.head_dim, shape_.type};
  }
  [[nodiscard]] SequenceView View(int64_t position, int64_t tokens) const {
    return {pages_.data(), 0, position, 0, static_cast<int32_t>(tokens)};
  }

  // Writes K and V of tokens [position, position + tokens).
  void Write(const Ops& ops, Machine& machine, int64_t position, int64_t tokens) {
    const int64_t kv_stride = int64_t{shape_.kv_heads} * shape_.head_dim;
    const SequenceView view = View(position, tokens);
    EXPECT_TRUE(ops.kv_write(*machine.stream,
                             {k_.data() + position * kv_stride, v_.data() + position * kv_stride,
                              kv_stride, kv_stride, Layer(), &view, 1}));
  }

  // Writes all, then attends with the last `tokens` tokens only.
  std::vector<float> Last(const Ops& ops, Machine& machine, int64_t tokens) {
    Write(ops, machine, 0, length_);
    return Step(ops, machine, length_ - tokens, tokens);
  }

  // Tokens [position, position + tokens): writes their K and V, then attends. Outputs of those
  // tokens.
  std::vector<float> Step(const Ops& ops, Machine& machine, int64_t position, int64_t tokens,
                          bool with_scratch = false) {
    const int64_t q_stride = int64_t{shape_.heads} * shape_.head_dim;
    const SequenceView view = View(position, tokens);
    Write(ops, machine, position, tokens);
    std::vector<float> y(static_cast<size_t>(tokens * q_stride), NAN);
    AttentionArgs args{};
    args.q = q_.data() + position * q_stride;
    args.q_stride = q_stride;
    args.y = y.data();
    args.layer = Layer();
    args.sequences = &view;
    args.sequence_count = 1;
    args.heads = shape_.heads;
    args.window = shape_.window;
    args.scale = kScale;
    args.softcap = shape_.softcap;
    std::vector<float> scratch;
    if (with_scratch) {
      scratch.assign(static_cast<size_t>(AttentionScratchFloats(args)), NAN);
      args.scratch = scratch.data();
      args.scratch_floats = static_cast<int64_t>(scratch.size());
    }
    EXPECT_TRUE(ops.attention(*machine.stream, args));
    return y;
  }

  // The whole sequence in chunks of these sizes, the last repeated.
  std::vector<float> Run(const Ops& ops, Machine& machine, const std::vector<int64_t>& chunks,
                         bool with_scratch = false) {
    std::vector<float> y;
    size_t chunk = 0;
    for (int64_t position = 0; position < length_;) {
      const int64_t tokens =
          std::min(chunks[std::min(chunk++, chunks.size() - 1)], length_ - position);
      const auto part = Step(ops, machine, position, tokens, with_scratch);
      y.insert(y.end(), part.begin(), part.end());
      position += tokens;
    }
    return y;
  }

  // Softmax attention in double, from what is stored.
  [[nodiscard]] std::vector<double> Exact(int64_t position) const {
    std::vector<double> out;
    const int32_t group = shape_.heads / shape_.kv_heads;
    const int64_t begin =
        shape_.window > 0 ? std::max<int64_t>(0, position + 1 - shape_.window) : 0;
    for (int32_t head = 0; head < shape_.heads; ++head) {
      std::vector<double> weights;
      double sum = 0;
      for (int64_t t = begin; t <= position; ++t) {
        double dot = 0;
        for (int32_t d = 0; d < shape_.head_dim; ++d)
          dot += double{q_[At(position, shape_.heads, head, d)]} *
                 double{Stored(k_.data() + At(t, shape_.kv_heads, head / group, 0), d)};
        double score = kScale * dot;
        if (shape_.softcap > 0) score = shape_.softcap * std::tanh(score / shape_.softcap);
        weights.push_back(std::exp(score));
        sum += weights.back();
      }
      for (int32_t d = 0; d < shape_.head_dim; ++d) {
        double value = 0;
        for (int64_t t = begin; t <= position; ++t)
          value += weights[static_cast<size_t>(t - begin)] / sum *
                   double{Stored(v_.data() + At(t, shape_.kv_heads, head / group, 0), d)};
        out.push_back(value);
      }
    }
    return out;
  }

 private:
  [[nodiscard]] size_t At(int64_t t, int32_t heads, int32_t head, int32_t d) const {
    return static_cast<size_t>((t * heads + head) * shape_.head_dim + d);
  }
  // Value d of a key or value, as its type keeps it.
  [[nodiscard]] float Stored(const float* x, int32_t d) const {
    if (shape_.type == KvType::kF16) return HalfToFloat(FloatToHalf(x[d]));
    const int32_t begin = d / kKvBlock * kKvBlock;
    const int32_t end = std::min(begin + kKvBlock, shape_.head_dim);
    const float most = *std::max_element(
        x + begin, x + end, [](float a, float b) { return std::abs(a) < std::abs(b); });
    const bool eight = shape_.type == KvType::kQ8_0;
    const float scale = eight ? std::abs(most) / 127 : most / -8;
    const float level = x[d] * (1 / scale);
    const float number =
        eight ? std::nearbyint(level) : std::min(15.0f, std::floor(level + 8.5f)) - 8;
    return number * HalfToFloat(FloatToHalf(scale));
  }

  Shape shape_;
  int64_t length_;
  std::vector<float> q_;
  std::vector<float> k_;
  std::vector<float> v_;
  std::vector<uint32_t> pages_;
  size_t page_halves_ = 0;
  std::vector<uint16_t> memory_;
};

// One attention call over the last tokens of several sequences, whose pages are moved to one
// memory. Pages that no window sees any more are absent.
std::vector<float> Together(const Ops& ops, Machine& machine, const Shape& shape,
                            std::vector<Sequence>& sequences, const int64_t* last) {
  std::vector<std::byte> memory;
  std::vector<std::vector<uint32_t>> pages;
  std::vector<SequenceView> views;
  std::vector<float> q;
  KvLayer layer{};
  for (size_t i = 0; i < sequences.size(); ++i) {
    layer = sequences[i].Layer();
    const int64_t position = sequences[i].length() - last[i];
    SequenceView view = sequences[i].View(position, last[i]);
    const int64_t first = std::max<int64_t>(0, position + 1 - shape.window) / kPageTokens;
    pages.emplace_back();
    for (int64_t page = first; page * kPageTokens < sequences[i].length(); ++page) {
      const std::byte* from = layer.base + view.pages[page] * layer.page_bytes;
      pages.back().push_back(static_cast<uint32_t>(memory.size() / layer.page_bytes));
      memory.insert(memory.end(), from, from + layer.page_bytes);
    }
    view.first_position = first * kPageTokens;
    view.row0 = static_cast<int32_t>(q.size()) / (shape.heads * shape.head_dim);
    views.push_back(view);
    const auto rows = sequences[i].Queries(position, last[i]);
    q.insert(q.end(), rows.begin(), rows.end());
  }
  for (size_t i = 0; i < views.size(); ++i) views[i].pages = pages[i].data();
  layer.base = memory.data();
  std::vector<float> y(q.size(), NAN);
  AttentionArgs args{};
  args.q = q.data();
  args.q_stride = int64_t{shape.heads} * shape.head_dim;
  args.y = y.data();
  args.layer = layer;
  args.sequences = views.data();
  args.sequence_count = static_cast<int32_t>(views.size());
  args.heads = shape.heads;
  args.window = shape.window;
  args.scale = kScale;
  EXPECT_TRUE(ops.attention(*machine.stream, args));
  return y;
}

std::string Describe(const Ops& ops, const Shape& shape, int64_t length) {
  return std::string(ops.name) + " heads " + std::to_string(shape.heads) + "/" +
         std::to_string(shape.kv_heads) + " dim " + std::to_string(shape.head_dim) + " window " +
         std::to_string(shape.window) + " length " + std::to_string(length);
}

class AttentionOn : public testing::TestWithParam<std::tuple<const Ops*, KvType>> {
 protected:
  const Ops& ops() const { return *std::get<0>(GetParam()); }
  // The shape with the type under test.
  static Shape Typed(Shape shape) {
    shape.type = std::get<1>(GetParam());
    return shape;
  }
  // The same random sequence for two runs.
  static Sequence Make(const Shape& shape, int64_t length, bool shuffled = true) {
    Random random(77);
    return Sequence(random, Typed(shape), length, shuffled);
  }
  Machine machine_{2};
};

TEST_P(AttentionOn, AgreesWithTheReference) {
  const Shape shapes[] = {
      {4, 4, 32, 0, 0},   {9, 3, 64, 0, 0},   {8, 1, 80, 0, 0},  {4, 1, 256, 40, 0},
      {6, 2, 96, 100, 0}, {4, 2, 128, 0, 50}, {2, 2, 40, 33, 5}, {16, 2, 64, 0, 0},
  };
  for (const Shape& shape : shapes) {
    const bool halves = Typed(shape).type == KvType::kF16;
    for (const int64_t length : halves ? std::vector<int64_t>{1, 31, 33, 255, 256, 257, 300}
                                       : std::vector<int64_t>{1, 33, 257}) {
      Sequence expected = Make(shape, length);
      Sequence actual = Make(shape, length);
      const int64_t tokens = std::min<int64_t>(length, 20);
      const auto ref = expected.Last(RefOps(), machine_, tokens);
      const auto ours = actual.Last(ops(), machine_, tokens);
      if (IsExact(ops()))
        ExpectSameBits(ref, ours, Describe(ops(), shape, length));
      else
        ExpectNear(ref, ours, 1e-4f, Describe(ops(), shape, length));
    }
  }
}

TEST_P(AttentionOn, IsCloseToExactSoftmax) {
  for (const Shape& shape : {Shape{4, 2, 64, 0, 0}, Shape{4, 1, 80, 70, 20}}) {
    const int64_t length = 600;
    Sequence sequence = Make(shape, length);
    const auto y = sequence.Run(ops(), machine_, {length});
    for (const int64_t position : {0, 1, 255, 256, 599}) {
      const auto exact = sequence.Exact(position);
      for (size_t i = 0; i < exact.size(); ++i)
        ASSERT_NEAR(y[static_cast<size_t>(position) * exact.size() + i], exact[i], 2e-5)
            << Describe(ops(), shape, length) << " position " << position;
    }
  }
}

TEST_P(AttentionOn, ChunksDoNotChangeABit) {
  for (const Shape& shape : {Shape{6, 2, 64, 0, 0}, Shape{4, 1, 64, 45, 0}}) {
    const int64_t length = 290;
    const auto whole = Make(shape, length).Run(ops(), machine_, {length});
    for (const std::vector<int64_t>& chunks :
         {std::vector<int64_t>{1}, {3}, {32}, {255, 1, 1, 33}, {256, 5}, {257, 1}})
      ExpectSameBits(whole, Make(shape, length).Run(ops(), machine_, chunks),
                     Describe(ops(), shape, length) + " chunk " + std::to_string(chunks[0]));
  }
}

TEST_P(AttentionOn, SplitsOnSeveralThreadsDoNotChangeABit) {
  for (const Shape& shape : {Shape{8, 1, 64, 0, 0}, Shape{4, 2, 64, 300, 0}}) {
    const int64_t length = 800;
    const auto plain = Make(shape, length).Run(ops(), machine_, {790, 1});
    Machine three(3);
    ExpectSameBits(plain, Make(shape, length).Run(ops(), three, {790, 1}, true),
                   Describe(ops(), shape, length));
    ExpectSameBits(plain, Make(shape, length).Run(ops(), three, {794, 3}, true),
                   Describe(ops(), shape, length));
  }
}

TEST_P(AttentionOn, WhereAPageIsDoesNotChangeABit) {
  const Shape shape = Typed({4, 2, 64, 0, 0});
  const auto in_order = Make(shape, 100, false).Run(ops(), machine_, {100});
  Random random(77);
  Sequence shuffled(random, shape, 100, true);
  // Make() draws the same numbers before it shuffles.
  ExpectSameBits(in_order, shuffled.Run(ops(), machine_, {100}), Describe(ops(), shape, 100));
}

TEST_P(AttentionOn, BatchMatesDoNotChangeABit) {
  const Shape shape = Typed({4, 2, 64, 40, 0});
  const int64_t lengths[] = {150, 70, 1};
  const int64_t last[] = {1, 5, 1};  // tokens of each in the batch
  std::vector<float> alone;
  std::vector<Sequence> sequences;
  Random random(5);
  for (int i = 0; i < 3; ++i) {
    sequences.emplace_back(random, shape, lengths[i]);
    const auto y = sequences.back().Last(ops(), machine_, last[i]);
    alone.insert(alone.end(), y.begin(), y.end());
  }
  ExpectSameBits(alone, Together(ops(), machine_, shape, sequences, last), "batch of three");
}

std::string TypeName(KvType type) {
  switch (type) {
    case KvType::kF16:
      return "f16";
    case KvType::kQ8_0:
      return "q8_0";
    case KvType::kQ4_0:
      break;
  }
  return "q4_0";
}

INSTANTIATE_TEST_SUITE_P(Tables, AttentionOn,
                         testing::Combine(testing::ValuesIn(TestedOps()),
                                          testing::Values(KvType::kF16, KvType::kQ8_0,
                                                          KvType::kQ4_0)),
                         [](const auto& table) {
                           return std::string(std::get<0>(table.param)->name) + "_" +
                                  TypeName(std::get<1>(table.param));
                         });

}  // namespace
}  // namespace mirage::kernels
