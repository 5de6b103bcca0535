// SPDX-License-Identifier: Apache-2.0
#pragma once

// mirage_session_options as a caller gave them.

#include "abi/first_sizes.h"
#include "abi/handles.h"
#include "abi/structs.h"

namespace mirage::abi {

inline mirage_session_options DefaultSessionOptions() {
  mirage_session_options options{};
  options.struct_size = sizeof options;
  return options;
}

inline Result<mirage_session_options> ReadSessionOptions(const mirage_session_options* given) {
  MIRAGE_TRY_ASSIGN(
      const mirage_session_options options,
      ReadOptions(given, DefaultSessionOptions(), kFirstSessionOptions, "mirage_session_options"));
  MIRAGE_TRY(CheckReserved(options.reserved, "mirage_session_options"));
  return options;
}

}  // namespace mirage::abi
