// SPDX-License-Identifier: Apache-2.0

// Any bytes as a model file: an Error of the right kind, or a ModelFile that keeps its promises.
//
// An input is one file, or, after the four bytes "SPLT" and a u16 with the bytes of the first, two
// shards.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "format/gguf.h"
#include "format/open.h"
#include "format/shards.h"
#include "tensor/dequantize.h"
#include "tests/fuzz/require.h"

namespace mirage::format {
namespace {

using Sources = std::vector<std::shared_ptr<const ByteSource>>;

void CheckError(const Error& error) {
  Require(error.code == Code::kCorrupt || error.code == Code::kUnsupported,
          "a bad file is kCorrupt or kUnsupported");
  Require(!error.message.empty(), "an error has a message");
}

template <typename T>
void TryGet(const Metadata& metadata, const std::string& key) {
  const Result<T> value = metadata.Get<T>(key);
  if (!value) CheckError(value.error());
}

void ReadEveryKeyAsEveryType(const Metadata& metadata) {
  for (const MetadataEntry& entry : metadata.entries()) {
    Require(metadata.Find(entry.key) == &entry, "a key is found");
    TryGet<bool>(metadata, entry.key);
    TryGet<int32_t>(metadata, entry.key);
    TryGet<uint32_t>(metadata, entry.key);
    TryGet<int64_t>(metadata, entry.key);
    TryGet<uint64_t>(metadata, entry.key);
    TryGet<float>(metadata, entry.key);
    TryGet<double>(metadata, entry.key);
    TryGet<std::string>(metadata, entry.key);
    TryGet<StringTable>(metadata, entry.key);
    TryGet<std::vector<bool>>(metadata, entry.key);
    TryGet<std::vector<int32_t>>(metadata, entry.key);
    TryGet<std::vector<uint64_t>>(metadata, entry.key);
    TryGet<std::vector<float>>(metadata, entry.key);
    TryGet<std::vector<std::byte>>(metadata, entry.key);
    (void)metadata.GetPerLayer<uint32_t>(entry.key, 3);
    const auto preview = metadata.Preview(entry, 60);
    if (!preview) CheckError(preview.error());
    Require(!preview || preview->size() < 1000, "a preview is short");
  }
  Require(metadata.heap_bytes() < (1u << 24), "small files take little memory");
}

void ReadEveryTensor(const ModelFile& file) {
  for (const TensorInfo& info : file.tensors()) {
    Require(file.FindTensor(info.name) == &info, "a tensor is found");
    std::vector<std::byte> data(std::min<uint64_t>(info.extent.bytes, 1 << 16));
    Require(file.ReadTensor(info, info.extent.bytes - data.size(), data).has_value(),
            "a tensor's bytes are there");
    const tensor::DTypeInfo& type = tensor::Info(info.dtype);
    if (!type.supported) continue;
    const uint64_t elements = data.size() / type.block_bytes * type.block_elements;
    std::vector<float> values(elements);
    tensor::DequantizeRow(info.dtype, data.data(), values.data(), static_cast<int64_t>(elements));
  }
  Require(file.GetTensor("no such tensor\n").error().code == Code::kCorrupt,
          "an absent tensor is not found");
}

void Check(const Result<ModelFile>& file) {
  if (!file) return CheckError(file.error());
  ReadEveryKeyAsEveryType(file->metadata());
  ReadEveryTensor(*file);
}

std::shared_ptr<const ByteSource> Source(std::span<const std::byte> data, const char* name) {
  return std::make_shared<MemorySource>(data, name);
}

Sources Shards(std::span<const std::byte> input) {
  constexpr size_t kHead = 4 + sizeof(uint16_t);
  if (input.size() < kHead || std::memcmp(input.data(), "SPLT", 4) != 0)
    return {Source(input, "one")};
  uint16_t first_bytes = 0;
  std::memcpy(&first_bytes, input.data() + 4, sizeof(first_bytes));
  const auto both = input.subspan(kHead);
  const size_t cut = std::min<size_t>(first_bytes, both.size());
  return {Source(both.first(cut), "one"), Source(both.subspan(cut), "two")};
}

}  // namespace
}  // namespace mirage::format

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace mirage::format;
  const std::span input(reinterpret_cast<const std::byte*>(data), bytes);
  Check(OpenModel(Shards(input)));

  // Everything read on demand, and limits that small inputs reach.
  GgufLimits narrow;
  narrow.header_bytes = 2048;
  narrow.keys = 8;
  narrow.tensors = 6;
  narrow.string_bytes = 128;
  narrow.resident_bytes = 0;
  Check(ReadGguf(Shards(input), narrow));

  (void)ShardPaths({reinterpret_cast<const char*>(data), std::min<size_t>(bytes, 64)});
  return 0;
}
