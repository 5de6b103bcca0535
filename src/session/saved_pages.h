// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a saved session keeps of a sequence's cache: all pages of keys and values and, of a model
// with states, the one after its last token. Those kept to go back to are not saved.
//
// One thread at a time.

#include "base/result.h"
#include "format/session_file.h"
#include "kv/sequence_cache.h"

namespace mirage::session {

// Notes in `saved` which pages there are.
void DescribePages(const kv::Geometry& geometry, const kv::SequenceCache& cache,
                   format::SavedSession* saved);
// Their bytes. Both outlive it.
[[nodiscard]] format::PageReader ReaderOf(const kv::SequenceCache& cache,
                                          const format::SavedSession& saved);

// Whether pages were saved that a model of this geometry can take over; others are computed again.
[[nodiscard]] bool PagesFit(const kv::Geometry& geometry, const format::SavedSession& saved);
// A cache of the pages in the file, which fit. kOutOfMemory, kCorrupt.
[[nodiscard]] Result<kv::SequenceCache> ReadPages(kv::PagePool& pool,
                                                  const format::SessionFile& file);

}  // namespace mirage::session
