// SPDX-License-Identifier: Apache-2.0

#include "session/vocabulary.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sample/sampler.h"

namespace mirage::session {
namespace {

// Reads optional keys below one prefix into fields, remembering the first failure.
class KeyReader {
 public:
  KeyReader(const format::Metadata& metadata, std::string_view prefix)
      : metadata_(metadata), prefix_(prefix) {}

  template <typename Field>
  void Read(std::string_view name, Field* field) {
    Assign<Field>(name, [&](Field value) { *field = std::move(value); });
  }
  template <typename Value>
  void Read(std::string_view name, std::optional<Value>* field) {
    Assign<Value>(name, [&](Value value) { *field = std::move(value); });
  }

  [[nodiscard]] Status status() const { return status_; }

 private:
  template <typename Value, typename Store>
  void Assign(std::string_view name, Store store) {
    const std::string key = prefix_ + std::string(name);
    if (!status_ || !metadata_.Has(key)) return;
    Result<Value> value = metadata_.Get<Value>(key);
    if (value)
      store(*std::move(value));
    else
      status_ = Fail(std::move(value).error());
  }

  const format::Metadata& metadata_;
  const std::string prefix_;
  Status status_;
};

}  // namespace

Result<text::VocabData> ReadVocabulary(const format::Metadata& metadata) {
  text::VocabData vocab;
  KeyReader keys(metadata, "tokenizer.ggml.");
  keys.Read("model", &vocab.model);
  keys.Read("pre", &vocab.pre);
  keys.Read("tokens", &vocab.tokens);
  keys.Read("scores", &vocab.scores);
  keys.Read("merges", &vocab.merges);
  keys.Read("bos_token_id", &vocab.bos);
  keys.Read("eos_token_id", &vocab.eos);
  keys.Read("eot_token_id", &vocab.eot);
  keys.Read("eom_token_id", &vocab.eom);
  keys.Read("unknown_token_id", &vocab.unk);
  keys.Read("separator_token_id", &vocab.sep);
  keys.Read("seperator_token_id", &vocab.sep);  // as most files spell it
  keys.Read("padding_token_id", &vocab.pad);
  keys.Read("cls_token_id", &vocab.cls);
  keys.Read("mask_token_id", &vocab.mask);
  keys.Read("prefix_token_id", &vocab.fim_pre);  // the former names of the three below
  keys.Read("suffix_token_id", &vocab.fim_suf);
  keys.Read("middle_token_id", &vocab.fim_mid);
  keys.Read("fim_pre_token_id", &vocab.fim_pre);
  keys.Read("fim_suf_token_id", &vocab.fim_suf);
  keys.Read("fim_mid_token_id", &vocab.fim_mid);
  keys.Read("fim_pad_token_id", &vocab.fim_pad);
  keys.Read("fim_rep_token_id", &vocab.fim_rep);
  keys.Read("fim_sep_token_id", &vocab.fim_sep);
  keys.Read("add_bos_token", &vocab.add_bos);
  keys.Read("add_eos_token", &vocab.add_eos);
  keys.Read("add_sep_token", &vocab.add_sep);
  keys.Read("add_space_prefix", &vocab.add_space_prefix);
  keys.Read("remove_extra_whitespaces", &vocab.remove_extra_whitespaces);
  keys.Read("normalizer.lowercase", &vocab.lowercase);
  keys.Read("normalizer.strip_accents", &vocab.strip_accents);
  keys.Read("precompiled_charsmap", &vocab.precompiled_charsmap);
  std::vector<int32_t> types;
  keys.Read("token_type", &types);
  KeyReader general(metadata, "general.");
  general.Read("name", &vocab.model_name);
  MIRAGE_TRY(keys.status());
  MIRAGE_TRY(general.status());

  vocab.types.reserve(types.size());
  for (const int32_t type : types) {
    if (type < 0 || type > UINT8_MAX)
      return Fail(Code::kCorrupt, "key 'tokenizer.ggml.token_type': element " +
                                      std::to_string(vocab.types.size()) + " is " +
                                      std::to_string(type));
    vocab.types.push_back(static_cast<uint8_t>(type));
  }
  return vocab;
}

Result<sample::Params> ReadSamplingDefaults(const format::Metadata& metadata, int32_t vocabulary) {
  sample::Params params;
  KeyReader keys(metadata, "general.sampling.");
  keys.Read("temp", &params.temperature);
  keys.Read("top_k", &params.top_k);
  keys.Read("top_p", &params.top_p);
  keys.Read("min_p", &params.min_p);
  keys.Read("penalty_repeat", &params.repeat_penalty);
  keys.Read("penalty_last_n", &params.repeat_last_n);
  MIRAGE_TRY(keys.status());
  MIRAGE_TRY(sample::Sampler::Create(params, vocabulary));
  return params;
}

}  // namespace mirage::session
