// SPDX-License-Identifier: Apache-2.0

// Saving and restoring a session.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "format/fingerprint.h"
#include "kv/sequence_cache.h"
#include "session/runtime.h"
#include "session/saved_pages.h"
#include "session/session.h"
#include "session/session_memory.h"

namespace mirage::session {
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
  saved.adapters = copy.adapters;
  saved.tokens = copy.tokens;
  saved.tokens.insert(saved.tokens.end(), waiting_.begin(), waiting_.end());
  if (content_ == Content::kConversation) saved.conversation = conversation_.Saved();
  DescribePages(model_->runner()->pages().geometry(), copy.cache, &saved);
  return Saved{std::move(saved), std::move(copy)};
}

Result<uint64_t> Session::SavedBytes() {
  MIRAGE_TRY_ASSIGN(const Saved saved, MakeSaved());
  return format::SessionFileBytes(saved.session);
}

Status Session::Save(const format::Sink& sink) {
  MIRAGE_TRY_ASSIGN(const Saved saved, MakeSaved());
  return format::WriteSession(saved.session, ReaderOf(saved.copy.cache, saved.session), sink);
}

Status Session::TakeSaved(const format::SessionFile& file) {
  const format::SavedSession& saved = file.session();
  MIRAGE_TRY_ASSIGN(Runtime::Compute* const compute, model_->runtime().compute());
  MIRAGE_TRY_ASSIGN(const format::Fingerprint fingerprint, format::FingerprintOf(model_->file()));
  if (saved.model != fingerprint)
    return Fail(Code::kInvalidArgument, "the session was saved with another model");
  for (const int32_t token : saved.tokens)
    if (token < 0 || token >= model_->runner()->vocabulary())
      return Fail(Code::kCorrupt, "saved token " + std::to_string(token) +
                                      " is outside of the vocabulary of " +
                                      std::to_string(model_->runner()->vocabulary()));
  const bool drops = overflow_.policy != ContextOverflow::Policy::kError;  // of what waits
  const uint64_t held = drops ? saved.computed : saved.tokens.size();
  if (held > static_cast<uint64_t>(sequence_->context_limit()))
    return Fail(Code::kContextFull, "the saved session has " + std::to_string(held) +
                                        " tokens; this one may hold " +
                                        std::to_string(sequence_->context_limit()));
  ConversationJson parts;
  if (saved.content == format::SavedContent::kConversation) {
    MIRAGE_TRY(model_->RequireChatTemplate());
    Result<ConversationJson> read = Conversation::Read(saved.conversation);
    if (!read) return Fail(Code::kCorrupt, "the saved conversation: " + read.error().message);
    parts = *std::move(read);
  }
  MIRAGE_TRY(Hold(OwnBytes() + Conversation::HeapBytes(parts) + saved.tokens.size() * kTokenBytes));
  const std::lock_guard lock(mutex_);
  if (saved.content == format::SavedContent::kConversation) {
    conversation_.Add(std::move(parts));
    content_ = Content::kConversation;
  } else if (saved.content == format::SavedContent::kTokens) {
    content_ = Content::kTokens;
  }
  const auto computed = saved.tokens.begin() + static_cast<std::ptrdiff_t>(saved.computed);
  waiting_.assign(computed, saved.tokens.end());

  kv::PagePool& pool = model_->runner()->pages();
  engine::Sequence::Copy copy{
      {saved.tokens.begin(), computed}, kv::SequenceCache(pool), saved.adapters};
  if (saved.cached > 0 && PagesFit(pool.geometry(), saved)) {
    Result<kv::SequenceCache> cache = ReadPages(pool, file);
    if (cache)
      copy.cache = *std::move(cache);
    else if (cache.error().code != Code::kOutOfMemory)
      return Fail(std::move(cache).error());
  }
  return compute->engine.Adopt(sequence_, std::move(copy));
}

Result<std::shared_ptr<Session>> Session::Restore(std::shared_ptr<LoadedModel> model,
                                                  SessionOptions options,
                                                  const ByteSource& source) {
  MIRAGE_TRY_ASSIGN(std::shared_ptr<Session> session, Create(std::move(model), std::move(options)));
  MIRAGE_TRY_ASSIGN(const format::SessionFile file, format::SessionFile::Open(source));
  MIRAGE_TRY(session->TakeSaved(file));
  return session;
}

}  // namespace mirage::session
