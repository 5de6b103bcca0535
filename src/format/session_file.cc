// SPDX-License-Identifier: Apache-2.0
#include "format/session_file.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "base/checked.h"
#include "format/checksum.h"
#include "session_file_generated.h"

namespace mirage::format {
namespace {

constexpr std::string_view kMagic = "MIRAGESS";
constexpr uint64_t kPreludeBytes = 24;
constexpr uint64_t kAlignment = 64;
constexpr uint64_t kMostHeaderBytes = 1 << 20;
constexpr uint64_t kMostTokens = uint64_t{1} << 31;
constexpr uint64_t kMostConversationBytes = uint64_t{1} << 30;
constexpr uint64_t kMostPageBytes = uint64_t{1} << 30;

struct Prelude {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;
  uint64_t checksum;
};
static_assert(sizeof(Prelude) == kPreludeBytes);

template <typename T>
std::span<const std::byte> BytesOf(const T& values) {
  return std::as_bytes(std::span(values.data(), values.size()));
}

uint64_t SectionBytes(const SavedPages& group) {
  return group.page_bytes * group.layers * group.pages;
}

uint64_t PagesChecksum(const SavedPages& group, size_t index, const PageReader& page) {
  Checksum checksum;
  for (uint64_t p = 0; p < group.pages; ++p)
    for (uint32_t layer = 0; layer < group.layers; ++layer) checksum.Add(page(index, p, layer));
  return checksum.Value();
}

bool HasAdapters(const SavedSession& session) { return session.adapters != Fingerprint{}; }

// Where the sections go when the header ends at `header_end`.
struct Layout {
  uint64_t end;

  explicit Layout(uint64_t header_end) : end(header_end) {}
  uint64_t Place(uint64_t bytes) {
    const uint64_t offset = RoundUp(end, kAlignment);
    end = offset + bytes;
    return offset;
  }
};

// Checksums of the sections, in the file's order: tokens, conversation, groups.
std::vector<uint64_t> SectionChecksums(const SavedSession& session, const PageReader& page) {
  std::vector<uint64_t> sums = {ChecksumOf(BytesOf(session.tokens)),
                                ChecksumOf(BytesOf(session.conversation))};
  for (size_t g = 0; g < session.groups.size(); ++g)
    sums.push_back(PagesChecksum(session.groups[g], g, page));
  return sums;
}

// The header has the same length whatever offsets and checksums it holds: they are of fixed size.
flatbuffers::DetachedBuffer BuildHeader(const SavedSession& session,
                                        std::span<const uint64_t> checksums,
                                        uint64_t header_bytes) {
  flatbuffers::FlatBufferBuilder builder;
  builder.ForceDefaults(true);
  Layout layout(kPreludeBytes + header_bytes);
  const auto section = [&](uint64_t bytes, uint64_t checksum) {
    return fbs::Section(layout.Place(bytes), bytes, checksum);
  };
  const fbs::Section tokens = section(session.tokens.size() * sizeof(int32_t), checksums[0]);
  const fbs::Section conversation = section(session.conversation.size(), checksums[1]);
  std::vector<flatbuffers::Offset<fbs::PageGroup>> groups;
  for (size_t g = 0; g < session.groups.size(); ++g) {
    const SavedPages& group = session.groups[g];
    const fbs::Section pages = section(SectionBytes(group), checksums[2 + g]);
    groups.push_back(fbs::CreatePageGroup(builder, group.page_bytes, group.layers,
                                          group.first_position, group.pages, &pages,
                                          group.state_layout));
  }
  const auto model = builder.CreateVector(session.model.data(), session.model.size());
  const auto groups_offset = builder.CreateVector(groups);
  const auto adapters = HasAdapters(session)
                            ? builder.CreateVector(session.adapters.data(), session.adapters.size())
                            : 0;
  builder.Finish(fbs::CreateSavedSession(
      builder, model, static_cast<fbs::Content>(session.content), session.context, session.computed,
      session.cached, &tokens, &conversation, groups_offset, session.page_layout, adapters));
  return builder.Release();
}

uint64_t HeaderBytes(const SavedSession& session) {
  const std::vector<uint64_t> none(2 + session.groups.size(), 0);
  return BuildHeader(session, none, 0).size();
}

Status Corrupt(const ByteSource& source, uint64_t offset, const std::string& what) {
  return Fail(Code::kCorrupt,
              source.name() + ": saved session: byte " + std::to_string(offset) + ": " + what);
}

Status CheckSection(const ByteSource& source, const fbs::Section* section, uint64_t data_begin,
                    std::string_view name) {
  const std::string text(name);
  if (section == nullptr) return Corrupt(source, kPreludeBytes, "the header has no " + text);
  if (section->offset() < data_begin || section->offset() % kAlignment != 0 ||
      section->offset() > source.bytes() || section->bytes() > source.bytes() - section->offset())
    return Corrupt(source, kPreludeBytes,
                   text + ": " + std::to_string(section->bytes()) + " bytes at " +
                       std::to_string(section->offset()) +
                       " do not lie between the header and the end at " +
                       std::to_string(source.bytes()));
  return {};
}

// Reads a section into `out`, already of its length.
Status ReadSection(const ByteSource& source, const fbs::Section& section, std::span<std::byte> out,
                   std::string_view name) {
  MIRAGE_TRY(source.ReadAt(section.offset(), out));
  if (ChecksumOf(out) == section.checksum()) return {};
  return Corrupt(source, section.offset(), "the checksum of " + std::string(name) + " is wrong");
}

Status CheckGroup(const ByteSource& source, const fbs::PageGroup& group, uint64_t data_begin,
                  const std::string& name) {
  MIRAGE_TRY(CheckSection(source, group.section(), data_begin, name));
  const std::optional<uint64_t> row = CheckedMul<uint64_t>(group.page_bytes(), group.layers());
  const std::optional<uint64_t> bytes =
      row ? CheckedMul<uint64_t>(*row, group.pages()) : std::nullopt;
  if (group.page_bytes() == 0 || group.page_bytes() > kMostPageBytes || group.layers() == 0 ||
      bytes != group.section()->bytes())
    return Corrupt(source, kPreludeBytes,
                   name + ": " + std::to_string(group.pages()) + " pages of " +
                       std::to_string(group.layers()) + " layers with " +
                       std::to_string(group.page_bytes()) + " bytes each are not the " +
                       std::to_string(group.section()->bytes()) + " bytes of its section");
  return {};
}

// The sections stand as WriteSession puts them: one after the other, zeros between them, nothing
// after the last. So no byte of the file is without a meaning.
Status CheckOrder(const ByteSource& source, uint64_t header_end,
                  std::span<const fbs::Section* const> sections) {
  Layout layout(header_end);
  for (const fbs::Section* section : sections) {
    const uint64_t gap_begin = layout.end;
    const uint64_t offset = layout.Place(section->bytes());
    if (section->offset() != offset)
      return Corrupt(source, kPreludeBytes,
                     "a section at " + std::to_string(section->offset()) + ", expected at " +
                         std::to_string(offset));
    std::array<std::byte, kAlignment> buffer;
    const std::span<std::byte> gap = std::span(buffer).first(offset - gap_begin);
    MIRAGE_TRY(source.ReadAt(gap_begin, gap));
    const auto odd =
        std::find_if(gap.begin(), gap.end(), [](std::byte b) { return b != std::byte{}; });
    if (odd != gap.end())
      return Corrupt(source, gap_begin + static_cast<uint64_t>(odd - gap.begin()),
                     "a byte before a section is not 0");
  }
  if (layout.end == source.bytes()) return {};
  return Corrupt(source, layout.end,
                 std::to_string(source.bytes() - layout.end) + " bytes after the last section");
}

}  // namespace

uint64_t SessionFileBytes(const SavedSession& session) {
  Layout layout(kPreludeBytes + HeaderBytes(session));
  layout.Place(session.tokens.size() * sizeof(int32_t));
  layout.Place(session.conversation.size());
  for (const SavedPages& group : session.groups) layout.Place(SectionBytes(group));
  return layout.end;
}

Status WriteSession(const SavedSession& session, const PageReader& page, const Sink& sink) {
  const uint64_t header_bytes = HeaderBytes(session);
  if (header_bytes > kMostHeaderBytes)
    return Fail(Code::kUnsupported, "a saved session's header of " + std::to_string(header_bytes) +
                                        " bytes; at most " + std::to_string(kMostHeaderBytes));
  const flatbuffers::DetachedBuffer header =
      BuildHeader(session, SectionChecksums(session, page), header_bytes);
  const auto header_span = std::as_bytes(std::span(header.data(), header.size()));
  Prelude prelude{};
  std::memcpy(prelude.magic, kMagic.data(), kMagic.size());
  prelude.version = HasAdapters(session) ? kSessionFileVersion : 1;
  prelude.header_bytes = static_cast<uint32_t>(header.size());
  prelude.checksum = ChecksumOf(header_span);

  uint64_t written = 0;
  const auto put = [&](std::span<const std::byte> bytes) -> Status {
    written += bytes.size();
    return bytes.empty() ? Status() : sink(bytes);
  };
  const auto align = [&]() -> Status {
    constexpr std::array<std::byte, kAlignment> kZeros{};
    return put(std::span(kZeros).first(RoundUp(written, kAlignment) - written));
  };
  MIRAGE_TRY(put(std::as_bytes(std::span(&prelude, 1))));
  MIRAGE_TRY(put(header_span));
  MIRAGE_TRY(align());
  MIRAGE_TRY(put(BytesOf(session.tokens)));
  MIRAGE_TRY(align());
  MIRAGE_TRY(put(BytesOf(session.conversation)));
  for (size_t g = 0; g < session.groups.size(); ++g) {
    MIRAGE_TRY(align());
    const SavedPages& group = session.groups[g];
    for (uint64_t p = 0; p < group.pages; ++p)
      for (uint32_t layer = 0; layer < group.layers; ++layer) MIRAGE_TRY(put(page(g, p, layer)));
  }
  return {};
}

Result<SessionFile> SessionFile::Open(const ByteSource& source) {
  SessionFile file(source);
  Prelude prelude{};
  const bool long_enough = source.bytes() >= kPreludeBytes;
  if (long_enough) MIRAGE_TRY(source.ReadAt(0, std::as_writable_bytes(std::span(&prelude, 1))));
  if (!long_enough || std::string_view(prelude.magic, sizeof prelude.magic) != kMagic)
    return Fail(Code::kCorrupt, source.name() + " is not a saved session");
  if (prelude.version < 1 || prelude.version > kSessionFileVersion)
    return Fail(Code::kUnsupported,
                source.name() + ": saved session of version " + std::to_string(prelude.version) +
                    "; this build reads versions 1 to " + std::to_string(kSessionFileVersion));
  if (prelude.header_bytes > kMostHeaderBytes ||
      prelude.header_bytes > source.bytes() - kPreludeBytes)
    return Fail(
        Corrupt(source, 12, "a header of " + std::to_string(prelude.header_bytes) + " bytes")
            .error());
  std::vector<uint8_t> header(prelude.header_bytes);
  MIRAGE_TRY(source.ReadAt(kPreludeBytes, std::as_writable_bytes(std::span(header))));
  if (ChecksumOf(BytesOf(header)) != prelude.checksum)
    return Fail(Corrupt(source, kPreludeBytes, "the checksum of the header is wrong").error());
  // A checksum can be forged: the verifier holds for any bytes.
  flatbuffers::Verifier verifier(header.data(), header.size());
  if (!fbs::VerifySavedSessionBuffer(verifier))
    return Fail(Corrupt(source, kPreludeBytes, "the header is malformed").error());

  const fbs::SavedSession& saved = *fbs::GetSavedSession(header.data());
  const uint64_t data_begin = kPreludeBytes + header.size();
  SavedSession& session = file.session_;
  if (saved.model() == nullptr || saved.model()->size() != session.model.size())
    return Fail(Corrupt(source, kPreludeBytes, "the header names no model").error());
  std::copy(saved.model()->begin(), saved.model()->end(), session.model.begin());
  if (saved.content() > fbs::Content::MAX)
    return Fail(Corrupt(source, kPreludeBytes,
                        "content " + std::to_string(static_cast<int>(saved.content())))
                    .error());
  session.content = static_cast<SavedContent>(saved.content());
  session.context = saved.context();
  session.computed = saved.computed();
  session.cached = saved.cached();
  session.page_layout = saved.page_layout();
  if (saved.adapters() != nullptr) {
    if (saved.adapters()->size() != session.adapters.size())
      return Fail(
          Corrupt(source, kPreludeBytes,
                  "adapters' fingerprint of " + std::to_string(saved.adapters()->size()) + " bytes")
              .error());
    std::copy(saved.adapters()->begin(), saved.adapters()->end(), session.adapters.begin());
  }

  MIRAGE_TRY(CheckSection(source, saved.tokens(), data_begin, "tokens"));
  MIRAGE_TRY(CheckSection(source, saved.conversation(), data_begin, "conversation"));
  const uint64_t token_count = saved.tokens()->bytes() / sizeof(int32_t);
  if (saved.tokens()->bytes() % sizeof(int32_t) != 0 || token_count > kMostTokens ||
      session.computed > token_count || session.cached > session.computed)
    return Fail(Corrupt(source, kPreludeBytes,
                        std::to_string(saved.tokens()->bytes()) + " bytes of tokens, " +
                            std::to_string(session.computed) + " computed, " +
                            std::to_string(session.cached) + " cached")
                    .error());
  if (saved.conversation()->bytes() > kMostConversationBytes)
    return Fail(
        Corrupt(source, kPreludeBytes,
                "a conversation of " + std::to_string(saved.conversation()->bytes()) + " bytes")
            .error());
  session.tokens.resize(token_count);
  MIRAGE_TRY(ReadSection(source, *saved.tokens(), std::as_writable_bytes(std::span(session.tokens)),
                         "the tokens"));
  session.conversation.resize(saved.conversation()->bytes());
  MIRAGE_TRY(ReadSection(source, *saved.conversation(),
                         std::as_writable_bytes(std::span(session.conversation)),
                         "the conversation"));
  std::vector<const fbs::Section*> sections = {saved.tokens(), saved.conversation()};
  if (saved.groups() != nullptr) {
    for (const fbs::PageGroup* group : *saved.groups()) {
      MIRAGE_TRY(CheckGroup(source, *group, data_begin,
                            "page group " + std::to_string(session.groups.size())));
      session.groups.push_back({group->page_bytes(), group->layers(), group->first_position(),
                                group->pages(), group->state_layout()});
      const fbs::Section& pages = *group->section();
      file.pages_.push_back({pages.offset(), pages.bytes(), pages.checksum()});
      sections.push_back(&pages);
    }
  }
  MIRAGE_TRY(CheckOrder(source, data_begin, sections));
  return file;
}

Status SessionFile::ReadPages(size_t group, const PageWriter& page) const {
  const SavedPages& shape = session_.groups[group];
  const Section& section = pages_[group];
  Checksum checksum;
  uint64_t offset = section.offset;
  for (uint64_t p = 0; p < shape.pages; ++p) {
    for (uint32_t layer = 0; layer < shape.layers; ++layer) {
      const std::span<std::byte> out = page(p, layer);
      MIRAGE_TRY(source_->ReadAt(offset, out));
      checksum.Add(out);
      offset += out.size();
    }
  }
  if (checksum.Value() == section.checksum) return {};
  return Corrupt(*source_, section.offset,
                 "the checksum of page group " + std::to_string(group) + " is wrong");
}

}  // namespace mirage::format
