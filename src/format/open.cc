// SPDX-License-Identifier: Apache-2.0

#include "format/open.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "format/gguf.h"
#include "format/pack_file.h"

namespace mirage::format {
namespace {

struct Reader {
  std::string_view magic;
  Result<ModelFile> (*read)(std::vector<std::shared_ptr<const ByteSource>> shards);
};

constexpr Reader kReaders[] = {
    {"GGUF",
     [](std::vector<std::shared_ptr<const ByteSource>> shards) {
       return ReadGguf(std::move(shards));
     }},
    {kPackMagic,
     [](std::vector<std::shared_ptr<const ByteSource>> shards) {
       return ReadPack(std::move(shards));
     }},
};
constexpr size_t kLeastMagicBytes = 4;
constexpr size_t kMostMagicBytes = 8;

std::string ToHex(std::string_view magic) {
  char text[3 * kLeastMagicBytes + 1];
  const auto byte = [&](size_t i) { return static_cast<unsigned>(static_cast<uint8_t>(magic[i])); };
  std::snprintf(text, sizeof(text), "%02x %02x %02x %02x", byte(0), byte(1), byte(2), byte(3));
  return text;
}

}  // namespace

Result<ModelFile> OpenModel(std::vector<std::shared_ptr<const ByteSource>> shards) {
  if (shards.empty()) return Fail(Code::kInvalidArgument, "no file given");
  const ByteSource& first = *shards[0];
  if (first.bytes() < kLeastMagicBytes)
    return Fail(Code::kCorrupt, first.name() + ": " + std::to_string(first.bytes()) +
                                    " bytes are too few for any model file");
  std::string begin(std::min<uint64_t>(first.bytes(), kMostMagicBytes), '\0');
  MIRAGE_TRY(first.ReadAt(0, std::as_writable_bytes(std::span(begin))));
  for (const Reader& reader : kReaders)
    if (begin.starts_with(reader.magic)) return reader.read(std::move(shards));
  return Fail(Code::kUnsupported,
              first.name() + ": starts with " + ToHex(begin) +
                  ", which is no known model format (GGUF: 47 47 55 46, or a Mirage pack)");
}

}  // namespace mirage::format
