// SPDX-License-Identifier: Apache-2.0
#include "format/fingerprint.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "format/checksum.h"

namespace mirage::format {
namespace {

constexpr uint64_t kSampleBytes = 4096;  // at the start, in the middle and at the end of a tensor
constexpr uint64_t kPieceBytes = 64 << 10;

void AddNumber(Checksum& sum, uint64_t value) { sum.Add(std::as_bytes(std::span(&value, 1))); }

// With its length, so that two neighbours cannot be cut elsewhere.
void AddText(Checksum& sum, std::string_view text) {
  AddNumber(sum, text.size());
  sum.Add(std::as_bytes(std::span(text.data(), text.size())));
}

void AddMetadata(Checksum& sum, const Metadata& metadata) {
  for (const MetadataEntry& entry : metadata.entries()) {
    // What tells how the file came about: a pack is the model that it was made of.
    if (entry.key.starts_with("split.") || entry.key.starts_with("mirage.pack.")) continue;
    AddText(sum, entry.key);
    AddNumber(sum, static_cast<uint64_t>(entry.type));
    AddNumber(sum, entry.bytes);
    AddText(sum, entry.payload);
  }
}

void AddHeader(Checksum& sum, const TensorInfo& tensor) {
  AddText(sum, tensor.name);
  AddNumber(sum, static_cast<uint64_t>(tensor.dtype));
  AddNumber(sum, tensor.extent.bytes);
  for (int dim = 0; dim < tensor.shape.rank(); ++dim)
    AddNumber(sum, static_cast<uint64_t>(tensor.shape[dim]));
}

}  // namespace

Result<Fingerprint> FingerprintOf(const ModelFile& file) {
  Checksum sum;
  AddMetadata(sum, file.metadata());
  std::vector<std::byte> sample;
  for (const TensorInfo& tensor : file.tensors()) {
    AddHeader(sum, tensor);
    sample.resize(std::min(kSampleBytes, tensor.extent.bytes));
    const uint64_t last = tensor.extent.bytes - sample.size();
    for (const uint64_t begin : {uint64_t{0}, last / 2, last}) {
      MIRAGE_TRY(file.ReadTensor(tensor, begin, sample));
      sum.Add(sample);
    }
  }
  return sum.Value128();
}

Result<Fingerprint> WholeFingerprintOf(const ModelFile& file) {
  Checksum sum;
  AddMetadata(sum, file.metadata());
  std::vector<std::byte> piece(kPieceBytes);
  for (const TensorInfo& tensor : file.tensors()) {
    AddHeader(sum, tensor);
    for (uint64_t begin = 0; begin < tensor.extent.bytes; begin += kPieceBytes) {
      const auto bytes = std::span(piece).first(std::min(kPieceBytes, tensor.extent.bytes - begin));
      MIRAGE_TRY(file.ReadTensor(tensor, begin, bytes));
      sum.Add(bytes);
    }
  }
  return sum.Value128();
}

}  // namespace mirage::format
