// SPDX-License-Identifier: Apache-2.0
#pragma once

// A pack: a model file in the layout that kernels read, so that its regions are mapped, or read
// with one aligned direct read each.
//
//   0   "MIRAGEPK"
//   8   u16 major and u16 minor version, u32 header bytes, u64 XXH3-64 of the header
//   24  header (FlatBuffers, pack_file.fbs), then the sections it names: keys in GGUF's encoding,
//       the model's regions, tensors that belong to none
//
// A section of 1 MiB or more begins at a multiple of 64 KiB, any other but the keys at one of
// 4 KiB, and the file ends at one; zeros lie between. Everything is little-endian. Each section has
// its checksum in the header, the header its own: the keys' is checked when a pack is opened, the
// others' by who reads them. A pack of a later minor version opens; a later major one is refused.
//
// A reader of untrusted bytes, as gguf.h.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"
#include "format/model_file.h"

namespace mirage::format {

inline constexpr uint16_t kPackMajor = 1;
inline constexpr uint16_t kPackMinor = 0;
inline constexpr uint32_t kPackLayout = 1;  // tensor/packed_rows.h
inline constexpr char kPackMagic[] = "MIRAGEPK";

[[nodiscard]] Result<ModelFile> ReadPack(std::vector<std::shared_ptr<const ByteSource>> shards);

// What is to be written, with offsets of tensors within the section they lie in.
struct PackContent {
  struct Place {
    uint32_t section = 0;  // of regions and others together, regions first
    uint64_t offset = 0;
  };
  struct Run {
    int64_t row0 = 0;
    int64_t rows = 0;
    Place place;
  };
  struct Tensor {
    std::string name;
    tensor::DType dtype = tensor::DType::kF32;
    tensor::Shape shape;
    std::vector<Run> runs;  // empty: plain, at
    Place place;
  };

  std::vector<std::byte> keys;  // EncodeMetadata, metadata_io.h
  uint64_t key_count = 0;
  std::vector<Tensor> tensors;
  std::vector<uint64_t> region_bytes;
  std::vector<uint64_t> other_bytes;
};

// Writes a pack section by section. The header, which has their checksums, comes last: until then
// the file is none.
class PackWriter {
 public:
  // Puts bytes at an offset of the file.
  using Sink = std::function<Status(uint64_t offset, std::span<const std::byte> bytes)>;

  PackWriter(PackContent content, Sink sink);

  [[nodiscard]] uint64_t file_bytes() const { return file_bytes_; }
  // Of that, what is there for alignment alone.
  [[nodiscard]] uint64_t padding_bytes() const { return padding_bytes_; }

  // Whether it can be read again: kUnsupported naming the limit.
  [[nodiscard]] Status Check() const;

  // All bytes of a section: regions and others together, in any order, each once.
  [[nodiscard]] Status WriteSection(size_t section, std::span<const std::byte> bytes);
  // After all sections.
  [[nodiscard]] Status Finish();

 private:
  struct Section {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    uint64_t checksum = 0;
  };
  [[nodiscard]] std::vector<uint8_t> BuildHeader() const;
  void PlaceSections(uint64_t header_bytes);

  PackContent content_;
  Sink sink_;
  Section keys_;
  std::vector<Section> sections_;
  uint64_t file_bytes_ = 0;
  uint64_t padding_bytes_ = 0;
};

}  // namespace mirage::format
