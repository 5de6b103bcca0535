// SPDX-License-Identifier: Apache-2.0
#pragma once

// VocabData: a vocabulary as a model file states it, before anything is believed.
//
// A file reader fills it from the keys named beside the fields (prefix tokenizer.ggml.);
// Tokenizer::Create checks every value and takes the data over. Absent keys stay empty. Not shared
// between threads while it is filled.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/string_table.h"

namespace mirage::text {

// The numbers of tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // matches only in text that may hold special tokens
  kUserDefined = 4,  // matches everywhere
  kUnused = 5,
  kByte = 6,  // spelt <0xXX>
};

struct VocabData {
  std::string model;       // model: "gpt2", "llama", "bert", "t5", "gemma4", "none" ...
  std::string pre;         // pre: the pre-tokenizer's name
  std::string model_name;  // general.name: the strip rules of a few models are known by it alone

  StringTable tokens;          // tokens
  std::vector<float> scores;   // scores, or none
  std::vector<uint8_t> types;  // token_type, or none
  StringTable merges;          // merges: "left right", best first

  std::optional<uint32_t> bos;  // bos_token_id, and so on
  std::optional<uint32_t> eos;
  std::optional<uint32_t> eot;
  std::optional<uint32_t> eom;
  std::optional<uint32_t> unk;  // unknown_token_id
  std::optional<uint32_t> sep;  // seperator_token_id (as written), separator_token_id
  std::optional<uint32_t> pad;  // padding_token_id
  std::optional<uint32_t> cls;
  std::optional<uint32_t> mask;
  std::optional<uint32_t> fim_pre;  // fim_pre_token_id, formerly prefix_token_id
  std::optional<uint32_t> fim_suf;
  std::optional<uint32_t> fim_mid;
  std::optional<uint32_t> fim_pad;
  std::optional<uint32_t> fim_rep;
  std::optional<uint32_t> fim_sep;

  std::optional<bool> add_bos;                   // add_bos_token
  std::optional<bool> add_eos;                   // add_eos_token
  std::optional<bool> add_sep;                   // add_sep_token
  std::optional<bool> add_space_prefix;          // add_space_prefix
  std::optional<bool> remove_extra_whitespaces;  // remove_extra_whitespaces
  std::optional<bool> lowercase;                 // normalizer.lowercase
  std::optional<bool> strip_accents;             // normalizer.strip_accents
  std::vector<std::byte> precompiled_charsmap;   // precompiled_charsmap
};

}  // namespace mirage::text
