// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a model file's metadata says about text: its vocabulary, and how it likes its tokens chosen.

#include <string>
#include <vector>

#include "base/result.h"
#include "format/metadata.h"
#include "sample/params.h"
#include "text/vocab.h"

namespace mirage::session {

// The tokenizer.ggml.* keys as they stand; text::Tokenizer checks them. kCorrupt for a key of the
// wrong type.
[[nodiscard]] Result<text::VocabData> ReadVocabulary(const format::Metadata& metadata);

// The command's defaults, overridden by the general.sampling.* keys that are there and make sense;
// what the others say is in `warnings`.
struct SamplingDefaults {
  sample::Params params;
  bool has_order = false;  // params.order is the file's
  std::vector<std::string> warnings;
};
[[nodiscard]] SamplingDefaults ReadSamplingDefaults(const format::Metadata& metadata,
                                                    int32_t vocabulary);

}  // namespace mirage::session
