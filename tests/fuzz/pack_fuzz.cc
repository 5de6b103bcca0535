// SPDX-License-Identifier: Apache-2.0

// Any bytes as a pack: an Error of the right kind, or a model file whose every tensor can be read.
// The checksums of header and keys are made right first, so that what lies behind them is reached.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "format/checksum.h"
#include "format/pack_file.h"
#include "pack_file_generated.h"
#include "tests/fuzz/require.h"

namespace mirage::format {
namespace {

constexpr size_t kPreludeBytes = 24;

void CheckError(const Error& error) {
  Require(error.code == Code::kCorrupt || error.code == Code::kUnsupported,
          "a bad file is kCorrupt or kUnsupported");
  Require(!error.message.empty(), "an error has a message");
}

void Seal(std::vector<std::byte>& bytes) {
  if (bytes.size() < kPreludeBytes) return;
  uint32_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data() + 12, sizeof header_bytes);
  if (header_bytes > bytes.size() - kPreludeBytes) return;
  auto* header = reinterpret_cast<uint8_t*>(bytes.data()) + kPreludeBytes;
  flatbuffers::Verifier verifier(header, header_bytes);
  if (pack::VerifyPackBuffer(verifier)) {
    const pack::Section* keys = pack::GetPack(header)->keys();
    if (keys != nullptr && keys->offset() <= bytes.size() &&
        keys->bytes() <= bytes.size() - keys->offset())
      const_cast<pack::Section*>(keys)->mutate_checksum(
          ChecksumOf(std::span(bytes).subspan(keys->offset(), keys->bytes())));
  }
  const uint64_t checksum = ChecksumOf(std::span(bytes).subspan(kPreludeBytes, header_bytes));
  std::memcpy(bytes.data() + 16, &checksum, sizeof checksum);
}

void Try(std::vector<std::byte> bytes) {
  Seal(bytes);
  const Result<ModelFile> file = ReadPack({std::make_shared<MemorySource>(bytes)});
  if (!file) return CheckError(file.error());
  for (const StoredRegion& region : file->regions())
    Require(region.offset <= bytes.size() && region.bytes <= bytes.size() - region.offset,
            "a region lies in the file");
  for (const TensorInfo& tensor : file->tensors()) {
    std::vector<std::byte> data(std::min<uint64_t>(tensor.extent.bytes, 1 << 16));
    Require(file->ReadTensor(tensor, tensor.extent.bytes - data.size(), data).has_value(),
            "a tensor can be read to its end");
    Require(file->FindTensor(tensor.name) == &tensor, "a tensor is found by its name");
  }
  if (const Status others = file->CheckOthers(); !others) CheckError(others.error());
}

}  // namespace
}  // namespace mirage::format

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  mirage::format::Try({bytes, bytes + size});
  return 0;
}
