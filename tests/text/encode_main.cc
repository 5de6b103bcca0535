// SPDX-License-Identifier: Apache-2.0
// The other half of differential.py. Reads texts from stdin, each as u32 bytes and the bytes;
// writes a line for each.
//
//   text_encode ids VOCAB [--bare] [--plain]   the ids; --bare adds no special tokens, --plain
//   parses none text_encode pieces PRE                     how many bytes each piece of the
//   pre-tokenizer PRE has

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "vocab_file.h"

namespace mirage::text {
namespace {

[[noreturn]] void Stop(const Error& error) { throw std::runtime_error(error.message); }

template <typename Answer>
void ForEachText(Answer&& answer) {
  uint32_t bytes;
  std::string text;
  while (std::fread(&bytes, sizeof bytes, 1, stdin) == 1) {
    text.resize(bytes);
    if (std::fread(text.data(), 1, bytes, stdin) != bytes)
      throw std::runtime_error("input ends early");
    answer(text);
    std::putchar('\n');
  }
}

void WriteIds(const std::string& vocabulary, EncodeOptions options) {
  const auto tokenizer = Tokenizer::Create(VocabFileReader::Read(vocabulary));
  if (!tokenizer) Stop(tokenizer.error());
  std::fprintf(stderr, "heap_bytes %zu\n%s\n", (*tokenizer)->heap_bytes(),
               (*tokenizer)->warning().c_str());
  ForEachText([&](const std::string& text) {
    const auto ids = (*tokenizer)->Encode(text, options);
    if (!ids) Stop(ids.error());
    for (const int32_t id : *ids) std::printf("%d ", id);
  });
}

void WritePieces(const std::string& name) {
  const auto pre_tokenizer = PreTokenizer::Create(name);
  if (!pre_tokenizer) Stop(pre_tokenizer.error());
  if (!pre_tokenizer->known()) throw std::runtime_error("no such pre-tokenizer");
  PreTokenizer::Scratch scratch;
  ForEachText([&](const std::string& text) {
    pre_tokenizer->Split(text, &scratch,
                         [](std::string_view piece) { std::printf("%zu ", piece.size()); });
  });
}

}  // namespace
}  // namespace mirage::text

int main(int argc, char** argv) {
  const std::vector<std::string_view> args(argv, argv + argc);
  const auto has = [&](std::string_view flag) {
    return std::find(args.begin(), args.end(), flag) != args.end();
  };
  try {
    if (args.size() >= 3 && args[1] == "ids")
      mirage::text::WriteIds(argv[2],
                             {.add_special = !has("--bare"), .parse_special = !has("--plain")});
    else if (args.size() == 3 && args[1] == "pieces")
      mirage::text::WritePieces(argv[2]);
    else
      throw std::runtime_error(
          "usage: text_encode ids VOCAB [--bare] [--plain] | text_encode pieces PRE");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
