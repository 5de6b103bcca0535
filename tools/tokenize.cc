// SPDX-License-Identifier: Apache-2.0

// mirage tokenize and detokenize: text on standard input to token ids, and back.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/json.h"

namespace mirage::cli {
namespace {

struct TokenizeFlags {
  ModelFlags model;
  bool no_special = false;
  bool json = false;
};

int TokenizeInput(const TokenizeFlags& flags) {
  const RuntimeHandle runtime = flags.model.Open();
  const ModelHandle model = OpenVocabulary(runtime.get(), flags.model.model);
  const uint32_t special =
      flags.no_special ? 0 : MIRAGE_TOKENIZE_ADD_SPECIAL | MIRAGE_TOKENIZE_PARSE_SPECIAL;
  const std::vector<int32_t> tokens = Tokenize(model.get(), ReadStandardInput(), special);
  std::string out;
  if (flags.json) {
    out = Dump(Json(tokens));
  } else {
    for (const int32_t token : tokens)
      out += fmt::format("{:8} {}\n", token,
                         Json(Detokenize(model.get(), {token}, MIRAGE_DETOKENIZE_SPECIAL)).dump());
  }
  WriteStandardOutput(out);
  return kDone;
}

struct DetokenizeFlags {
  ModelFlags model;
};

std::vector<int32_t> ParseTokens(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_array())
    throw Failure(kBadInput, "standard input: a JSON array of token ids is expected");
  std::vector<int32_t> tokens;
  for (const Json& element : json) {
    if (!element.is_number_integer() || element.get<int64_t>() < 0 ||
        element.get<int64_t>() > INT32_MAX)
      throw Failure(kBadInput,
                    fmt::format("standard input: element {} is not a token id", tokens.size()));
    tokens.push_back(element.get<int32_t>());
  }
  return tokens;
}

// Gives back the text that `mirage tokenize` was given: control tokens are spelled out, but not the
// begin token that the model puts before every text.
int DetokenizeInput(const DetokenizeFlags& flags) {
  const RuntimeHandle runtime = flags.model.Open();
  const ModelHandle model = OpenVocabulary(runtime.get(), flags.model.model);
  const mirage_model_info info = ModelInfo(model.get());
  std::vector<int32_t> tokens = ParseTokens(ReadStandardInput());
  if (info.adds_bos == 1 && !tokens.empty() && tokens.front() == info.bos_token)
    tokens.erase(tokens.begin());
  WriteStandardOutput(Detokenize(model.get(), tokens, MIRAGE_DETOKENIZE_SPECIAL));
  return kDone;
}

}  // namespace

void AddTokenize(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command = AddCommand(app, chosen, "tokenize", "Text on standard input to token ids",
                                 flags, TokenizeInput);
  flags->model.AddModel(*command);
  command->add_flag("--no-special", flags->no_special,
                    "Add no begin and end tokens, and leave control tokens in the text as text");
  command->add_flag("--json", flags->json, "One JSON array instead of a table");
}

void AddDetokenize(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<DetokenizeFlags>();
  CLI::App* command =
      AddCommand(app, chosen, "detokenize", "A JSON array of token ids on standard input to text",
                 flags, DetokenizeInput);
  flags->model.AddModel(*command);
}

}  // namespace mirage::cli
