// SPDX-License-Identifier: Apache-2.0
#include "text/special_tokens.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "base/file_error.h"

namespace mirage::text {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::string_view kEndOfTurn[] = {
    "<|eot_id|>",        "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>",   "<EOT>",      "_<EOT>",  "[EOT]",         "<｜end▁of▁sentence｜>",
    "<end_of_utterance>"};
constexpr std::string_view kEndOfMessage[] = {"<|eom_id|>"};
constexpr std::string_view kFimPrefix[] = {"<|fim_prefix|>",  "<fim-prefix>", "<fim_prefix>",
                                           "<｜fim▁begin｜>", "<PRE>",        "▁<PRE>",
                                           "<|code_prefix|>", "<|prefix|>"};
constexpr std::string_view kFimSuffix[] = {"<|fim_suffix|>",  "<fim-suffix>", "<fim_suffix>",
                                           "<｜fim▁hole｜>",  "<SUF>",        "▁<SUF>",
                                           "<|code_suffix|>", "<|suffix|>"};
constexpr std::string_view kFimMiddle[] = {"<|fim_middle|>",  "<fim-middle>", "<fim_middle>",
                                           "<｜fim▁end｜>",   "<MID>",        "▁<MID>",
                                           "<|code_middle|>", "<|middle|>"};
constexpr std::string_view kFimPad[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
constexpr std::string_view kFimRepository[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>",
                                               "<REPO>", "<reponame>"};
constexpr std::string_view kFimSeparator[] = {"<|file_sep|>"};

// Every token that ends an answer, whatever role its file gives it.
constexpr std::string_view kEndOfGeneration[] = {"<|eot_id|>",
                                                 "<|im_end|>",
                                                 "<|end|>",
                                                 "<|return|>",
                                                 "<|call|>",
                                                 "<|flush|>",
                                                 "<|calls|>",
                                                 "<end_of_turn>",
                                                 "<|endoftext|>",
                                                 "</s>",
                                                 "<|eom_id|>",
                                                 "<EOT>",
                                                 "_<EOT>",
                                                 "[EOT]",
                                                 "[EOS]",
                                                 "<|end_of_text|>",
                                                 "<end_of_utterance>",
                                                 "<eos>",
                                                 "<turn|>",
                                                 "<|tool_response>",
                                                 "<｜end▁of▁sentence｜>",
                                                 "[e~["};
constexpr std::string_view kMasks[] = {"<mask>", "[MASK]"};

// The tokens of the vocabulary that bear one of the names above, or one more name that a rule
// needs.
class Directory {
 public:
  explicit Directory(const TokenTable& tokens) {
    for (const Names names :
         {Names(kEndOfTurn), Names(kEndOfMessage), Names(kFimPrefix), Names(kFimSuffix),
          Names(kFimMiddle), Names(kFimPad), Names(kFimRepository), Names(kFimSeparator),
          Names(kEndOfGeneration), Names(kMasks)})
      for (const std::string_view name : names) {
        ids_.emplace(name, kNoToken);
        // An ordinary token was read through its alphabet, which turns the mark into a space.
        ids_.emplace(ReadSpaceMarks(name), kNoToken);
      }
    for (size_t i = 0; i < tokens.count(); ++i) {
      const auto id = static_cast<int32_t>(i);
      if (tokens.type(id) == TokenType::kByte) continue;
      const auto known = ids_.find(tokens.text(id));
      if (known != ids_.end() && known->second == kNoToken) known->second = id;
    }
  }

  [[nodiscard]] int32_t Find(std::string_view name) const {
    const auto as_written = ids_.find(name);
    if (as_written == ids_.end()) return kNoToken;
    if (as_written->second != kNoToken) return as_written->second;
    return ids_.find(ReadSpaceMarks(name))->second;
  }
  [[nodiscard]] int32_t FindAny(Names names) const {
    for (const std::string_view name : names)
      if (const int32_t id = Find(name); id != kNoToken) return id;
    return kNoToken;
  }

 private:
  std::map<std::string, int32_t, std::less<>> ids_;
};

class Resolver {
 public:
  Resolver(const VocabData& data, TokenTable* tokens, std::vector<std::string>* warnings)
      : data_(data), tokens_(tokens), warnings_(warnings), directory_(*tokens) {}

  Result<SpecialTokens> Run() {
    MIRAGE_TRY(ReadIds());
    FindByName();
    CollectEndOfGeneration();
    FindStripRules();
    return std::move(special_);
  }

 private:
  Status ReadIds() {
    const bool bert = data_.model == "bert", sentence_piece = data_.model == "llama",
               t5 = data_.model == "t5";
    struct Row {
      const char* key;
      const std::optional<uint32_t>& value;
      int32_t* id;
      int32_t fallback;
    };
    const int32_t none = kNoToken;
    const Row rows[] = {
        {"bos_token_id", bert && data_.cls ? data_.cls : data_.bos, &special_.bos,
         bert             ? 101
         : sentence_piece ? 1
                          : none},
        {"eos_token_id", data_.eos, &special_.eos,
         sentence_piece ? 2
         : t5           ? 1
                        : none},
        {"unknown_token_id", data_.unk, &special_.unk,
         bert             ? 100
         : sentence_piece ? 0
         : t5             ? 2
                          : none},
        {"seperator_token_id", data_.sep, &special_.sep, bert ? 102 : none},
        {"padding_token_id", data_.pad, &special_.pad, bert || t5 ? 0 : none},
        {"mask_token_id", data_.mask, &special_.mask, bert ? 103 : none},
        {"eot_token_id", data_.eot, &special_.eot, none},
        {"eom_token_id", data_.eom, &special_.eom, none},
        {"fim_pre_token_id", data_.fim_pre, &special_.fim_pre, none},
        {"fim_suf_token_id", data_.fim_suf, &special_.fim_suf, none},
        {"fim_mid_token_id", data_.fim_mid, &special_.fim_mid, none},
        {"fim_pad_token_id", data_.fim_pad, &special_.fim_pad, none},
        {"fim_rep_token_id", data_.fim_rep, &special_.fim_rep, none},
        {"fim_sep_token_id", data_.fim_sep, &special_.fim_sep, none},
    };
    for (const Row& row : rows) {
      constexpr uint32_t kAbsent = std::numeric_limits<uint32_t>::max();  // some writers store -1
      if (!row.value || *row.value == kAbsent) {
        if (!row.value && static_cast<size_t>(row.fallback + 1) <= tokens_->count())
          *row.id = row.fallback;
      } else if (*row.value >= tokens_->count()) {
        return KeyError(Code::kCorrupt, std::string("tokenizer.ggml.") + row.key,
                        "is " + std::to_string(*row.value) + ", the vocabulary has " +
                            std::to_string(tokens_->count()) + " tokens");
      } else {
        *row.id = static_cast<int32_t>(*row.value);
      }
    }
    return {};
  }

  void FindByName() {
    struct Row {
      int32_t* id;
      Names names;
    };
    const Row rows[] = {
        {&special_.eot, kEndOfTurn},         {&special_.eom, kEndOfMessage},
        {&special_.fim_pre, kFimPrefix},     {&special_.fim_suf, kFimSuffix},
        {&special_.fim_mid, kFimMiddle},     {&special_.fim_pad, kFimPad},
        {&special_.fim_rep, kFimRepository}, {&special_.fim_sep, kFimSeparator},
    };
    for (const Row& row : rows) {
      if (*row.id != kNoToken) continue;
      *row.id = directory_.FindAny(row.names);
      MakeControl(*row.id);
    }
  }

  void CollectEndOfGeneration() {
    std::vector<int32_t>& ends = special_.end_of_generation;
    for (const std::string_view name : kEndOfGeneration) {
      const int32_t id = directory_.Find(name);
      if (id == kNoToken || IsExempt(name)) continue;
      MakeControl(id);
      ends.push_back(id);
    }
    for (const int32_t id : {special_.eos, special_.eot, special_.eom, special_.fim_pad,
                             special_.fim_rep, special_.fim_sep})
      if (id != kNoToken && !IsExempt(tokens_->text(id))) ends.push_back(id);
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  }

  // Names that mean something else at times: <|end|> ends a channel, not the answer, beside
  // <|call|> and <|return|> (or <|calls|> and <|flush|>); </s> is an HTML tag where it is an
  // ordinary token, and beside <|tool_response>.
  [[nodiscard]] bool IsExempt(std::string_view name) const {
    const auto has = [&](std::string_view other) { return directory_.Find(other) != kNoToken; };
    if (name == "<|end|>")
      return (has("<|return|>") && has("<|call|>")) ||
             (has("<|flush|>") && (has("<|calls|>") || has("<|call|>")));
    if (name != "</s>") return false;
    const int32_t id = directory_.Find(name);
    return has("<|tool_response>") ||
           (id != special_.eos && id != kNoToken && IsOrdinary(tokens_->type(id)));
  }

  // A token with such a name that text could become is a slip of the converter. A user-defined one
  // stays what it is.
  void MakeControl(int32_t id) {
    if (id == kNoToken || !IsOrdinary(tokens_->type(id))) return;
    warnings_->push_back("token " + std::to_string(id) + " '" + std::string(tokens_->text(id)) +
                         "' is not of control type in the file; taken as control");
    tokens_->set_type(id, TokenType::kControl);
  }

  // Files do not say which tokens strip white space; these models' original tokenizers do.
  void FindStripRules() {
    std::string name = data_.model_name;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto named = [&](std::string_view part) { return name.find(part) != std::string::npos; };
    if (data_.pre == "jina-v2-de" || data_.pre == "jina-v2-es" || data_.pre == "jina-v2-code" ||
        named("nomic xlm") || named("jina-bert-v3")) {
      StripLeft("<mask>");
    } else if (named("modern-bert")) {
      StripLeft("[MASK]");
    } else if (named("phi-3") || named("phi3")) {
      for (size_t i = 0; i < tokens_->count(); ++i) {
        const auto id = static_cast<int32_t>(i);
        const std::string_view text = tokens_->text(id);
        const bool special =
            !IsOrdinary(tokens_->type(id)) && tokens_->type(id) != TokenType::kByte;
        if (special && text != "<unk>" && text != "<s>" && text != "<|endoftext|>")
          special_.strips_right.push_back(id);
      }
    }
  }

  void StripLeft(std::string_view name) {
    const int32_t id = directory_.Find(name);
    if (id != kNoToken) special_.strips_left.push_back(id);
  }

  const VocabData& data_;
  TokenTable* tokens_;
  std::vector<std::string>* warnings_;
  Directory directory_;
  SpecialTokens special_;
};

}  // namespace

Result<SpecialTokens> SpecialTokens::Resolve(const VocabData& data, TokenTable* tokens,
                                             std::vector<std::string>* warnings) {
  return Resolver(data, tokens, warnings).Run();
}

}  // namespace mirage::text
