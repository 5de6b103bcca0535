// SPDX-License-Identifier: Apache-2.0
#pragma once

// GgufBuilder: writes GGUF files in memory, right ones by default and wrong ones on request.
//
//   const std::vector<std::byte> file = GgufBuilder()
//       .AddKey("general.architecture", "llama")
//       .AddKey("llama.block_count", uint32_t{2})
//       .AddKey("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"})
//       .AddTensor("output_norm.weight", {4}, {1, 2, 3, 4})
//       .Build();
//
// Tensors get the next aligned offset; tensors() gives what will be written about each, to be
// spoiled.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/byte_source.h"
#include "base/checked.h"
#include "format/metadata.h"
#include "tensor/dtype.h"

namespace mirage::test {

class GgufBuilder {
 public:
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;
    uint32_t type = 0;
    uint64_t offset = 0;
    std::vector<std::byte> data;
  };

  GgufBuilder& Version(uint32_t version) {
    version_ = version;
    return *this;
  }
  // Lays data out so and says so in general.alignment. Call it before the first AddTensor.
  GgufBuilder& Alignment(uint32_t alignment) {
    alignment_ = alignment;
    return AddKey("general.alignment", alignment);
  }

  // A key holding a bool, a number, a string, or a std::vector of one of these; the C++ type is the
  // type in the file.
  template <typename T>
  GgufBuilder& AddKey(std::string_view key, const T& value) {
    if constexpr (std::is_convertible_v<T, std::string_view>) {
      std::vector<std::byte> bytes;
      PutString(value, bytes);
      return AddRawKey(key, Code(format::ValueType::kString), bytes);
    } else if constexpr (std::is_arithmetic_v<T>) {
      std::vector<std::byte> bytes;
      Put(value, bytes);
      return AddRawKey(key, Code(TypeOf<T>()), bytes);
    } else {
      return AddArray(key, value);
    }
  }

  // A key of any type number with these bytes for a value.
  GgufBuilder& AddRawKey(std::string_view key, uint32_t type, std::span<const std::byte> value) {
    PutString(key, keys_);
    Put(type, keys_);
    keys_.insert(keys_.end(), value.begin(), value.end());
    ++key_count_;
    return *this;
  }

  GgufBuilder& AddTensor(std::string_view name, tensor::DType dtype, std::vector<uint64_t> dims,
                         std::vector<std::byte> data) {
    const uint64_t offset = RoundUp(data_end_, alignment_);
    data_end_ = offset + data.size();
    tensors_.push_back({std::string(name), std::move(dims), static_cast<uint32_t>(dtype), offset,
                        std::move(data)});
    return *this;
  }
  // An F32 tensor.
  GgufBuilder& AddTensor(std::string_view name, std::vector<uint64_t> dims,
                         const std::vector<float>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return AddTensor(name, tensor::DType::kF32, std::move(dims), {bytes.begin(), bytes.end()});
  }
  // A tensor whose data are zeros, as many as its type and dimensions need.
  GgufBuilder& AddZeroTensor(std::string_view name, tensor::DType dtype,
                             std::vector<uint64_t> dims) {
    uint64_t blocks = 1;
    for (const uint64_t dim : dims) blocks *= dim;
    blocks /= Info(dtype).block_elements;
    std::vector<std::byte> zeros(blocks * Info(dtype).block_bytes);
    return AddTensor(name, dtype, std::move(dims), std::move(zeros));
  }

  std::vector<Tensor>& tensors() { return tensors_; }
  // Counts for the head of the file other than the true ones.
  GgufBuilder& ClaimKeys(uint64_t count) {
    claimed_keys_ = count;
    return *this;
  }
  GgufBuilder& ClaimTensors(uint64_t count) {
    claimed_tensors_ = count;
    return *this;
  }

  [[nodiscard]] std::vector<std::byte> Build() const {
    std::vector<std::byte> file;
    Put(uint32_t{0x46554747}, file);
    Put(version_, file);
    Put(claimed_tensors_.value_or(tensors_.size()), file);
    Put(claimed_keys_.value_or(key_count_), file);
    file.insert(file.end(), keys_.begin(), keys_.end());
    for (const Tensor& tensor : tensors_) {
      PutString(tensor.name, file);
      Put(static_cast<uint32_t>(tensor.dims.size()), file);
      for (const uint64_t dim : tensor.dims) Put(dim, file);
      Put(tensor.type, file);
      Put(tensor.offset, file);
    }
    uint64_t offset = 0;  // where each tensor's data goes, whatever the tensor's entry claims
    const size_t header_bytes = file.size();
    const size_t data_begin = RoundUp(header_bytes, alignment_);
    for (const Tensor& tensor : tensors_) {
      file.resize(data_begin + RoundUp(offset, alignment_));
      file.insert(file.end(), tensor.data.begin(), tensor.data.end());
      offset = file.size() - data_begin;
    }
    return file;
  }

  template <typename T>
  static void Put(T value, std::vector<std::byte>& out) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof(T));
  }
  static void PutString(std::string_view text, std::vector<std::byte>& out) {
    Put(static_cast<uint64_t>(text.size()), out);
    const auto bytes = std::as_bytes(std::span(text));
    out.insert(out.end(), bytes.begin(), bytes.end());
  }

 private:
  static uint32_t Code(format::ValueType type) { return static_cast<uint32_t>(type); }

  template <typename T>
  static constexpr format::ValueType TypeOf() {
    using format::ValueType;
    if constexpr (std::is_same_v<T, bool>) return ValueType::kBool;
    if constexpr (std::is_same_v<T, float>) return ValueType::kF32;
    if constexpr (std::is_same_v<T, double>) return ValueType::kF64;
    constexpr bool kSigned = std::is_signed_v<T>;
    switch (sizeof(T)) {
      case 1:
        return kSigned ? ValueType::kI8 : ValueType::kU8;
      case 2:
        return kSigned ? ValueType::kI16 : ValueType::kU16;
      case 4:
        return kSigned ? ValueType::kI32 : ValueType::kU32;
      default:
        return kSigned ? ValueType::kI64 : ValueType::kU64;
    }
  }

  template <typename E>
  GgufBuilder& AddArray(std::string_view key, const std::vector<E>& values) {
    std::vector<std::byte> bytes;
    if constexpr (std::is_convertible_v<E, std::string_view>) {
      Put(Code(format::ValueType::kString), bytes);
      Put(static_cast<uint64_t>(values.size()), bytes);
      for (const E& value : values) PutString(value, bytes);
    } else {
      Put(Code(TypeOf<E>()), bytes);
      Put(static_cast<uint64_t>(values.size()), bytes);
      for (const E value : values) Put<E>(value, bytes);
    }
    return AddRawKey(key, Code(format::ValueType::kArray), bytes);
  }

  uint32_t version_ = 3;
  uint64_t alignment_ = 32;
  std::vector<std::byte> keys_;
  uint64_t key_count_ = 0;
  std::optional<uint64_t> claimed_keys_;
  std::optional<uint64_t> claimed_tensors_;
  std::vector<Tensor> tensors_;
  uint64_t data_end_ = 0;
};

// A source that owns its bytes.
class BytesSource final : public ByteSource {
 public:
  explicit BytesSource(std::vector<std::byte> data, std::string name = "test.gguf")
      : data_(std::move(data)), memory_(data_, std::move(name)) {}
  [[nodiscard]] const std::string& name() const override { return memory_.name(); }
  [[nodiscard]] uint64_t bytes() const override { return memory_.bytes(); }
  [[nodiscard]] Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    return memory_.ReadAt(offset, out);
  }

 private:
  std::vector<std::byte> data_;
  MemorySource memory_;
};

// The one shard of a model that lives in memory.
[[nodiscard]] inline std::vector<std::shared_ptr<const ByteSource>> OneShard(
    std::vector<std::byte> file) {
  return {std::make_shared<BytesSource>(std::move(file))};
}

}  // namespace mirage::test
