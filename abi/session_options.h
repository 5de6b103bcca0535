// SPDX-License-Identifier: Apache-2.0
#pragma once

// mirage_session_options as a caller gave them.

#include <string>

#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/structs.h"

namespace mirage::abi {

inline constexpr size_t kMostSaltBytes = 1024;

inline mirage_session_options DefaultSessionOptions() {
  mirage_session_options options{};
  options.struct_size = sizeof options;
  options.keep_tokens = -1;
  return options;
}

inline Result<mirage_session_options> ReadRawSessionOptions(const mirage_session_options* given) {
  MIRAGE_TRY_ASSIGN(
      const mirage_session_options options,
      ReadOptions(given, DefaultSessionOptions(), kFirstSessionOptions, "mirage_session_options"));
  MIRAGE_TRY(CheckReserved(options.reserved, "mirage_session_options"));
  MIRAGE_TRY(CheckReserved(options.reserved2, "mirage_session_options"));
  MIRAGE_TRY(CheckReserved(options.reserved3, "mirage_session_options"));
  return options;
}

inline Result<engine::PrefixSharing> ReadSharing(const mirage_session_options& options) {
  MIRAGE_TRY(CheckFlag(options.private_cache, "private_cache"));
  MIRAGE_TRY(CheckSpan(options.cache_salt, options.cache_salt_bytes, "cache_salt"));
  if (options.cache_salt_bytes > kMostSaltBytes)
    return Fail(Code::kInvalidArgument,
                "cache_salt has " + std::to_string(options.cache_salt_bytes) + " bytes; at most " +
                    std::to_string(kMostSaltBytes) + " are allowed");
  engine::PrefixSharing sharing;
  sharing.enabled = options.private_cache == 0;
  if (options.cache_salt_bytes > 0)
    sharing.salt.assign(options.cache_salt, options.cache_salt_bytes);
  return sharing;
}

inline Result<session::SessionOptions> ReadSessionOptions(const mirage_session_options* given) {
  using Policy = session::ContextOverflow::Policy;
  static_assert(static_cast<int32_t>(Policy::kError) == MIRAGE_OVERFLOW_ERROR);
  static_assert(static_cast<int32_t>(Policy::kShift) == MIRAGE_OVERFLOW_SHIFT);
  static_assert(static_cast<int32_t>(Policy::kTruncateMiddle) == MIRAGE_OVERFLOW_TRUNCATE_MIDDLE);
  MIRAGE_TRY_ASSIGN(const mirage_session_options raw, ReadRawSessionOptions(given));
  session::SessionOptions options;
  options.context = raw.context;
  MIRAGE_TRY_ASSIGN(options.sharing, ReadSharing(raw));
  if (raw.overflow < MIRAGE_OVERFLOW_ERROR || raw.overflow > MIRAGE_OVERFLOW_TRUNCATE_MIDDLE)
    return Fail(Code::kUnsupported,
                "overflow is " + std::to_string(raw.overflow) + "; 0 to 2 are known");
  options.overflow.policy = static_cast<Policy>(raw.overflow);
  options.overflow.keep = raw.keep_tokens;
  return options;
}

}  // namespace mirage::abi
