// SPDX-License-Identifier: Apache-2.0

// Saving and restoring a session.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "format/fingerprint.h"
#include "kv/sequence_cache.h"
#include "session/runtime.h"
#include "session/session.h"

namespace mirage::session {
namespace {

std::vector<format::SavedPages> PagesOf(const kv::Geometry& geometry,
                                        const kv::SequenceCache& cache) {
  std::vector<format::SavedPages> pages;
  for (size_t group = 0; group < geometry.size(); ++group) {
    const kv::SequenceCache::Extent extent = cache.extent(group);
    pages.push_back(
        {geometry[group].page_bytes(), static_cast<uint32_t>(geometry[group].layers.size()),
         static_cast<uint64_t>(extent.first_position), static_cast<uint64_t>(extent.pages)});
  }
  return pages;
}

// One for all groups: they keep their keys and values alike.
uint32_t LayoutOf(const kv::Geometry& geometry) { return kv::PageLayout(geometry.front().type); }

// Only pages of this model's shape can be taken over; others are computed again.
bool PagesFit(const kv::Geometry& geometry, const format::SavedSession& saved) {
  if (saved.page_layout != LayoutOf(geometry) || saved.groups.size() != geometry.size())
    return false;
  for (size_t group = 0; group < geometry.size(); ++group)
    if (saved.groups[group].page_bytes != geometry[group].page_bytes() ||
        saved.groups[group].layers != geometry[group].layers.size())
      return false;
  return true;
}

Result<kv::SequenceCache> ReadCache(kv::PagePool& pool, const format::SessionFile& file) {
  const format::SavedSession& saved = file.session();
  std::vector<kv::SequenceCache::Extent> extents;
  for (const format::SavedPages& pages : saved.groups)
    extents.push_back(
        {static_cast<int64_t>(pages.first_position), static_cast<int64_t>(pages.pages)});
  MIRAGE_TRY_ASSIGN(
      kv::SequenceCache cache,
      kv::SequenceCache::WithPages(pool, static_cast<int64_t>(saved.cached), extents));
  for (size_t group = 0; group < extents.size(); ++group)
    MIRAGE_TRY(file.ReadPages(group, [&](uint64_t page, uint32_t slot) {
      return cache.PageBytes(group, static_cast<int64_t>(page), slot);
    }));
  return cache;
}

}  // namespace

Result<Session::Saved> Session::MakeSaved() {
  MIRAGE_TRY(Settle());
  MIRAGE_TRY_ASSIGN(const format::Fingerprint fingerprint, format::FingerprintOf(model_->file()));
  MIRAGE_TRY_ASSIGN(engine::Sequence::Copy copy, sequence_->Share());
  format::SavedSession saved;
  saved.model = fingerprint;
  saved.content = content_ == Content::kConversation ? format::SavedContent::kConversation
                  : content_ == Content::kTokens     ? format::SavedContent::kTokens
                                                     : format::SavedContent::kNothing;
  saved.context = static_cast<uint64_t>(sequence_->context_limit());
  saved.computed = copy.tokens.size();
  saved.cached = static_cast<uint64_t>(copy.cache.length());
  saved.tokens = copy.tokens;
  saved.tokens.insert(saved.tokens.end(), waiting_.begin(), waiting_.end());
  if (content_ == Content::kConversation) saved.conversation = conversation_.Saved();
  const kv::Geometry& geometry = model_->runner()->pages().geometry();
  saved.page_layout = LayoutOf(geometry);
  saved.groups = PagesOf(geometry, copy.cache);
  return Saved{std::move(saved), std::move(copy)};
}

Result<uint64_t> Session::SavedBytes() {
  MIRAGE_TRY_ASSIGN(const Saved saved, MakeSaved());
  return format::SessionFileBytes(saved.session);
}

Status Session::Save(const format::Sink& sink) {
  MIRAGE_TRY_ASSIGN(const Saved saved, MakeSaved());
  std::vector<std::byte> page;
  const format::PageReader read = [&](size_t group, uint64_t index, uint32_t slot) {
    page.resize(saved.session.groups[group].page_bytes);
    saved.copy.cache.CopyPage(group, static_cast<int64_t>(index), slot, page);
    return std::span<const std::byte>(page);
  };
  return format::WriteSession(saved.session, read, sink);
}

Status Session::TakeSaved(const format::SessionFile& file) {
  const format::SavedSession& saved = file.session();
  MIRAGE_TRY_ASSIGN(const format::Fingerprint fingerprint, format::FingerprintOf(model_->file()));
  if (saved.model != fingerprint)
    return Fail(Code::kInvalidArgument, "the session was saved with another model");
  for (const int32_t token : saved.tokens)
    if (token < 0 || token >= model_->runner()->vocabulary())
      return Fail(Code::kCorrupt, "saved token " + std::to_string(token) +
                                      " is outside of the vocabulary of " +
                                      std::to_string(model_->runner()->vocabulary()));
  if (saved.tokens.size() > static_cast<uint64_t>(sequence_->context_limit()))
    return Fail(Code::kContextFull, "the saved session has " + std::to_string(saved.tokens.size()) +
                                        " tokens; this one may hold " +
                                        std::to_string(sequence_->context_limit()));
  const std::lock_guard lock(mutex_);
  if (saved.content == format::SavedContent::kConversation) {
    MIRAGE_TRY(model_->RequireChatTemplate());
    if (Status added = conversation_.AddJson(saved.conversation); !added)
      return Fail(Code::kCorrupt, "the saved conversation: " + added.error().message);
    content_ = Content::kConversation;
  } else if (saved.content == format::SavedContent::kTokens) {
    content_ = Content::kTokens;
  }
  const auto computed = saved.tokens.begin() + static_cast<std::ptrdiff_t>(saved.computed);
  waiting_.assign(computed, saved.tokens.end());

  kv::PagePool& pool = model_->runner()->pages();
  engine::Sequence::Copy copy{{saved.tokens.begin(), computed}, kv::SequenceCache(pool)};
  if (saved.cached > 0 && PagesFit(pool.geometry(), saved)) {
    Result<kv::SequenceCache> cache = ReadCache(pool, file);
    if (cache)
      copy.cache = *std::move(cache);
    else if (cache.error().code != Code::kOutOfMemory)
      return Fail(std::move(cache).error());
  }
  return sequence_->Adopt(std::move(copy));
}

Result<std::shared_ptr<Session>> Session::Restore(std::shared_ptr<LoadedModel> model,
                                                  int64_t context, engine::PrefixSharing sharing,
                                                  const ByteSource& source) {
  MIRAGE_TRY_ASSIGN(std::shared_ptr<Session> session,
                    Create(std::move(model), context, std::move(sharing)));
  MIRAGE_TRY_ASSIGN(const format::SessionFile file, format::SessionFile::Open(source));
  MIRAGE_TRY(session->TakeSaved(file));
  return session;
}

}  // namespace mirage::session
