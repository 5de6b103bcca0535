// SPDX-License-Identifier: Apache-2.0
// encode_main VOCAB [--bare] [--plain]: texts on stdin, each u32 bytes and the bytes; a line of ids
// for each on stdout.
// --bare adds no special tokens, --plain parses none. The differential tests drive it.

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "text/tokenizer.h"
#include "vocab_file.h"

namespace {

int Run(int argc, char** argv) {
  mirage::text::EncodeOptions options;
  for (int i = 2; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--bare") options.add_special = false;
    if (std::string_view(argv[i]) == "--plain") options.parse_special = false;
  }
  const auto tokenizer =
      mirage::text::Tokenizer::Create(mirage::text::VocabFileReader::Read(argv[1]));
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 2;
  }
  if (!(*tokenizer)->warning().empty())
    std::fprintf(stderr, "%s\n", (*tokenizer)->warning().c_str());
  std::fprintf(stderr, "heap bytes %zu\n", (*tokenizer)->heap_bytes());
  uint32_t bytes;
  std::string text;
  while (std::fread(&bytes, sizeof bytes, 1, stdin) == 1) {
    text.resize(bytes);
    if (std::fread(text.data(), 1, bytes, stdin) != bytes) return 2;
    const auto ids = (*tokenizer)->Encode(text, options);
    if (!ids) {
      std::fprintf(stderr, "%s\n", ids.error().message.c_str());
      return 2;
    }
    for (size_t i = 0; i < ids->size(); ++i) std::printf(i ? " %d" : "%d", (*ids)[i]);
    std::printf("\n");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return argc < 2 ? 2 : Run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
