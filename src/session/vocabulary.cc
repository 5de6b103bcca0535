// SPDX-License-Identifier: Apache-2.0

#include "session/vocabulary.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_error.h"
#include "sample/params.h"

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
      return ElementError(Code::kCorrupt, "tokenizer.ggml.token_type", vocab.types.size(),
                          "is " + std::to_string(type) + ", types are 0 to 6");
    vocab.types.push_back(static_cast<uint8_t>(type));
  }
  return vocab;
}

SamplingDefaults ReadSamplingDefaults(const format::Metadata& metadata, int32_t vocabulary) {
  SamplingDefaults defaults;
  const auto ignore = [&](std::string_view name, const Error& error) {
    defaults.warnings.push_back("the model's general.sampling." + std::string(name) +
                                " is ignored: " + error.message);
  };
  const auto read = [&](std::string_view name, auto sample::Params::*field) {
    KeyReader key(metadata, "general.sampling.");
    sample::Params changed = defaults.params;
    key.Read(name, &(changed.*field));
    Status status = key.status();
    if (status && changed.temperature < 0)
      status = Fail(Code::kInvalidArgument, "a temperature below 0");
    if (status) {
      status = sample::CheckParams(changed, vocabulary);
    }
    if (status)
      defaults.params = changed;
    else
      ignore(name, status.error());
  };
  read("temp", &sample::Params::temperature);
  read("top_k", &sample::Params::top_k);
  read("top_p", &sample::Params::top_p);
  read("min_p", &sample::Params::min_p);
  read("penalty_repeat", &sample::Params::repeat_penalty);
  read("penalty_last_n", &sample::Params::repeat_last_n);
  read("xtc_probability", &sample::Params::xtc_probability);
  read("xtc_threshold", &sample::Params::xtc_threshold);
  read("mirostat", &sample::Params::mirostat);
  read("mirostat_tau", &sample::Params::mirostat_tau);
  read("mirostat_eta", &sample::Params::mirostat_eta);

  KeyReader key(metadata, "general.sampling.");
  std::optional<std::string> names;
  key.Read("sequence", &names);
  if (!key.status()) {
    ignore("sequence", key.status().error());
  } else if (names.has_value()) {
    Result<sample::Order> order = sample::ParseOrder(*names);
    if (order) {
      defaults.params.order = *std::move(order);
      defaults.has_order = true;
    } else {
      ignore("sequence", order.error());
    }
  }
  return defaults;
}

}  // namespace mirage::session
