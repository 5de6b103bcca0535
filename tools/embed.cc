// SPDX-License-Identifier: Apache-2.0

// mirage embed: texts as vectors.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"
#include "tools/interrupt.h"
#include "tools/json.h"
#include "tools/progress.h"

namespace mirage::cli {
namespace {

struct EmbedFlags {
  ModelFlags model;
  std::vector<std::string> texts;
  std::string pooling = "default";
  bool normalize = true;
  bool json = false;
};

int32_t ParsePooling(const std::string& name) {
  if (name == "default") return MIRAGE_POOLING_DEFAULT;
  if (name == "none") return MIRAGE_POOLING_NONE;
  if (name == "mean") return MIRAGE_POOLING_MEAN;
  if (name == "cls") return MIRAGE_POOLING_CLS;
  if (name == "last") return MIRAGE_POOLING_LAST;
  throw Failure(kBadInput,
                fmt::format("--pooling '{}': none, mean, cls or last is expected", name));
}

// Standard input, a text a line.
std::vector<std::string> ReadLines() {
  std::vector<std::string> lines;
  const std::string input = ReadStandardInput();
  for (size_t begin = 0; begin < input.size();) {
    const size_t end = std::min(input.find('\n', begin), input.size());
    lines.push_back(input.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

struct Embeddings {
  std::vector<float> values;
  std::vector<size_t> rows;  // of each text
};

Embeddings Embed(mirage_model* model, const std::vector<std::string>& texts, int32_t pooling,
                 bool normalize) {
  ProgressBar bar("embed");
  mirage_embed_options options{};
  mirage_embed_options_init(&options, sizeof options);
  options.pooling = pooling;
  options.normalize = normalize ? 1 : 0;
  options.tokenize_flags = MIRAGE_TOKENIZE_ADD_SPECIAL | MIRAGE_TOKENIZE_PARSE_SPECIAL;
  options.progress = ReportProgress;
  options.progress_user_data = &bar;
  std::vector<mirage_text> given;
  for (const std::string& text : texts) given.push_back({text.data(), text.size(), nullptr, 0});
  Embeddings made;
  made.rows.resize(texts.size());
  made.values = ReadBuffer<std::vector<float>>(
      "", [&](float* out, size_t capacity, size_t* count, mirage_error* error) {
        return mirage_embed(model, &options, given.data(), given.size(), out, capacity, count,
                            made.rows.data(), error);
      });
  return made;
}

// Of each text a list of numbers, with --pooling none a list of such lists.
Json EmbeddingsJson(const Embeddings& made, size_t width, bool of_tokens) {
  Json all = Json::array();
  auto value = made.values.begin();
  for (const size_t rows : made.rows) {
    Json of_text = Json::array();
    for (size_t row = 0; row < rows; ++row, value += static_cast<std::ptrdiff_t>(width))
      of_text.push_back(std::vector<float>(value, value + static_cast<std::ptrdiff_t>(width)));
    all.push_back(of_tokens ? std::move(of_text) : std::move(of_text[0]));
  }
  return all;
}

// A row a line.
std::string EmbeddingsText(const Embeddings& made, size_t width) {
  std::string out;
  for (size_t i = 0; i < made.values.size(); ++i)
    out += fmt::format("{}{}", made.values[i], (i + 1) % width == 0 ? '\n' : ' ');
  return out;
}

int RunEmbed(const EmbedFlags& flags) {
  CatchInterrupts();
  int32_t pooling = ParsePooling(flags.pooling);
  const std::vector<std::string> texts = flags.texts.empty() ? ReadLines() : flags.texts;
  if (texts.empty()) throw Failure(kBadInput, "standard input: there is no text");
  const RuntimeHandle runtime = flags.model.Open();
  const ModelHandle model = flags.model.Load(runtime.get(), 1);
  const mirage_model_info info = ModelInfo(model.get());
  if (pooling == MIRAGE_POOLING_DEFAULT) pooling = info.pooling;
  const Embeddings made = Embed(model.get(), texts, pooling, flags.normalize);
  const auto width = static_cast<size_t>(info.embedding);
  if (flags.json)
    WriteStandardOutput(
        Dump({{"embeddings", EmbeddingsJson(made, width, pooling == MIRAGE_POOLING_NONE)}}));
  else
    WriteStandardOutput(EmbeddingsText(made, width));
  return kDone;
}

}  // namespace

void AddEmbed(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<EmbedFlags>();
  CLI::App* command = AddCommand(app, chosen, "embed", "Texts as vectors", flags, RunEmbed);
  flags->model.AddModel(*command);
  flags->model.AddRunning(*command);
  command
      ->add_option("-p,--prompt", flags->texts,
                   "A text; may be given several times. Else each line of the standard input "
                   "is one")
      ->allow_extra_args(false);
  command->add_option("--pooling", flags->pooling,
                      "What becomes of the tokens' hidden states: none, mean, cls or last; "
                      "default: what the model's file says, else last");
  command->add_flag("!--no-normalize", flags->normalize, "Vectors as they are, of any length");
  command->add_flag("--json", flags->json, "One JSON value instead of a line for each vector");
}

}  // namespace mirage::cli
