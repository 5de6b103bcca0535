// SPDX-License-Identifier: Apache-2.0
#pragma once

// GgufEdit: a model file taken apart in memory, changed in one place, put together again.
//
// Only F32 tensors can be filled; every other part keeps its bytes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "format/open.h"
#include "tests/format/gguf_builder.h"

namespace mirage::model {

class GgufEdit {
 public:
  struct Tensor {
    std::string name;
    tensor::DType dtype = tensor::DType::kF32;
    std::vector<uint64_t> dims;
    std::vector<std::byte> data;
  };

  [[nodiscard]] static Result<GgufEdit> Open(const std::vector<std::byte>& bytes) {
    MIRAGE_TRY_ASSIGN(const format::ModelFile file, format::OpenModel(test::OneShard(bytes)));
    GgufEdit edit;
    for (const format::MetadataEntry& entry : file.metadata().entries()) {
      std::vector<std::byte> value;
      if (entry.is_array())
        test::GgufBuilder::Put(static_cast<uint32_t>(entry.element_type), value);
      if (entry.is_array()) test::GgufBuilder::Put(entry.count, value);
      if (entry.type == format::ValueType::kString) test::GgufBuilder::Put(entry.bytes, value);
      const auto payload = std::span(bytes).subspan(entry.offset, entry.bytes);
      value.insert(value.end(), payload.begin(), payload.end());
      edit.keys_.push_back({entry.key, static_cast<uint32_t>(entry.type), std::move(value)});
    }
    for (const format::TensorInfo& info : file.tensors()) {
      Tensor tensor{info.name, info.dtype, {}, std::vector<std::byte>(info.extent.bytes)};
      for (int dim = 0; dim < info.shape.rank(); ++dim)
        tensor.dims.push_back(static_cast<uint64_t>(info.shape[dim]));
      MIRAGE_TRY(file.ReadTensor(info, 0, tensor.data));
      edit.tensors_.push_back(std::move(tensor));
    }
    return edit;
  }

  void RemoveKey(std::string_view key) {
    keys_.erase(std::remove_if(keys_.begin(), keys_.end(),
                               [&](const RawKey& candidate) { return candidate.key == key; }),
                keys_.end());
  }
  // Adds the key or replaces it. T as GgufBuilder::AddKey takes it.
  template <typename T>
  void SetKey(std::string_view key, const T& value) {
    RemoveKey(key);
    edits_.push_back([name = std::string(key), value](test::GgufBuilder& builder) {
      builder.AddKey(name, value);
    });
  }

  [[nodiscard]] std::vector<Tensor>& tensors() { return tensors_; }
  // The only tensor of that name; nullptr when there is none.
  [[nodiscard]] Tensor* Find(std::string_view name) {
    for (Tensor& tensor : tensors_)
      if (tensor.name == name) return &tensor;
    return nullptr;
  }
  void RemoveTensor(std::string_view name) {
    tensors_.erase(std::remove_if(tensors_.begin(), tensors_.end(),
                                  [&](const Tensor& tensor) { return tensor.name == name; }),
                   tensors_.end());
  }
  // Sets every value of the F32 tensors whose name matches; '*' stands for a layer's number.
  // Returns how many matched.
  int Fill(std::string_view pattern, float value) {
    int matched = 0;
    for (Tensor& tensor : tensors_) {
      if (!Matches(tensor.name, pattern) || tensor.dtype != tensor::DType::kF32) continue;
      ++matched;
      for (size_t at = 0; at < tensor.data.size(); at += sizeof value)
        std::memcpy(tensor.data.data() + at, &value, sizeof value);
    }
    return matched;
  }

  [[nodiscard]] std::vector<std::byte> Build() const {
    test::GgufBuilder builder;
    for (const RawKey& key : keys_) builder.AddRawKey(key.key, key.type, key.value);
    for (const auto& edit : edits_) edit(builder);
    for (const Tensor& tensor : tensors_)
      builder.AddTensor(tensor.name, tensor.dtype, tensor.dims, tensor.data);
    return builder.Build();
  }

 private:
  struct RawKey {
    std::string key;
    uint32_t type;
    std::vector<std::byte> value;
  };

  static bool Matches(std::string_view name, std::string_view pattern) {
    const size_t star = pattern.find('*');
    if (star == std::string_view::npos) return name == pattern;
    const std::string_view head = pattern.substr(0, star);
    const std::string_view tail = pattern.substr(star + 1);
    if (name.size() <= head.size() + tail.size()) return false;
    const std::string_view number =
        name.substr(head.size(), name.size() - head.size() - tail.size());
    return name.substr(0, head.size()) == head && name.substr(name.size() - tail.size()) == tail &&
           number.find_first_not_of("0123456789") == std::string_view::npos;
  }

  std::vector<RawKey> keys_;
  std::vector<std::function<void(test::GgufBuilder&)>> edits_;
  std::vector<Tensor> tensors_;
};

}  // namespace mirage::model
