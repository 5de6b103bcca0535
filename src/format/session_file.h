// SPDX-License-Identifier: Apache-2.0
#pragma once

// A saved session as bytes: tokens, conversation, and the pages of keys and values and the states.
//
//   0   "MIRAGESS"
//   8   u32 version, u32 header bytes, u64 XXH3-64 of the header
//   24  header (FlatBuffers, session_file.fbs), then the sections it names: tokens, conversation,
//       groups of pages, each at the next multiple of 64, with zeros between
//
// Everything is little-endian. Every byte of a section is covered by a checksum in the header, the
// header by its own, and there are no other bytes: damage is found before anything is used. Whether
// a file belongs to a model is for the reader to compare; this room knows bytes only.
//
// One thread at a time.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/byte_source.h"
#include "base/result.h"

namespace mirage::format {

// A reader of version 1 would take keys and values for the model's own that were computed with
// adapters: files with these are of version 2, others still of 1.
inline constexpr uint32_t kSessionFileVersion = 2;

using Fingerprint = std::array<uint8_t, 16>;

enum class SavedContent : uint8_t { kNothing = 0, kConversation = 1, kTokens = 2 };

// Of the layers that share a page table, or keep a state.
struct SavedPages {
  uint64_t page_bytes = 0;
  uint32_t layers = 0;
  uint64_t first_position = 0;  // of a state, the tokens it comes after
  uint64_t pages = 0;           // of each layer
  uint32_t state_layout = 0;    // how a state's bytes are arranged; 0: these are pages
};

struct SavedSession {
  Fingerprint model{};
  SavedContent content = SavedContent::kNothing;
  uint64_t context = 0;
  uint64_t computed = 0;  // tokens[0 .. computed) were computed, the others wait
  uint64_t cached = 0;    // of the computed ones, those the pages hold
  std::vector<int32_t> tokens;
  std::string conversation;  // JSON; empty unless kConversation
  Fingerprint adapters{};    // that the pages were computed with; all zero: none
  uint32_t page_layout = 0;  // how a page's bytes are arranged, 0: there are none; for the reader
                             // to compare, as each group's
  std::vector<SavedPages> groups;
};

// Takes the next bytes of a file being written.
using Sink = std::function<Status(std::span<const std::byte>)>;
// The bytes of one page of one layer of a group, `page_bytes` long.
using PageReader =
    std::function<std::span<const std::byte>(size_t group, uint64_t page, uint32_t layer)>;
using PageWriter = std::function<std::span<std::byte>(uint64_t page, uint32_t layer)>;

// Bytes that WriteSession gives to its sink.
[[nodiscard]] uint64_t SessionFileBytes(const SavedSession& session);

// The pages are read twice: for their checksums, which come first, and to be written.
[[nodiscard]] Status WriteSession(const SavedSession& session, const PageReader& page,
                                  const Sink& sink);

class SessionFile {
 public:
  // Reads and checks all but the pages. kCorrupt naming the part that is wrong and the byte,
  // kUnsupported for a later version. The source outlives the object.
  [[nodiscard]] static Result<SessionFile> Open(const ByteSource& source);

  [[nodiscard]] const SavedSession& session() const { return session_; }

  // Fills the pages of a group, in the file's order. After kCorrupt they hold nothing that may be
  // used.
  [[nodiscard]] Status ReadPages(size_t group, const PageWriter& page) const;

 private:
  struct Section {
    uint64_t offset;
    uint64_t bytes;
    uint64_t checksum;
  };
  explicit SessionFile(const ByteSource& source) : source_(&source) {}

  const ByteSource* source_;
  SavedSession session_;
  std::vector<Section> pages_;  // of each group
};

}  // namespace mirage::format
