// SPDX-License-Identifier: Apache-2.0

#include "format/open.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "format/gguf.h"

namespace mirage::format {
namespace {

constexpr size_t kMagicBytes = 4;
using Magic = std::array<std::byte, kMagicBytes>;

struct Reader {
  char magic[kMagicBytes + 1];
  Result<ModelFile> (*read)(std::vector<std::shared_ptr<const ByteSource>> shards);
};

constexpr Reader kReaders[] = {
    {"GGUF",
     [](std::vector<std::shared_ptr<const ByteSource>> shards) {
       return ReadGguf(std::move(shards));
     }},
};

std::string ToHex(const Magic& magic) {
  char text[3 * kMagicBytes + 1];
  std::snprintf(text, sizeof(text), "%02x %02x %02x %02x", static_cast<unsigned>(magic[0]),
                static_cast<unsigned>(magic[1]), static_cast<unsigned>(magic[2]),
                static_cast<unsigned>(magic[3]));
  return text;
}

}  // namespace

Result<ModelFile> OpenModel(std::vector<std::shared_ptr<const ByteSource>> shards) {
  if (shards.empty()) return Fail(Code::kInvalidArgument, "no file given");
  const ByteSource& first = *shards[0];
  if (first.bytes() < kMagicBytes)
    return Fail(Code::kCorrupt, first.name() + ": " + std::to_string(first.bytes()) +
                                    " bytes are too few for any model file");
  Magic magic;
  MIRAGE_TRY(first.ReadAt(0, magic));
  for (const Reader& reader : kReaders)
    if (std::memcmp(magic.data(), reader.magic, kMagicBytes) == 0)
      return reader.read(std::move(shards));
  return Fail(Code::kUnsupported, first.name() + ": starts with " + ToHex(magic) +
                                      ", which is no known model format (GGUF: 47 47 55 46)");
}

}  // namespace mirage::format
